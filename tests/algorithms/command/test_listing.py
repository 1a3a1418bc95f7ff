"""What --list prints of every declaration."""

from algorithms.command.listing import listing


def test_what_has_no_default_is_listed_without_one():
    lines = listing("all").splitlines()
    assert any("--image_size: " in line and line.endswith("; default 224") for line in lines)
    assert not [line for line in lines if line.rstrip().endswith("default")]
