"""LfF's step against the authors' code, and what it passes on."""

import pytest
import torch

from algorithms.base import Batch
from algorithms.lff import lff_losses
from algorithms.parts.loss_table import FailureWeights


def batch_of(index, labels):
    return Batch(torch.zeros(len(index), 0), labels[index], index)


def test_golden(golden, close):
    for case in golden("lff_step"):
        labels, hparams = case.given["train_labels"], case.hparams
        weights = FailureWeights(labels, hparams["num_classes"], hparams["alpha"], torch.float64)
        for step in range(hparams["steps"]):
            index = case.given[f"index{step}"]
            biased, debiased = (case.given[f"logits_{net}{step}"].requires_grad_() for net in "bd")
            loss = lff_losses(biased, debiased, batch_of(index, labels), weights, hparams["q"]).mean()
            loss.backward()
            close(weights.at(index), case.wanted[f"loss_weight{step}"])
            close(loss, case.wanted[f"loss{step}"])
            close(biased.grad, case.wanted[f"grad_b{step}"])
            close(debiased.grad, case.wanted[f"grad_d{step}"])
            close(weights.biased.values, case.wanted[f"ema_b{step}"])
            close(weights.debiased.values, case.wanted[f"ema_d{step}"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [2, 100])
@pytest.mark.parametrize("size", [1, 8])
def test_extreme_logits_stay_finite(dtype, classes, size):
    """The first class is absent, and some losses are exactly zero."""
    labels = torch.ones(size, dtype=torch.long)
    weights = FailureWeights(labels, classes, 0.7, dtype)
    for right in (0, 1):
        biased, debiased = (torch.full((size, classes), -300.0, dtype=dtype) for _ in range(2))
        biased[:, 1] = 300
        debiased[:, right] = 300
        biased.requires_grad_()
        debiased.requires_grad_()
        losses = lff_losses(biased, debiased, batch_of(torch.arange(size), labels), weights, 0.7)
        losses.sum().backward()
        assert losses.shape == (size,)
        for values in (losses, biased.grad, debiased.grad, weights.everywhere()):
            assert values.isfinite().all()


def test_samples_that_the_biased_network_fails_on_weigh_most():
    """Two samples of one class; the biased network finds only the first easy, the other network finds both alike."""
    labels = torch.zeros(2, dtype=torch.long)
    weights = FailureWeights(labels, 2, 0.7)
    biased, debiased = torch.tensor([[6.0, 0], [0, 6]]), torch.zeros(2, 2)
    lff_losses(biased, debiased, batch_of(torch.arange(2), labels), weights, 0.7)
    assert weights.everywhere().tolist() == pytest.approx([0, 0.5], abs=1e-3)


def test_the_form_of_the_paper_has_a_gradient_that_is_not_scaled_by_q():
    """Of the biased network's; the other one's is the same."""
    labels, gradients = torch.tensor([0, 1, 1]), []
    for form in ("scaled", "lq"):
        weights = FailureWeights(labels, 2, 0.7, torch.float64)
        logits = [torch.tensor([[1.0, 0], [2, 1], [0, 3]], dtype=torch.float64, requires_grad=True) for _ in range(2)]
        lff_losses(*logits, batch_of(torch.arange(3), labels), weights, 0.6, form).sum().backward()
        gradients.append([each.grad for each in logits])
    torch.testing.assert_close(gradients[0][0], 0.6 * gradients[1][0])
    assert torch.equal(gradients[0][1], gradients[1][1])


def test_passes_on_the_weights_of_its_tables(make):
    method = make("lff")
    method.step(method.task.batch(torch.arange(50)))
    weights, score = method.select()
    assert torch.equal(weights, method.weights.at(torch.arange(96)))
    assert torch.equal(weights.double(), score)
    assert len(weights[:50].unique()) > 25
    assert (weights[50:] == 0.5).all()  # never seen
