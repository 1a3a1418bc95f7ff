"""What is noted about a run."""

import shlex
import shutil
import subprocess
from mmap import mmap

import pytest
import torch

from utils.logbook import environment, git_revision, peak_memory, restart_peak_memory, rounding

CPU = torch.device("cpu")


def test_the_command_can_be_pasted_into_a_shell(monkeypatch):
    typed = ["train_mix.py", "--run_name", "two words"]
    monkeypatch.setattr("sys.argv", typed)
    command = environment(torch.device("cpu"))["command"]
    assert shlex.split(command) == ["python", *typed]


def test_what_decides_bits_is_noted_with_the_environment(monkeypatch):
    noted = rounding(CPU)
    assert noted.items() <= environment(CPU).items()
    assert noted["device_kind"].startswith("cpu ")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 17)
    assert rounding(CPU) == noted | {"threads": 17}


def repository(folder):
    folder.mkdir(parents=True)
    words = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    (folder / "file").write_text("content")
    for command in (["init", "-q"], ["add", "file"], ["commit", "-qm", "first"]):
        subprocess.run([*words, *command], check=True, capture_output=True)
    return folder


def test_only_the_codes_own_repository_is_its_revision(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("there is no git here")
    outer = repository(tmp_path / "outer")
    (outer / "copy").mkdir()
    assert git_revision(outer / "copy") is None, "a copy inside another repository"
    assert len(git_revision(outer) or "") == 12
    (outer / "file").write_text("changed")
    assert (git_revision(outer) or "").endswith("-dirty")
    inner = repository(outer / "inner")
    assert git_revision(inner) not in (None, git_revision(outer))
    (tmp_path / "link").symlink_to(inner)
    assert git_revision(tmp_path / "link") == git_revision(inner)
    assert git_revision(tmp_path) is None


def test_a_peak_of_memory_is_counted_from_where_it_is_restarted():
    restart_peak_memory(CPU)
    before = peak_memory(CPU)
    with mmap(-1, 120_000_000) as fresh:  # pages that no allocator had before
        fresh.write(bytes(len(fresh)))
        high = peak_memory(CPU)
    assert high > before + 100_000_000
    restart_peak_memory(CPU)
    if peak_memory(CPU) >= high:
        pytest.skip("the system does not tell a later peak from an earlier one")
    assert peak_memory(CPU) < high - 50_000_000
