"""Bias by colour: every grey image is multiplied by one colour, and most images of a class wear their class's."""

import numpy as np
import torch
from torch import Tensor

PALETTES = {
    # The generator published with PGD (same first author as DENEB).
    "pgd": (
        (220, 20, 60), (0, 128, 128), (253, 233, 16), (0, 149, 182), (237, 145, 33),
        (145, 30, 188), (70, 240, 240), (250, 197, 187), (210, 245, 60), (128, 0, 0),
    ),
    # The colours in the figures of the Disen paper, 8 before 9 as there.
    "rainbow": (
        (255, 0, 0), (255, 128, 0), (255, 255, 0), (128, 255, 0), (0, 255, 0),
        (0, 255, 255), (0, 0, 255), (128, 0, 255), (255, 0, 128), (255, 0, 255),
    ),
}  # fmt: skip


def draw_bias_labels(labels: np.ndarray, conflicting: float, generator: np.random.Generator) -> np.ndarray:
    """One coin per image: with probability `conflicting` the bias label is uniform over the other nine classes.

    Args:
        labels: int [N], 0 to 9.
        conflicting: expected share of conflicting images, in [0, 1].
    """
    other = (labels + generator.integers(1, 10, len(labels))) % 10
    return np.where(generator.random(len(labels)) < conflicting, other, labels)


def colorize(
    gray: np.ndarray,
    bias_labels: np.ndarray,
    palette: str,
    jitter: float,
    generator: np.random.Generator,
    background: bool = False,
) -> Tensor:
    """Colours grey images: the digit, on black, or the background, with a white digit on it.

    Args:
        gray: uint8 [N, H, W].
        bias_labels: int [N], which colour each image wears.
        palette: a key of `PALETTES`.
        jitter: standard deviation of the noise added to every image's colour, where a full channel is 1.

    Returns:
        uint8 [N, 3, H, W], channels last in memory.
    """
    colors = np.asarray(PALETTES[palette], np.float32)[bias_labels] / 255
    colors += generator.normal(0, jitter, colors.shape).astype(np.float32)
    out = np.empty((*gray.shape, 3), np.uint8)
    for start in range(0, len(gray), 4096):  # bounds the float copies
        part = slice(start, start + 4096)
        ink, color = gray[part, :, :, None].astype(np.float32), colors[part, None, None, :]
        value = ink + (255 - ink) * color if background else ink * color
        np.rint(value.clip(0, 255), casting="unsafe", out=out[part])
    return torch.from_numpy(out).permute(0, 3, 1, 2)
