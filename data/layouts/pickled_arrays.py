"""Arrays of whole numbers in a dictionary that `torch.save` or `pickle.dump` has written, read without running code.

A pickle names functions to be called with what it holds; numpy's own, which `torch.load` could be told to allow, trust
what they are given. Here every name stands for one of four classes below, which only keep it, and any other name is
refused: bytes become numbers under a type that was checked.
"""

import io
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import RunError


class _Type:
    """Stands for `numpy.dtype`."""

    def __init__(self, name: str, *layout: bool) -> None:
        self.name, self.order = name, "="

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def checked(self) -> np.dtype:
        if not re.fullmatch("[<>|=][iu][1248]", f"{self.order}{self.name}"):
            raise ValueError(f"numbers of type {self.order}{self.name}")
        return np.dtype(f"{self.order}{self.name}")


class _Array:
    """Stands for `numpy.ndarray`, and for the function that makes an empty one."""

    def __init__(self, *empty: Any) -> None:
        self.values = np.zeros(0, np.int64)

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, by_columns, content = state
        flat = np.frombuffer(content, kind.checked())
        self.values = flat.reshape(shape, order="F" if by_columns else "C").astype(np.int64)


class _Bytes:
    """Stands for `_codecs.encode`, by which older pickles write bytes."""

    def __new__(cls, text: str, encoding: str) -> bytes:  # type: ignore[misc]
        return text.encode("latin1")


NAMES: dict[tuple[str, str], type] = {
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("_codecs", "encode"): _Bytes,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in NAMES:
            raise ValueError(f"it asks for {module}.{name}")
        return NAMES[module, name]


def read_pickled_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a pickled dictionary, int64, by their keys; other values are left out.

    Raises:
        RunError: the file cannot be read, or holds no dictionary of arrays of whole numbers.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content = archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))
        found: dict[str, np.ndarray] = {}
        stream = io.BytesIO(content)
        while not found:  # torch's older files begin with other values
            value = _Reader(stream).load()
            if isinstance(value, dict):
                found = {str(key): array.values for key, array in value.items() if isinstance(array, _Array)}
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}.") from error
    except Exception as error:  # what pickle, zipfile and the classes above raise for foreign files
        raise RunError(
            f"cannot read {path} as a dictionary of arrays of whole numbers ({error or type(error).__name__})."
        ) from error
    return found
