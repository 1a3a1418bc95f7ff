"""Accuracies by hand: fractions, groups that are missing, bias labels that are unknown, ties."""

import numpy as np
import pytest
import torch

from utils.metrics import (
    GROUPS,
    auroc,
    effective_number,
    fraction,
    group_accuracies,
    group_counts,
    group_index,
    selection_quality,
)


def accuracies(predicted, true, bias, classes=3):
    return group_accuracies(*map(torch.tensor, (predicted, true, bias)), classes)


def test_accuracies_by_hand():
    got = accuracies([0, 0, 1, 2, 2, 0, 0], [0, 0, 1, 2, 2, 2, 2], [0, 0, 1, 2, 0, 0, 0])
    assert got == {"accuracy": 5 / 7, "aligned": 1.0, "conflicting": 1 / 3, "worst_group": 1 / 3}


def test_the_worst_group_is_a_class_and_a_bias_label_not_aligned_or_conflicting():
    got = accuracies([0, 0, 1, 0], [0, 0, 1, 1], [1, 1, 0, 2])
    assert got["conflicting"] == 0.75
    assert got["worst_group"] == 0


@pytest.mark.parametrize(
    ("bias", "missing"),
    [([0, 1, 2], {"conflicting"}), ([1, 2, 0], {"aligned"}), ([-1, -1, -1], {"aligned", "conflicting", "worst_group"})],
)
def test_a_missing_group_is_none_and_never_zero(bias, missing):
    got = accuracies([0, 1, 2], [0, 1, 2], bias)
    assert {name for name, value in got.items() if value is None} == missing
    assert {value for name, value in got.items() if name not in missing} == {1.0}


def test_samples_without_a_bias_label_count_for_the_accuracy_only():
    got = accuracies([0, 1, 0], [0, 1, 2], [0, 0, -1])
    assert got == {"accuracy": 2 / 3, "aligned": 1.0, "conflicting": 1.0, "worst_group": 1.0}


@pytest.mark.parametrize("classes", [2, 100])
def test_the_last_class_counts(classes):
    last = classes - 1
    got = accuracies([last, 0], [last, last], [last, 0], classes)
    assert got == {"accuracy": 0.5, "aligned": 1.0, "conflicting": 0.0, "worst_group": 0.0}


def test_fraction():
    correct, members = torch.tensor([True, True, False]), torch.tensor([True, False, True])
    assert fraction(correct, members) == 0.5
    assert fraction(correct, torch.zeros(3, dtype=torch.bool)) is None
    assert fraction(correct[:0], members[:0]) is None


@pytest.mark.parametrize(
    ("given", "true", "bias", "group"),
    [
        (1, 1, 1, "aligned-clean"),
        (1, 1, 2, "conflicting-clean"),
        (2, 1, 1, "aligned-noisy"),
        (2, 1, 2, "conflicting-noisy"),  # aligned is judged with the true label, not with the given one
        (1, 1, -1, None),
        (1, -1, 1, None),
    ],
)
def test_group_index(given, true, bias, group):
    index = group_index(torch.tensor([given]), torch.tensor([true]), torch.tensor([bias])).item()
    assert index == (-1 if group is None else GROUPS.index(group))


SCORE = np.array([1.0, 2, 3, 4, 5, 6])


def test_selection_quality_by_hand():
    probability = np.array([0.1, 0.2, 0.3, 0.2, 0.1, 0.1])
    quality = selection_quality(probability, SCORE, np.array([0, 1, 0, 1, 2, 3]))
    assert quality["mass"] == pytest.approx(dict(zip(GROUPS, (0.4, 0.4, 0.1, 0.1), strict=True)))
    assert quality["share"] == pytest.approx(dict(zip(GROUPS, (2 / 6, 2 / 6, 1 / 6, 1 / 6), strict=True)))
    effective = (0.16 / 0.10, 0.16 / 0.08, 1, 1)
    assert quality["effective"] == pytest.approx(dict(zip(GROUPS, effective, strict=True)))
    assert quality["auroc_conflicting"] == 0.75  # among the clean: 3 of the 4 pairs are in order
    assert quality["auroc_noisy"] == 1


def test_selection_quality_leaves_unknown_samples_out():
    quality = selection_quality(np.full(6, 1 / 6), SCORE, np.array([0, 1, -1, -1, -1, -1]))
    assert sum(quality["mass"].values()) == pytest.approx(1 / 3)
    assert quality["auroc_conflicting"] == 1
    assert quality["auroc_noisy"] is None


def test_effective_number_of_images():
    assert effective_number(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_number(np.array([1e-200, 0, 0])) == 1
    assert effective_number(np.zeros(3)) == effective_number(np.zeros(0)) == 0


@pytest.mark.parametrize("positive", [True, False])
def test_one_sided_auroc_is_none(positive):
    everyone = np.ones(6, bool)
    assert auroc(SCORE, np.full(6, positive), everyone) is None
    assert auroc(SCORE, everyone, ~everyone) is None


def test_auroc_of_equal_scores_is_a_half():
    assert auroc(np.zeros(4), np.array([True, False, True, False]), np.ones(4, bool)) == 0.5


def test_samples_without_a_true_label_count_nowhere():
    got = accuracies([0, 1, 0, 1], [0, 1, -1, -1], [0, 0, 0, -1])
    assert got == {"accuracy": 1.0, "aligned": 1.0, "conflicting": 1.0, "worst_group": 1.0}
    assert set(accuracies([0, 1], [-1, -1], [0, 1]).values()) == {None}


def test_the_quality_of_a_selection_is_missing_where_no_group_is_known():
    quality = selection_quality(np.full(6, 1 / 6), SCORE, np.full(6, -1))
    assert quality["mass"] == quality["share"] == quality["effective"] == dict.fromkeys(GROUPS)
    assert quality["auroc_conflicting"] is quality["auroc_noisy"] is None


def test_group_counts_name_the_unknown_only_if_there_are_some():
    assert group_counts(torch.tensor([0, 3, 3, 1])) == dict(zip(GROUPS, (1, 1, 0, 2), strict=True))
    assert group_counts(torch.tensor([0, -1, -1])) == {**dict(zip(GROUPS, (1, 0, 0, 0), strict=True)), "unknown": 2}
