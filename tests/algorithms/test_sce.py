"""Symmetric cross entropy against both published implementations, and at its edges."""

import math

import pytest
import torch

from algorithms.parts.losses import symmetric_cross_entropy
from algorithms.sce import FLOOR


@pytest.mark.parametrize(("floor", "loss", "gradient"), [(1e-4, "loss", "grad_logits"),
                                                          (FLOOR, "deneb_loss_mean", "deneb_grad_logits")])  # fmt: skip
def test_golden(golden, close, floor, loss, gradient):
    for case in golden("sce"):
        logits = case.given["logits"].requires_grad_()
        value = symmetric_cross_entropy(
            logits, case.given["labels"], case.hparams["alpha"], case.hparams["beta"], floor
        ).mean()
        close(value, case.wanted[loss])
        close(torch.autograd.grad(value, logits)[0], case.wanted[gradient])


def test_deneb_averages_the_cross_entropy_before_adding_it(golden, close):
    for case in golden("sce"):
        logits, labels = case.given["logits"], case.given["labels"]
        cross_entropy = symmetric_cross_entropy(logits, labels, case.hparams["alpha"], 0, FLOOR)
        reverse = symmetric_cross_entropy(logits, labels, 0, case.hparams["beta"], FLOOR)
        close(cross_entropy.mean() + reverse, case.wanted["deneb_vector"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [2, 6, 100])
def test_by_hand(close, dtype, classes):
    """Equal logits: cross entropy log C, reverse cross entropy 4 (1 - 1/C)."""
    value = symmetric_cross_entropy(torch.zeros(1, classes, dtype=dtype), torch.tensor([1]), 0.5, 0.2, FLOOR)
    assert value.dtype == dtype
    close(value, torch.tensor([0.5 * math.log(classes) + 0.2 * 4 * (1 - 1 / classes)]), rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits(dtype):
    logits = torch.tensor([[300.0, -300, 0], [-300, 300, 0]], dtype=dtype, requires_grad=True)
    losses = symmetric_cross_entropy(logits, torch.tensor([0, 0]), 0.1, 1.0, FLOOR)
    assert losses.tolist() == pytest.approx([0, 0.1 * 600 + 4], abs=1e-4)
    assert torch.isfinite(torch.autograd.grad(losses.sum(), logits)[0]).all()


def test_the_method_s_defaults_are_the_paper_s(make, close):
    method = make("sce")
    batch = method.task.batch(torch.arange(16))
    loss, logits = method.step(batch)
    p = logits.softmax(1).gather(1, batch.labels[:, None]).squeeze(1)
    close(loss, (0.1 * -p.log() + 4 * (1 - p)).mean(), rtol=1e-5)
