"""Coloured digits: no source digit in two splits, exact test groups, the asked bias, the same data every time."""

from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
import torch
from sklearn.datasets import load_digits

from data import colored_digits
from data.coloring import PALETTES
from data.load import DataSettings, load_dataset
from data.registry import NoOptions, datasets

SPLITS = ("train", "valid", "test")


def build(bratio=0.05):
    return datasets["colored_digits"].build(Path("nowhere"), bratio, NoOptions())


@pytest.fixture(scope="module")
def source():
    return build()


@pytest.fixture
def drawn_from(monkeypatch):
    """Position in scikit-learn's digits of the source of every image, per split; the digits are numbered on loading."""
    digits, labels = load_digits(return_X_y=True)
    numbered = digits.copy()
    numbered[:, 0] += np.arange(len(digits)) * 1000  # the top left pixel of a digit is at most 16
    calls, moved = [], colored_digits.moved

    def record(rows, generator):
        calls.append((rows[:, 0] // 1000).astype(int))
        return moved(digits[calls[-1]], generator)

    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda return_X_y: (numbered, labels))
    monkeypatch.setattr(colored_digits, "moved", record)
    source = build()
    assert len(calls) == 3
    rows = dict(zip(SPLITS, calls, strict=True))
    for name, index in rows.items():
        assert torch.equal(getattr(source, name).labels, torch.from_numpy(labels[index]))
    return rows


def test_no_digit_is_in_two_splits_and_none_is_left_out(drawn_from):
    digits = [set(drawn_from[name].tolist()) for name in SPLITS]
    assert [len(each) for each in digits] == [1047, 300, 450]
    assert len(set.union(*digits)) == sum(map(len, digits)) == 1797


def test_every_digit_of_a_split_appears_about_equally_often(drawn_from):
    for name in ("train", "valid"):
        times = np.unique(drawn_from[name], return_counts=True)[1]
        assert times.max() - times.min() <= 1


def test_the_splits_hold_the_classes_alike(drawn_from):
    labels = load_digits().target
    shares = [np.bincount(labels[np.unique(drawn_from[name])]) / len(np.unique(drawn_from[name])) for name in SPLITS]
    assert np.ptp(shares, axis=0).max() < 0.01


def test_every_test_digit_wears_each_colour_once(drawn_from, source):
    rows, bias = torch.from_numpy(drawn_from["test"]), source.test.bias_labels
    pairs = {(row, color) for row, color in zip(rows.tolist(), bias.tolist(), strict=True)}
    assert len(pairs) == len(rows) == 4500
    assert pairs == {(row, color) for row in set(rows.tolist()) for color in range(10)}
    assert (bias == source.test.labels).double().mean().item() == 0.1


def test_test_digits_are_not_moved_and_differ_in_colour_only(source):
    gray = source.test.images.amax(1).reshape(450, 10, 28, 28).float()
    assert (gray - gray[:, :1]).abs().max() < 255 * 6 * colored_digits.COLOR_JITTER


def test_sizes_and_types(source):
    for name, size in zip(SPLITS, (3000, 750, 4500), strict=True):
        clean = getattr(source, name)
        assert clean.images.shape == (size, 3, 28, 28)
        assert clean.images.dtype == torch.uint8
        assert clean.images.is_contiguous(memory_format=torch.channels_last)
        assert clean.labels.dtype == clean.bias_labels.dtype == torch.int64


def test_images_wear_the_colour_of_their_bias_label(source):
    palette = torch.tensor(PALETTES["rainbow"]).float()
    brightest = source.train.images.flatten(2).amax(2).float()
    nearest = torch.cdist(brightest / brightest.amax(1, keepdim=True) * 255, palette).argmin(1)
    assert (nearest == source.train.bias_labels).double().mean() > 0.98


@pytest.mark.parametrize("bratio", [0, 0.05, 1])
def test_bias_ratio(bratio):
    source = build(bratio)
    for clean in (source.train, source.valid):
        share = (clean.labels != clean.bias_labels).double().mean().item()
        assert share == pytest.approx(bratio, abs=4 * (bratio * (1 - bratio) / len(clean.labels)) ** 0.5)
    assert (source.test.labels == source.test.bias_labels).double().mean().item() == 0.1


def test_building_twice_gives_identical_data_and_uses_no_global_generator():
    settings = DataSettings("colored_digits", "", 0.05, 0.1, "sym", "reference", clean_valid=False, seed=0)
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = load_dataset(settings)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    second = load_dataset(settings)
    assert first.summary() == second.summary()
    assert len({first.summary()[name]["fingerprint"] for name in SPLITS}) == 3


def test_the_bias_ratio_changes_training_images_and_no_test_image(source):
    other = build(0.5)
    assert torch.equal(other.test.images, source.test.images)
    assert torch.equal(other.train.labels, source.train.labels)
    assert not torch.equal(other.train.images, source.train.images)


def test_moved_without_a_generator_only_enlarges():
    digits = np.zeros((2, 64))
    digits[0], digits[1, 27] = 16, 16
    images = colored_digits.moved(digits, None)
    assert images.shape == (2, 28, 28)
    assert images.dtype == np.uint8
    assert images[0, 14, 14] == 255
    assert not images[0, [0, -1]].any()
    assert not images[0, :, [0, -1]].any()  # 24 of 28 pixels
    assert abs(np.argwhere(images[1] == images[1].max()).mean(0) - (2 + 3.5 * 3 - 0.5)).max() < 1


def test_moved_copies_of_a_digit_differ():
    digits = np.repeat(load_digits().data[:1], 50, axis=0)
    images = colored_digits.moved(digits, np.random.default_rng(0))
    assert len({image.tobytes() for image in images}) == 50
