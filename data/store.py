"""Images in a file, for sets that do not fit into memory: bytes without a header, and a JSON file beside them.

Rows are read when they are asked for. What has been read stays in the system's cache as long as nothing else needs the
memory, but is no part of the process.
"""

import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils.cpu import available_memory
from utils.errors import MachineError, RunError, system_error
from utils.files import replacing, write_json

log = logging.getLogger(__name__)

IN_FILES = -1
"""An `image_size` that leaves images in their files: see `ImageFiles`."""

CHUNK = 1024
"""Images that are handled at a time where all of them pass."""

MEND = "Remove it, and it will be made again."


@dataclass(frozen=True)
class Store:
    """Images of a file, as far as possible with the face of a uint8 tensor [N, C, H, W], channels last.

    Indexing with a number, a slice or int64 positions reads a tensor; the file is never changed.

    path: the file, uint8 [M, H, W, C].
    image_shape: [C, H, W] of each image.
    rows: where the N images are in it, int64 [N].
    digest: SHA-256 of the pixels of all N images, where it is known.
    """

    path: Path
    image_shape: tuple[int, int, int]
    rows: Tensor
    digest: str | None = None

    dtype = torch.uint8
    device = torch.device("cpu")

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), *self.image_shape))

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int | slice | Tensor) -> Tensor:
        """The images at `at`, in memory.

        Raises:
            RunError: the disk fails, or the file has become shorter.
        """
        rows, (channels, height, width) = self.rows[at], self.image_shape
        found = torch.empty(rows.numel(), height, width, channels, dtype=torch.uint8)
        offsets = [row * math.prod(self.image_shape) for row in rows.reshape(-1).tolist()]
        try:
            with open(self.path, "rb", buffering=0) as file:
                if hasattr(os, "posix_fadvise"):  # a disk reads many places at once faster than one after the other
                    for offset in offsets:
                        os.posix_fadvise(file.fileno(), offset, found[0].nbytes, os.POSIX_FADV_WILLNEED)
                for offset, image in zip(offsets, found.numpy(), strict=True):
                    file.seek(offset)
                    if file.readinto(image) != image.nbytes:
                        raise RunError(f"{self.path} has become shorter. {MEND}")
        except OSError as error:
            raise system_error(error, f"cannot read {self.path}, which holds the images") from error
        return found.view(*rows.shape, height, width, channels).movedim(-1, -3)

    def subset(self, index: Tensor) -> "Store":
        """The images at `index` (int64 [K]) of the same file; nothing is read."""
        return replace(self, rows=self.rows[index], digest=None)

    def to(self, device: torch.device) -> Tensor:
        """All images as a tensor on `device`."""
        whole = torch.empty(self.shape, dtype=self.dtype, device=device, memory_format=torch.channels_last)
        for start in range(0, len(self), CHUNK):
            whole[start : start + CHUNK] = self[start : start + CHUNK]
        return whole


@dataclass(frozen=True)
class ImageFiles:
    """Images that stay in their files, N of them, each of its own size; `decode` gives uint8 [H, W, 3].

    A data set that is asked for `IN_FILES` has them in place of `Images` until an encoder has made features of them.
    """

    paths: tuple[Path, ...]
    decode: Callable[[Path], np.ndarray]

    @property
    def shape(self) -> torch.Size:
        """[N, 3, 0, 0]: they have no size in common."""
        return torch.Size((len(self), 3, 0, 0))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: int) -> Tensor:
        """The image at `at`, uint8 [3, H, W]."""
        return torch.from_numpy(np.array(self.decode(self.paths[at]))).permute(2, 0, 1)

    def subset(self, index: Tensor) -> "ImageFiles":
        return replace(self, paths=tuple(self.paths[i] for i in index.tolist()))


Images = Tensor | Store


def taken(images: Any, index: Tensor) -> Any:
    """The images at `index` (int64 [K]): a copy of those in memory, a view of a store or of files."""
    return read(images, index) if isinstance(images, Tensor) else images.subset(index)


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
    """True if images of `size` bytes take less than half of the memory that is free: others want some too."""
    return size < available_memory() / 2


def stored(
    path: Path,
    source: str,
    shape: tuple[int, int, int, int],
    chunks: Iterable[Tensor],
    damaged: dict[int, str] | None = None,
) -> Store:
    """The store at `path` if it was made of this very `source`; otherwise it is made now.

    Args:
        source: names the content that the images are made of.
        shape: [N, C, H, W] of all images.
        chunks: the images in order, uint8 [K, C, H, W] at a time.
        damaged: positions of images that could not be read, with reasons; filled by `chunks`, or from the store.

    Raises:
        RunError: the store is damaged, or cannot be written.
    """
    damaged = {} if damaged is None else damaged
    store = open_store(path, source, damaged)
    if store is not None:
        return store
    log.info("%.1f GB of images do not fit into memory; they go into %s", math.prod(shape) / 1e9, path)
    try:
        return write_store(path, source, shape, chunks, damaged)
    except MachineError as error:
        raise MachineError(
            f"{error} The images do not fit into memory; where the data set has it, --cache_dir DIR names another "
            "place for their file."
        ) from error


def write_store(
    path: Path,
    source: str,
    shape: tuple[int, int, int, int],
    chunks: Iterable[Tensor],
    damaged: dict[int, str] | None = None,
) -> Store:
    """Writes a store, as described for `stored`, and opens it."""
    total, about = hashlib.sha256(), _beside(path)
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            for chunk in chunks:
                data = _bytes(chunk)
                total.update(data)
                file.write(data)
        about.unlink(missing_ok=True)
    details = {
        "shape": shape,
        "source": source,
        "sha256": total.hexdigest(),
        "modified": path.stat().st_mtime_ns,
        "damaged": damaged or {},
    }
    write_json(about, details)
    return _opened(path, details)


def open_store(path: Path, source: str, damaged: dict[int, str] | None = None) -> Store | None:
    """The store at `path`, or None if there is none or it was made of something else.

    Its size is always checked, its pixels only if the file's time stamp is not the one that was noted. `damaged` gets
    what was noted when the store was written.

    Raises:
        RunError: the file is shorter or longer than it should be, or its pixels have changed.
    """
    try:
        details = json.loads(_beside(path).read_text(encoding="utf-8"))
        if details["source"] != source or not path.is_file():
            return None
        noted = {int(position): str(reason) for position, reason in details["damaged"].items()}
        store = _opened(path, details)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if damaged is not None:
        damaged |= noted
    return store


def _opened(path: Path, details: dict) -> Store:
    count, channels, height, width = details["shape"]
    size, wanted = path.stat().st_size, math.prod(details["shape"])
    if size != wanted:
        raise RunError(
            f"{path} has {size} bytes, but {count} images of {channels}x{height}x{width} have {wanted}. {MEND}"
        )
    store = Store(path, (channels, height, width), torch.arange(count))
    if path.stat().st_mtime_ns != details["modified"] and digest(store) != details["sha256"]:
        raise RunError(f"{path} is damaged: its pixels are not those that were written. {MEND}")
    return replace(store, digest=details["sha256"])


def _bytes(images: Tensor) -> memoryview:
    return images.permute(0, 2, 3, 1).contiguous().numpy().data


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
