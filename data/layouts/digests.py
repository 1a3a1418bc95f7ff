"""Digests of the contents of many files, which tell whether any of them has changed."""

import hashlib
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from utils.errors import MachineError
from utils.files import write_text

DIGEST = re.compile("[0-9a-f]{64}")


def contents_digest(paths: Sequence[Path], about: str = "") -> str:
    """SHA-256 of `about`, and of the names (below their common folder) and contents of files; hexadecimal."""
    common = os.path.commonpath([path.parent for path in paths])

    def digest(path: Path) -> bytes:
        name = os.fsencode(path.relative_to(common).as_posix())
        try:
            with open(path, "rb") as file:
                return name + b"\0" + hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            return name + b"\0unreadable: " + str(error.strerror).encode()

    total = hashlib.sha256(about.encode())
    with ThreadPoolExecutor() as pool:
        for part in pool.map(digest, paths):
            total.update(part)
    return total.hexdigest()


def noted_digest(paths: Sequence[Path], folder: Path, about: str = "") -> str:
    """The same; contents are read once, and the outcome is noted in `folder` until one of the files changes.

    A file's times are part of what is compared; nobody can set the last one back after a change, as copying programs
    do the other.
    """
    stats = [(os.path.abspath(path), *_times(path)) for path in paths]
    noted = folder / f"content-{hashlib.sha256(repr((about, stats)).encode()).hexdigest()[:16]}"
    if noted.exists() and DIGEST.fullmatch(there := noted.read_text(encoding="utf-8", errors="replace")):
        return there
    found = contents_digest(paths, about)
    with suppress(MachineError):  # it is read again next time
        write_text(noted, found)
    return found


def _times(path: Path) -> tuple[int, ...]:
    about = path.stat()
    return about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
