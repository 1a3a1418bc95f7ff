"""ELR: predictions stay close to their own running average, which wrong labels reach late.

Sheng Liu, Jonathan Niles-Weed, Narges Razavian, Carlos Fernandez-Granda. "Early-Learning Regularization Prevents
Memorization of Noisy Labels." NeurIPS 2020, arXiv:2007.00151.

For every training sample a target t, at first zero, follows the prediction p: t <- beta t + (1 - beta) p / sum(p), with
p clipped to [1e-4, 1 - 1e-4]. Then the loss is cross entropy + lbd * log(1 - <t, p>): its gradient pulls p towards t
and so cancels that of a wrong label. Nothing flows back through t.

Deviations from the authors' code: none in the mathematics. A sample drawn twice into a batch counts by its last row.
An earlier stage's loss weights scale the cross entropy only, as in DENEB's copy of ELR+. The schedule is this
program's (theirs: cosine warm restarts). The defaults are theirs for CIFAR-10 with symmetric noise.
What the DENEB authors call `elr` is most likely ELR+, which is `elr+` here: their settings for it are those of ELR+.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, Method, hparam, method, weighted_mean
from algorithms.parts.losses import clipped_softmax, elr_penalty
from algorithms.parts.mixing import update_history
from algorithms.task import Task


@method("elr")
class Elr(Method):
    """Early-learning regularisation, one network (Liu et al., NeurIPS 2020)"""

    @dataclass(frozen=True)
    class Hparams:
        lbd: float = hparam(3.0, search=[1, 3, 5, 7], low=0, help="weight of the regulariser")
        beta: float = hparam(0.7, search=[0.7, 0.9], low=0, high=1, help="share that a target keeps at each visit")

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__(task, hparams)
        self.targets: Tensor
        self.register_buffer("targets", torch.zeros(len(task.train), task.num_classes))

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = self.network(batch.images)
        cross_entropy = F.cross_entropy(logits, batch.labels, reduction="none")
        penalty = elr_step(logits, self.targets, batch.index, self.hparams.beta)
        loss = weighted_mean(cross_entropy, batch.weights) + self.hparams.lbd * penalty.mean()
        self.update(self.optimizers[0], loss)
        return loss.detach(), logits.detach()


def elr_step(logits: Tensor, targets: Tensor, index: Tensor, beta: float) -> Tensor:
    """Moves the targets (float [N, C], in place) of the samples at `index`, and returns their penalties [B].

    Args:
        logits: float [B, C].
        index: int64 [B].
        beta: share that a target keeps.
    """
    probabilities = clipped_softmax(logits)
    predictions = probabilities.detach()
    current = update_history(targets, index, predictions / predictions.sum(1, keepdim=True), beta)
    return elr_penalty(probabilities, current)
