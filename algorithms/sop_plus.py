"""SOP+: SOP with a second, stronger view of every image, which is to be seen alike, and a balance of the classes.

Sheng Liu, Zhihui Zhu, Qing Qu, Chong You. "Robust Training under Label Noise by Over-parameterization." ICML 2022,
arXiv:2202.14026 (section 3.3 and appendix). u, v, q and their steps are those of sop.py, on the first view. The
network's loss is, with both views in one forward pass,

    Loss 1 + `consistency` KL(sg softmax(z) || softmax(z')) - `balance` sum_k log(mean q_k) / C,

z and z' the logits of the first and the stronger view, and the mean over the batch.

Deviations from the authors' code:

- Their stronger view is AutoAugment's policy for CIFAR-10. Here it is the run's own `--augment` with crops of 70 to 100
  % of the image, enlarged, and rotations of up to 15 degrees. Colours stay: in this suite they are often the spurious
  cue, and whoever is told to ignore them has been told the bias. Of features (`--frozen`) it is another of their views.
- u follows the gradient of Loss 1 and Loss 2, as in `sop` (theirs: of the balance too).
- Those of `sop`. Loss weights of an earlier stage scale Loss 1 only.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, hparam, method, weighted_mean
from algorithms.parts.noise_terms import OverParametrised
from algorithms.task import Task

SCALE = 0.7, 1.0
DEGREES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoViews(Batch):
    """A batch with a second view of its images, [B, C, H, W]."""

    stronger: Tensor


@method("sop+")
class SopPlus(OverParametrised):
    """SOP with a consistent second view and balanced classes (Liu et al., ICML 2022)"""

    @dataclass(frozen=True)
    class Hparams(OverParametrised.Hparams):
        consistency: float = hparam(0.9, search=[0.3, 0.9], low=0, help="factor of the two views' divergence")
        balance: float = hparam(0.1, search=[0, 0.1], low=0, help="factor of the classes' balance")

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__(task, hparams)
        stronger = replace(task.train.transform, scale=SCALE, degrees=DEGREES)
        self.beside = replace(task, train=replace(task.train, transform=stronger))

    def batches(self, epoch: int) -> Iterator[TwoViews]:
        order = self.task.order(self.task.generator("order", epoch), self.training_subset)
        for batch, view in zip(self.task.batches(order), self.beside.batches(order), strict=True):
            yield TwoViews(batch.images, batch.labels, batch.index, batch.weights, stronger=view.images)

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert isinstance(batch, TwoViews)
        logits, stronger = self.network(torch.cat([batch.images, batch.stronger])).chunk(2)
        q = self.terms.probabilities(logits, batch.labels, batch.index)
        loss = weighted_mean(F.nll_loss(q.log(), batch.labels, reduction="none"), batch.weights)
        loss = loss + self.hparams.consistency * divergence(logits, stronger) + self.hparams.balance * imbalance(q)
        self.terms.learn(logits, batch.labels, batch.index)
        self.update(self.optimizers[0], loss)
        return loss.detach(), logits.detach()


def divergence(logits: Tensor, stronger: Tensor) -> Tensor:
    """Mean KL(sg softmax(z) || softmax(z')) of the rows of [B, C] each."""
    target = logits.detach().log_softmax(1)
    return F.kl_div(stronger.log_softmax(1), target, reduction="batchmean", log_target=True)


def imbalance(probabilities: Tensor) -> Tensor:
    """Cross entropy between the uniform distribution and the mean of the rows of [B, C], which are positive."""
    return -probabilities.mean(0).log().mean()
