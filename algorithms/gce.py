"""GCE: samples that the model finds unlikely, which are often mislabelled, pull less.

Zhilu Zhang, Mert R. Sabuncu. "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels."
NeurIPS 2018, arXiv:1805.07836.

Three forms, where p_y is the probability of the given label:
- `scaled`: q * sg(p_y)^q * CE, what the code of LfF and of DENEB calls GCE; its gradient is q times that of L_q.
- `lq`: the paper's L_q = (1 - p_y^q) / q.
- `truncated_lq`: L_q - L_q(k) for the samples that are kept, 0 for the others. From time to time those with p_y > k are
  kept anew and the others pruned. The batch mean divides by the whole batch, pruned samples included.

Deviations: the default form is `scaled`, not the paper's, because the suite's second stage means that one; its factor q
acts on the learning rate and stays so that settings carry over. The DENEB authors search q but publish no default; 0.7
is the GCE paper's. Pruning follows a published reimplementation, which starts in epoch 40 of 120 and repeats every 10
epochs, but looks at the plain images with the current model (there: augmented images and the best checkpoint so far,
whose choice would have to look at the validation set); and if it would prune everything, it keeps everything.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, Method, hparam, method
from algorithms.parts.losses import gradient_scaled_gce, lq, truncated_lq
from algorithms.task import Task


@method("gce")
class Gce(Method):
    """Generalised cross entropy (Zhang & Sabuncu, NeurIPS 2018)"""

    tells_cue = True
    kept: Tensor

    @dataclass(frozen=True)
    class Hparams:
        q: float = hparam(
            0.7, search=[0.1, 0.3, 0.5, 0.7, 0.9], low=0, high=1, help="0 is cross entropy, 1 mean absolute error"
        )
        form: str = hparam("scaled", choices=("scaled", "lq", "truncated_lq"), help="of the loss")
        k: float = hparam(0.5, low=0.01, high=0.99, help="truncated_lq keeps samples whose label is likelier than this")
        prune_start: float = hparam(0.33, low=0, high=1, help="truncated_lq: share of the epochs before pruning starts")
        prune_every: int = hparam(10, low=1, help="truncated_lq: epochs from one pruning to the next")

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__(task, hparams)
        self.register_buffer("kept", torch.ones(len(task.train)))

    def begin_epoch(self, epoch: int) -> None:
        since = epoch - round(self.hparams.prune_start * self.task.settings.epochs)
        if self.hparams.form == "truncated_lq" and since >= 0 and since % self.hparams.prune_every == 0:
            self.eval()
            self.kept.copy_(likelier(self.task.over_train(self.predict), self.task.train.labels.cpu(), self.hparams.k))
            self.train()

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        if self.hparams.form == "scaled":
            return gradient_scaled_gce(logits, batch.labels, self.hparams.q)
        if self.hparams.form == "lq":
            return lq(logits, batch.labels, self.hparams.q)
        return truncated_lq(logits, batch.labels, self.hparams.q, self.hparams.k, self.kept[batch.index])


def likelier(logits: Tensor, labels: Tensor, k: float) -> Tensor:
    """1 where p_y > k, else 0: [N, C] and [N] to float [N]; 1 everywhere if no sample's label is so likely."""
    kept = (-F.cross_entropy(logits, labels, reduction="none")).exp() > k
    return (kept if kept.any() else torch.ones_like(kept)).to(logits.dtype)
