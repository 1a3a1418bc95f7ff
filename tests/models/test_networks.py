"""CONV and MLP against the authors' networks, and networks by name."""

import math

import pytest
import torch

from models import conv
from models.registry import build_network, networks
from utils.errors import UsageError


def fill(network):
    """The rule of the golden file: every tensor depends on nothing but its shape and its role."""
    for name, tensor in network.state_dict().items():
        i = torch.arange(tensor.numel(), dtype=torch.float64)
        phase = 0.01 * sum((j + 1) * length for j, length in enumerate(tensor.shape))
        role = name.rsplit(".", 1)[1]
        if role == "weight" and tensor.dim() > 1:
            value = torch.sin(0.7 * i + phase) * 1.2 / math.sqrt(tensor.numel() / tensor.shape[0])
        elif role == "weight":
            value = 1 + 0.3 * torch.sin(0.7 * i + phase)
        elif role == "bias":
            value = 0.1 * torch.cos(1.3 * i)
        elif role == "running_mean":
            value = 0.05 * torch.sin(2.1 * i)
        elif role == "running_var":
            value = 1 + 0.5 * torch.cos(0.9 * i) ** 2
        else:
            continue
        tensor.copy_(value.reshape(tensor.shape))


@pytest.mark.parametrize("name", ["CONV", "MLP"])
def test_golden(golden, close, name):
    case = next(case for case in golden("architectures") if case.name == name)
    shape, about = case.hparams["input_shape"], case.hparams
    network = build_network(name, tuple(shape[1:]), 10).double().eval()
    parameters = list(network.parameters())
    assert sum(parameter.numel() for parameter in parameters) == about["num_params"]
    assert sum(b.numel() for n, b in network.named_buffers() if "num_batches" not in n) == about["num_buffers"]
    assert sorted(str(tuple(parameter.shape)) for parameter in parameters) == about["shapes"]
    assert network.feature_dim == about["feature_dim"]
    fill(network)
    images = torch.sin(0.013 * torch.arange(math.prod(shape), dtype=torch.float64)).reshape(shape)
    with torch.no_grad():
        features = network.extract(images)
        close(features, case.wanted["features"], rtol=1e-8)
        close(network.predict(features), case.wanted["logits"], rtol=1e-8)
        close(network(images), case.wanted["logits"], rtol=1e-8)
        close(network(images.to(memory_format=torch.channels_last)), case.wanted["logits"], rtol=1e-8)


@pytest.mark.parametrize("name", ["CONV", "MLP"])
@pytest.mark.parametrize("classes", [2, 100])
@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 32, 32), (3, 25, 40)])
def test_fits_images_and_classes(name, classes, shape):
    network = build_network(name, shape, classes).eval()
    assert network(torch.rand(1, *shape)).shape == (1, classes)
    assert network.extract(torch.rand(5, *shape)).shape == (5, network.feature_dim)


@pytest.mark.parametrize("shape", [(3, 24, 28), (3, 28, 8)])
def test_conv_refuses_images_that_are_too_small(shape):
    with pytest.raises(UsageError, match=r"--model CONV does not fit.*at least 25x25"):
        build_network("CONV", shape, 10)


def test_the_least_size_that_conv_takes_is_the_least_that_works(monkeypatch):
    smallest = conv.SMALLEST
    monkeypatch.setattr(conv, "SMALLEST", 1)
    network = build_network("CONV", (3, smallest - 1, smallest), 10)
    assert network(torch.rand(2, 3, smallest, smallest)).shape == (2, 10)
    with pytest.raises(RuntimeError, match="Kernel size"):
        network(torch.rand(2, 3, smallest - 1, smallest))


def test_an_unknown_network_suggests_the_nearest():
    with pytest.raises(UsageError, match=r"unknown network 'CONF'\. Did you mean 'CONV'\? Known: CONV.*MLP"):
        build_network("CONF", (3, 28, 28), 10)


def test_initialisation_follows_torch_s_global_generator():
    def first_weights(seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return next(build_network("CONV", (3, 28, 28), 10).parameters()).detach()

    assert torch.equal(first_weights(1), first_weights(1))
    assert not torch.equal(first_weights(1), first_weights(2))


def test_names_are_the_authors():
    assert {"CONV", "MLP"} <= set(networks)
