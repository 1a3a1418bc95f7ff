"""Methods that look inside a network do so with residual ones; networks from a file differ in the last layer only."""

from dataclasses import replace

import pytest
import torch

from models.registry import build_network


@pytest.fixture
def few(tiny):
    return tiny.train.subset(torch.arange(24))


@pytest.mark.parametrize("model", ["ResNet20", "ResNet34"])
@pytest.mark.parametrize("name", ["disen", "pgd", "fine"])
def test_a_step_and_a_selection(name, model, make, settings, few):
    method = make(name, {"train": few, "settings": replace(settings, model=model)})
    before = {key: value.clone() for key, value in method.named_parameters()}
    method.train()
    method.begin_epoch(1)
    loss, logits = method.step(method.task.batch(torch.arange(8)))
    assert loss.isfinite()
    assert logits.shape == (8, 10)
    changed = [key for key, value in method.named_parameters() if not torch.equal(value, before[key])]
    assert any(key.endswith("fc.weight") for key in changed)
    assert any("conv1" in key or "features.0." in key for key in changed)
    method.eval()
    _, score = method.select()
    assert score.shape == (24,)
    assert score.isfinite().all()
    assert method.predict(method.task.batch(torch.arange(1)).images).shape == (1, 10)


def test_both_networks_start_from_the_file(make, settings, tmp_path):
    torch.save(build_network("CONV", (3, 28, 28), 7).state_dict(), tmp_path / "conv.pt")
    method = make("coteaching", {"settings": replace(settings, weights=tmp_path / "conv.pt")})
    one, other = (network.state_dict() for network in method.networks)
    assert {key for key in one if not torch.equal(one[key], other[key])} == {"fc.weight", "fc.bias"}
    again = make("coteaching", {"settings": replace(settings, weights=tmp_path / "conv.pt")})
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in method.state_dict().items())
