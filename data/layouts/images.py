"""Many image files as one tensor, in memory or in a file, or left where they are."""

import logging
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from data.layouts.decoding import DECODING, DamagedImage, decode, opened, warnings_with_files
from data.layouts.digests import contents_digest
from data.layouts.image_paths import names_below
from data.registry import option
from data.split import Clean
from data.store import CHUNK, IN_FILES, ImageFiles, Images, fits_in_memory, stored
from utils.errors import RunError

log = logging.getLogger(__name__)

LARGEST_SIZE = 4096
KEPT_SIZE = 128
AUTOMATIC_SIZE = 96
"""Images that all have one size of up to `KEPT_SIZE` pixels a side keep it; others are squashed to `AUTOMATIC_SIZE`."""

LISTED = 20
"""Things that a message lists before it only counts them."""


@dataclass(frozen=True)
class Reading:
    """Settings by which image files are read.

    size: pixels of each side to which every image is squashed; 0 leaves them as they are, and then all must be alike;
        `IN_FILES` leaves them in their files.
    skip_damaged: leaves out the images that cannot be read.
    cache_dir: where images go that do not fit into memory; empty for beside them.
    """

    size: int = 0
    skip_damaged: bool = False
    cache_dir: str = ""


AS_THEY_ARE = Reading()


def size_option(default: int, otherwise: str) -> Any:
    return option(default, low=0, high=LARGEST_SIZE, help=f"pixels to which images are squashed; 0: {otherwise}")


def skip_option() -> Any:
    return option(False, help="leave out images that cannot be read, and count them")


def cache_option() -> Any:
    return option("", help="folder for a file of images that do not fit into memory (default: beside the images)")


@dataclass(frozen=True)
class Files:
    """One split of a data set whose images are still files: as `data.split.Clean`, with paths instead of images."""

    paths: list[Path]
    labels: Tensor
    bias_labels: Tensor
    true_labels: Tensor | None = None
    cues: Tensor | None = None


def read_splits(root: Path, splits: Sequence[Files], reading: Reading = AS_THEY_ARE) -> tuple[list[Clean], list[str]]:
    """Decodes the images of all splits, to uint8 [N, 3, H, W], channels last, in memory or in a file.

    Returns:
        the splits, whose `files` are below `root`; and a phrase about images that were left out, if there were any.

    Raises:
        RunError: images cannot be read (all are named at once) or differ in size.
    """
    clean, damaged = [], dict[Path, str]()
    with warnings_with_files() as warned:
        for files in splits:
            reasons: dict[int, str] = {}
            images = _read(files.paths, reading, reasons)
            kept = torch.tensor([position for position in range(len(files.paths)) if position not in reasons]).long()
            names = names_below(root, files.paths)
            whole = Clean(images, files.labels, files.bias_labels, files.true_labels, names, files.cues)
            clean.append(whole.subset(kept) if reasons else whole)
            damaged |= {files.paths[position]: reason for position, reason in sorted(reasons.items())}
    if warned:
        log.warning("%s", listed(list(warned), "\n"))
    if not damaged:
        return clean, []
    if not reading.skip_damaged:
        raise refusal(damaged)
    log.warning("left out, as they cannot be read: %s", _reasons(damaged))
    return clean, [f"{len(damaged)} images that cannot be read"]


def refusal(damaged: dict[Path, str]) -> RunError:
    """The error for images that cannot be read, with the reason of each."""
    what = "the image" if len(damaged) == 1 else f"{len(damaged)} images:"
    return RunError(
        f"cannot read {what} {_reasons(damaged)}. Mend or remove them; where the data set has it, --skip_damaged "
        "leaves them out."
    )


def _reasons(damaged: dict[Path, str]) -> str:
    return listed([f"{path}: {reason}" for path, reason in damaged.items()], "; ")


def damaged_among(paths: Sequence[Path]) -> dict[Path, str]:
    """Those of the images that cannot be read, with the reason of each; all are decoded."""
    reasons: dict[int, str] = {}
    _decode_all(list(paths), reasons)
    return {paths[position]: reason for position, reason in sorted(reasons.items())}


def _decode_all(paths: list[Path], damaged: dict[int, str]) -> None:
    for _ in _chunks(paths, 1, (len(paths), 3, 1, 1), CHUNK, damaged):
        pass


def listed(things: Sequence[str], separator: str = ", ") -> str:
    """The first of `things`, and how many more there are."""
    more = [f"and {len(things) - LISTED} more"] if len(things) > LISTED else []
    return separator.join([*things[:LISTED], *more])


def _read(paths: list[Path], reading: Reading, damaged: dict[int, str]) -> Images:
    """All images of `paths`; those that cannot be read are black, and `damaged` gets their positions and reasons.

    Images that stay in their files are read now only to leave out the damaged ones.
    """
    if reading.size == IN_FILES:
        if reading.skip_damaged:
            _decode_all(paths, damaged)
        return ImageFiles(tuple(paths), decode)  # type: ignore[return-value]
    shape = (len(paths), 3, *_common_shape(paths, reading.size))
    if fits_in_memory(math.prod(shape)):
        return next(_chunks(paths, reading.size, shape, len(paths), damaged))
    source = contents_digest(paths, f"{DECODING}, size {reading.size}")
    beside = os.path.commonpath([path.parent for path in paths])
    place = Path(reading.cache_dir or beside) / f".images-{source[:12]}.bytes"
    return stored(place, source, shape, _chunks(paths, reading.size, shape, CHUNK, damaged), damaged)


def _common_shape(paths: list[Path], size: int) -> tuple[int, int]:
    """Height and width that all images should have: those of the first one that can be read."""
    for path in paths if not size else ():
        try:
            height, width, _ = decode(path).shape
            return height, width
        except DamagedImage:
            pass
    return max(size, 1), max(size, 1)


def _chunks(
    paths: list[Path], size: int, shape: tuple[int, int, int, int], count: int, damaged: dict[int, str]
) -> Iterator[Tensor]:
    """The images in order, uint8 [up to `count`, 3, H, W] at a time."""
    _, _, height, width = shape

    def fill(target: np.ndarray, position: int) -> None:
        path = paths[position]
        try:
            image = decode(path, size)
        except DamagedImage as error:
            damaged[position] = error.reason
            target[:] = 0
            return
        if image.shape != target.shape:
            like = next(path for before, path in enumerate(paths) if before not in damaged)
            raise RunError(
                f"images differ in size: {path} is {image.shape[1]}x{image.shape[0]}, {like} {width}x{height}; all "
                "must be alike. Where the data set has it, --image_size N squashes them to N x N pixels."
            )
        target[:] = image

    with (
        ThreadPoolExecutor() as pool,  # Pillow decodes without holding Python's lock
        tqdm(desc="reading", total=len(paths), unit="image", leave=False, disable=None) as bar,
    ):
        for start in range(0, len(paths), count):
            positions = range(start, min(start + count, len(paths)))
            images = np.empty((len(positions), height, width, 3), np.uint8)
            for _ in pool.map(fill, images, positions):
                bar.update()
            yield torch.from_numpy(images).permute(0, 3, 1, 2)


def fitting_size(paths: Sequence[Path]) -> int:
    """The `Reading.size` that suits these images: 0 if all have one small size, else `AUTOMATIC_SIZE`."""

    def stored_size(path: Path) -> tuple[int, int] | None:
        try:
            with opened(path) as image:
                return image.size
        except Exception:  # whoever reads the image will say what is wrong with it
            return None

    def upright_size(path: Path) -> tuple[int, ...] | None:
        try:
            return decode(path).shape[:2]
        except DamagedImage:
            return None

    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")  # they will come again
        sizes = {size for size in pool.map(stored_size, paths) if size}
        if any(max(size) > KEPT_SIZE for size in sizes) or len(set(map(tuple, map(sorted, sizes)))) > 1:
            return AUTOMATIC_SIZE
        if any(width != height for width, height in sizes) and len(set(pool.map(upright_size, paths)) - {None}) > 1:
            return AUTOMATIC_SIZE
    return 0
