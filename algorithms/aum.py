"""AUM: removes samples whose margin, averaged over training, is that of deliberately mislabelled ones.

Geoff Pleiss, Tianyi Zhang, Ethan R. Elenberg, Kilian Q. Weinberger. "Identifying Mislabeled Data using the Area Under
the Margin Ranking." NeurIPS 2020, arXiv:2001.10528.

1. N/(C+1) random samples, the threshold samples, are given the label of a class C+1 that does not exist.
2. AUM_i is the mean over the epochs, from the second one on, of the margin z_y - max_{k != y} z_k in the forward pass
   that trains on sample i, before the update.
3. Sample i is flagged if more than 100 - `perc` percent of the threshold samples have a larger AUM than it.
4. Two networks with disjoint threshold samples, so that every sample is judged; one flagged by all that judge it is
   removed, and a fresh model is trained on the others: the second stage.

Deviations from the authors' code: its runs follow one another, here both networks train side by side on the same
batches, for as long and with the same settings as any first stage (theirs: 150 epochs in batches of 64 without decay).
N/(C+1) threshold samples are the paper's and DENEB's; the code's rule is N/C. Margins are not rounded to float16. The
final model trains on the kept samples alone (theirs draws all and gives the removed ones no weight, which divides by
zero where a batch holds no other). A sample without a margin, as after a single epoch, is not flagged.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, hparam, method
from algorithms.parts.losses import margins
from algorithms.parts.two_networks import TwoNetworks
from algorithms.task import Task


@method("aum")
class Aum(TwoNetworks):
    """Removes samples with the margins of deliberately mislabelled ones (Pleiss et al., NeurIPS 2020)"""

    emits = "kept"
    second = "vanilla"
    threshold: Tensor
    margin_sums: Tensor
    updates: Tensor

    @dataclass(frozen=True)
    class Hparams:
        perc: float = hparam(
            99.0,
            search=[1, 10, 30, 50, 99],
            low=0,
            high=100,
            after_training=True,
            help="percentile of the threshold samples' AUM below which a sample is removed",
        )

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__(replace(task, num_classes=task.num_classes + 1), hparams)
        self.num_classes = task.num_classes
        self.register_buffer("threshold", threshold_samples(len(task.train), task.num_classes, task.generator("aum")))
        self.register_buffer("margin_sums", torch.zeros(self.threshold.shape, dtype=torch.float64))
        self.register_buffer("updates", torch.zeros(len(task.train), dtype=torch.float64))

    def begin_epoch(self, epoch: int) -> None:
        self.recording = epoch > 0

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        labels = torch.where(self.threshold[:, batch.index], self.num_classes, batch.labels)
        outputs = [network(batch.images) for network in self.networks]
        if self.recording:
            self.updates.index_add_(0, batch.index, self.updates.new_ones(len(batch.index)))
            for total, logits, given in zip(self.margin_sums, outputs, labels, strict=True):
                total.index_add_(0, batch.index, margins(logits.detach(), given).double())
        losses = [F.cross_entropy(logits, given) for logits, given in zip(outputs, labels, strict=True)]
        for optimizer, loss in zip(self.optimizers, losses, strict=True):
            self.update(optimizer, loss)
        return torch.stack(losses).mean().detach(), torch.stack(outputs).mean(0)[:, : self.num_classes].detach()

    def predict(self, images: Tensor) -> Tensor:
        return super().predict(images)[:, : self.num_classes]

    def select(self) -> tuple[Tensor, Tensor]:
        threshold, areas = self.threshold.cpu(), (self.margin_sums / self.updates).cpu()
        suspects = torch.stack([flagged(areas[run], threshold[run], self.hparams.perc) for run in range(2)])
        removed = (suspects | threshold).all(0)
        area = areas.masked_fill(threshold, torch.nan).nanmean(0).nan_to_num(0)
        return (~removed).nonzero().flatten(), -area


def threshold_samples(size: int, classes: int, generator: torch.Generator) -> Tensor:
    """A mask of the threshold samples of either run, bool [2, size], with size / (classes + 1) in each."""
    count = size // (classes + 1)
    order = torch.randperm(size, generator=generator)
    threshold = torch.zeros(2, size, dtype=torch.bool)
    threshold[0, order[:count]] = threshold[1, order[count : 2 * count]] = True
    return threshold


def flagged(areas: Tensor, threshold: Tensor, percentile: float) -> Tensor:
    """A mask, [N]: more than 100 - percentile percent of the threshold samples have a larger AUM than the sample.

    Args:
        areas: AUM of every sample, float [N], NaN where no margin was seen: not flagged, and no standard for others.
        threshold: which are threshold samples, bool [N].
        percentile: in [0, 100].
    """
    standard = areas[threshold & ~areas.isnan()].sort().values
    larger = len(standard) - torch.searchsorted(standard, areas.nan_to_num(nan=torch.inf), right=True)
    return 100 * larger > (100 - percentile) * len(standard)
