"""Biased MNIST: white digits on a background in the colour of the bias label."""

import numpy as np
import pytest
import torch

from data import biased_mnist, mnist
from data.coloring import PALETTES
from data.registry import datasets
from utils.errors import RunError


@pytest.fixture
def digits(monkeypatch):
    """Stands for MNIST: 300 training digits, of which 200 are for training, and 100 test digits."""
    draws = np.random.default_rng(0)
    parts = [(draws.integers(0, 256, (size, 28, 28), np.uint8), draws.integers(0, 10, size)) for size in (300, 100)]
    for images, _ in parts:
        images[:, 0, 0], images[:, 0, 1] = 0, 255
    monkeypatch.setattr(mnist, "TRAIN_SIZE", 200)
    monkeypatch.setattr(biased_mnist, "read_mnist", lambda *arguments: tuple(parts))
    return parts


def build(data_dir, bratio=0.2, **options):
    return datasets["biased_mnist"].build(data_dir, bratio, biased_mnist.Options(**options))


def test_the_background_wears_the_colour_and_the_digit_is_white(tmp_path, digits):
    source = build(tmp_path)
    assert "ours, not the authors' biased_mnist" in source.origin
    for clean in (source.train, source.valid, source.test):
        color = torch.tensor(PALETTES["rainbow"])[clean.bias_labels]
        assert (clean.images[:, :, 0, 0] - color).abs().max() <= 1
        assert (clean.images[:, :, 0, 1] == 255).all()
    gray, color = digits[1][0][7].astype(float), np.array(PALETTES["rainbow"])[source.test.bias_labels[7]]
    wanted = gray[..., None] / 255 * 255 + (1 - gray[..., None] / 255) * color
    assert np.abs(source.test.images[7].permute(1, 2, 0).numpy() - wanted).max() < 1
    assert torch.equal(source.train.labels, torch.from_numpy(digits[0][1][:200]))


def test_bias_ratio(tmp_path, digits):
    source = build(tmp_path)
    for clean, wanted in ((source.train, 0.2), (source.test, 0.9)):
        share = (clean.labels != clean.bias_labels).double().mean().item()
        assert share == pytest.approx(wanted, abs=4 * (wanted * (1 - wanted) / len(clean.labels)) ** 0.5)


def test_the_cache_gives_the_same_and_another_seed_is_another_set(tmp_path, digits, monkeypatch):
    first, other = build(tmp_path), build(tmp_path, data_seed=3)
    assert not torch.equal(first.train.bias_labels, other.train.bias_labels)
    monkeypatch.setattr(biased_mnist, "read_mnist", None)
    for seed, wanted in ((0, first), (3, other)):
        again = build(tmp_path, data_seed=seed)
        assert torch.equal(again.train.images, wanted.train.images)
        assert (again.origin, again.variant) == (wanted.origin, wanted.variant)
    with pytest.raises(TypeError):
        build(tmp_path, 0.3)


def test_without_mnist_it_says_so(tmp_path, monkeypatch):
    def offline(*arguments, **settings):
        raise OSError("no network")

    monkeypatch.setattr(mnist, "MNIST", offline)
    with pytest.raises(
        RunError, match=r"no biased MNIST and no MNIST: looked at .*biased_mnist_bias_0\.2\.pt.*no network"
    ):
        build(tmp_path)
