"""Images as a pretrained network expects them: as they were when its weights were trained."""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torchvision.models import WeightsEnum


@dataclass(frozen=True)
class Preprocessing:
    """The way in which photographs are brought to one size, and their pixels to numbers.

    size: pixels of each side of what the network gets.
    resize: pixels of the shorter side before the middle is cut out; 0 squashes the whole image to `size`.
    interpolation: name of Pillow's filter, such as bicubic.
    mean, std: of each channel, for images in [0, 1].
    """

    size: int
    resize: int
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def fitted(self, image: Image.Image) -> Image.Image:
        """An RGB image as the network gets it: `size` x `size` pixels."""
        if not self.resize:
            return image.resize((self.size, self.size), self.filter)
        scale = self.resize / min(image.size)
        width, height = (int(scale * side) if side > min(image.size) else self.resize for side in image.size)
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        return image.resize((width, height), self.filter).crop((left, top, left + self.size, top + self.size))

    def cropped(self, image: Image.Image, box: tuple[float, ...], mirrored: bool) -> Image.Image:
        """The part of an image within `box` (left, top, right, bottom) in the same size."""
        part = image.resize((self.size, self.size), self.filter, box)  # type: ignore[arg-type]
        return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else part

    def normalised(self, pixels: Tensor) -> Tensor:
        """uint8 [..., C, H, W] to floats with the mean and deviation that the network knows."""
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return pixels.float().div_(255).sub_(mean).div_(std)

    @property
    def filter(self) -> Image.Resampling:
        return Image.Resampling[self.interpolation.upper()]


def torchvision_preprocessing(weights: WeightsEnum) -> Preprocessing:
    """The same as torchvision's `weights.transforms()`."""
    theirs = weights.transforms()
    return Preprocessing(
        theirs.crop_size[0], theirs.resize_size[0], theirs.interpolation.value, tuple(theirs.mean), tuple(theirs.std)
    )
