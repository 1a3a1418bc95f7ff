"""Scores of samples by hand, at a temperature, and the gradient that one of them is the norm of."""

import math

import pytest
import torch
import torch.nn.functional as F

from algorithms.parts.scores import sampling_score

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
        ("disagreement", [0.1, 0.5, 0.9]),
    ],
)
def test_scores_by_hand_at_a_temperature(kind, wanted, close):
    close(sampling_score(kind, LOGITS, LABELS, 1), torch.tensor(wanted, dtype=torch.float64))
    close(sampling_score(kind, 3 * LOGITS, LABELS, 3), torch.tensor(wanted, dtype=torch.float64))


def test_the_gradient_is_that_of_the_cross_entropy_but_for_the_temperature(close):
    logits, labels, tau = torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0]), 2.5
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits.requires_grad_() / tau, labels, reduction="sum"), logits)
    close(sampling_score("gradient_norm", logits.detach(), labels, tau), tau * gradient.norm(dim=1))


def test_a_disagreement_too_small_for_one_minus_the_probability_is_kept(close):
    score = sampling_score("disagreement", torch.tensor([[90.0, 0, 0]], dtype=torch.float64), torch.tensor([0]), 1)
    close(score, torch.tensor([2 * math.exp(-90)], dtype=torch.float64), atol=0)
