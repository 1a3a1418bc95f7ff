"""Pictures of frosted glass for the corruption "frost".

The pictures of Hendrycks & Dietterich come with the package `imagecorruptions-imaug` (Apache-2.0). It is read without
being imported, so that its own dependencies (OpenCV, numba) need not be there:
`pip install --no-deps imagecorruptions-imaug`. Without it, frost is drawn by a procedure and looks only roughly alike.
"""

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from utils.errors import RunError
from utils.seeds import numpy_generator

PACKAGE = "imagecorruptions-imaug"
PICTURES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
"""The package holds a sixth, which CIFAR-10-C never shows: its draw among the pictures stops one short."""


def frost_source() -> str:
    """Where the textures come from: "photographs" or "procedural"."""
    return "photographs" if _photographs() else "procedural"


@lru_cache(maxsize=1)
def frost_textures() -> tuple[np.ndarray, ...]:
    """Five textures, uint8 [h, w, 3], each at least 60 pixels high and 100 wide.

    A photograph is reduced to a fifth by taking the middle one of every five rows and columns, which is what OpenCV's
    linear interpolation without smoothing comes to at this factor.
    """
    return tuple(_read(path)[2::5, 2::5] for path in _photographs()) or tuple(map(_drawn, range(len(PICTURES))))


def _photographs() -> list[Path]:
    try:
        found = {Path(file.name).name: Path(str(file.locate())) for file in files(PACKAGE) or ()}
    except PackageNotFoundError:
        return []
    paths = [found[name] for name in PICTURES if name in found and found[name].is_file()]
    return paths if len(paths) == len(PICTURES) else []


def _read(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except Exception as error:  # besides OSError, Pillow raises SyntaxError and ValueError for damaged files
        raise RunError(
            f"cannot read {path}: {error}. Mend it: pip install --force-reinstall --no-deps {PACKAGE}."
        ) from error


def _drawn(number: int) -> np.ndarray:
    """Bluish noise at several scales with ridges like needles of ice, as bright and as varied as the photographs."""
    generator = numpy_generator(0, "frost", number)

    def noise(scale: int) -> np.ndarray:
        field = ndimage.gaussian_filter(generator.standard_normal((80, 120)), scale, mode="wrap")
        return field / field.std()

    height = noise(12) + sum(2 - 4 * np.abs(noise(scale)) for scale in (2, 4)) / 2
    height = (height - height.mean()) / height.std()
    return (np.array([146, 167, 179]) + 29 * height[..., None]).clip(0, 255).astype(np.uint8)
