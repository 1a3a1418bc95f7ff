"""In which precision networks compute: reduced ones when training, and only up to the features."""

import pytest
import torch

from models import registry
from models.registry import Network, build_network, networks
from utils.errors import RunError

SHAPE = (3, 32, 32)


@pytest.fixture
def images():
    return torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(0))


def outputs(network, images):
    """Features and logits, with the same dropout every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        features = network.extract(images)
        return features, network.predict(features)


@pytest.mark.parametrize("name", networks)
def test_a_network_leaves_precision_to_its_base(name):
    assert networks[name].extract is Network.extract


@pytest.mark.parametrize("name", ["CONV", "MLP", "ResNet20"])
def test_only_training_passes_are_in_reduced_precision_and_results_are_float32(name, images):
    network = build_network(name, SHAPE, 10)
    exact = outputs(network, images)
    network.precision = torch.bfloat16
    reduced = outputs(network, images)
    for one, other in zip(exact, reduced, strict=True):
        assert other.dtype == torch.float32
        assert not torch.equal(one, other)
        torch.testing.assert_close(one, other, rtol=0.1, atol=0.1)
    reduced[1].sum().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in network.parameters())
    network.eval()
    scored = outputs(network, images)
    network.precision = None
    assert torch.equal(scored[1], outputs(network, images)[1])


@pytest.fixture
def compile_(monkeypatch):
    """Lets `compiled` use another back end of torch.compile, and forgets afterwards what that made."""
    compile_with = torch.compile

    def use(backend):
        monkeypatch.setattr(torch, "compile", lambda *given, **more: compile_with(*given, **more, backend=backend))

    registry.compiled.cache_clear()
    yield use
    registry.compiled.cache_clear()


def test_networks_of_a_kind_share_a_program_that_only_training_passes_run(images, compile_):
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compile_(count)
    pair = [build_network("MLP", SHAPE, 10) for _ in range(2)]
    plain = [outputs(network, images)[1] for network in pair]
    for network, wanted in zip(pair, plain, strict=True):
        network.eval().compiled = True
        outputs(network, images)
        assert len(graphs) <= 1
        torch.testing.assert_close(outputs(network.train(), images)[1], wanted)
        assert len(graphs) == 1


def test_a_network_that_cannot_be_compiled_is_an_error_of_one_line(images, compile_):
    def fail(graph, inputs):
        raise OSError("no C++ compiler here")

    compile_(fail)
    network = build_network("MLP", SHAPE, 10)
    network.compiled = True
    with pytest.raises(RunError, match=r"--compile.*no C\+\+ compiler here.*Leave out --compile") as error:
        network(images)
    assert "\n" not in str(error.value)
