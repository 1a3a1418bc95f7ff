"""Zoom, blur and warp as linear maps of whole chunks of small square images, for `data.corruptions.operators`."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage


def zoom_matrix(side: int, factor: float) -> np.ndarray:
    """The matrix Z, [side, side], with Z @ image @ Z.T the middle of a square image enlarged by `factor` >= 1."""
    kept = int(np.ceil(side / factor))
    first = (side - kept) // 2
    larger = ndimage.zoom(np.eye(side)[first : first + kept], (factor, 1), order=1)
    first = (len(larger) - side) // 2
    return larger[first : first + side]


def motion_blur(images: np.ndarray, radius: int, sigma: float, degrees: np.ndarray) -> np.ndarray:
    """Motion blur as ImageMagick does it: a one-sided Gaussian along a direction, edges repeated, cut to 8 bits.

    Args:
        images: uint8 [N, H, W, C].
        radius: the streak has 2 radius + 1 pixels.
        sigma: of the Gaussian, in pixels.
        degrees: [N], each image's direction, from the x axis towards growing y.
    """
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    turn = np.deg2rad(degrees)
    down = np.ceil(steps[:, None] * np.sin(turn) - 0.5).astype(int)
    right = np.ceil(steps[:, None] * np.cos(turn) - 0.5).astype(int)
    reach = 2 * radius
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
    shifted = sliding_window_view(padded, images.shape[1:3], axis=(1, 2))  # [N, rows down, columns right, C, H, W]
    every = np.arange(len(images))
    mean = sum(w * shifted[every, reach + dy, reach + dx] for w, dy, dx in zip(weights, down, right, strict=True))
    return np.floor(np.moveaxis(mean, 1, -1) + 1e-9)  # the weights' sum may miss 1 by a rounding error


def disk(radius: float, softness: float) -> np.ndarray:
    """The kernel of a lens out of focus: a disk of whole pixels, its edge softened by a Gaussian of 3 x 3 pixels."""
    reach = np.arange(-int(radius) - 1, int(radius) + 2)
    kernel = (reach[:, None] ** 2 + reach**2 <= radius**2).astype(np.float32)
    edge = np.exp(-np.array([1.0, 0.0, 1.0]) / (2 * softness**2))
    soft = np.outer(edge, edge) / edge.sum() ** 2
    return ndimage.correlate(kernel / kernel.sum(), soft, mode="constant")


def sample(images: np.ndarray, rows: np.ndarray, columns: np.ndarray, edge: str) -> np.ndarray:
    """Images at fractional positions, by bilinear interpolation.

    Args:
        images: float [N, S, S, C].
        rows, columns: [N, S, S], at most 2 S outside the image.
        edge: how the image goes on beyond its edges, a mode of `numpy.pad`.
    """
    count, side, _, channels = images.shape
    mirror = np.pad(np.arange(side), 2 * side, mode=edge)  # type: ignore[call-overload]
    pixels = images.reshape(-1, channels)
    first = np.arange(count)[:, None, None] * side**2
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    lower, righter = (rows - top)[..., None].astype(images.dtype), (columns - left)[..., None].astype(images.dtype)

    def at(down: int, right: int) -> np.ndarray:
        return pixels[first + mirror[top + 2 * side + down] * side + mirror[left + 2 * side + right]]

    upper_row = at(0, 0) * (1 - righter) + at(0, 1) * righter
    lower_row = at(1, 0) * (1 - righter) + at(1, 1) * righter
    return upper_row * (1 - lower) + lower_row * lower
