"""The networks by name, and in which precision they compute."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.preprocessing import Preprocessing
from models.sharded import shared_out
from models.weights import Published, load_published, load_weights
from utils.errors import RunError, UsageError
from utils.files import sha256
from utils.registry import Registry


class Network(nn.Module):
    """A classifier in two parts.

    `extract` maps images [B, C, H, W] to features [B, feature_dim]; `predict` maps features to logits [B, classes],
    with `fc` as its only layer with parameters. It is made from the shape (C, H, W) of its images, of which it raises a
    ValueError if they do not suit it, and the number of classes. A network defines `encode`, what `extract` computes.

    In training mode features are computed in `precision` under torch.autocast (float32 if it is None), and by a
    compiled `encode` if `compiled`. They always come out as float32: the last layer, losses and probabilities do not
    depend on the precision. In evaluation mode, where samples are scored, all is IEEE float32 (the command line
    turns TensorFloat-32 off, see `resolve.set_up_gpu`) and not compiled.
    """

    feature_dim: int
    fc: nn.Linear
    published: ClassVar[Published | None] = None
    """The weights that it starts from, unless a file is named."""
    preprocessing: ClassVar[Preprocessing | None] = None
    """The preprocessing of images that its published weights expect."""
    precision: torch.dtype | None = None
    compiled: bool = False

    def encode(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def extract(self, images: Tensor) -> Tensor:
        return shared_out(self._features, images)

    def _features(self, images: Tensor) -> Tensor:
        encode = compiled(type(self).encode) if self.compiled and self.training else type(self).encode
        if self.precision is None or not self.training:
            return encode(self, images)
        with torch.autocast(images.device.type, self.precision):
            return encode(self, images).float()

    def predict(self, features: Tensor) -> Tensor:
        return self.fc(features)

    def forward(self, images: Tensor) -> Tensor:
        return self.predict(self.extract(images))

    def own_name(self, name: str) -> str:
        """Its own name for a tensor of a published state dict."""
        return name


@cache
def compiled(encode: Callable[[Network, Tensor], Tensor]) -> Callable[[Network, Tensor], Tensor]:
    """`encode` by torch.compile, a program for every batch size: what is compiled must not depend on what came before.

    Raises:
        RunError: it cannot be compiled, as where no C++ compiler is installed; at the first call.
    """
    program = torch.compile(encode, dynamic=False)

    def run(network: Network, images: Tensor) -> Tensor:
        try:
            return program(network, images)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = next(line for line in str(error).splitlines() if line and not line.endswith(":"))
            raise RunError(f"--compile: torch.compile failed ({reason}). Leave out --compile.") from error

    return run


class Networks(Registry[type[Network]]):
    """Those of this package, and any of timm's by a name such as timm:resnet18, which are too many to list."""

    def __getitem__(self, name: str) -> type[Network]:
        if not name.startswith("timm:"):
            return super().__getitem__(name)
        from models.timm_network import timm_network

        return timm_network(name)


networks = Networks("network", "models")


def build_network(
    name: str, image_shape: tuple[int, int, int], num_classes: int, weights: Path | None = None, published: bool = True
) -> Network:
    """A fresh network for images of shape (C, H, W), initialised from torch's global generator.

    With the file `weights`, or with weights that the network is published with, this is true of its last layer alone.

    Raises:
        UsageError: no network is so named, or images or weights do not suit it.
        RunError: the weights cannot be read or downloaded.
    """
    try:
        network = networks[name](image_shape, num_classes)
    except ValueError as error:
        raise UsageError(f"--model {name} does not fit images of {image_shape}: {error}") from error
    if weights is not None:
        load_weights(network, weights)
    elif published and network.published is not None:
        load_published(network, network.published)
    return network


def initial_weights(name: str, weights: Path | None) -> str | None:
    """The weights that the network `name` starts from: a file's hash or a published name; None if random."""
    published = networks[name].published
    return sha256(weights)[:12] if weights else str(published) if published else None
