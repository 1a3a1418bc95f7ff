"""FINE's scores and mixtures against the authors' code, and features that tell nothing."""

import pytest
import torch

from algorithms.parts.alignment import aligned_probability, alignment
from utils.errors import RunError

WITHIN = 5e-3
"""What the golden file states for mixtures."""

OFFICIAL = {"max_iter": 10, "tol": 1e-6, "reg_covar": 1e-6}


def test_golden(golden, close):
    for case in golden("fine"):
        features, labels = case.given["features"], case.given["labels"]
        scores = alignment(features, labels)
        close(scores, case.wanted["score"], rtol=1e-8)
        close(alignment(features, labels, normalise=False), case.wanted["score_unnormalised"], rtol=1e-8)
        official, threshold = aligned_probability(scores, labels, **OFFICIAL), case.hparams["p_threshold"]
        close(official, case.wanted["clean_prob_official"], rtol=0, atol=WITHIN)
        assert torch.equal(official > threshold, case.wanted["selected_official"].bool())
        close(aligned_probability(scores, labels), case.wanted["clean_prob_deneb"], rtol=0, atol=WITHIN)


def test_finds_the_samples_off_their_class_s_direction():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 2
    truth = torch.where(torch.arange(400) < 320, labels, 1 - labels)
    features = 5 * torch.eye(8)[truth] + torch.rand(400, 8, generator=generator)
    clean = aligned_probability(alignment(features, labels), labels)
    assert ((clean > 0.5) == (truth == labels)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("features", ["zero", "constant", "huge"])
def test_features_that_tell_nothing_look_all_clean(dtype, features):
    rows = {"zero": torch.zeros(9, 4), "constant": torch.full((9, 4), 0.37), "huge": torch.full((9, 4), 1e30)}[features]
    labels = torch.tensor([0, 0, 0, 0, 0, 7, 7, 7, 99])
    scores = alignment(rows.to(dtype), labels)
    assert scores.tolist() == pytest.approx([0.0 if features == "zero" else 1.0] * 9)
    assert aligned_probability(scores, labels).tolist() == [1] * 9


def test_single_samples_and_pairs():
    """A class of one is clean; in a class of two, one lies along the direction of the longer feature, one does not."""
    labels = torch.tensor([0, 1, 1])
    scores = alignment(torch.tensor([[0.0, 1], [2, 0], [0, 1]]), labels)
    assert scores.tolist() == pytest.approx([1, 1, 0])
    assert aligned_probability(scores, labels).tolist() == pytest.approx([1, 1, 0])


def test_a_feature_of_zeros_has_score_zero():
    assert alignment(torch.tensor([[0.0, 0], [1, 0], [1, 0]]), torch.zeros(3, dtype=torch.long))[0] == 0


def test_the_division_is_reproducible(golden):
    given = golden("fine")[0].given
    one, other = (aligned_probability(alignment(given["features"], given["labels"]), given["labels"]) for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_feature_that_is_not_finite_is_an_error(bad):
    with pytest.raises(RunError, match="diverged"):
        alignment(torch.tensor([[1.0, bad], [0, 1]]), torch.tensor([0, 0]))
