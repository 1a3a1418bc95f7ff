"""Random streams by name: the same on every machine and for ever, and different for every name."""

import numpy as np
import torch

from utils.seeds import derive, numpy_generator, torch_generator


def test_derived_seeds_are_pinned():
    """Changing any of these changes every published number of the project."""
    assert derive(0) == 2033344993903900207
    assert derive(0, "deneb", "epoch", 7) == 9159014124291319057
    assert derive(2**40, "") == 3408239901749483628


def test_streams_are_pinned():
    assert torch_generator(0, "order", 0).initial_seed() == derive(0, "order", 0)
    assert torch.randperm(5, generator=torch_generator(0, "order", 0)).tolist() == [4, 0, 1, 3, 2]
    assert numpy_generator(0, "test").integers(0, 1000, 4).tolist() == [662, 764, 798, 511]


def test_different_names_and_seeds_give_different_streams():
    names = [
        (s, *n) for s in range(30) for n in [(), ("a",), ("b",), ("a", 1), ("a", 11), (1, "a"), ("a", "b"), ("ab",)]
    ]
    seeds = {derive(*name) for name in names}
    assert len(seeds) == len(names)
    assert all(0 <= seed < 2**63 for seed in seeds)
    firsts = {float(numpy_generator(*name).random()) for name in names}
    assert len(firsts) == len(names)


def test_all_bits_of_a_seed_are_used():
    bits = np.array([[derive(seed) >> bit & 1 for bit in range(63)] for seed in range(2000)])
    assert abs(bits.mean(0) - 0.5).max() < 5 * 0.5 / 2000**0.5


def test_generators_leave_the_global_streams_alone():
    state = torch.random.get_rng_state()
    torch.rand(3, generator=torch_generator(0, "x"))
    assert torch.equal(torch.random.get_rng_state(), state)
