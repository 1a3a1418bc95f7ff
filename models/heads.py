"""The layers that are trained on the features of a network that is not: `--frozen --head NAME`."""

from torch import Tensor, nn

from models.registry import Network

HIDDEN = 512


class LinearHead(Network):
    """A linear layer on the features themselves: logistic regression, if trained with cross entropy."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.feature_dim = image_shape[0]
        self.fc = nn.Linear(self.feature_dim, num_classes)

    def encode(self, images: Tensor) -> Tensor:
        return images


class MlpHead(Network):
    """One hidden layer of `HIDDEN` rectified units, half of which are dropped in training, then a linear layer."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.feature_dim = HIDDEN
        self.features = nn.Sequential(nn.Linear(image_shape[0], HIDDEN), nn.ReLU(), nn.Dropout(0.5))
        self.fc = nn.Linear(HIDDEN, num_classes)

    def encode(self, images: Tensor) -> Tensor:
        return self.features(images)


HEADS: dict[str, type[Network]] = {"linear": LinearHead, "mlp": MlpHead}
