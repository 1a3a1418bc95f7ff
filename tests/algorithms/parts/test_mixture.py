"""The two-component mixture over losses: golden numbers, DENEB's filter, and losses that tell nothing."""

import numpy as np
import pytest
import torch

from algorithms.parts.mixture import clean_positions, clean_probability, component_posterior, min_max
from utils.errors import RunError

WITHIN = 2e-3
"""What the golden files state: k-means starts differ between implementations."""


def clean_probabilities(losses):
    return torch.from_numpy(clean_probability(losses.numpy()))


def test_clean_probability_golden(golden, close):
    for case in golden("gmm_clean_prob_losses"):
        close(torch.from_numpy(min_max(case.given["losses"].numpy())), case.wanted["normalised"])
        close(clean_probabilities(case.given["losses"]), case.wanted["clean_prob"], rtol=0, atol=WITHIN)
        five = torch.cat([case.given["history_for_r09"], case.wanted["normalised"][None]])[-5:]
        averaged = component_posterior(five.mean(0).numpy(), "lower", max_iter=10, tol=1e-2, reg_covar=5e-4)
        close(torch.from_numpy(averaged), case.wanted["clean_prob_r09"], rtol=0, atol=WITHIN)


def test_the_prejudice_filter_golden(golden, close):
    for case in golden("deneb_prejudice_filter"):
        threshold, wanted = case.hparams["p_threshold"], case.wanted["clean_prob"]
        clean = clean_probabilities(case.given["losses"])
        close(clean, wanted, rtol=0, atol=WITHIN)
        borderline = set(((wanted - threshold).abs() < WITHIN).nonzero().flatten().tolist())
        kept = set(clean_positions(clean, threshold).tolist())
        assert kept - borderline == set(case.wanted["selected"].tolist()) - borderline
        assert 0 < len(kept) < len(clean)


@pytest.mark.parametrize("threshold", [1.0, 1.5])
def test_an_empty_filter_keeps_everything(golden, threshold):
    clean = clean_probabilities(golden("deneb_prejudice_filter")[0].given["losses"])
    assert clean_positions(clean.clamp(max=1), threshold).tolist() == list(range(len(clean)))


@pytest.mark.parametrize(
    ("clean", "kept"),
    [
        ([0.9, 0.1, 0.8], [0, 2]),
        ([0.9, 0.1, 0.5], [0, 1, 2]),  # one alone cannot be batch-normalised; the threshold itself is not above it
        ([0.1, 0.1, 0.1], [0, 1, 2]),
        ([0.6, 0.7, 0.8], [0, 1, 2]),
    ],
)
def test_clean_positions(clean, kept):
    assert clean_positions(torch.tensor(clean), 0.5).tolist() == kept


@pytest.mark.parametrize("value", [0.0, 0.3, 700.0])
@pytest.mark.parametrize("count", [1, 2, 50])
def test_constant_losses_look_all_clean(value, count):
    assert clean_probability(np.full(count, value)).tolist() == [1] * count


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_is_an_error(bad):
    with pytest.raises(RunError, match=r"not finite.*--lr"):
        clean_probability(np.array([0.1, bad, 0.2]))


def test_two_samples():
    clean = clean_probability(np.array([3.0, 0.5], np.float32))
    assert clean.dtype == np.float64
    assert clean[0] < 1e-3
    assert clean[1] > 1 - 1e-3


def test_one_outlier_among_equal_losses():
    losses = np.zeros(1000)
    losses[17] = 5
    clean = clean_probability(losses)
    assert np.flatnonzero(clean < 0.5).tolist() == [17]


def test_finds_the_smaller_component_whatever_the_scale():
    draws = np.random.default_rng(0)
    losses = np.concatenate([draws.normal(0.2, 0.05, 300), draws.normal(3, 0.4, 100)])
    order = draws.permutation(400)
    clean = clean_probability(losses[order])
    assert ((clean > 0.5) == (order < 300)).all()
    np.testing.assert_allclose(clean_probability(1000 * losses[order] - 7), clean, atol=1e-6)
    np.testing.assert_array_equal(clean_probability(losses[order]), clean)


def test_min_max():
    assert min_max(np.array([3.0, 1, 2])).tolist() == [1, 0, 0.5]
    assert min_max(np.array([4.0, 4])).tolist() == [0, 0]
