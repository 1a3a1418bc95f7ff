"""One image file to uint8 pixels.

Every image becomes what a viewer shows, in 8-bit RGB: turned as its EXIF orientation says, transparent pixels on white,
the first frame of several, CMYK and palettes converted. Only the formats in `FORMATS` are tried, whatever a file's
suffix says, so that no other program is ever started to read a file.
"""

import errno
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL import __version__ as pillow_version
from torch import Tensor

from data.store import IN_FILES
from utils.errors import RunError, system_error

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")
DECODING = f"2, Pillow {pillow_version}"
"""The rules by which files become pixels; the number grows when they change, so that no file of old pixels is taken."""

ENVIRONMENT = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""Errors of opening a file that say nothing about the file."""


class DamagedImage(RunError):
    """An image that cannot be read; `reason` does not name it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"cannot read the image {path}: {reason}.")
        self.reason = reason


def decode(path: Path, size: int = 0) -> np.ndarray:
    """One image as RGB, uint8 [H, W, 3], whatever its suffix says (BAR has PNGs named .jpg).

    Raises:
        DamagedImage: it cannot be read.
    """
    _thread.path = path
    try:
        with opened(path) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError("a pixel has more than 8 bits, and Pillow would clip it; convert the image to 8 bits")
            image.load()
            _turn_upright(image)
            return np.array(squashed(_on_white(image), size))
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise DamagedImage(path, f"it is none of {', '.join(FORMATS)}") from error
    except Exception as error:  # besides OSError, Pillow raises SyntaxError, ValueError, struct.error ... for damage
        if isinstance(error, OSError) and error.errno in ENVIRONMENT:
            raise system_error(error, f"cannot open {path}") from error
        reason = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
        raise DamagedImage(path, reason.splitlines()[0].rstrip(".")) from error


def opened(path: Path) -> Image.Image:
    """The image, of which only the head has been read."""
    if not path.is_file():
        raise ValueError("it is no file" if path.exists() else "there is no such file")
    if not path.stat().st_size:
        raise ValueError("the file is empty")
    return Image.open(path, formats=FORMATS)


def _turn_upright(image: Image.Image) -> None:
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:  # as many types as for damaged images; the image itself has been read by now
        warnings.warn(f"its EXIF data cannot be read and are ignored ({error})", stacklevel=2)


def _on_white(image: Image.Image) -> Image.Image:
    """RGB of an image in any mode; what lies under transparent pixels is not seen."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    canvas = Image.new("RGBA", image.size, "white")
    canvas.alpha_composite(image.convert("RGBA"))
    return canvas.convert("RGB")


def resized(images: Tensor, size: int) -> Tensor:
    """uint8 [N, 3, H, W] squashed to `size` x `size` as files are when they are read; 0 leaves it as it is."""
    if size in (0, IN_FILES) or images.shape[2:] == (size, size):
        return images
    out = torch.empty(len(images), size, size, 3, dtype=torch.uint8)
    for row, image in zip(out, images.permute(0, 2, 3, 1), strict=True):
        row.copy_(torch.from_numpy(np.array(squashed(Image.fromarray(image.contiguous().numpy()), size))))
    return out.permute(0, 3, 1, 2)


def squashed(image: Image.Image, size: int) -> Image.Image:
    return image.resize((size, size), Image.Resampling.BILINEAR) if size else image


_thread = threading.local()
"""`path`: the file that this thread decodes."""


@contextmanager
def warnings_with_files() -> Iterator[dict[str, None]]:
    """Collects what Pillow warns of in the block, each text once, with the file that the thread was decoding."""
    said: dict[str, None] = {}

    def note(message: Warning | str, *rest: Any) -> None:
        said[f"{getattr(_thread, 'path', 'an image')}: {message}"] = None

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note  # type: ignore[assignment]
        yield said
