"""kNN label spreading: keeps the images whose label is the one that spreads to them from their neighbours.

Nathan Stromberg, Rohan Ayyagari, Sanmi Koyejo, Richard Nock, Lalitha Sankar. "Label Noise Robustness for
Domain-Agnostic Fair Corrections via Nearest Neighbors Label Spreading." 2024, arXiv:2406.09561.

1. A network is trained with cross entropy; an image's neighbours are the k others with the most similar features by
   their cosine. On one set of features (`--frozen`) the network has no part in it.
2. In each of `rounds`, every image's label becomes the majority of its neighbours' labels of the round before, weighted
   by their cosines (negative ones count nothing). It starts from the given labels.
3. Kept are the images whose given label is the spread one: the second stage trains on them, as in `knn_afr`.

The k is the one of `NEIGHBOURS` with which the majority agrees most often with the given label, which it does not see:
leave-one-out agreement, smallest first; `k` sets it. More noise asks for more neighbours.

Deviations: the paper trains on the spread labels; here, labels are never changed, and images whose label would be are
left out. All pairs of images are compared, which is for sets of up to some 50,000.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, Method, hparam, method

NEIGHBOURS = (5, 10, 20, 50)
ROWS = 1024


@method("knn")
class Knn(Method):
    """Keeps the images that their neighbours would label so (Stromberg et al., 2024)"""

    emits = "kept"
    second = "vanilla"

    @dataclass(frozen=True)
    class Hparams:
        k: int = hparam(
            0, search=[0, 5, 10, 20, 50], low=0, after_training=True, help="neighbours; 0: by leave-one-out agreement"
        )
        rounds: int = hparam(2, search=[1, 2, 5], low=1, after_training=True, help="of spreading")

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, batch.labels, reduction="none")

    def select(self) -> tuple[Tensor, Tensor]:
        labels = self.task.train.labels.cpu()
        most = min(self.hparams.k or NEIGHBOURS[-1], len(labels) - 1)
        near, similar = neighbours(self.task.over_train(self.network.extract).to(self.task.device), most)
        k = self.hparams.k or chosen_k(labels, near, similar, self.task.num_classes)
        shares = F.one_hot(labels, self.task.num_classes).double()
        for _ in range(self.hparams.rounds):
            shares = majority_shares(shares.argmax(1), near[:, :k], similar[:, :k], self.task.num_classes)
        against = 1 - shares.gather(1, labels[:, None]).squeeze(1)
        kept = (shares.argmax(1) == labels).nonzero().flatten()
        return kept if len(kept) > 1 else torch.arange(len(labels)), against


def neighbours(features: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` most similar other rows of `features`, [N, D], nearest first, and their cosines: both [N, k], CPU."""
    unit = F.normalize(features.float(), dim=1)
    near, similar = [], []
    for start in range(0, len(unit), ROWS):
        cosines = unit[start : start + ROWS] @ unit.T
        rows = torch.arange(len(cosines), device=unit.device)
        cosines[rows, start + rows] = -torch.inf
        values, index = cosines.topk(k)
        near.append(index.cpu())
        similar.append(values.double().cpu())
    return torch.cat(near), torch.cat(similar)


def majority_shares(labels: Tensor, near: Tensor, similar: Tensor, num_classes: int) -> Tensor:
    """Share of each class among the neighbours, weighted by their cosines, float64 [N, C].

    Args:
        labels: int64 [N]. near: positions of neighbours, int64 [N, k]. similar: cosines, float64 [N, k].
    """
    weights = similar.clamp(min=1e-12)
    shares = torch.zeros(len(labels), num_classes, dtype=torch.float64).scatter_add_(1, labels[near], weights)
    return shares / weights.sum(1, keepdim=True)


def chosen_k(labels: Tensor, near: Tensor, similar: Tensor, num_classes: int) -> int:
    """The number of neighbours whose majority agrees with most of the labels."""
    candidates = [k for k in NEIGHBOURS if k <= near.shape[1]] or [near.shape[1]]

    def agreement(k: int) -> int:
        shares = majority_shares(labels, near[:, :k], similar[:, :k], num_classes)
        return int((shares.argmax(1) == labels).sum())

    return max(candidates, key=agreement)
