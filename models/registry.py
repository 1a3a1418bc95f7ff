"""The networks by name."""

from collections.abc import Callable

from torch import Tensor, nn

from utils.errors import UsageError
from utils.registry import Registry


class Network(nn.Module):
    """A classifier in two parts.

    `extract` maps images [B, C, H, W] to features [B, feature_dim]; `predict` maps features to logits [B, classes],
    with `fc` as its only layer with parameters.
    """

    feature_dim: int
    fc: nn.Linear

    def extract(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def predict(self, features: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        return self.predict(self.extract(images))


networks: Registry[Callable[[tuple[int, int, int], int], Network]] = Registry("network", "models")


def build_network(name: str, image_shape: tuple[int, int, int], num_classes: int) -> Network:
    """A fresh network for images of shape (C, H, W), initialised from torch's global generator."""
    try:
        return networks[name](image_shape, num_classes)
    except ValueError as error:
        raise UsageError(f"--model {name} does not fit images of {image_shape}: {error}") from error
