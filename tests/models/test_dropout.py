"""`HalfDropout` is `nn.Dropout(0.5)` in distribution: exact fair coins, independent, in any memory layout."""

import copy

import pytest
import torch
from scipy import stats
from torch import nn

from models.dropout import HalfDropout, half_mask
from models.registry import build_network


@pytest.fixture(autouse=True)
def _fixed_seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


LAYOUTS = {
    "contiguous": lambda: torch.rand(4, 6, 5, 7),
    "channels last": lambda: torch.rand(4, 6, 5, 7).to(memory_format=torch.channels_last),
    "transposed": lambda: torch.rand(4, 5, 7, 6).permute(0, 3, 2, 1),
    "every other row": lambda: torch.rand(8, 6, 5, 7)[::2],
    "every other column": lambda: torch.rand(4, 6, 5, 14)[..., ::2],
    "expanded": lambda: torch.rand(4, 1, 5, 7).expand(4, 6, 5, 7),
    "one channel": lambda: torch.rand(4, 1, 5, 7).to(memory_format=torch.channels_last),
    "one image": lambda: torch.rand(1, 6, 5, 7).to(memory_format=torch.channels_last),
    "flat": lambda: torch.rand(9, 5),
    "single number": lambda: torch.rand(1),
    "empty": lambda: torch.rand(0, 6, 5, 7),
    "float64": lambda: torch.rand(4, 6, 5, 7, dtype=torch.float64),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_activation_is_dropped_or_doubled(layout):
    x = LAYOUTS[layout]() + 1
    before = x.clone()
    dropout = HalfDropout().train()
    out = torch.stack([dropout(x) for _ in range(200)])
    assert torch.equal(x, before)
    assert out.shape == (200, *x.shape)
    assert out.dtype == x.dtype
    assert ((out == 0) | (out == 2 * x)).all()
    share = (out > 0).double().mean(0)
    assert ((share > 0.25) & (share < 0.75)).all()  # each position by itself: 7 deviations


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_memory_layout_survives(memory_format):
    x = torch.rand(4, 6, 5, 7).to(memory_format=memory_format)
    assert HalfDropout().train()(x).is_contiguous(memory_format=memory_format)


def test_coins_are_fair_and_independent_of_each_other():
    """Over 20,000 draws: the overall share, that of each of 200 positions, and all their 19,900 correlations."""
    draws, positions = 20_000, 200
    like = torch.empty(positions)
    coins = torch.stack([half_mask(like) for _ in range(draws)])
    assert set(coins.unique().tolist()) == {0, 2}
    heads = (coins == 2).double()
    assert stats.binomtest(int(heads.sum()), heads.numel()).pvalue > 1e-3
    z = (heads.mean(0) - 0.5) * 2 * draws**0.5
    assert stats.chi2.sf(z.square().sum().item(), positions) > 1e-3
    correlation = torch.corrcoef(heads.T).fill_diagonal_(0) * draws**0.5
    pairs = positions * (positions - 1) // 2
    assert correlation.abs().max() < stats.norm.isf(1e-3 / pairs / 2)
    assert stats.chi2.sf(correlation.square().sum().item() / 2, pairs) > 1e-3


def test_successive_masks_are_independent():
    like = torch.empty(100_000)
    first, second = half_mask(like), half_mask(like)
    assert stats.binomtest(int((first == second).sum()), len(like)).pvalue > 1e-3


def test_runs_of_equal_coins_have_the_lengths_of_fair_coins():
    """Neighbours in a flat tensor: the number of runs among n coins has mean (n + 1) / 2 and variance (n - 1) / 4."""
    n = 1_000_000
    runs = 1 + int((half_mask(torch.empty(n)).diff() != 0).sum())
    assert abs(runs - (n + 1) / 2) < 4 * ((n - 1) / 4) ** 0.5


def test_the_stream_is_torch_s_global_generator():
    x = torch.ones(1000)
    out = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        out.append(HalfDropout().train()(x))
    assert torch.equal(out[0], out[1])
    assert not torch.equal(out[0], out[2])


def test_evaluation_is_the_identity():
    x = torch.rand(3, 4)
    state = torch.random.get_rng_state()
    assert HalfDropout().eval()(x) is x
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("layout", ["contiguous", "channels last", "transposed", "expanded"])
def test_the_gradient_is_the_mask(layout):
    x = (LAYOUTS[layout]() + 1).requires_grad_()
    out = HalfDropout().train()(x)
    out.sum().backward()
    assert torch.equal(x.grad, (out / x).detach())
    assert set(x.grad.unique().tolist()) == {0, 2}


def test_conv_s_logits_are_distributed_as_with_nn_dropout():
    """2,000 copies of one image, batch statistics fixed: means and variances of each logit within 4 deviations."""
    ours = build_network("CONV", (3, 28, 28), 10)
    theirs = copy.deepcopy(ours)
    for i, layer in enumerate(theirs.features):
        if isinstance(layer, HalfDropout):
            theirs.features[i] = nn.Dropout(0.5)
    assert sum(isinstance(layer, nn.Dropout) for layer in theirs.features) == 3
    copies = 2000
    images = torch.rand(1, 3, 28, 28).expand(copies, -1, -1, -1).contiguous(memory_format=torch.channels_last)
    logits = []
    for network in (ours, theirs):
        for layer in network.features:
            layer.train(not isinstance(layer, nn.BatchNorm2d))
        with torch.no_grad():
            logits.append(torch.cat([network(part) for part in images.split(500)]).double())
    mean, variance = (torch.stack([getattr(part, what)(0) for part in logits]) for what in ("mean", "var"))
    assert (variance > 0).all()
    assert ((mean[0] - mean[1]).abs() < 4 * (variance.sum(0) / copies).sqrt()).all()
    kurtosis = torch.from_numpy(stats.kurtosis(torch.cat(logits), fisher=False))
    deviation = ((kurtosis - 1) / copies * 2).sqrt()
    assert ((variance[0] / variance[1]).log().abs() < 4 * deviation).all()
