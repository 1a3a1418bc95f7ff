"""From stored images to what a network sees: scaled to floats, and whatever a data set's transform adds to that.

torchvision's transforms draw once for a whole batch. Here every image of a batch has its own draws, distributed as in
torchvision's `RandomCrop`, `RandomHorizontalFlip`, `RandomResizedCrop`, `ColorJitter` and `RandomRotation`, applied in
this order with their default interpolation. They come from the global generator of the device that the images are on.

Whole pixels are moved as bytes, before scaling; all else happens on floats, where the authors' code rounds to bytes
after every step.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from models.preprocessing import Preprocessing

RATIOS = 3 / 4, 4 / 3
"""The aspect ratios of `RandomResizedCrop`."""

ATTEMPTS = 10
"""The number of crops that `RandomResizedCrop` draws in the hope that one fits into the image."""

LUMA = 0.2989, 0.587, 0.114
"""Shares of red, green and blue in the grey that `adjust_saturation` blends with."""


@dataclass(frozen=True)
class Transform:
    """A named view of a data set's images, applied to whole batches on the device they are on.

    crop: black pixels added on every side before a random crop of the stored size.
    flip: whether to mirror half of the images.
    scale: smallest and largest area of a random crop that is enlarged to the stored size, as a share of the image.
    hue, saturation: largest shift of the hue, in turns, and largest relative change of the saturation.
    degrees: largest rotation, either way.
    mean, std: of each channel, for images in [0, 1]; for scoring too. Both or neither.
    size: pixels of each side that images are brought to, by this interpolation; for scoring too. 0 leaves them as they
        are.
    """

    crop: int = 0
    flip: bool = False
    scale: tuple[float, float] | None = None
    hue: float = 0.0
    saturation: float = 0.0
    degrees: float = 0.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    size: int = 0
    interpolation: str = "bilinear"

    def fitted_to(self, network: Preprocessing) -> "Transform":
        """The same augmentation with the size and the figures of a pretrained network."""
        smooth = "bilinear" if network.interpolation == "bilinear" else "bicubic"
        return replace(self, mean=network.mean, std=network.std, size=network.size, interpolation=smooth)

    def for_training(self, images: Tensor) -> Tensor:
        """uint8 [B, C, H, W] to floats for a training step; every image has its own random draw."""
        count, device = len(images), images.device
        uniform = partial(_uniform, count, device)
        if self.crop:
            images = cropped(images, self.crop, *torch.randint(2 * self.crop + 1, (2, count), device=device))
        if self.flip:
            images = flipped(images, uniform(0, 1) < 0.5)
        images = _scaled(images)
        if self.scale:
            images = resized_crop(images, *draw_boxes(count, images.shape[2:], self.scale, device))
        if self.hue or self.saturation:
            factor, early = uniform(1 - self.saturation, 1 + self.saturation), uniform(0, 1) < 0.5
            images = with_saturation(images, factor.where(early, 1))
            images = with_hue(images, uniform(-self.hue, self.hue))
            images = with_saturation(images, factor.where(~early, 1))
        if self.degrees:
            images = rotated(images, uniform(-self.degrees, self.degrees))
        return self._normalised(self._sized(images)).contiguous(memory_format=torch.channels_last)

    def for_scoring(self, images: Tensor) -> Tensor:
        """uint8 [B, C, H, W] to floats without augmentation, for scoring passes and evaluation."""
        return self._normalised(self._sized(_scaled(images)))

    def shape(self, stored: tuple[int, int, int]) -> tuple[int, int, int]:
        """Shape of what a network sees of images of the shape `stored`."""
        return (stored[0], self.size, self.size) if self.size else stored

    def _sized(self, images: Tensor) -> Tensor:
        if not self.size or images.shape[2:] == (self.size, self.size):
            return images
        sized = F.interpolate(images, (self.size, self.size), mode=self.interpolation, antialias=True)
        return sized.clamp_(0, 1)  # bicubic interpolation overshoots

    def _normalised(self, images: Tensor) -> Tensor:
        """Works on whole rows of pixels: three channels are too short a run to be fast."""
        if not self.mean:
            return images
        width = images.shape[3]
        rows = images.permute(0, 2, 3, 1).flatten(2)
        rows = rows.sub_(_row(self.mean, width, images.device)).div_(_row(self.std, width, images.device))
        return rows.unflatten(2, (width, -1)).permute(0, 3, 1, 2)


PLAIN = Transform()
WARPED = Transform(scale=(0.9, 1.1), hue=0.05, saturation=0.05, degrees=10)
NORMALISED = Transform(mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))
CROPPED = Transform(crop=4, mean=NORMALISED.mean, std=NORMALISED.std)
CROPPED_FLIPPED = Transform(crop=4, flip=True, mean=NORMALISED.mean, std=NORMALISED.std)

DIGITS: Mapping[str, Transform] = {"deneb": PLAIN, "disen": PLAIN, "pgd": WARPED, "none": PLAIN}
BIASED_MNIST: Mapping[str, Transform] = {"deneb": WARPED, "none": PLAIN}
CIFAR: Mapping[str, Transform] = {"deneb": CROPPED_FLIPPED, "disen": CROPPED_FLIPPED, "none": PLAIN}
BAR: Mapping[str, Transform] = {"deneb": NORMALISED, "disen": CROPPED_FLIPPED, "none": PLAIN}
BFFHQ: Mapping[str, Transform] = {"deneb": CROPPED, "disen": CROPPED_FLIPPED, "none": PLAIN}
"""The transforms of the authors of DENEB, of Disen and of PGD for each data set, by the names that `--augment` uses.

All normalise with the figures that CIFAR-10 is usually given, whatever the data set.
"""


def cropped(images: Tensor, margin: int, top: Tensor, left: Tensor) -> Tensor:
    """Windows of the images' own size, cut from images with `margin` black pixels added on every side.

    Args:
        images: [B, C, H, W].
        top, left: corner of each window, int64 [B], from 0 to 2 `margin`.
    """
    height, width = images.shape[2:]
    windows = F.pad(images, (margin,) * 4).unfold(2, height, 1).unfold(3, width, 1)  # a view: nothing is copied
    return windows[torch.arange(len(images), device=images.device), :, top, left]


def flipped(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirrors the `chosen` (bool [B]) of the images [B, C, H, W] left to right."""
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def draw_boxes(
    count: int, size: tuple[int, ...], scale: tuple[float, float], device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draws what `RandomResizedCrop` cuts out of images of `size` (height, width): top, left, height, width; [B] each.

    Of ten crops with a random area and aspect ratio the first that fits is taken; where none does, the middle of the
    image, as large as the range of aspect ratios allows.
    """
    height, width = size
    area = height * width * _uniform(ATTEMPTS * count, device, *scale).view(ATTEMPTS, count)
    ratio = _uniform(ATTEMPTS * count, device, *map(math.log, RATIOS)).view(ATTEMPTS, count).exp()
    largest = min(height, round(width / RATIOS[0])), min(width, round(height * RATIOS[1]))
    heights, widths = (
        torch.cat([drawn.sqrt().round(), drawn.new_full((1, count), limit)])
        for drawn, limit in zip((area / ratio, area * ratio), largest, strict=True)
    )
    fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
    first = fits.int().argmax(0, keepdim=True)
    h, w = (sides.gather(0, first).squeeze(0) for sides in (heights, widths))
    top, left = (
        torch.where(
            first.squeeze(0) < ATTEMPTS, (_uniform(count, device, 0, 1) * (room + 1)).floor(), (room / 2).floor()
        )
        for room in (height - h, width - w)
    )
    return top, left, h, w


def resized_crop(images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Boxes (float [B] each, in pixels) of float images [B, C, H, W], enlarged bilinearly to [H, W]."""
    x, y = _sampled(left, width, images.shape[3]), _sampled(top, height, images.shape[2])
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), dim=3)
    return F.grid_sample(images, grid, align_corners=False)


def _sampled(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Places of `size` pixels spread over `length` (float [B]) from `start`, as `grid_sample` counts them; [B, size].

    None looks beyond the centre of the outermost pixels, so that what lies outside of a box has no part in it.
    """
    centres = (torch.arange(size, device=start.device) + 0.5) / size
    inside = (centres * length[:, None] - 0.5).clamp(min=0).minimum(length[:, None] - 1)
    return (2 * (start[:, None] + inside) + 1) / size - 1


def with_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """torchvision's `adjust_saturation` for float images [B, 3, H, W], with a factor for each, float [B]."""
    red, green, blue = images.unbind(1)
    gray = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).unsqueeze(1)
    return torch.lerp(gray, images, factor[:, None, None, None]).clamp_(0, 1)


def with_hue(images: Tensor, shift: Tensor) -> Tensor:
    """torchvision's `adjust_hue` for float images [B, 3, H, W], with a shift for each, float [B], in turns."""
    value, chroma = images.amax(1), images.amax(1) - images.amin(1)
    red, green, blue = images.unbind(1)
    distance = torch.stack([green - blue, blue - red, red - green]) / chroma.clamp(min=torch.finfo(chroma.dtype).tiny)
    sextant = torch.where(value == red, distance[0], torch.where(value == green, distance[1] + 2, distance[2] + 4))
    sextant = sextant + 6 * shift[:, None, None]
    channels = []
    for offset in (5, 3, 1):  # a channel falls from the value to the lowest one on the far side of the hue circle
        k = (sextant + offset) % 6
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, 1)


def rotated(images: Tensor, degrees: Tensor) -> Tensor:
    """Rotates float images [B, C, H, W] by `degrees` (float [B]) counter-clockwise about their centre.

    As torchvision's `rotate` with its defaults: the nearest pixel is taken, and what comes from outside is black.
    """
    height, width = images.shape[2:]
    sin, cos, zero = degrees.deg2rad().sin(), degrees.deg2rad().cos(), torch.zeros_like(degrees)
    matrix = torch.stack([cos, -sin * height / width, zero, sin * width / height, cos, zero], 1).view(-1, 2, 3)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="nearest", align_corners=False)


def _uniform(count: int, device: torch.device, low: float, high: float) -> Tensor:
    return torch.empty(count, device=device).uniform_(low, high)


def _scaled(images: Tensor) -> Tensor:
    return images.float().div_(255)


@cache
def _row(values: tuple[float, ...], width: int, device: torch.device) -> Tensor:
    """A value per channel for each of `width` pixels, float [width * C]; made once, as it comes from the host."""
    return torch.tensor(values, device=device).repeat(width)
