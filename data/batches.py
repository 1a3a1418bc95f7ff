"""Batches without per-sample Python: rows of the uint8 images are gathered and scaled on the device they live on."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from data.split import Split
from data.store import Images, read
from utils.errors import TrainingFailed

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Batch:
    """All that a method sees of its samples.

    images: float [B, C, H, W] as the split's transform makes them, channels last.
    labels: given labels, int64 [B].
    index: positions in the training set of the samples really served, int64 [B].
    weights: loss weights from an earlier stage, float [B], or None.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    weights: Tensor | None = None


class Batches:
    """One epoch: the samples at `order`, in this order, in batches; weights are per training sample, float [N].

    The last, smaller batch is dropped, unless it is the only one (`drop_last` as in the authors' code, but an order
    shorter than a batch still trains). The split's labels and the weights are on the device, see `on_device` for the
    images.
    """

    def __init__(
        self, split: Split, order: Tensor, batch_size: int, device: torch.device, weights: Tensor | None = None
    ) -> None:
        self.split, self.order, self.batch_size, self.device, self.weights = split, order, batch_size, device, weights

    def __len__(self) -> int:
        return max(len(self.order) // self.batch_size, 1)

    def __iter__(self) -> Iterator[Batch]:
        split, order = self.split, self.order.to(self.device)  # one copy for the whole epoch
        places = self.order if split.images.device.type == "cpu" else order
        indices, parts = (positions.split(self.batch_size)[: len(self)] for positions in (order, places))
        for index, images in zip(indices, on_device(split.images, parts, self.device), strict=True):
            labels = split.labels.index_select(0, index)
            weights = None if self.weights is None else self.weights[index]
            yield Batch(split.transform.for_training(images), labels, index, weights)


def on_device(images: Images, parts: Iterable[Tensor | slice], device: torch.device) -> Iterator[Tensor]:
    """The images at each of `parts` (slices, or int64 positions where the images are) as uint8 on `device`.

    Those that are not there yet are read ahead in the background, and on their way to a GPU lie in pinned memory.
    """
    there = isinstance(images, Tensor) and images.device == device

    def rows(part: Tensor | slice) -> Tensor:
        found = images[part] if isinstance(part, slice) else read(images, part)
        return found if there or device.type != "cuda" else found.pin_memory()

    for found in map(rows, parts) if there else read_ahead(rows, parts):
        yield found.to(device, non_blocking=True)


def read_ahead(read: Callable[[T], R], items: Iterable[T], depth: int = 2) -> Iterator[R]:
    """`map(read, items)`, done by one background thread that is up to `depth` results ahead.

    What `read` raises is raised here, in its turn; leaving early stops the thread.
    """
    waiting, reader = iter(items), ThreadPoolExecutor(1, "read-ahead")
    try:
        pending = deque(reader.submit(read, item) for item in islice(waiting, depth))
        while pending:
            result = pending.popleft().result()
            pending.extend(reader.submit(read, item) for item in islice(waiting, 1))
            yield result
    finally:
        reader.shutdown(cancel_futures=True)


def shuffled(index: Tensor, generator: torch.Generator) -> Tensor:
    """`index` in random order."""
    return index[torch.randperm(len(index), generator=generator)]


def as_probabilities(scores: Tensor) -> Tensor:
    """Non-negative scores [N], scaled to sum to one in float64; uniform where all are zero.

    Raises:
        TrainingFailed: a score is not finite.
    """
    scores = scores.double()
    total = scores.sum()
    if not total.isfinite():
        raise TrainingFailed("a training sample's score is not finite: the model has diverged. Lower --lr.")
    return scores / total if total > 0 else torch.full_like(scores, 1 / len(scores))


def weighted_draws(probabilities: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draws `count` positions i.i.d. with replacement, P(i) = probabilities[i]; int64 [count].

    Args:
        probabilities: float64 [N], non-negative, not all zero.
    """
    return inverse_cdf(probabilities, torch.rand(count, dtype=torch.float64, generator=generator))


def inverse_cdf(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """The authors' rule, min(#{j: r > cumsum_j}, N-1) for each r of `uniform` (float64, in [0, 1]), in O(log N) a draw.

    The sums are divided by the last one, which rounding may leave a little off 1, so that every sample has its share.
    r = 0 is taken as the smallest positive number, so that a sample of probability zero is never drawn.
    """
    cumulative = probabilities.cumsum(0)
    positive = uniform.clamp(min=torch.finfo(uniform.dtype).tiny)
    return torch.searchsorted(cumulative / cumulative[-1], positive).clamp_(max=len(probabilities) - 1)
