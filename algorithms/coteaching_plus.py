"""Co-teaching+: Co-teaching among the samples on which the two networks disagree, which keeps them from becoming one.

Xingrui Yu, Bo Han, Jiangchao Yao, Gang Niu, Ivor W. Tsang, Masashi Sugiyama. "How does Disagreement Help Generalization
against Label Corruption?" ICML 2019, arXiv:1901.04215.

The first `warmup` epochs are Co-teaching (see coteaching.py, also for the forget rate, the prediction and what is
passed on). Then a batch's candidates are the samples whose predicted classes differ; each network picks the
floor((1 - R) n) of these n with its smallest cross entropy, or all if that is none, and the other is trained on them.
If the networks agree on the whole batch, both train on all of it in the first 5000 updates, later on nothing.

R stays at the forget rate, as in the authors' code. Deviations from it:

- Cross entropy of logits, not of softmax outputs (theirs applies softmax twice), and one division by the number of
  picks (theirs: two), both as in DENEB's copy.
- An update's number counts all updates (theirs: epoch times batch number).
- The training sample number 0 can be a candidate like any other (theirs drops it).
- All that coteaching.py says about loss weights, the optimiser and the ramp.
- The default warm-up of five epochs is theirs for CIFAR-100 (MNIST 0, CIFAR-10 20 of 200), so that disagreement also
  has its say in short runs.

The candidates are masked, not gathered, so that a step waits for no count from the GPU; the result is the same.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.base import Batch, hparam, method
from algorithms.parts.small_loss import SmallLossExchange, disagreement_weights

AGREEING_UPDATES = 5000


@method("coteaching+")
class CoteachingPlus(SmallLossExchange):
    """Co-teaching where the two networks disagree (Yu et al., ICML 2019)"""

    @dataclass(frozen=True)
    class Hparams(SmallLossExchange.Hparams):
        warmup: int = hparam(5, search=[5, 10, 20], low=0, help="epochs of plain Co-teaching before")

    def begin_epoch(self, epoch: int) -> None:
        super().begin_epoch(epoch)
        self.warming_up = epoch < self.hparams.warmup
        self.updates = torch.tensor(epoch * self.task.steps_per_epoch(), device=self.task.device)

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        outcome = super().step(batch)
        self.updates += 1
        return outcome

    def picks(self, losses: list[Tensor], disagree: Tensor) -> list[Tensor]:
        if self.warming_up:
            return super().picks(losses, disagree)
        use_all = self.updates < AGREEING_UPDATES
        return [disagreement_weights(loss, self.rate, disagree, use_all) for loss in losses]
