"""Files are whole or not there, JSON is strict, and loading tensors runs no code."""

import io
import json
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from utils.errors import DamagedFile, MachineError, RunError
from utils.files import (
    load_own_tensors,
    load_tensors,
    read_json,
    remove_leftovers,
    replacing,
    save_tensors,
    sha256,
    write_json,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_replacing_writes_elsewhere_until_the_end(tmp_path):
    path = tmp_path / "new" / "file"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == path.parent
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_interruption_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_an_interruption_while_torch_writes_is_one(tmp_path, monkeypatch):
    """torch closes its archive nevertheless, and would complain that it is not as long as it should be."""

    class Interrupting(io.FileIO):
        def write(self, data):
            if self.tell() > 1000:
                raise KeyboardInterrupt
            return super().write(data)

    monkeypatch.setattr("utils.files.open", lambda path, mode: Interrupting(path, mode), raising=False)
    with pytest.raises(KeyboardInterrupt):
        save_tensors(tmp_path / "x.pt", {"a": torch.ones(10_000), "b": torch.ones(10_000)})
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("write", "bad"),
    [
        (write_text, "a lone surrogate: \ud800"),
        (write_json, {"accuracy": float("nan")}),
        (write_json, {"accuracy": float("inf")}),
        (write_json, {"path": object()}),
        (save_tensors, {"function": lambda: None}),
    ],
)
def test_what_cannot_be_written_leaves_the_old_file_and_no_other(tmp_path, write, bad):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises((ValueError, TypeError, AttributeError, pickle.PicklingError)):
        write(path, bad)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_json_there_and_back(tmp_path):
    value = {"fraction": 1 / 3, "missing": None, "name": "± ü", "list": [1, 2.5, "x"]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value


@pytest.mark.parametrize("content", [b"", b'{"half": ', b"\xff\xfe\x00", b"[" * 100_000])
def test_json_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "a.json"
    with pytest.raises(MachineError, match=rf"cannot read {path}: No such file"):
        read_json(path)
    path.write_bytes(content)
    with pytest.raises(RunError, match=rf"cannot read {path}: .*--run_name"):
        read_json(path)


def test_tensors_there_and_back(tmp_path):
    value = {"a": torch.arange(3), "b": [torch.ones(2, dtype=torch.float64), 5, "text"], "c": None}
    save_tensors(tmp_path / "x.pt", value)
    again = load_tensors(tmp_path / "x.pt")
    assert torch.equal(again["a"], value["a"])
    assert again["b"][1:] == [5, "text"]
    assert again["b"][0].dtype == torch.float64


class Malice:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize("write", [lambda value, path: torch.save(value, path),
                                   lambda value, path: path.write_bytes(pickle.dumps(value))])  # fmt: skip
def test_code_in_a_file_is_refused_and_not_run(tmp_path, write):
    write(Malice(tmp_path / "harm"), tmp_path / "x.pt")
    with pytest.raises(RunError, match=r"cannot read .*x\.pt as tensors") as error:
        load_tensors(tmp_path / "x.pt")
    assert "weights_only" not in str(error.value)
    assert names(tmp_path) == ["x.pt"]


def test_damaged_and_missing_tensor_files_are_named(tmp_path):
    path = tmp_path / "x.pt"
    with pytest.raises(RunError, match="cannot read"):
        load_tensors(path)
    save_tensors(path, {"a": torch.rand(1000)})
    content = path.read_bytes()
    for length in range(0, len(content) - 1, 97):
        path.write_bytes(content[:length])
        with pytest.raises(RunError, match=rf"cannot read {path} as tensors \(\w+\)\. The file is damaged") as error:
            load_tensors(path)
        assert "\n" not in str(error.value)


def test_sha256(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(MachineError, match=f"cannot read {tmp_path}: Is a directory"):
        sha256(tmp_path)


@pytest.mark.parametrize("limit", [0, 1, 500, 5_000, 100_000])
@pytest.mark.parametrize("save", [save_tensors, lambda path, value: write_text(path, str(value["a"].tolist()))])
def test_a_file_beyond_the_limit_is_an_error_of_the_machine_that_leaves_the_old_one(tmp_path, save, limit):
    path = tmp_path / "file"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(MachineError, match=rf"cannot write {path}: File too large\. .*ulimit -f"):
            save(path, {"a": torch.rand(30_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_no_planted_link_is_followed(tmp_path, monkeypatch):
    """Not even where somebody has guessed the temporary name."""
    (tmp_path / "theirs").write_text("theirs")
    monkeypatch.setattr("secrets.token_hex", lambda n: "guessed")
    (tmp_path / ".file.guessed.tmp").symlink_to(tmp_path / "theirs")
    with pytest.raises(MachineError, match="cannot write"):
        write_text(tmp_path / "file", "ours")
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_files_have_the_permissions_that_the_user_gives_new_files(tmp_path):
    write_text(tmp_path / "file", "")
    (tmp_path / "plain").touch()
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_leftovers_are_removed_and_nothing_else(tmp_path):
    with replacing(tmp_path / "file") as temporary:
        left = temporary.with_name(temporary.name.replace(temporary.name[-8:], "0000.tmp"))
        others = [".file.tmp", "file.0123456789abcdef.tmp", ".file.0123456789abcdex.tmp", ".notes", ".0123456789abcdef"]
        for name in (left.name, *others):
            (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted(["file", *others])


KILLED = """
import os, signal, sys
from pathlib import Path
from utils.files import replacing

with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_with_the_next_and_not_what_another_one_writes(tmp_path):
    path, other = tmp_path / "file[1]", tmp_path / "file1"
    subprocess.run([sys.executable, "-c", KILLED, path], cwd=Path(__file__).parents[2], check=False)
    subprocess.run([sys.executable, "-c", KILLED, other], cwd=Path(__file__).parents[2], check=False)
    assert len(names(tmp_path)) == 2
    with replacing(path) as temporary:
        write_text(path, "the other's")
        assert temporary.exists()
        temporary.write_text("ours")
    assert path.read_text() == "ours"
    assert [name.startswith(".file1.") for name in names(tmp_path)] == [True, False]


WHOSE = {"run": "0123456789ab", "seed": 3}


def test_tensors_say_whose_they_are_and_stay_an_ordinary_file(tmp_path):
    value = {"weight": torch.rand(3, 4), "history": [{"epoch": 1, "loss": 0.5}]}
    save_tensors(tmp_path / "x.pt", value, WHOSE)
    for again in (load_own_tensors(tmp_path / "x.pt", WHOSE), torch.load(tmp_path / "x.pt", weights_only=True)):
        assert torch.equal(again["weight"], value["weight"])
        assert again["history"] == value["history"]
    first = (tmp_path / "x.pt").read_bytes()
    save_tensors(tmp_path / "x.pt", value, WHOSE)
    assert (tmp_path / "x.pt").read_bytes() == first, "nothing in the file depends on the time"


def test_tensors_of_another_run_or_of_nobody_are_refused(tmp_path):
    save_tensors(tmp_path / "x.pt", {"a": torch.ones(2)}, WHOSE)
    with pytest.raises(DamagedFile, match=r"x\.pt belongs to another run \(seed 3\)\. .*--overwrite"):
        load_own_tensors(tmp_path / "x.pt", WHOSE | {"seed": 4})
    save_tensors(tmp_path / "x.pt", {"a": torch.ones(2)})
    with pytest.raises(DamagedFile, match=r"x\.pt is damaged, or not written by this program"):
        load_own_tensors(tmp_path / "x.pt", WHOSE)


def test_no_flipped_bit_changes_what_is_loaded(tmp_path):
    path = tmp_path / "x.pt"
    value = {"a": torch.rand(50), "b": [torch.arange(9), 7]}
    save_tensors(path, value, WHOSE)
    content = path.read_bytes()
    refused = 0
    for position in torch.randint(8 * len(content), (400,), generator=torch.Generator().manual_seed(0)).tolist():
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            again = load_own_tensors(path, WHOSE)
        except DamagedFile:
            refused += 1
        else:
            assert torch.equal(again["a"], value["a"])
            assert torch.equal(again["b"][0], value["b"][0])
            assert again["b"][1] == 7
    assert refused > 200
