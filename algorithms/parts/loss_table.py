"""Running averages of every training sample's loss, and the weights that LfF and Disen make of them."""

import torch
from torch import Tensor, nn

from algorithms.parts.mixing import last_occurrence


class LossTable(nn.Module):
    """T[i] <- alpha * T[i] + (1 - alpha) * loss; a sample's first loss is stored as it is, and until then T[i] is 0.

    Args:
        labels: given labels of the training set, int64 [N].
        num_classes: C; classes without samples have maximum 0.
        alpha: share of the former average, in [0, 1].
        dtype: of the averages.
    """

    values: Tensor
    seen: Tensor
    labels: Tensor

    def __init__(self, labels: Tensor, num_classes: int, alpha: float, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.num_classes, self.alpha = num_classes, alpha
        self.register_buffer("values", torch.zeros(len(labels), dtype=dtype))
        self.register_buffer("seen", torch.zeros(len(labels), dtype=torch.bool))
        self.register_buffer("labels", labels, persistent=False)

    def update(self, index: Tensor, losses: Tensor) -> None:
        """Takes in the losses (float [B], non-negative) of the samples at `index` (int64 [B]).

        A sample that occurs several times counts once, with its last loss.
        """
        losses = losses.detach().to(self.values.dtype)[last_occurrence(index, len(self.values))]
        former = self.alpha * self.seen[index].to(losses.dtype)
        self.values[index] = former * self.values[index] + (1 - former) * losses
        self.seen.index_fill_(0, index, True)

    def class_maxima(self) -> Tensor:
        """The largest average of each class, [C]."""
        return self.values.new_zeros(self.num_classes).scatter_reduce_(0, self.labels, self.values, "amax")

    def relative(self, index: Tensor) -> Tensor:
        """The averages at `index` (int64 [B]) as shares of their class's maximum: [B] in [0, 1], 0 where that is 0."""
        values = self.values[index]
        return values / self.class_maxima()[self.labels[index]].clamp(min=torch.finfo(values.dtype).tiny)


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
