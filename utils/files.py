"""Files are written to a temporary name in the same folder and renamed, so a reader never sees half a file."""

import errno
import glob
import hashlib
import json
import os
import re
import secrets
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch

from utils.distributed import writer_only
from utils.errors import DamagedFile, MachineError, machine_error, system_error
from utils.schema import checked, parsed

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

ABOUT = "archive/about.json"
"""The place where a file of tensors says whose they are, beside what torch writes."""


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yields a temporary path beside `path` and moves it there once the block has succeeded.

    The temporary file is made anew under a name that nobody can foresee, so that no link can lie in wait for it; what
    killed processes left of the same file is removed. `durable` does that, and waits until the disk has the file, which
    takes too long for one of thousands of small ones.

    Raises:
        MachineError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if durable:
            remove_leftovers(path.parent, path.name)
        claimed = open(temporary, "xb")  # noqa: SIM115 - what cannot be made is not ours to remove
        try:
            with claimed:
                with suppress(OSError):  # a file system without locks
                    _lock(claimed)
                yield temporary
            if durable:
                with open(temporary, "rb+") as written:
                    os.fsync(written.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise system_error(error, f"cannot write {path}") from error


def remove_leftovers(folder: Path, name: str = "") -> None:
    """Removes what killed processes left half written in a folder, of the file of that name alone if one is given."""
    for path in folder.glob(f".{glob.escape(name) or '*'}.*.tmp"):
        if re.fullmatch(r"\..+\.[0-9a-f]{16}\.tmp", path.name):
            with suppress(OSError):  # another process writes it, or has just removed it
                with open(path, "rb+") as left:
                    _lock(left)
                path.unlink()


def _lock(file: BinaryIO) -> None:
    """Locks a file for as long as it is open, where another process has not; Windows removes no open file anyway."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@writer_only
def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Strict JSON: a NaN that slipped into a result is an error here rather than a file others cannot read."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


ANEW = "Remove the file, start anew with --overwrite, or choose another --run_name."
"""Advice on a damaged file in a run's folder."""


def read_json(path: Path, shape: Any = Any, mend: str = ANEW) -> Any:
    """The content of a JSON file, which has this shape (see `utils.schema`).

    Raises:
        RunError: it cannot be read, is no strict JSON, or has another shape. `mend` says what to do about it.
    """
    with naming(path, mend):
        return checked(parsed(path.read_text(encoding="utf-8")), shape)


def read_json_lines(path: Path, shape: Any = Any, mend: str = ANEW) -> list[Any]:
    """The content of a file with a JSON value of this shape on every line; see `read_json`."""
    values = []
    with naming(path, mend):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                values.append(checked(parsed(line), shape))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
    return values


@contextmanager
def naming(path: Path, mend: str) -> Iterator[None]:
    """Whatever is wrong with a file becomes one line that names it."""
    try:
        yield
    except OSError as error:
        raise system_error(error, f"cannot read {path}") from error
    except ValueError as error:
        raise DamagedFile(f"cannot read {path}: {error}. {mend}") from error


@writer_only
def save_tensors(path: Path, value: Any, about: dict[str, Any] | None = None) -> None:
    """Writes tensors and plain containers as torch does; `about` says whose they are, for `load_own_tensors`: names
    and numbers."""
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:  # a path would be written into the file
            try:
                torch.save(value, file)
            except RuntimeError as error:  # of the archive, which torch closes whatever has ended its writing
                raise (error.__context__ or error) from None
        if about is not None:
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(zipfile.ZipInfo(ABOUT), json.dumps({"file": path.name, **about}, sort_keys=True))


def load_tensors(path: Path) -> Any:
    """Loads tensors and plain containers only: nothing in the file can run code.

    Raises:
        DamagedFile: a checksum in the file is wrong, or it holds something else.
        RunError: it cannot be read.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if archive.testzip() is not None:
                    raise zipfile.BadZipFile("wrong checksum")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice about files that are none of ours
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for damaged or foreign files
        cut_short = isinstance(error, OSError) and error.errno == errno.EINVAL
        if not cut_short and (told := machine_error(error)):
            raise MachineError(f"cannot read {path}: {told}") from error
        # Torch's own words would advise to run the code that the file holds.
        raise DamagedFile(
            f"cannot read {path} as tensors ({type(error).__name__}). The file is damaged, or holds other things than "
            "tensors and plain containers, which are never loaded."
        ) from error


def load_own_tensors(path: Path, about: dict[str, Any]) -> Any:
    """The tensors that `save_tensors` wrote for this very purpose.

    Raises:
        DamagedFile: it is damaged, or was written about something else.
    """
    try:
        value = load_tensors(path)
        with zipfile.ZipFile(path) as archive:
            there = checked(parsed(archive.read(ABOUT).decode()), dict)
    except (DamagedFile, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise DamagedFile(f"{path} is damaged, or not written by this program. {ANEW}") from error
    wanted = {"file": path.name, **about}
    if there != wanted:
        whose = ", ".join(f"{name} {there.get(name)}" for name in wanted if there.get(name) != wanted[name])
        raise DamagedFile(f"{path} belongs to another run ({whose}). {ANEW}")
    return value


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, as 64 hex digits.

    Raises:
        MachineError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise system_error(error, f"cannot read {path}") from error
    return digest.hexdigest()
