"""Colours and bias labels."""

import numpy as np
import pytest
import torch
from scipy import stats

from data.coloring import PALETTES, colorize, draw_bias_labels

LABELS = np.arange(40_000) % 10


def draws(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("conflicting", [0.0, 1.0])
def test_the_extreme_shares_are_exact(conflicting):
    bias = draw_bias_labels(LABELS, conflicting, draws())
    assert ((bias != LABELS) == bool(conflicting)).all()
    assert (bias.min(), bias.max()) == (0, 9)


@pytest.mark.parametrize("conflicting", [0.01, 0.5, 0.9])
def test_the_share_is_a_coin_per_image_and_the_other_colours_are_alike(conflicting):
    bias = draw_bias_labels(LABELS, conflicting, draws())
    hits = bias != LABELS
    assert stats.binomtest(int(hits.sum()), len(LABELS), conflicting).pvalue > 1e-3
    distance = np.bincount((bias - LABELS)[hits] % 10, minlength=10)
    assert distance[0] == 0
    assert stats.chisquare(distance[1:]).pvalue > 1e-3


@pytest.mark.parametrize("palette", PALETTES)
def test_without_jitter_the_colours_are_the_palette_s_and_the_background_is_black(palette):
    gray = np.zeros((10, 4, 5), np.uint8)
    gray[:, 1, 2], gray[:, 3, 4] = 255, 51
    images = colorize(gray, np.arange(10), palette, 0, draws())
    assert images.shape == (10, 3, 4, 5)
    assert images.dtype == torch.uint8
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images[:, :, 1, 2], torch.tensor(PALETTES[palette], dtype=torch.uint8))
    np.testing.assert_allclose(images[:, :, 3, 4], np.array(PALETTES[palette]) / 5, atol=0.5)
    assert not images[:, :, torch.from_numpy(gray[0] == 0)].any()


@pytest.mark.parametrize("palette", PALETTES)
def test_a_palette_has_ten_different_colours(palette):
    assert len(set(PALETTES[palette])) == 10


def test_jitter_is_one_shift_per_image_and_channel_and_never_wraps_around():
    gray = np.full((5000, 2, 2), 255, np.uint8)
    images = colorize(gray, np.zeros(5000, int), "rainbow", 0.1, draws()).double()
    assert torch.equal(images[:, :, 0, 0], images[:, :, 1, 1])
    red, green = images[:, 0, 0, 0], images[:, 1, 0, 0]  # of (255, 0, 0): half of each is cut off at the bound
    assert red.min() > 100
    assert green.max() < 150
    for channel, bound in ((red, 255), (green, 0)):
        distance = (channel - bound).abs()
        assert (distance == 0).double().mean().item() == pytest.approx(0.5, abs=0.03)
        assert distance.square().mean().sqrt().item() == pytest.approx(25.5 * 0.5**0.5, rel=0.05)


def test_images_beyond_one_chunk_are_coloured_by_their_own_labels():
    bias = draws().integers(0, 10, 9000)
    images = colorize(np.full((9000, 1, 1), 255, np.uint8), bias, "pgd", 0, draws())
    assert torch.equal(images[:, :, 0, 0], torch.tensor(PALETTES["pgd"], dtype=torch.uint8)[torch.from_numpy(bias)])
