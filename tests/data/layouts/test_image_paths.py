"""Which files of a folder are images, whatever else lies in it."""

import os

import pytest

from data.layouts.image_paths import SUFFIXES, LeftOut, images_below
from utils.errors import RunError


@pytest.fixture
def put(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")

    return make


def found(folder, left_out=None):
    return [path.relative_to(folder).as_posix() for path in images_below(folder, left_out=left_out)]


def test_all_suffixes_in_any_case(tmp_path, put):
    names = [f"{i:02}{suffix}" for i, suffix in enumerate((*SUFFIXES, ".JPG", ".Tiff", ".PnG"))]
    put(*names)
    assert found(tmp_path) == names


HIDDEN = [
    ".ipynb_checkpoints/x-checkpoint.png", "deep/er/.ipynb_checkpoints/x.png", "__MACOSX/cat/._x.png", "._x.png",
    ".hidden.jpg", "Thumbs.db", "deep/thumbs.DB", ".DS_Store", "@eaDir/x.jpg", "$RECYCLE.BIN/x.png", ".git/x.png",
    "desktop.ini", ".images-0123.bytes",
]  # fmt: skip


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_hidden_is_no_image_at_any_depth(tmp_path, put, name):
    put("a.png", "deep/er/b.png", name)
    left_out = LeftOut()
    assert found(tmp_path, left_out) == ["a.png", "deep/er/b.png"]
    assert (left_out.hidden, left_out.links, left_out.others.total()) == (1, 0, 0)


def test_other_formats_are_counted_by_suffix(tmp_path, put):
    put("a.png", "b.txt", "c.TXT", "d.heic", "LICENSE", "deep/e.txt")
    left_out = LeftOut()
    assert found(tmp_path, left_out) == ["a.png"]
    (phrase,) = left_out.described()
    assert phrase.startswith("5 files that are not .png, .jpg,")
    assert phrase.endswith("(.txt 3, .heic 1, no suffix 1)")


def test_nothing_left_out_is_nothing_said():
    assert LeftOut().described() == []


def test_a_link_to_a_folder_that_it_lies_in_is_refused(tmp_path, put):
    put("cat/a.png")
    (tmp_path / "cat/loop").symlink_to(tmp_path / "cat", target_is_directory=True)
    with pytest.raises(RunError, match="cat/loop is a link to a folder that it lies in"):
        found(tmp_path)


def test_links_in_a_circle_end(tmp_path, put):
    """Each folder links to all others: followed blindly, there would be more paths than anyone can wait for."""
    names = [f"{i:02}" for i in range(20)]
    put(*(f"cat/{name}/{name}.png" for name in names))
    for name in names:
        for other in names:
            if name != other:
                (tmp_path / "cat" / name / f"to{other}").symlink_to(tmp_path / "cat" / other, target_is_directory=True)
    left_out = LeftOut()
    assert sorted(os.path.basename(name) for name in found(tmp_path, left_out)) == [f"{name}.png" for name in names]
    assert left_out.links > 300
    assert "links to folders that were read already" in left_out.described()[0]


def test_two_classes_may_link_to_one_folder(tmp_path, put, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "x.png").write_bytes(b"")
    for name in ("cat", "dog"):
        (tmp_path / name).symlink_to(elsewhere, target_is_directory=True)
    assert found(tmp_path) == ["cat/x.png", "dog/x.png"]


def test_an_empty_folder_says_what_was_there_instead(tmp_path, put):
    put("a.heic", "b.heic", ".c.png")
    with pytest.raises(RunError, match=r"holds no \.png or \.jpg images.*Left out: 1 hidden.*\(\.heic 2\)"):
        found(tmp_path)
    assert images_below(tmp_path, needed=False) == []


def test_names_that_are_not_utf8_are_kept(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).write_bytes(b"")
    assert found(tmp_path) == [name]
