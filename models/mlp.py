"""MLP, the DENEB authors' small fully connected network (247,186 parameters for 3x28x28 images, ten classes)."""

from torch import Tensor, nn

from models.registry import Network, networks


@networks.register("MLP")
class Mlp(Network):
    """The DENEB authors' layers of 100, 100 and 16 units with ReLU (247,186 parameters for 28x28 pixels)"""

    feature_dim = 16

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.features = nn.Sequential(
            nn.Linear(channels * height * width, 100), nn.ReLU(),
            nn.Linear(100, 100), nn.ReLU(),
            nn.Linear(100, self.feature_dim), nn.ReLU(),
        )  # fmt: skip
        self.fc = nn.Linear(self.feature_dim, num_classes)

    def encode(self, images: Tensor) -> Tensor:
        return self.features(images.flatten(1))
