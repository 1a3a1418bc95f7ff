"""A stratified part of a set for validation or testing, where its files have none."""

import torch
from torch import Tensor

from utils.seeds import torch_generator


def hold_out(labels: Tensor, share: float, name: str) -> Tensor:
    """A mask of the samples to hold out, bool [N], the same ones every time.

    Of every class about `share` of the samples, at least one, but never the last one.

    Args:
        labels: int64 [N].
        name: names the random stream.
    """
    generator, held = torch_generator(0, "hold out", name), torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        held[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return held
