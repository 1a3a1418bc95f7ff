"""AFR and SELF: their weights by hand, and what the last layer's second training does and leaves alone."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from algorithms.afr import afr_weights
from algorithms.parts.last_layer import class_balance, retrain
from algorithms.self import disagreement


@dataclass
class Descent:
    rate: float = 0.5
    steps: int = 1
    stay: float = 0.0


def test_afr_weighs_errors_within_balanced_classes():
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0], [math.log(3), 0.0]])
    weights = afr_weights(logits, torch.tensor([0, 0, 1]), 2.0)
    wanted = torch.tensor([math.exp(-1) / 2, math.exp(-1.5) / 2, math.exp(-0.5)])
    torch.testing.assert_close(weights, wanted / wanted.sum())
    torch.testing.assert_close(afr_weights(logits, torch.tensor([0, 0, 1]), 0.0), torch.tensor([0.25, 0.25, 0.5]))


def test_afr_weighs_however_much_an_error_counts():
    """exp(-gamma p) is 0 in float32 for all of them; the surest error still weighs most."""
    logits = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    torch.testing.assert_close(afr_weights(logits, torch.tensor([0, 0]), 1e4), torch.tensor([1.0, 0.0]))


def test_balance_gives_every_class_the_same_weight():
    weights = class_balance(torch.tensor([2, 0, 0, 2, 2, 2]))
    assert weights.tolist() == [0.25, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_disagreement_is_the_divergence_from_the_early_model():
    final, early = torch.tensor([[math.log(3), 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 0.0], [5.0, 5.0]])
    wanted = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    torch.testing.assert_close(disagreement(final, early), torch.tensor([wanted, 0.0]))


def test_one_step_by_hand():
    layer = nn.Linear(1, 2)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    retrain(layer, torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 1]), torch.tensor([0.75, 0.25]), Descent())
    # d loss / d z of a row = weight (p - onehot); p is 1/2
    torch.testing.assert_close(layer.weight.detach(), 0.5 * torch.tensor([[0.5], [-0.5]]))
    torch.testing.assert_close(layer.bias.detach(), 0.5 * torch.tensor([0.25, -0.25]))


def test_the_gradient_is_clipped_and_the_way_is_penalised():
    torch.manual_seed(0)
    features, labels, even = 100 * torch.randn(20, 3), torch.arange(20) % 2, torch.full((20,), 0.05)
    layer = nn.Linear(3, 2)
    before = torch.cat([p.detach().flatten() for p in layer.parameters()]).clone()
    retrain(layer, features, labels, even, Descent())
    after = torch.cat([p.detach().flatten() for p in layer.parameters()])
    assert float((after - before).norm()) == pytest.approx(0.5, rel=1e-4)
    free, held = nn.Linear(3, 2), nn.Linear(3, 2)
    held.load_state_dict(free.state_dict())
    start = free.weight.detach().clone()
    for layer, stay in ((free, 0.0), (held, 1.0)):
        retrain(layer, features / 100, labels, even, Descent(rate=0.1, steps=50, stay=stay))
    assert (held.weight - start).norm() < 0.5 * (free.weight - start).norm()


@pytest.mark.parametrize("name", ["afr", "self"])
def test_only_the_last_layer_sees_the_held_out_images_and_only_at_the_end(name, make):
    method = make(name)
    assert set(method.held.tolist()).isdisjoint(method.training_subset.tolist())
    assert len(method.held) == round(0.2 * len(method.task.train))
    method.begin_epoch(0)
    before = {key: value.clone() for key, value in method.network.state_dict().items()}
    method.end_epoch(method.task.settings.epochs - 1)
    assert all(torch.equal(before[key], value) for key, value in method.network.state_dict().items())
    method.finish()
    after = method.network.state_dict()
    assert {key for key in after if not torch.equal(before[key], after[key])} == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize(("epochs", "early", "copied"), [(3, 1, 1), (3, 2, 2), (3, 3, 2), (1, 1, 0), (3, 0, 0)])
def test_the_early_model_is_from_before_the_last_epoch(epochs, early, copied, make, settings):
    method = make("self", {"settings": replace(settings, epochs=epochs)}, early=early)
    for epoch in range(epochs):
        method.begin_epoch(epoch)
        method.network.fc.bias.data.fill_(epoch + 1)
    bias = method.early_network.fc.bias
    assert bool((bias == copied).all()) == (copied > 0)
    assert (bias < epochs).all()


def test_self_looks_at_no_label_when_it_chooses(make, settings):
    def chosen(labels):
        method = make("self", {"settings": replace(settings, epochs=1)}, count=5)
        method.early_network.fc.bias.data[3] += 3
        method.eval()
        features = method.task.over_train(method.network.extract)[method.held]
        return method.reweighted(features, method.network.predict(features).detach(), labels) > 0

    zeros = torch.zeros(19, dtype=torch.long)
    assert chosen(zeros).sum() == 5
    assert torch.equal(chosen(zeros), chosen(torch.arange(19) % 10))


def test_an_earlier_stage_s_weights_count_in_the_last_layer_too(make, settings):
    only = torch.full((96,), 1e-9, dtype=torch.float64)
    only[:48] = 1
    heads = []
    for probabilities in (None, only / only.sum()):
        method = make("afr", {"settings": replace(settings, epochs=1)}, probabilities=probabilities)
        method.finish()
        heads.append(method.network.fc.weight.detach())
    assert not torch.equal(*heads)
