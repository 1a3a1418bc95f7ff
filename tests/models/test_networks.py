"""Every network against the authors' one, or torchvision's, and what all networks owe the methods."""

import math
import re

import pytest
import torch
import torchvision

from models import conv
from models.preact_resnet import PreActBlock
from models.registry import build_network, networks
from utils.errors import UsageError

DEPTHS = (18, 34, 50, 101, 152)
SCRATCH = [name for name in networks if not name.startswith("pretrained_")]
SMALL = {"CONV": (3, 25, 25), "MLP": (3, 6, 5)}


@pytest.fixture(autouse=True)
def _random_weights_in_place_of_downloads(monkeypatch):
    monkeypatch.setattr("models.registry.load_published", lambda network, weights: None)


@pytest.fixture(scope="module", params=SCRATCH)
def small(request):
    """A network for five classes, made once, and three images of few pixels."""
    shape = SMALL.get(request.param, (3, 16, 12))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(request.param, shape, 5)
        return network.to(memory_format=torch.channels_last), torch.rand(3, *shape)


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


@pytest.mark.parametrize("name", ["CONV", "MLP", "ResNet20", "ResNet18", "CIFAR_ResNet18", "PreActResNet18"])
def test_golden(golden, close, name):
    case = next(case for case in golden("architectures") if case.name == name)
    shape, about = case.hparams["input_shape"], case.hparams
    network = build_network(name, tuple(shape[1:]), case.wanted["logits"].shape[1]).double().eval()
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


@pytest.mark.parametrize("depth", DEPTHS)
def test_torchvision_s_networks_are_torchvision_s(depth):
    ours = build_network(f"ResNet{depth}", (3, 32, 32), 7).eval()
    theirs = torchvision.models.get_model(f"resnet{depth}", num_classes=7).eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))


LISTED = {
    name: int(found[1].replace(",", ""))
    for name in networks
    if (found := re.search(r"\(([\d,]+) parameters", (networks[name].__doc__ or "").strip().splitlines()[0]))
}


def test_networks_list_their_parameters():
    assert {"CONV", "MLP", "ResNet20", "CIFAR_ResNet18", "ResNet50"} <= set(LISTED)


@pytest.mark.parametrize("name", LISTED)
def test_the_listed_number_of_parameters(name):
    with torch.device("meta"):
        network = build_network(name, (3, 28, 28), 10)
    assert sum(parameter.numel() for parameter in network.parameters()) == LISTED[name]


@pytest.mark.parametrize("name", SCRATCH)
@pytest.mark.parametrize(("size", "classes"), [((28, 28), 2), ((25, 40), 100), ((224, 224), 6)])
def test_fits_images_and_classes(name, size, classes):
    with torch.device("meta"):
        network = build_network(name, (3, *size), classes).eval()
        features = network.extract(torch.rand(5, 3, *size))
        assert features.shape == (5, network.feature_dim)
        assert network.predict(features).shape == (5, classes)


def test_one_image_its_parts_and_any_memory_layout(small):
    network, images = small
    network.eval()
    with torch.no_grad():
        logits = network(images[:1])
        assert logits.shape == (1, 5)
        assert logits.isfinite().all()
        assert torch.equal(network.predict(network.extract(images[:1])), logits)
        several = network(images.to(memory_format=torch.channels_last))
        torch.testing.assert_close(several[:1], logits, rtol=1e-3, atol=1e-4)


def test_training_reaches_every_parameter(small):
    network, images = small
    network.train()(images).square().sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.dim() == 1 or parameter.grad.any(), key


@pytest.mark.parametrize("name", ["ResNet20", "CIFAR_ResNet18", "PreActResNet18", "WideResNet", "ResNet18"])
def test_initial_weights_are_he_s(name):
    network = build_network(name, (3, 32, 32), 10)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            wanted = math.sqrt(2 / (module.kernel_size[0] ** 2 * module.out_channels))
            count = module.weight.numel()
            assert abs(module.weight.std().item() / wanted - 1) < 5 / math.sqrt(2 * count)
            assert abs(module.weight.mean().item()) < 5 * wanted / math.sqrt(count)
            assert module.bias is None
        elif isinstance(module, torch.nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


@pytest.mark.parametrize("name", ["ResNet20", "CIFAR_ResNet34", "PreActResNet18", "WideResNet"])
def test_networks_for_small_images_take_any_number_of_channels(name):
    with torch.device("meta"):
        assert build_network(name, (1, 40, 33), 3)(torch.rand(2, 1, 40, 33)).shape == (2, 3)


@pytest.mark.parametrize("activated", [True, False])
def test_what_a_pre_activation_shortcut_carries(activated):
    """The residual branch is zero, so that the block gives what its shortcut does."""
    block = PreActBlock(4, 4, 1, activated).eval()
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(block(x), x.relu() if activated else x, rtol=1e-4, atol=1e-5)
    wider = PreActBlock(4, 8, 2, activated).eval()
    torch.nn.init.zeros_(wider.conv2.weight)
    projected = torch.einsum("bihw,oi->bohw", x[..., ::2, ::2].relu(), wider.projection.weight[..., 0, 0])
    torch.testing.assert_close(wider(x), projected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["ResNet18", "pretrained_ResNet50"])
def test_torchvision_s_networks_refuse_grey_images(name):
    with pytest.raises(UsageError, match=rf"--model {name} does not fit.*three channels"):
        build_network(name, (1, 32, 32), 10)


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
    with pytest.raises(UsageError, match=r"unknown network 'CONF'\. Did you mean 'CONV'\? Known: .*CONV.*MLP"):
        build_network("CONF", (3, 28, 28), 10)


def test_initialisation_follows_torch_s_global_generator():
    def first_weights(seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return next(build_network("CONV", (3, 28, 28), 10).parameters()).detach()

    assert torch.equal(first_weights(1), first_weights(1))
    assert not torch.equal(first_weights(1), first_weights(2))


def test_names_are_the_authors():
    resnets = {f"{prefix}ResNet{depth}" for depth in DEPTHS for prefix in ("", "pretrained_")}
    small_images = {"ResNet20", "CIFAR_ResNet18", "CIFAR_ResNet34", "PreActResNet18", "WideResNet"}
    assert set(networks) == {"CONV", "MLP"} | small_images | resnets
