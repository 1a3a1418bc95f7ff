"""CONV, the three-block network of the DENEB authors for coloured digits (38,210 parameters at ten classes)."""

from torch import Tensor, nn

from models.dropout import HalfDropout
from models.registry import Network, networks

SMALLEST = 25
"""Smaller images leave nothing for the third convolution."""


@networks.register("CONV")
class Conv(Network):
    """The DENEB authors' three 4x4 convolutions of 8, 32 and 64 channels (38,210 parameters)

    Each with batch norm, ReLU and dropout 0.5; then global pooling. The order of ReLU and batch norm is swapped in the
    third block, as in the authors' code.
    """

    feature_dim = 64

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, height, width = image_shape
        if min(height, width) < SMALLEST:
            raise ValueError(f"CONV needs at least {SMALLEST}x{SMALLEST} pixels.")
        self.features = nn.Sequential(
            nn.Conv2d(channels, 8, 4), nn.BatchNorm2d(8), nn.ReLU(), HalfDropout(), nn.AvgPool2d(2),
            nn.Conv2d(8, 32, 4), nn.BatchNorm2d(32), nn.ReLU(), HalfDropout(), nn.AvgPool2d(2),
            nn.Conv2d(32, 64, 4), nn.ReLU(), nn.BatchNorm2d(64), HalfDropout(), nn.AdaptiveAvgPool2d(1),
        )  # fmt: skip
        self.fc = nn.Linear(self.feature_dim, num_classes)

    def encode(self, images: Tensor) -> Tensor:
        return self.features(images).flatten(1)
