"""Disen's losses against the authors' code, when they swap, and what each part trains."""

import pytest
import torch
from torch import nn

from algorithms.base import Batch
from algorithms.disen import Disen, disen_losses
from algorithms.parts.loss_table import FailureWeights


def linear(weight, bias):
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


def test_golden(golden, close):
    for case in golden("disen_step"):
        given, wanted, about = case.given, case.wanted, case.hparams
        labels = given["train_labels"]
        weights = FailureWeights(labels, about["num_classes"], about["alpha"], torch.float64)
        hparams = Disen.Hparams(
            about["alpha"], about["q"], lambda_dis=about["lambda_dis_align"], lambda_swap=about["lambda_swap"]
        )
        assert about["lambda_swap_align"] == about["lambda_dis_align"]
        heads = [linear(given[f"fc_{side}_weight"], given[f"fc_{side}_bias"]) for side in "lb"]
        for step in range(about["steps"]):
            index = given[f"index{step}"]
            features = [given[f"z_{side}{step}"].requires_grad_() for side in "lb"]
            batch = Batch(torch.zeros(len(index), 0), labels[index], index)
            permutation = given[f"perm{step}"] if step > about["curr_step"] else None
            losses, logits = disen_losses(*heads, *features, batch, weights, hparams, permutation)
            gradients = torch.autograd.grad(losses.mean(), [*features, heads[0].weight, heads[1].weight])
            close(losses.mean(), wanted[f"loss{step}"])
            for gradient, name in zip(gradients, ("z_l", "z_b", "fc_l", "fc_b"), strict=True):
                close(gradient, wanted[f"grad_{name}{step}"])
            close(weights.at(index), wanted[f"loss_weight{step}"])
            close(weights.biased.values, wanted[f"ema_b{step}"])
            close(weights.debiased.values, wanted[f"ema_d{step}"])
            close(logits, heads[0](torch.cat(features, 1)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [2, 100])
@pytest.mark.parametrize("size", [1, 8])
def test_extreme_features_stay_finite(dtype, classes, size):
    labels = torch.ones(size, dtype=torch.long)
    weights = FailureWeights(labels, classes, 0.7, dtype)
    heads = [linear(sign * torch.ones(classes, 8, dtype=dtype), torch.zeros(classes, dtype=dtype)) for sign in (1, -1)]
    for head in heads:
        head.weight.data[0] *= -1
    features = [torch.full((size, 4), 40.0, dtype=dtype, requires_grad=True) for _ in range(2)]
    batch = Batch(torch.zeros(size, 0), labels, torch.arange(size))
    losses, _ = disen_losses(*heads, *features, batch, weights, Disen.Hparams(), torch.arange(size).flip(0))
    losses.sum().backward()
    assert losses.shape == (size,)
    for values in (losses, features[0].grad, features[1].grad, weights.everywhere()):
        assert values.isfinite().all()


def test_swaps_after_the_warm_up(make):
    method = make("disen", warmup=2)
    swapping = []
    for epoch in range(4):
        method.begin_epoch(epoch)
        swapping.append(method.swapping)
    assert swapping == [False, False, True, True]


def test_each_head_trains_its_own_encoder(make):
    method = make("disen", lambda_dis=0.0)
    before = {key: value.clone() for key, value in method.named_parameters()}
    method.begin_epoch(0)
    method.optimizers = [torch.optim.SGD(method.parameters(), 0.1)]
    method.step(method.task.batch(torch.arange(32)))
    changed = {key for key, value in method.named_parameters() if not torch.equal(value, before[key])}
    assert changed == {key for key in before if key.startswith("network.")}
