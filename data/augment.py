"""How stored images become what a network sees: scaled to floats, and whatever a data set's transform adds to that."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Transform:
    """A named view of a data set's images, applied to whole batches on the device they are on."""

    def for_training(self, images: Tensor) -> Tensor:
        """uint8 [B, C, H, W] to floats for a training step; every image has its own random draw."""
        return self.for_scoring(images)

    def for_scoring(self, images: Tensor) -> Tensor:
        """uint8 [B, C, H, W] to floats without augmentation, for scoring passes and evaluation."""
        return images.float().div_(255)
