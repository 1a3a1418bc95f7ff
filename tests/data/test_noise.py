"""Label noise: the authors' rule draw for draw, the exact rule as it says, and what neither may touch."""

from dataclasses import replace

import pytest
import torch
from scipy import stats

from data.noise import (
    ASYMMETRIC,
    STYLES,
    add_label_noise,
    asymmetric_map,
    expected_rate,
    noisy_labels,
    read_noise_matrix,
)  # fmt: skip
from data.split import Clean
from utils.errors import UsageError
from utils.seeds import torch_generator

TYPES = ("sym", "asym")
"""Kinds that are defined by the labels alone."""


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
@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_the_expected_rate_is_what_noise_does_on_average(kind, style, rate):
    """But for labels that are redrawn twice, of which the rule of symmetric noise that is told leaves out a few."""
    labels = torch.arange(10).repeat(3000)
    wrong = (add_label_noise(labels, 10, rate, kind, style, 3) != labels).double().mean()
    assert wrong == pytest.approx(expected_rate(10, rate, kind, style), abs=0.01 if kind == "sym" else 0.003)


def clean_split(size=4000, classes=10, side=8, conflicting=0.2):
    """Random images whose bias label is the true one but for a share of them."""
    stream = torch.Generator().manual_seed(1)
    labels = labels_of(size, classes)
    bias = torch.where(torch.rand(size, generator=stream) < conflicting, (labels + 1) % classes, labels)
    images = torch.randint(0, 256, (size, side, side, 3), dtype=torch.uint8, generator=stream).permute(0, 3, 1, 2)
    return Clean(images, labels, bias)


def noisy_split(clean, rate=0.2, kind="sym", style="reference", seed=0, matrix=None, classes=10):
    return noisy_labels(clean, [f"class {c}" for c in range(classes)], rate, kind, style, seed, matrix)


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_minority_noise_moves_labels_of_conflicting_images_only(rate):
    clean = clean_split()
    moved, conflicting = noisy_split(clean, rate, "minority") != clean.labels, clean.labels != clean.bias_labels
    assert int(moved.sum()) == round(rate * int(conflicting.sum()))
    assert not moved[~conflicting].any()
    assert expected_rate(10, rate, "minority", "reference", bratio=0.2) == pytest.approx(0.2 * rate)


def test_minority_noise_needs_to_know_which_images_conflict():
    clean = clean_split(size=50)
    with pytest.raises(UsageError, match="no image is known to be conflicting"):
        noisy_split(replace(clean, bias_labels=torch.full((50,), -1)), 0.1, "minority")


@pytest.mark.parametrize(("rate", "expected"), [(0, 0), (0.05, 0.101), (0.1, 0.129), (0.4, 0.4), (1, 0.92)])
def test_instance_dependent_noise_is_as_much_as_is_expected(rate, expected):
    """Flip rates below 0 and above 1 are cut off, which moves the mean of those around a small or a large rate."""
    clean = clean_split(size=20_000, side=2)
    wrong = float((noisy_split(clean, rate, "instance") != clean.labels).double().mean())
    assert expected_rate(10, rate, "instance", "reference") == pytest.approx(expected, abs=0.001)
    assert wrong == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_the_image_decides_about_instance_dependent_noise(rate):
    clean = clean_split()
    got = noisy_split(clean, rate, "instance")
    assert torch.equal(got, noisy_split(clean, rate, "instance"))
    assert not torch.equal(got, noisy_split(clean, rate, "instance", seed=1))
    same = replace(clean, images=clean.images[:1].expand(4000, -1, -1, -1), labels=torch.zeros(4000, dtype=torch.int64))
    targets = torch.bincount(noisy_split(same, rate, "instance"), minlength=10)[1:]
    assert targets.max() > 0.5 * targets.sum()  # equal images go the same way; symmetric noise would give a ninth each


def test_instance_dependent_noise_by_hand():
    """One image of one pixel: its label goes to the class with the larger projection, if it goes at all."""
    clean = Clean(torch.full((1, 1, 1, 1), 255, dtype=torch.uint8), torch.tensor([0]), torch.tensor([-1]))
    seeds = range(1000)
    moved = torch.cat([noisy_split(clean, 1.0, "instance", seed=seed, classes=3) for seed in seeds])
    scores = torch.stack(
        [torch.randn(3, 1, 3, generator=torch_generator(seed, "instance noise"))[0, 0] for seed in seeds]
    )
    to_second = scores[:, 1:].softmax(1)[:, 1]
    mean_flip_rate = 1 - 0.1 * (2 / torch.pi) ** 0.5  # of the lower half of a normal distribution around 1
    assert float((moved > 0).double().mean()) == pytest.approx(mean_flip_rate, abs=0.03)
    sides = [to_second[(moved == label)].mean() for label in (1, 2)]
    assert sides[0] < 0.4 < 0.6 < sides[1]


def test_large_images_are_averaged_before_they_decide():
    small = clean_split(size=200, side=32)
    large = replace(small, images=small.images.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert torch.equal(noisy_split(small, 0.4, "instance"), noisy_split(large, 0.4, "instance"))


def test_a_noise_matrix_is_followed_row_by_row(tmp_path):
    (tmp_path / "noise.csv").write_text("1,0,0\n0.1,0.6,0.3\n0,0.5,0.5\n")
    matrix = read_noise_matrix(str(tmp_path / "noise.csv"))
    clean = replace(clean_split(30_000, classes=3), bias_labels=torch.full((30_000,), -1))
    got = noisy_split(clean, matrix=matrix, classes=3)
    counts = torch.bincount(clean.labels * 3 + got, minlength=9).view(3, 3).double()
    torch.testing.assert_close(counts / counts.sum(1, keepdim=True), torch.tensor(matrix).double(), atol=0.02, rtol=0)
    assert counts[0, 1] == counts[0, 2] == counts[2, 0] == 0
    assert expected_rate(3, 0.0, "sym", "reference", matrix=matrix) == pytest.approx(0.9 / 3)
    with pytest.raises(UsageError, match="has 3 rows, but there are 10 classes"):
        noisy_split(clean, matrix=matrix)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 rows"),
        ("1\n", "1 rows of 1"),
        ("1,0\n0,1,0\n", "2 rows of 2, 3"),
        ("1,0\n0.5,0.6\n", "row 2: .* sum of 1.1"),
        ("1,0\n-1,2\n", "row 2"),
        ("1,0\nnan,1\n", "row 2"),
        ("a,b\n1,0\n", "cannot read"),
        (None, "cannot read"),
    ],
)
def test_a_file_that_holds_no_noise_matrix(tmp_path, text, reason):
    path = tmp_path / "noise.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_noise_matrix(str(path))


def test_asymmetric_noise_has_a_map_for_digits_and_one_for_any_classes():
    assert asymmetric_map(10, tuple("0123456789"))[7] == 1
    assert asymmetric_map(10) == ASYMMETRIC
    assert asymmetric_map(3) == {0: 1, 1: 2, 2: 0}
    labels = torch.arange(3).repeat(100)
    got = add_label_noise(labels, 3, 0.2, "asym", "exact", 0)
    assert torch.equal(torch.bincount(got - labels + 2, minlength=5), torch.tensor([20, 0, 240, 40, 0]))
