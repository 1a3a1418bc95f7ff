"""The corruptions of CIFAR-10-C for images of 32 x 32 pixels (Hendrycks & Dietterich, ICLR 2019, arXiv:1903.12261).

Corrupted CIFAR-10 uses them as bias: most images of a class suffer from the class's own corruption. The constants are
those of CIFAR-10-C, not the much stronger ones of ImageNet-C that every packaged library has. Those of `TYPE_0` at
severity 5 were checked against the original program; all others (severities 1 to 4, and `TYPE_1`) are recalled, not
checked.

What the original does with OpenCV, scikit-image and ImageMagick is done with numpy, scipy and Pillow, for a chunk of
images at once; given the same random draws, pixels differ by one grey level at most. Its oddities are kept where they
show: results are truncated, not rounded; saturating a grey pixel turns it reddish; the "swap" of glass_blur copies.
"""

import io
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from data.corruptions.blurs import disk, motion_blur, sample, zoom_matrix
from data.corruptions.frost import frost_textures
from utils.errors import UsageError, unknown_name

SIDE = 32

TYPE_0 = (
    "snow", "frost", "fog", "brightness", "contrast", "spatter", "elastic", "jpeg", "pixelate", "saturate",
)  # fmt: skip
TYPE_1 = (
    "gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "gaussian_blur", "defocus_blur", "glass_blur",
    "motion_blur", "zoom_blur", "original",
)  # fmt: skip
"""The two sets of Corrupted CIFAR-10 (LfF, NeurIPS 2020): class i's own corruption is entry i."""

CONSTANTS: dict[str, tuple] = {
    # brightness and spread of the flakes' noise, its zoom, threshold, radius and sigma of the streaks, light kept
    "snow": (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95), (0.1, 0.2, 1, 0.5, 10, 4, 0.9), (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85), (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    # weight of the image, weight of the frost
    "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    # thickness, how much rougher the large scales are
    "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    # added to the HSV value
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
    # share of the distance from the mean that is kept
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    # mean and spread of the noise, sigma of its blur, threshold, sigma of the spots' edges; 1 to 3 are water, not mud
    "spatter": (None, None, None, (0.65, 0.1, 0.7, 0.69, 0.6), (0.65, 0.1, 0.5, 0.68, 0.6)),
    # length and sigma of the local shifts, largest shift of three points that an affine map follows; shares of 32 px
    "elastic": ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    # quality
    "jpeg": (80, 65, 58, 50, 40),
    # share of the rows and columns that is kept
    "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
    # factor of the HSV saturation, added to it
    "saturate": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    # standard deviation
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.1),
    # photons of a white pixel
    "shot_noise": (500, 250, 100, 75, 50),
    # share of the values that turn black or white
    "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
    # standard deviation as a share of the value
    "speckle_noise": (0.06, 0.1, 0.12, 0.16, 0.2),
    # sigma, px
    "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1),
    # radius of the disk, sigma of its edge, px
    "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    # sigma of the blur before and after, largest move of a pixel, how often
    "glass_blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    # radius, sigma, px
    "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    # the zoom goes from 1 up to this, in steps of 0.01
    "zoom_blur": (1.06, 1.11, 1.16, 1.21, 1.26),
    "original": (None,) * 5,
}  # fmt: skip
"""For the severities 1 to 5. Grey levels lie in [0, 1]."""


def corrupt(images: np.ndarray, name: str, severity: int, generator: np.random.Generator) -> np.ndarray:
    """Every image with its own draw of one corruption.

    Args:
        images: uint8 [N, 32, 32, 3].
        name: one of `TYPE_0` or `TYPE_1`.
        severity: 1 to 5 as CIFAR-10-C counts; LfF's "severity s" is s + 1 here, so its usual 4 is 5.

    Returns:
        uint8 [N, 32, 32, 3], truncated, not rounded, like the original.

    Raises:
        UsageError: the name, the severity or the images cannot be served.
    """
    constants = constants_of(name, severity)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (SIDE, SIDE, 3):
        raise UsageError(f"corruptions take uint8 images [N, 32, 32, 3], not {images.dtype} {list(images.shape)}.")
    return _FUNCTIONS[name](images, constants, generator).clip(0, 255).astype(np.uint8)


def constants_of(name: str, severity: int) -> Any:
    """The `CONSTANTS` of a corruption at one severity.

    Raises:
        UsageError: there is no such corruption, or not at that severity.
    """
    if name not in CONSTANTS:
        raise unknown_name("corruption", name, CONSTANTS)
    if severity not in range(1, 6):
        raise UsageError(f"the severity of a corruption is 1 to 5, not {severity!r}.")
    if name == "spatter" and severity < 4:
        raise UsageError(
            f"spatter has the severities 4 and 5 only (mud), not {severity}: water, which 1 to 3 show, is not there."
        )
    return CONSTANTS[name][severity - 1]


def _snow(images: np.ndarray, constants: tuple, generator: np.random.Generator) -> np.ndarray:
    brightness, spread, zoom, threshold, radius, sigma, kept = constants
    enlarge = zoom_matrix(SIDE, zoom)
    flakes = enlarge @ generator.normal(brightness, spread, (len(images), SIDE, SIDE)) @ enlarge.T
    flakes[flakes < threshold] = 0
    flakes = (flakes.clip(0, 1) * 255).astype(np.uint8)[..., None]
    flakes = motion_blur(flakes, radius, sigma, generator.uniform(-135, -45, len(images))) / 255
    value = _unit(images)
    whitish = np.maximum(value, value @ np.array([[0.299], [0.587], [0.114]], np.float32) * 1.5 + 0.5)
    return (kept * value + (1 - kept) * whitish + flakes + flakes[:, ::-1, ::-1]) * 255


def _frost(images: np.ndarray, constants: tuple, generator: np.random.Generator) -> np.ndarray:
    image_weight, frost_weight = constants
    textures = frost_textures()
    chosen = generator.integers(len(textures), size=len(images))
    corner = generator.integers(np.array([texture.shape[:2] for texture in textures])[chosen] - SIDE)
    frost = np.empty(images.shape)
    for place, texture, (top, left) in zip(frost, chosen, corner, strict=True):
        place[:] = textures[texture][top : top + SIDE, left : left + SIDE]
    return image_weight * images + frost_weight * frost


def _fog(images: np.ndarray, constants: tuple, generator: np.random.Generator) -> np.ndarray:
    thickness, decay = constants
    value = images / 255
    brightest = value.max((1, 2, 3), keepdims=True)
    foggy = value + thickness * _plasma(len(images), decay, generator)[..., None]
    return foggy * brightest / (brightest + thickness) * 255


def _plasma(count: int, decay: float, generator: np.random.Generator) -> np.ndarray:
    """Height maps in [0, 1] by the diamond-square method on a torus, [count, 32, 32]."""
    height = np.zeros((count, SIDE, SIDE))
    step, wobble = SIDE, 100.0

    def moved(mean: np.ndarray) -> np.ndarray:
        return mean + wobble * generator.uniform(-wobble, wobble, mean.shape)

    while step > 1:
        half = step // 2
        corners = height[:, ::step, ::step]
        below, beside = np.roll(corners, -1, 1), np.roll(corners, -1, 2)
        centers = moved((corners + below + beside + np.roll(below, -1, 2)) / 4)
        height[:, half::step, half::step] = centers
        height[:, ::step, half::step] = moved((corners + beside + centers + np.roll(centers, 1, 1)) / 4)
        height[:, half::step, ::step] = moved((corners + below + centers + np.roll(centers, 1, 2)) / 4)
        step, wobble = half, wobble / decay
    height -= height.min((1, 2), keepdims=True)
    return height / height.max((1, 2), keepdims=True)


def _brightness(images: np.ndarray, added: float, generator: np.random.Generator) -> np.ndarray:
    """Hue and saturation stay when the three channels are scaled alike."""
    value = images / 255
    highest = value.max(-1, keepdims=True)
    brighter = np.minimum(highest + added, 1)
    return (brighter - (highest - value) * brighter / np.where(highest > 0, highest, 1)) * 255


def _contrast(images: np.ndarray, kept: float, generator: np.random.Generator) -> np.ndarray:
    value = images / 255
    mean = value.mean((1, 2), keepdims=True)
    return ((value - mean) * kept + mean) * 255


def _spatter(images: np.ndarray, constants: tuple, generator: np.random.Generator) -> np.ndarray:
    mean, spread, sigma, threshold, edge = constants
    liquid = generator.normal(mean, spread, (len(images), SIDE, SIDE))
    spots = (_gaussian(liquid, sigma) > threshold).astype(np.float32)
    spots = _gaussian(spots, edge)[..., None]
    spots[spots < 0.8] = 0
    mud = np.array([63, 42, 20], np.float32) / 255
    return (_unit(images) * (1 - spots) + mud * spots) * 255


def _elastic(images: np.ndarray, constants: tuple, generator: np.random.Generator) -> np.ndarray:
    """A random affine map, then every pixel is fetched from a little beside its place."""
    length, sigma, shift = (SIDE * share for share in constants)
    middle, third = SIDE // 2, SIDE // 3
    corners = middle + third * np.array([[1, 1], [1, -1], [-1, -1]])  # (x, y)
    moved = corners + generator.uniform(-shift, shift, (len(images), 3, 2))
    back = np.linalg.solve(np.concatenate([moved, np.ones((len(images), 3, 1))], 2), corners.astype(float))
    y, x = np.mgrid[:SIDE, :SIDE]
    from_x, from_y = np.moveaxis(np.stack([x, y, np.ones_like(x)], -1) @ back[:, None], -1, 0)
    turned = sample(_unit(images), from_y, from_x, "reflect")
    noise = generator.uniform(-1, 1, (2, len(images), SIDE, SIDE))
    right, down = length * ndimage.gaussian_filter(noise, (0, 0, sigma, sigma), mode="reflect", truncate=3)
    return sample(turned, y + down, x + right, "symmetric") * 255


def _jpeg(images: np.ndarray, quality: int, generator: np.random.Generator) -> np.ndarray:
    def through(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _with_pillow(images, through)


def _pixelate(images: np.ndarray, kept: float, generator: np.random.Generator) -> np.ndarray:
    few, box = int(SIDE * kept), Image.Resampling.BOX
    return _with_pillow(images, lambda picture: picture.resize((few, few), box).resize((SIDE, SIDE), box))


def _saturate(images: np.ndarray, constants: tuple, generator: np.random.Generator) -> np.ndarray:
    """At equal hue and value, a channel's distance from the highest one is in proportion to the saturation."""
    factor, added = constants
    value = images / 255
    highest = value.max(-1, keepdims=True)
    below = highest - value
    span = below.max(-1, keepdims=True)
    saturation = span / np.where(highest > 0, highest, 1)
    wanted = np.clip(saturation * factor + added, 0, 1)
    grey_is_red = np.array([0.0, 1.0, 1.0])
    share = np.where(span > 0, below / np.where(span > 0, span, 1), grey_is_red)
    return (highest - highest * wanted * share) * 255


def _gaussian_noise(images: np.ndarray, spread: float, generator: np.random.Generator) -> np.ndarray:
    return (images / 255 + generator.normal(0, spread, images.shape)) * 255


def _shot_noise(images: np.ndarray, photons: float, generator: np.random.Generator) -> np.ndarray:
    return generator.poisson(images / 255 * photons) / photons * 255


def _impulse_noise(images: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    hit = generator.random(images.shape) <= share
    return np.where(hit, 255 * generator.integers(0, 2, images.shape), images)


def _speckle_noise(images: np.ndarray, spread: float, generator: np.random.Generator) -> np.ndarray:
    value = images / 255
    return (value + value * generator.normal(0, spread, images.shape)) * 255


def _gaussian_blur(images: np.ndarray, sigma: float, generator: np.random.Generator) -> np.ndarray:
    return _gaussian(images / 255, sigma) * 255


def _defocus_blur(images: np.ndarray, constants: tuple, generator: np.random.Generator) -> np.ndarray:
    return ndimage.correlate(images / 255, disk(*constants)[None, :, :, None], mode="mirror") * 255


def _glass_blur(images: np.ndarray, constants: tuple, generator: np.random.Generator) -> np.ndarray:
    """Pixels are replaced by neighbours above or to the left.

    The original means to swap two pixels, but assigns views of one array to each other, so that the second assignment
    does nothing; as it goes upwards and leftwards from the last pixel, no source has been written to before.
    """
    sigma, reach, times = constants
    blurred = (_gaussian(images / 255, sigma) * 255).astype(np.uint8)
    inner = np.arange(reach + 1, SIDE - reach + 1)
    every = np.arange(len(images))[:, None, None]
    for _ in range(times):
        down, right = generator.integers(-reach, reach, (2, len(images), len(inner), len(inner)))
        blurred[:, inner[:, None], inner] = blurred[every, inner[:, None] + down, inner + right]
    return _gaussian(blurred / 255, sigma) * 255


def _motion_blur(images: np.ndarray, constants: tuple, generator: np.random.Generator) -> np.ndarray:
    radius, sigma = constants
    return motion_blur(images, radius, sigma, generator.uniform(-45, 45, len(images)))


def _zoom_blur(images: np.ndarray, largest: float, generator: np.random.Generator) -> np.ndarray:
    flat = images.transpose(0, 3, 1, 2).reshape(-1, SIDE**2)
    blurred = (flat @ _zoom_blur_matrix(largest).T).reshape(-1, 3, SIDE, SIDE)
    return blurred.transpose(0, 2, 3, 1)


@lru_cache(maxsize=5)
def _zoom_blur_matrix(largest: float) -> np.ndarray:
    """The mean of an image and its enlargements as one matrix of all pixels, [1024, 1024]."""
    enlargements = [zoom_matrix(SIDE, factor) for factor in np.arange(1, largest, 0.01)]
    total = np.eye(SIDE**2) + sum(np.kron(matrix, matrix) for matrix in enlargements)
    return total / (len(enlargements) + 1)


def _original(images: np.ndarray, constants: None, generator: np.random.Generator) -> np.ndarray:
    return images


def _unit(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / np.float32(255)


def _gaussian(images: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of rows and columns, [N, H, W] or [N, H, W, C], edges repeated, cut off at 4 sigma."""
    return ndimage.gaussian_filter(images, (0, sigma, sigma, 0)[: images.ndim], mode="nearest", truncate=4)


def _with_pillow(images: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    out = np.empty_like(images)
    for place, image in zip(out, images, strict=True):
        place[:] = change(Image.fromarray(image))
    return out


_FUNCTIONS: dict[str, Callable[[np.ndarray, Any, np.random.Generator], np.ndarray]] = dict(
    zip(
        TYPE_0 + TYPE_1,
        (
            _snow, _frost, _fog, _brightness, _contrast, _spatter, _elastic, _jpeg, _pixelate, _saturate,
            _gaussian_noise, _shot_noise, _impulse_noise, _speckle_noise, _gaussian_blur, _defocus_blur, _glass_blur,
            _motion_blur, _zoom_blur, _original,
        ),
        strict=True,
    )
)  # fmt: skip
