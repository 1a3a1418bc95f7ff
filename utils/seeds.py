"""Random streams that need no saved state.

Every random decision draws from a stream named by what it is for: `(seed, stage, "epoch", 7)`. A resumed run names the
same stream and so repeats the same draws; adding a new stream never shifts the draws of the others.
"""

import hashlib

import numpy as np
import torch


def derive(seed: int, *name: str | int) -> int:
    """A 63-bit seed for the stream `name` under the run's `seed`, the same on every platform."""
    text = "/".join(str(part) for part in (seed, *name))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def torch_generator(seed: int, *name: str | int) -> torch.Generator:
    """A CPU generator for the stream `name`."""
    return torch.Generator().manual_seed(derive(seed, *name))


def numpy_generator(seed: int, *name: str | int) -> np.random.Generator:
    """A numpy generator for the stream `name`."""
    return np.random.default_rng(derive(seed, *name))
