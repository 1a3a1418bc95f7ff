"""Label noise: the authors' rule draw for draw, the exact rule as it says, and what neither may touch."""

import pytest
import torch
from scipy import stats

from data.noise import ASYMMETRIC, STYLES, TYPES, add_label_noise, expected_rate
from utils.errors import UsageError


def labels_of(size=1000, classes=10, seed=0):
    return torch.randint(0, classes, (size,), generator=torch.Generator().manual_seed(seed))


def noisy(labels, rate=0.4, kind="sym", style="reference", seed=0, classes=10):
    return add_label_noise(labels, classes, rate, kind, style, seed)


def test_reference_golden(golden):
    cases = golden("label_noise")
    assert {case.hparams["noise_type"] for case in cases} == set(TYPES)
    for case in cases:
        labels, about = case.given["label"], case.hparams
        got = noisy(labels, about["noise"], about["noise_type"], "reference", about["seed"], about["num_classes"])
        assert torch.equal(got, case.wanted["noisy_label"])
        assert torch.equal(labels, case.wanted["gt_label"])


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("style", STYLES)
def test_the_labels_that_go_in_stay_as_they_are(kind, style):
    labels = labels_of()
    before = labels.clone()
    assert not torch.equal(noisy(labels, 0.9, kind, style), before)
    assert torch.equal(labels, before)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("style", STYLES)
def test_the_seed_decides_except_for_the_authors_asymmetric_noise(kind, style):
    labels = labels_of()
    first, again, other = (noisy(labels, 0.4, kind, style, seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == ((kind, style) == ("asym", "reference"))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("style", STYLES)
def test_no_rate_no_noise_and_no_global_generator(kind, style):
    labels = labels_of()
    state = torch.random.get_rng_state()
    assert torch.equal(noisy(labels, 0.0, kind, style), labels)
    noisy(labels, 0.5, kind, style)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.25, 0.4, 1.0])
@pytest.mark.parametrize("size", [997, 1000])
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_exact_symmetric_noise_moves_as_many_labels_as_it_says(rate, size, classes):
    labels = labels_of(size, classes)
    got = noisy(labels, rate, "sym", "exact", classes=classes)
    assert int((got != labels).sum()) == round(rate * size)
    assert 0 <= got.min() <= got.max() < classes


@pytest.mark.parametrize("rate", [0.1, 0.25, 1.0])
def test_exact_asymmetric_noise_moves_each_class_along_the_map(rate):
    labels = labels_of(997)
    got = noisy(labels, rate, "asym", "exact")
    for label in range(10):
        members, moved = labels == label, (labels == label) & (got != labels)
        assert int(moved.sum()) == (round(rate * int(members.sum())) if label in ASYMMETRIC else 0)
        assert (got[moved] == ASYMMETRIC.get(label, label)).all()


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_the_reference_redraws_among_all_classes(rate):
    """So a tenth of the redrawn labels stays as it was, and later classes redraw some of the earlier ones' labels."""
    labels = torch.arange(10).repeat_interleave(6000)
    share = float((noisy(labels, rate) != labels).double().mean())
    assert share == pytest.approx({0.1: 0.089, 0.4: 0.352}[rate], abs=0.003)


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_the_reference_s_asymmetric_noise_hits_half_the_classes_and_turns_some_cats_back(rate):
    labels = torch.arange(10).repeat_interleave(2000)
    got = noisy(labels, rate, "asym")
    rates = [float((got != labels)[labels == label].double().mean()) for label in range(10)]
    assert [rates[label] for label in (2, 4, 9)] == [rate] * 3
    assert [rates[label] for label in (0, 1, 6, 7, 8)] == [0] * 5
    assert rates[5] == pytest.approx(rate, abs=0.03)
    assert rates[3] == pytest.approx(rate * (1 - rate), abs=0.03)


def test_exact_symmetric_noise_prefers_no_class():
    labels = torch.full((20_000,), 4)
    got = noisy(labels, 0.9, "sym", "exact")
    counts = torch.bincount(got[got != 4], minlength=10)
    assert stats.chisquare(counts[torch.arange(10) != 4].numpy()).pvalue > 1e-3


@pytest.mark.parametrize("style", STYLES)
def test_which_samples_are_hit_does_not_depend_on_their_position(style):
    labels = torch.arange(10).repeat(2000)
    hit = (noisy(labels, 0.4, "sym", style) != labels).reshape(20, 1000).sum(1)
    assert stats.chisquare(hit.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("style", STYLES)
def test_a_class_without_samples(style):
    labels = labels_of(500, 9)  # class 9 is missing
    for kind in TYPES:
        got = noisy(labels, 0.5, kind, style)
        assert (got != labels).any()
        assert got.max() < 10


@pytest.mark.parametrize("classes", [2, 9, 11, 100])
def test_asymmetric_noise_is_for_ten_classes_only(classes):
    with pytest.raises(UsageError, match=f"means nothing for {classes} classes.*--noise_type sym"):
        noisy(labels_of(100, 2), 0.1, "asym", classes=classes)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("style", STYLES)
def test_the_expected_rate_is_what_noise_does_on_average(kind, style):
    labels = torch.arange(10).repeat(3000)
    wrong = (add_label_noise(labels, 10, 0.2, kind, style, 3) != labels).double().mean()
    assert wrong == pytest.approx(expected_rate(10, 0.2, kind, style), abs=0.006)
