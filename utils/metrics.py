"""The one definition of every accuracy this project reports. All are fractions in [0, 1]; a missing group is None."""

from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

GROUPS = ("aligned-clean", "conflicting-clean", "aligned-noisy", "conflicting-noisy")


def group_index(given: Tensor, true: Tensor, bias: Tensor) -> Tensor:
    """Position in `GROUPS` of every sample, int64 [N]; -1 where the true or the bias label is unknown (-1)."""
    index = (bias != true).long() + 2 * (given != true).long()
    return index.masked_fill((true < 0) | (bias < 0), -1)


def fraction(correct: Tensor, members: Tensor) -> float | None:
    """Share of `correct` among `members` (both bool [N]), None for an empty group."""
    total = int(members.sum())
    return int((correct & members).sum()) / total if total else None


def group_accuracies(predicted: Tensor, true: Tensor, bias: Tensor, num_classes: int) -> dict[str, float | None]:
    """Unbiased, aligned, conflicting and worst class-by-bias-group accuracy of `predicted` (all int64 [N])."""
    correct, known = predicted == true, bias >= 0
    pair = (true * num_classes + bias)[known]
    size = torch.bincount(pair, minlength=num_classes**2)
    hits = torch.bincount(pair[correct[known]], minlength=num_classes**2)
    present = size > 0
    return {
        "accuracy": fraction(correct, torch.ones_like(correct)),
        "aligned": fraction(correct, known & (bias == true)),
        "conflicting": fraction(correct, known & (bias != true)),
        "worst_group": float((hits[present].double() / size[present]).min()) if present.any() else None,
    }


def auroc(score: np.ndarray, positive: np.ndarray, among: np.ndarray) -> float | None:
    """Area under the ROC curve of `score` for `positive`, among the chosen samples; None where a side is empty."""
    truth = positive[among]
    return float(roc_auc_score(truth, score[among])) if truth.any() and not truth.all() else None


def selection_quality(probability: np.ndarray, score: np.ndarray, group: np.ndarray) -> dict[str, Any]:
    """How a selection treats the four groups.

    Args:
        probability: sampling probability of every training sample, [N], sums to 1.
        score: what the selector ranks samples by, [N].
        group: position in `GROUPS`, [N], -1 where unknown.

    Returns:
        probability mass and share of samples per group, and the AUROC of the score for conflicting against aligned
        among clean samples and for noisy against clean.
    """
    known, noisy, conflicting = group >= 0, group >= 2, group % 2 == 1
    return {
        "mass": {name: float(probability[group == g].sum()) for g, name in enumerate(GROUPS)},
        "share": {name: float((group == g).mean()) for g, name in enumerate(GROUPS)},
        "auroc_conflicting": auroc(score, conflicting, known & ~noisy),
        "auroc_noisy": auroc(score, noisy, known),
    }
