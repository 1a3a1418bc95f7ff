"""The common part of the residual networks for small images."""

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor, nn

from models.registry import Network

BlockMaker = Callable[[int, int, int], nn.Module]
"""Makes a residual block from its channels in, its channels out and its stride."""


class ResidualNetwork(Network):
    """Convolutional layers, average pooling over what is left of the image, and the classes.

    The authors' networks pool windows of 4x4 (8x8 in WideResNet), which is the same for images of 32x32 and fails or
    changes the number of features for others.
    """

    def __init__(self, layers: Iterable[nn.Module], feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(feature_dim, num_classes)
        for module in self.features.modules():
            if isinstance(module, nn.Conv2d):  # N(0, 2 / (k k out)), as in torchvision's ResNet
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def encode(self, images: Tensor) -> Tensor:
        return self.features(images)


def stages(block: BlockMaker, channels: int, widths: Sequence[int], depths: Sequence[int]) -> list[nn.Module]:
    """Stages of `depths` blocks with `widths` channels; each but the first begins by halving the image.

    `channels` is what the first block gets.
    """
    blocks = []
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for position in range(depth):
            blocks.append(block(channels, width, 2 if stage > 0 and position == 0 else 1))
            channels = width
    return blocks
