"""Batches hold what they say at the index they name; weighted draws follow their probabilities exactly."""

import dataclasses
import threading

import numpy as np
import pytest
import torch
from scipy import stats

import data.batches
from data.augment import Transform
from data.batches import Batch, Batches, inverse_cdf, read_ahead, shuffled, weighted_draws
from data.split import Split

CPU = torch.device("cpu")
SIZE = 23


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def split():
    """Images of which each tells its position."""
    images = torch.randint(0, 256, (SIZE, 3, 6, 5), dtype=torch.uint8, generator=generator())
    images[:, 0, 0, 0] = torch.arange(SIZE)
    labels = torch.randint(0, 10, (SIZE,), generator=generator(1))
    return Split(images.contiguous(memory_format=torch.channels_last), labels)


RARE = torch.arange(SIZE, dtype=torch.float64) ** 3
ORDERS = {
    "plain": torch.arange(SIZE),
    "shuffled": shuffled(torch.arange(SIZE), generator()),
    "weighted": weighted_draws(RARE / RARE.sum(), 3 * SIZE, generator()),
    "subset": shuffled(torch.tensor([2, 3, 5, 7, 11, 13, 17, 19]), generator()),
    "one sample again and again": torch.full((10,), 4),
}


def test_a_batch_holds_nothing_but_what_a_method_may_see():
    assert [field.name for field in dataclasses.fields(Batch)] == ["images", "labels", "index", "weights"]
    batch = Batch(torch.zeros(1), torch.zeros(1), torch.zeros(1))
    assert not hasattr(batch, "__dict__")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("batch_size", [1, 4, 23])
def test_the_index_is_that_of_the_samples_served(split, order, batch_size):
    weights = torch.rand(SIZE, generator=generator())
    batches = Batches(split, ORDERS[order], batch_size, CPU, weights)
    served = []
    for batch in batches:
        assert torch.equal(batch.images, split.images[batch.index].float() / 255)
        assert torch.equal(batch.labels, split.labels[batch.index])
        assert torch.equal(batch.weights, weights[batch.index])
        assert (batch.images[:, 0, 0, 0] * 255).round().long().tolist() == batch.index.tolist()
        served += batch.index.tolist()
    assert served == ORDERS[order][: len(served)].tolist()


def test_images_are_floats_and_channels_last(split):
    batch = next(iter(Batches(split, torch.arange(SIZE), 4, CPU)))
    assert batch.images.dtype == torch.float32
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.labels.dtype == batch.index.dtype == torch.int64
    assert batch.weights is None


@pytest.mark.parametrize(
    ("samples", "batch_size", "sizes"),
    [
        (23, 5, [5, 5, 5, 5]),
        (20, 5, [5, 5, 5, 5]),
        (4, 5, [4]),
        (1, 5, [1]),
        (5, 5, [5]),
        (6, 5, [5]),
    ],
)
def test_the_last_smaller_batch_is_dropped_unless_it_is_the_only_one(split, samples, batch_size, sizes):
    batches = Batches(split, torch.arange(samples), batch_size, CPU)
    assert [len(batch.index) for batch in batches] == sizes
    assert len(batches) == len(sizes)


def test_an_epoch_can_be_walked_twice(split):
    batches = Batches(split, ORDERS["shuffled"], 4, CPU)
    assert [batch.index.tolist() for batch in batches] == [batch.index.tolist() for batch in batches]


def test_scaling_keeps_every_value_apart():
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(Transform().for_scoring(values), values.float() / 255)
    assert torch.equal(values, torch.arange(256, dtype=torch.uint8))


def test_shuffled_is_a_permutation_decided_by_the_generator():
    index = torch.arange(100, 200)
    assert sorted(shuffled(index, generator()).tolist()) == index.tolist()
    assert torch.equal(shuffled(index, generator()), shuffled(index, generator()))
    assert not torch.equal(shuffled(index, generator()), shuffled(index, generator(1)))


def test_inverse_cdf_golden(golden):
    (case,) = golden("prob_sampler")
    assert torch.isin(case.given["uniform_draws"], case.wanted["cumprob"]).any(), "ties are among the cases"
    assert torch.equal(inverse_cdf(case.given["prob"], case.given["uniform_draws"]), case.wanted["sampled_index"])


@pytest.mark.parametrize(
    ("probabilities", "possible"),
    [([0, 0, 0.5, 0.5, 0], {2, 3}), ([0, 1, 0], {1}), ([0.3, 0, 0, 0.7], {0, 3}), ([1], {0})],
)
def test_a_sample_of_probability_zero_is_never_drawn(probabilities, possible):
    probabilities = torch.tensor(probabilities, dtype=torch.float64)
    edges = probabilities.cumsum(0)
    uniform = torch.cat([torch.tensor([0, 5e-324, np.nextafter(1, 0)]).double(), edges, torch.rand(500).double()])
    assert set(inverse_cdf(probabilities, uniform[uniform < 1]).tolist()) == possible


def test_rounding_in_the_sum_leaves_no_gap_at_the_end():
    """Cumulative sums of many small numbers end a little off 1; the largest draw still hits the last real sample."""
    scores = torch.rand(100_000, dtype=torch.float64, generator=generator())
    scores[-3:] = 0
    highest = torch.tensor([np.nextafter(1, 0)])
    for scale in (1, 1 + 1e-9, 1 - 1e-9):
        assert inverse_cdf(scores / scores.sum() * scale, highest).tolist() == [len(scores) - 4]


def test_frequencies_follow_the_probabilities():
    probabilities = torch.rand(200, dtype=torch.float64, generator=generator()) ** 4
    probabilities[::9] = 0
    probabilities /= probabilities.sum()
    draws = 400_000
    counts = torch.bincount(weighted_draws(probabilities, draws, generator()), minlength=200)
    assert not counts[probabilities == 0].any()
    often = probabilities * draws > 5
    observed = [*counts[often].tolist(), int(counts[~often].sum())]
    expected = [*(probabilities[often] * draws).tolist(), float(probabilities[~often].sum() * draws)]
    assert stats.chisquare(observed, expected).pvalue > 1e-3


def test_successive_draws_are_independent():
    probabilities = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    drawn = weighted_draws(probabilities, 100_000, generator())
    pairs = torch.bincount(4 * drawn[::2] + drawn[1::2], minlength=16).reshape(4, 4)
    assert stats.chi2_contingency(pairs.numpy()).pvalue > 1e-3


def test_draws_are_decided_by_the_generator_alone():
    probabilities = torch.full((50,), 0.02, dtype=torch.float64)
    first, again, other = (weighted_draws(probabilities, 100, generator(seed)) for seed in (0, 0, 1))
    assert first.dtype == torch.int64
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_reading_ahead_is_a_map_in_another_thread():
    threads = set()

    def square(number):
        threads.add(threading.current_thread())
        return number**2

    assert list(read_ahead(square, range(20))) == [number**2 for number in range(20)]
    assert list(read_ahead(square, [])) == []
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_what_reading_raises_is_raised_in_its_turn():
    def read(number):
        if number == 3:
            raise OSError("a broken disk")
        return number

    results = read_ahead(read, range(9))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="a broken disk"):
        next(results)


def test_leaving_early_stops_reading():
    done = []
    results = read_ahead(done.append, range(1000))
    next(results)
    results.close()
    assert len(done) <= 4
    assert not any(thread.name.startswith("read-ahead") for thread in threading.enumerate())


def test_images_in_memory_are_read_without_a_thread(split, monkeypatch):
    monkeypatch.setattr(data.batches, "read_ahead", None)
    assert len(list(Batches(split, torch.arange(SIZE), 4, CPU))) == 5
