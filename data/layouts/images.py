"""From image files to one uint8 tensor."""

import hashlib
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from data.store import CHUNK, Images, fits_in_memory, stored
from utils.errors import RunError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def images_below(folder: Path, needed: bool = True) -> list[Path]:
    """The images of a folder and its subfolders, by name and then by path; hidden files are no images.

    Names come first, so that names which begin with a position keep the order of a set that is spread over folders.
    """

    def refuse(error: OSError) -> None:
        raise RunError(f"cannot read the folder {error.filename}: {error.strerror}.")

    files = []
    for parent, inner, names in os.walk(folder, onerror=refuse, followlinks=True):
        for link in (path for name in inner if (path := Path(parent, name)).is_symlink()):
            if Path(parent).resolve().is_relative_to(link.resolve()):
                raise RunError(f"the folder {link} is a link to a folder that it lies in. Remove it.")
        files += [Path(parent, name) for name in names if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    if needed and not files:
        raise RunError(f"{folder} holds no .png or .jpg images.")
    return sorted(files, key=lambda path: (path.name, path))


def names_below(root: Path, paths: list[Path]) -> tuple[str, ...]:
    """The paths as `samples.csv` shows them: below `root`, with slashes."""
    return tuple(path.relative_to(root).as_posix() for path in paths)


def read_images(paths: list[Path], size: int = 0) -> Images:
    """Decodes images to uint8 [N, 3, H, W], channels last; what does not fit into memory goes into a file beside them.

    Args:
        size: squashes every image to `size` x `size` pixels, Pillow's bilinear filter; 0 leaves them as they are, and
            then all must be alike.
    """
    height, width = decode(paths[0], size).shape[:2]
    shape = (len(paths), 3, height, width)
    if fits_in_memory(math.prod(shape)):
        return next(_chunks(paths, size, shape, len(paths)))
    about = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    source = hashlib.sha256(repr((size, about)).encode()).hexdigest()
    place = Path(os.path.commonpath([path.parent for path in paths])) / f".images-{source[:12]}.bytes"
    return stored(place, source, shape, _chunks(paths, size, shape, CHUNK))


def _chunks(paths: list[Path], size: int, shape: tuple[int, int, int, int], count: int) -> Iterator[Tensor]:
    """The images in order, uint8 [up to `count`, 3, H, W] at a time."""
    _, _, height, width = shape

    def fill(target: np.ndarray, path: Path) -> None:
        image = decode(path, size)
        if image.shape != target.shape:
            raise RunError(
                f"images differ in size: {path} is {image.shape[1]}x{image.shape[0]}, {paths[0]} {width}x{height}; all "
                "must be alike. Where the data set has it, --image_size N squashes them to N x N pixels."
            )
        target[:] = image

    with (
        ThreadPoolExecutor() as pool,  # Pillow decodes without holding Python's lock
        tqdm(desc="reading", total=len(paths), unit="image", leave=False, disable=None) as bar,
    ):
        for start in range(0, len(paths), count):
            chunk = paths[start : start + count]
            images = np.empty((len(chunk), height, width, 3), np.uint8)
            for _ in pool.map(fill, images, chunk):
                bar.update()
            yield torch.from_numpy(images).permute(0, 3, 1, 2)


def decode(path: Path, size: int = 0) -> np.ndarray:
    """One image as RGB, uint8 [H, W, 3], whatever its suffix says (BAR has PNGs named .jpg)."""
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError("a pixel has more than 8 bits, and Pillow would clip it; convert the image to 8 bits")
            return np.asarray(_squashed(image.convert("RGB"), size))
    except Exception as error:  # besides OSError, Pillow raises SyntaxError and ValueError for damaged files
        raise RunError(f"cannot read the image {path}: {error}.") from error


def resized(images: Tensor, size: int) -> Tensor:
    """uint8 [N, 3, H, W] squashed to `size` x `size` as `read_images` does it; 0 leaves it as it is."""
    if size in (0, images.shape[2]) and size in (0, images.shape[3]):
        return images
    out = torch.empty(len(images), size, size, 3, dtype=torch.uint8)
    for row, image in zip(out, images.permute(0, 2, 3, 1), strict=True):
        row.copy_(torch.from_numpy(np.array(_squashed(Image.fromarray(image.contiguous().numpy()), size))))
    return out.permute(0, 3, 1, 2)


def _squashed(image: Image.Image, size: int) -> Image.Image:
    return image.resize((size, size), Image.Resampling.BILINEAR) if size else image
