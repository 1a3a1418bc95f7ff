"""DENEB's scores by hand, what each does to labels, and its columns of `samples.csv`."""

import math

import pytest
import torch
import torch.nn.functional as F

from algorithms.deneb import sampling_score
from algorithms.parts.losses import prediction_entropy
from algorithms.parts.mixture import keep

LOGITS = torch.tensor([[math.log(9), 0], [0, 0], [math.log(9), 0]], dtype=torch.float64)
LABELS = torch.tensor([0, 0, 1])
"""A confident model that agrees, an undecided one, a confident one that disagrees."""


def entropy(*probabilities):
    return -sum(p * math.log(p) for p in probabilities)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("entropy", [entropy(0.9, 0.1), math.log(2), entropy(0.9, 0.1)]),
        ("loss", [-math.log(0.9), math.log(2), -math.log(0.1)]),
        ("gradient_norm", [0.1 * math.sqrt(2), 0.5 * math.sqrt(2), 0.9 * math.sqrt(2)]),
    ],
)
def test_scores_by_hand_at_a_temperature(kind, wanted, close):
    close(sampling_score(kind, LOGITS, LABELS, 1), torch.tensor(wanted, dtype=torch.float64))
    close(sampling_score(kind, 3 * LOGITS, LABELS, 3), torch.tensor(wanted, dtype=torch.float64))


def test_the_gradient_is_that_of_the_cross_entropy_but_for_the_temperature(close):
    logits, labels, tau = torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0]), 2.5
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits.requires_grad_() / tau, labels, reduction="sum"), logits)
    close(sampling_score("gradient_norm", logits.detach(), labels, tau), tau * gradient.norm(dim=1))


@pytest.mark.parametrize("score", ["entropy", "loss", "gradient_norm"])
def test_probabilities_are_proportional_to_the_chosen_score(score, make, close):
    method = make("deneb", score=score, tau=2.0).eval()
    logits = method.task.over_train(method.predict).double()
    probabilities, rated = method.select()
    close(rated, sampling_score(score, logits, method.task.train.labels, 2.0))
    close(probabilities, rated / rated.sum())


def test_diagnostics_are_of_the_given_labels_and_of_the_filter(make, train, tmp_path, close):
    method = make("deneb", score="loss", tau=2.0, p_threshold=0.3)
    train(method, tmp_path / "checkpoint.pt")
    method.eval()
    told = method.diagnostics()
    logits = method.task.over_train(method.predict)
    close(told["prejudice_loss"], F.cross_entropy(logits, method.task.train.labels, reduction="none"))
    close(told["entropy"], prediction_entropy(logits.double(), 2.0))
    kept = method.kept_samples()
    assert 1 < len(kept) < len(method.task.train)
    assert torch.equal(kept, keep(told["clean_aligned_probability"], 0.3))
