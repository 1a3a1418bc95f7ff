"""Shallow twins: as wide as the networks that they stand in for, and of fewer layers."""

import pytest
import torch
from torch import nn

from models.registry import build_network, networks
from models.shallow import shallow_twin

SLOW = {"ResNet34", "ResNet101", "ResNet152", "WideResNet", "CIFAR_ResNet34"}


def depth(network):
    return sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules())


@pytest.mark.parametrize("name", [name for name in networks if name.removeprefix("pretrained_") not in SLOW])
def test_a_twin_has_the_width_and_fewer_layers(name):
    network = build_network(name, (3, 32, 32), 7, published=False)
    twin = shallow_twin(network, (3, 32, 32), 7).eval()
    images = torch.rand(2, 3, 32, 32)
    assert twin.extract(images).shape == (2, network.feature_dim)
    assert twin(images).shape == (2, 7)
    assert depth(twin) < depth(network)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 5, 9), (3, 224, 224)])
def test_the_papers_twin_takes_images_of_any_size(shape):
    twin = shallow_twin(build_network("ResNet20", (3, 32, 32), 10), shape, 10).eval()
    assert [layer.out_channels for layer in twin.features if isinstance(layer, nn.Conv2d)] == [32, 64, 64]
    assert twin(torch.rand(2, *shape)).isfinite().all()
