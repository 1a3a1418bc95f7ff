"""Running averages of every training sample's loss, and the weights that LfF and Disen make of them."""

import torch
from torch import Tensor, nn

from algorithms.parts.mixing import last_occurrence

FAN_OUT = 32


class LossTable(nn.Module):
    """T[i] <- alpha * T[i] + (1 - alpha) * loss; a sample's first loss is stored as it is, and until then T[i] is 0.

    The maximum over all training samples of a class is kept in a tree: a node holds up to 32 numbers, and its maximum
    is one of its parent's. New losses change only the path above them, so an update costs O(B log N), needs no
    decision on the host and stays exact when the former maximum falls.

    Args:
        labels: given labels of the training set, int64 [N].
        num_classes: C; classes without samples have maximum 0.
        alpha: share of the former average, in [0, 1].
        dtype: of the averages.
    """

    values: Tensor
    seen: Tensor
    labels: Tensor
    ranks: Tensor

    def __init__(self, labels: Tensor, num_classes: int, alpha: float, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.alpha = alpha
        self.register_buffer("values", torch.zeros(len(labels), dtype=dtype))
        self.register_buffer("seen", torch.zeros(len(labels), dtype=torch.bool))
        self.register_buffer("labels", labels, persistent=False)
        self.register_buffer("ranks", rank_in_class(labels), persistent=False)
        nodes = torch.bincount(labels, minlength=num_classes)
        self.depth = 0
        while self.depth == 0 or nodes.max() > 1:
            nodes = (nodes + FAN_OUT - 1).div(FAN_OUT, rounding_mode="floor").clamp(min=1)
            self.register_buffer(f"first{self.depth}", nodes.cumsum(0) - nodes, persistent=False)
            self.register_buffer(f"tree{self.depth}", torch.zeros(int(nodes.sum()), FAN_OUT, dtype=dtype))
            self.depth += 1

    def update(self, index: Tensor, losses: Tensor) -> None:
        """Takes in the losses (float [B], non-negative) of the samples at `index` (int64 [B]).

        A sample that occurs several times counts once, with its last loss.
        """
        losses = losses.detach().to(self.values.dtype)[last_occurrence(index)]
        kept = self.alpha * self.seen[index].to(losses.dtype)
        current = kept * self.values[index] + (1 - kept) * losses
        self.values[index] = current
        self.seen[index] = True
        labels, rank = self.labels[index], self.ranks[index]
        for depth in range(self.depth):
            tree = self.get_buffer(f"tree{depth}")
            node = self.get_buffer(f"first{depth}")[labels] + rank.div(FAN_OUT, rounding_mode="floor")
            tree[node, rank % FAN_OUT] = current
            current, rank = tree[node].amax(1), rank.div(FAN_OUT, rounding_mode="floor")

    def class_maxima(self) -> Tensor:
        """The largest average of each class, [C]."""
        return self.get_buffer(f"tree{self.depth - 1}").amax(1)

    def relative(self, index: Tensor) -> Tensor:
        """The averages at `index` (int64 [B]) as shares of their class's maximum: [B] in [0, 1], 0 where that is 0."""
        values = self.values[index]
        return values / self.class_maxima()[self.labels[index]].clamp(min=torch.finfo(values.dtype).tiny)


def rank_in_class(labels: Tensor) -> Tensor:
    """How many earlier samples have the same label: int64 [N] to [N]."""
    order = labels.argsort(stable=True)
    counts = torch.bincount(labels)
    first = (counts.cumsum(0) - counts)[labels[order]]
    return torch.empty_like(labels).index_copy_(0, order, torch.arange(len(labels), device=labels.device) - first)


class FailureWeights(nn.Module):
    """LfF's weight of every training sample: how much harder a biased branch finds it than a debiased one.

    Takes `LossTable`'s labels (int64 [N]), num_classes, alpha and dtype, and keeps one table for each branch.
    """

    def __init__(self, labels: Tensor, num_classes: int, alpha: float, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.biased = LossTable(labels, num_classes, alpha, dtype)
        self.debiased = LossTable(labels, num_classes, alpha, dtype)

    def update(self, index: Tensor, biased: Tensor, debiased: Tensor) -> Tensor:
        """Takes in both branches' losses (float [B]) of the samples at `index` (int64 [B]); returns their weights."""
        self.biased.update(index, biased)
        self.debiased.update(index, debiased)
        return self.at(index)

    def at(self, index: Tensor) -> Tensor:
        """b / (b + d + 1e-8) for the samples at `index`, from relative losses b, d; without gradient, [B] in [0, 1].

        Where both are 0, as for a sample never seen, it is 1/2: neither branch finds it harder.
        """
        biased, debiased = self.biased.relative(index), self.debiased.relative(index)
        total = biased + debiased
        return torch.where(total > 0, biased / (total + 1e-8), 0.5)

    def everywhere(self) -> Tensor:
        """The weights of all training samples, float32 [N] on the CPU."""
        return self.at(torch.arange(len(self.biased.values), device=self.biased.values.device)).float().cpu()
