"""A pickled dictionary of arrays is read; what it asks to be called is not."""

import os
import pickle

import numpy as np
import pytest
import torch

from data.layouts.pickled_arrays import read_pickled_arrays
from utils.errors import RunError

ARRAYS = {
    "clean_label": np.arange(300),
    "noisy_label": np.arange(300, dtype=np.int32)[::-1].copy(),
    "small": np.array([-1, 5], np.int8),
    "square": np.asfortranarray(np.arange(6).reshape(2, 3)),
}


def with_torch(value, path):
    torch.save(value, path)


def with_old_torch(value, path):
    torch.save(value, path, _use_new_zipfile_serialization=False)


def with_protocol(number):
    return lambda value, path: path.write_bytes(pickle.dumps(value, number))


@pytest.mark.parametrize("write", [with_torch, with_old_torch, *map(with_protocol, range(2, 5))])
def test_arrays_are_read_as_they_were_written(tmp_path, write):
    write({**ARRAYS, "a word": "left out"}, tmp_path / "file.pt")
    found = read_pickled_arrays(tmp_path / "file.pt")
    assert list(found) == list(ARRAYS)
    for name, wanted in ARRAYS.items():
        np.testing.assert_array_equal(found[name], wanted)
        assert found[name].dtype == np.int64


class Malice:
    def __reduce__(self):
        return os.mkdir, ("made",)


class Tampered:
    """A type whose own state says that its bytes are no pointers."""

    def __reduce__(self):
        return np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0)


class Pointers:
    def __reduce__(self):
        empty, arguments, _ = np.zeros(1).__reduce__()
        return empty, arguments, (1, (1,), Tampered(), False, b"\x01" * 8)


@pytest.mark.parametrize("value", [
    {"clean_label": np.zeros(3, np.int64), "other": Malice()}, Malice(), {"clean_label": Pointers()},
    {"clean_label": np.zeros(3)}, {"clean_label": np.array(["a"], object)}, {"clean_label": torch.zeros(3)}, [1, 2], {},
])  # fmt: skip
@pytest.mark.parametrize("write", [with_torch, with_protocol(4)])
def test_anything_else_is_refused_and_nothing_is_called(tmp_path, monkeypatch, value, write):
    monkeypatch.chdir(tmp_path)
    write(value, tmp_path / "file.pt")
    with pytest.raises(RunError, match=r"cannot read .*file\.pt as a dictionary of arrays of whole numbers \(.+\)"):
        read_pickled_arrays(tmp_path / "file.pt")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text", b"\x80\x04cnumpy\ndtype\n."])
def test_damaged_files(tmp_path, content):
    (tmp_path / "file.pt").write_bytes(content)
    with pytest.raises(RunError, match=r"file\.pt"):
        read_pickled_arrays(tmp_path / "file.pt")


def test_a_missing_file(tmp_path):
    with pytest.raises(RunError, match=r"cannot read .*none\.pt: No such file"):
        read_pickled_arrays(tmp_path / "none.pt")


def test_names_of_older_numpy(tmp_path):
    content = pickle.dumps(ARRAYS, 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "file.pt").write_bytes(content)
    assert list(read_pickled_arrays(tmp_path / "file.pt")) == list(ARRAYS)
