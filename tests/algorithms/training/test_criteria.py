"""Criteria without true labels: their values by hand, what is missing, and which epoch is best."""

import pytest
import torch

from algorithms.training.criteria import CRITERIA, DEFAULT, best_epoch, refereed_accuracies

SURE, TORN = [9.0, -9.0, -9.0], [0.0, 0.0, -50.0]


def accuracies(correct, given, referee):
    return refereed_accuracies(torch.tensor(correct), torch.tensor(given), torch.tensor(referee))


def test_the_values_by_hand():
    # confirmed: 3 of 4 right; contradicted: 1 of 2
    got = accuracies([True, True, True, False, True, False], [0, 0, 0, 0, 1, 2], [SURE] * 6)
    assert got["contradicted_valid_accuracy"] == 0.5
    assert got["balanced_valid_accuracy"] == pytest.approx(0.75 / 3 + 2 / 3 * 0.5)
    assert got["debiased_valid_accuracy"] == pytest.approx(0.75 / 3 + 2 / 3 * 0.5), "equal entropies change nothing"
    assert got["cell_valid_accuracy"] == pytest.approx((0.75 + 1 + 0) / 3), "three of nine cells have images"


def test_entropy_weights_images_that_the_referee_is_torn_about():
    got = accuracies([True, False, False], [0, 0, 0], [TORN, SURE, SURE])
    assert got["entropy_weighted_valid_accuracy"] == pytest.approx(1, abs=1e-5)
    got = accuracies([True, False, True, False], [0, 0, 0, 0], [TORN, TORN, TORN, SURE])
    assert got["entropy_weighted_valid_accuracy"] == pytest.approx(2 / 3, abs=1e-6)


def test_of_contradicted_images_those_count_that_the_referee_is_unsure_of():
    got = accuracies([True, True, False, False], [0, 2, 2, 1], [SURE, TORN, SURE, SURE])
    assert got["contradicted_valid_accuracy"] == pytest.approx(1 / 3)
    assert got["debiased_valid_accuracy"] == pytest.approx(1, abs=0.01)


def test_missing_images_give_no_value():
    confirmed_only = accuracies([True, False], [0, 0], [SURE, SURE])
    assert confirmed_only["contradicted_valid_accuracy"] is None
    assert confirmed_only["balanced_valid_accuracy"] is None
    assert confirmed_only["debiased_valid_accuracy"] is None
    contradicted_only = accuracies([True, False], [1, 2], [SURE, SURE])
    assert contradicted_only["contradicted_valid_accuracy"] == 0.5
    assert contradicted_only["balanced_valid_accuracy"] is None
    certain = accuracies([True], [0], [[1e6, 0.0, 0.0]])
    assert certain["entropy_weighted_valid_accuracy"] is None


def test_a_debiased_model_scores_higher_than_a_biased_one_whatever_the_plain_accuracy():
    given = [0] * 90 + [1] * 10  # the referee sees the cue of class 0 everywhere; ten images are conflicting
    referee = [SURE] * 100
    biased, debiased = [True] * 90 + [False] * 10, [True] * 81 + [False] * 9 + [True] * 10
    assert sum(biased) < sum(debiased) + 1
    for key in ("contradicted_valid_accuracy", "balanced_valid_accuracy", "debiased_valid_accuracy"):
        assert accuracies(debiased, given, referee)[key] > accuracies(biased, given, referee)[key] + 0.5


@pytest.mark.parametrize(
    ("values", "best"),
    [([0.5], 0), ([0.1, 0.9, 0.3], 1), ([0.9, 0.1, 0.9], 2), ([0, 0, 0], 2), ([0.2, 0.2, 0.1], 1),
     ([0.2, None, 0.1], 0), ([None, 0.0], 1), ([None, None], 1)],
)  # fmt: skip
def test_of_equally_good_epochs_the_latest_is_best(values, best):
    assert best_epoch(values) == best


def test_the_smallest_loss_is_best():
    assert best_epoch([0.5, 0.2, 0.9], maximise=False) == 1
    assert best_epoch([0.2, 0.2, None], maximise=False) == 1


def test_only_the_oracle_may_look_at_test_images():
    assert {name for name, criterion in CRITERIA.items() if criterion.key.startswith("test")} == {"test_accuracy"}
    assert CRITERIA["test_accuracy"].oracle
    assert not CRITERIA[DEFAULT].oracle
