"""The one definition of every accuracy this project reports. All are fractions in [0, 1]; a missing group is None."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

GROUPS = ("aligned-clean", "conflicting-clean", "aligned-noisy", "conflicting-noisy")


def group_index(given: Tensor, true: Tensor, bias: Tensor) -> Tensor:
    """Position in `GROUPS` of every sample, int64 [N]; -1 where the true or the bias label is unknown (-1)."""
    index = (bias != true).long() + 2 * (given != true).long()
    return index.masked_fill((true < 0) | (bias < 0), -1)


def group_counts(groups: Tensor) -> dict[str, int]:
    """The number of samples in each of `GROUPS`, from their positions (int64 [N]), and of those in none we know of."""
    counts = {name: int((groups == g).sum()) for g, name in enumerate(GROUPS)}
    unknown = int((groups < 0).sum())
    return counts | {"unknown": unknown} if unknown else counts


def fraction(correct: Tensor, members: Tensor) -> float | None:
    """Share of `correct` among `members` (both bool [N]), None for an empty group."""
    total = int(members.sum())
    return int((correct & members).sum()) / total if total else None


def accuracies_within(correct: Tensor, groups: Tensor) -> Tensor:
    """Accuracy in each group that has a sample, float64; `correct` is bool [N], the groups' numbers int64 [N]."""
    size = torch.bincount(groups)
    hits = torch.bincount(groups[correct], minlength=len(size))
    present = size > 0
    return hits[present].double() / size[present]


def group_accuracies(
    predicted: Tensor, true: Tensor, bias: Tensor, num_classes: int, cue: Tensor | None = None
) -> dict[str, float | None]:
    """Unbiased, aligned, conflicting and worst class-by-cue-group accuracy of `predicted` (all int64 [N]).

    Samples whose true label is unknown (-1) count nowhere, those whose bias label is unknown in the first only.

    Args:
        cue: the cue's value, where it has other values than there are classes; the bias label otherwise.
    """
    correct, judged = predicted == true, true >= 0
    known = judged & (bias >= 0)
    pair = ((bias if cue is None else cue) * num_classes + true)[known]
    return {
        "accuracy": fraction(correct, judged),
        "aligned": fraction(correct, known & (bias == true)),
        "conflicting": fraction(correct, known & (bias != true)),
        "worst_group": float(accuracies_within(correct[known], pair).min()) if known.any() else None,
    }


def adjusted_accuracy(
    predicted: Tensor, true: Tensor, cue: Tensor, train_true: Tensor, train_cue: Tensor
) -> float | None:
    """Mean of the accuracies of all class-by-cue groups, weighted by their sizes in the training set.

    The average accuracy of Sagawa et al. (ICLR 2020, section 3.1) for test sets whose groups have other shares. All are
    int64, -1 where unknown; the first three [N], the others [M]. None where a training group has no test image.
    """
    known = (train_true >= 0) & (train_cue >= 0)
    values = int(train_cue.max()) + 1
    groups, sizes = (train_true * values + train_cue)[known].unique(return_counts=True)
    pairs = [divmod(group, values) for group in groups.tolist()]
    accuracies = [fraction(predicted == true, (true == y) & (cue == value)) for y, value in pairs]
    found = [accuracy for accuracy in accuracies if accuracy is not None]
    if not found or len(found) < len(accuracies):
        return None
    return sum(size * accuracy for size, accuracy in zip(sizes.tolist(), found, strict=True)) / int(sizes.sum())


def auroc(score: np.ndarray, positive: np.ndarray, among: np.ndarray) -> float | None:
    """Area under the ROC curve of `score` for `positive`, among the chosen samples; None where a side is empty."""
    from sklearn.metrics import roc_auc_score

    truth = positive[among]
    return float(roc_auc_score(truth, score[among])) if truth.any() and not truth.all() else None


def effective_number(weights: np.ndarray) -> float:
    """(sum w)^2 / sum w^2 of weights [N] (Kish 1965): how many equally weighted samples they are worth."""
    total = weights.sum()
    return float(1 / np.square(weights / total).sum()) if total > 0 else 0.0


def selection_quality(probability: np.ndarray, score: np.ndarray, group: np.ndarray) -> dict[str, Any]:
    """The treatment of the four groups by a selection.

    Args:
        probability: sampling probability of every training sample, [N], sums to 1.
        score: what the selector ranks samples by, [N].
        group: position in `GROUPS`, [N], -1 where unknown.

    Returns:
        probability mass, share of samples and effective number of samples per group (None where no sample's group is
        known), and the AUROC of the score for conflicting against aligned among clean samples and for noisy against
        clean.
    """
    known, noisy, conflicting = group >= 0, group >= 2, group % 2 == 1
    groups = list(enumerate(GROUPS)) if known.any() else []
    nothing = dict.fromkeys(GROUPS)
    return {
        "mass": nothing | {name: float(probability[group == g].sum()) for g, name in groups},
        "effective": nothing | {name: effective_number(probability[group == g]) for g, name in groups},
        "share": nothing | {name: float((group == g).mean()) for g, name in groups},
        "auroc_conflicting": auroc(score, conflicting, known & ~noisy),
        "auroc_noisy": auroc(score, noisy, known),
    }


def record_key(criterion: str) -> str:
    """Key of an epoch's record that a criterion of `--best_by` looks at."""
    return "valid_accuracy" if criterion == "clean_valid" else criterion


def is_oracle(criterion: str) -> bool:
    """True for a criterion that looks at test data."""
    return criterion.startswith("test_")


def larger_is_better(criterion: str) -> bool:
    return not criterion.endswith("_loss")
