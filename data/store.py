"""Images in a file, for sets that do not fit into memory: bytes without a header, and a JSON file beside them.

The file is mapped. Rows are announced before they are copied, so that the disk reads many at once, and mapped pages are
given back afterwards: what has been read stays in the system's cache as long as nothing else needs the memory, but is
no part of the process.
"""

import hashlib
import json
import logging
import math
import mmap
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.cpu import available_memory
from utils.errors import RunError
from utils.files import replacing, write_json

log = logging.getLogger(__name__)

CHUNK = 1024
"""Images that are handled at a time where all of them pass."""


@dataclass(frozen=True)
class Store:
    """Images of a file, as far as possible with the face of a uint8 tensor [N, C, H, W], channels last.

    Indexing with a number, a slice or int64 positions reads a tensor; the file is never changed.

    mapped, pixels: the whole file, uint8 [M, H, W, C].
    rows: where the N images are in it, int64 [N].
    digest: SHA-256 of the pixels of all N images, where it is known.
    """

    mapped: mmap.mmap
    pixels: np.ndarray
    rows: Tensor
    digest: str | None = None

    dtype = torch.uint8

    @property
    def shape(self) -> torch.Size:
        _, height, width, channels = self.pixels.shape
        return torch.Size((len(self), channels, height, width))

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int | slice | Tensor) -> Tensor:
        """The images at `at`, in memory. A slice also announces the one after it, as passes go through in order."""
        rows = self.rows[at]
        found = torch.empty(rows.numel(), *self.pixels.shape[1:], dtype=torch.uint8)
        self._announce(rows.reshape(-1).numpy())
        if isinstance(at, slice):
            start, stop, _ = at.indices(len(self))
            self._announce(self.rows[stop : 2 * stop - start].numpy())
        np.take(self.pixels, rows.reshape(-1).numpy(), axis=0, out=found.numpy(), mode="clip")  # "raise" would copy
        self.mapped.madvise(mmap.MADV_DONTNEED)
        return found.view(*rows.shape, *self.pixels.shape[1:]).movedim(-1, -3)

    def _announce(self, rows: np.ndarray) -> None:
        """Has the system read the images at `rows`, [K], without waiting for them."""
        size = self.pixels[:1].nbytes
        for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
            if len(run):
                start, stop = int(run[0]) * size, int(run[-1] + 1) * size
                page = start - start % mmap.PAGESIZE
                self.mapped.madvise(mmap.MADV_WILLNEED, page, stop - page)

    def subset(self, index: Tensor) -> "Store":
        """The images at `index` (int64 [K]) of the same file; nothing is read."""
        return replace(self, rows=self.rows[index], digest=None)

    def to(self, device: torch.device) -> Tensor:
        """All images as a tensor on `device`."""
        whole = torch.empty(self.shape, dtype=self.dtype, device=device, memory_format=torch.channels_last)
        for start in range(0, len(self), CHUNK):
            whole[start : start + CHUNK] = self[start : start + CHUNK]
        return whole


Images = Tensor | Store


def taken(images: Images, index: Tensor) -> Images:
    """The images at `index` (int64 [K]): a copy of those in memory, a view of a store."""
    return images.subset(index) if isinstance(images, Store) else read(images, index)


def read(images: Images, index: Tensor) -> Tensor:
    """The images at `index` (int64 [K]) as a tensor, channels last, on the device that they are on."""
    if isinstance(images, Store):
        return images[index]
    return images.permute(0, 2, 3, 1).index_select(0, index).permute(0, 3, 1, 2)


def digest(images: Images) -> str:
    """SHA-256 of the pixels, whatever holds them; a whole store knows its own."""
    if isinstance(images, Store) and images.digest:
        return images.digest
    total = hashlib.sha256()
    for start in range(0, len(images), CHUNK):
        total.update(_bytes(images[start : start + CHUNK].cpu()))
    return total.hexdigest()


def fits_in_memory(size: int) -> bool:
    """Whether images of `size` bytes take less than half of the memory that is free: others want some too."""
    return size < available_memory() / 2


def stored(path: Path, source: str, shape: tuple[int, int, int, int], chunks: Iterable[Tensor]) -> Store:
    """The store at `path` if it was made of this very `source`; otherwise it is made now.

    Args:
        source: anything that tells these images from others.
        shape: [N, C, H, W] of all images.
        chunks: the images in order, uint8 [K, C, H, W] at a time.

    Raises:
        RunError: the store is damaged, or cannot be written.
    """
    store = open_store(path, source)
    if store is not None:
        return store
    log.info("%.1f GB of images do not fit into memory; they go into %s", math.prod(shape) / 1e9, path)
    try:
        return write_store(path, source, shape, chunks)
    except OSError as error:
        raise RunError(f"{error}. The images do not fit into memory, and their file cannot be written.") from error


def write_store(path: Path, source: str, shape: tuple[int, int, int, int], chunks: Iterable[Tensor]) -> Store:
    """Writes a store, as described for `stored`, and opens it."""
    total, about = hashlib.sha256(), _beside(path)
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            for chunk in chunks:
                data = _bytes(chunk)
                total.update(data)
                file.write(data)
        about.unlink(missing_ok=True)
    details = {"shape": shape, "source": source, "sha256": total.hexdigest(), "modified": path.stat().st_mtime_ns}
    write_json(about, details)
    return _opened(path, details)


def open_store(path: Path, source: str) -> Store | None:
    """The store at `path`, or None if there is none or it was made of something else.

    Its size is always checked, its pixels only if the file's time stamp is not the one that was noted.

    Raises:
        RunError: the file is shorter or longer than it should be, or its pixels have changed.
    """
    try:
        details = json.loads(_beside(path).read_text(encoding="utf-8"))
        if details["source"] != source or not path.is_file():
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _opened(path, details)


def _opened(path: Path, details: dict) -> Store:
    count, channels, height, width = details["shape"]
    mend = "Remove it, and it will be made again."
    size, wanted = path.stat().st_size, math.prod(details["shape"])
    if size != wanted:
        raise RunError(
            f"{path} has {size} bytes, but {count} images of {channels}x{height}x{width} have {wanted}. {mend}"
        )
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    mapped.madvise(mmap.MADV_RANDOM)  # no reading around a row
    pixels = np.frombuffer(mapped, np.uint8).reshape(count, height, width, channels)
    store = Store(mapped, pixels, torch.arange(count))
    if path.stat().st_mtime_ns != details["modified"] and digest(store) != details["sha256"]:
        raise RunError(f"{path} is damaged: its pixels are not those that were written. {mend}")
    return replace(store, digest=details["sha256"])


def _bytes(images: Tensor) -> memoryview:
    return images.permute(0, 2, 3, 1).contiguous().numpy().data


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
