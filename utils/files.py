"""Files are written to a temporary name in the same folder and renamed, so a reader never sees half a file."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from utils.distributed import writer_only
from utils.errors import RunError


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yields a temporary path beside `path` and moves it there once the block has succeeded.

    `durable` waits until the disk has it, which takes too long for one of thousands of small files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        if durable:
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@writer_only
def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Strict JSON: a NaN that slipped into a result is an error here rather than a file others cannot read."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read {path}: {error}. Remove the file or choose another --run_name.") from error


@writer_only
def save_tensors(path: Path, value: Any) -> None:
    with replacing(path) as temporary, open(temporary, "wb") as file:
        torch.save(value, file)  # given a path, torch would write the temporary name into the file


def load_tensors(path: Path) -> Any:
    """Loads tensors and plain containers only: nothing in the file can run code."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch raises many types for damaged or foreign files
        # torch's own words would advise to run the code in the file
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise RunError(
            f"cannot read {path} as tensors ({reason}). The file is damaged, or holds other things than tensors and "
            "plain containers, which are never loaded."
        ) from error


def content_hash(path: Path) -> str:
    """The first 12 hex digits of the SHA-256 of a file's content."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise RunError(f"cannot read {path}: {error}.") from error
