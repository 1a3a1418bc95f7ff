"""From image files to one uint8 tensor."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

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


def read_images(paths: list[Path], size: int = 0) -> Tensor:
    """Decodes images to uint8 [N, 3, H, W], channels last in memory.

    Args:
        size: squashes every image to `size` x `size` pixels, Pillow's bilinear filter; 0 leaves them as they are, and
            then all must be alike.
    """
    first = decode(paths[0], size)
    images = np.empty((len(paths), *first.shape), np.uint8)

    def fill(position: int) -> None:
        image = decode(paths[position], size)
        if image.shape != first.shape:
            (height, width), (other_height, other_width) = image.shape[:2], first.shape[:2]
            raise RunError(
                f"images differ in size: {paths[position]} is {width}x{height}, {paths[0]} {other_width}x{other_height}"
                "; all must be alike. Where the data set has it, --image_size N squashes them to N x N pixels."
            )
        images[position] = image

    with ThreadPoolExecutor() as pool:  # Pillow decodes without holding Python's lock
        for _ in tqdm(
            pool.map(fill, range(len(paths))), "reading", len(paths), unit="image", leave=False, disable=None
        ):
            pass
    return torch.from_numpy(images).permute(0, 3, 1, 2)


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
