"""LfF: a second network learns most from the samples that a deliberately biased first one fails on.

Junhyun Nam, Hyuntak Cha, Sungsoo Ahn, Jaeho Lee, Jinwoo Shin. "Learning from Failure: Training Debiased Classifier from
Biased Classifier." NeurIPS 2020, arXiv:2007.02561.

Each step, on one batch:

1. The cross entropies of both networks enter per-sample running averages, T <- m_alpha T + (1 - m_alpha) CE.
2. Every average is divided by the largest one among all training samples with the same given label: b for the biased
   network, d for the debiased one.
3. The weight is w = b / (b + d + 1e-8), near 1 where the biased network does worse; no gradient passes through it.
4. The loss is mean GCE_q of the biased network (which makes it surer of what it learns first) plus mean w CE of the
   debiased one, the final model. As a selector it emits every sample's last w as a loss weight.

The paper's formula, w = CE_b / (CE_b + CE_d), has neither average nor class maximum; both are the authors' code. So is
the factor q of the gradient-scaled GCE, whose gradient is q times that of the paper's L_q = (1 - p_y^q) / q, as if the
biased network had a smaller learning rate than the other one. `form` lq is the paper's.

Deviations from the authors' code:

- The maxima of all classes are found at once instead of class by class, which fails for a class without samples.
- 0/0 is defined, see `FailureWeights`.
- Optimiser and schedule are the run's (theirs: Adam 1e-3).
- The last, smaller batch is left out, as everywhere in this suite.

Wrong labels are hard for both networks, but longer for the biased one, so they too get large weights.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, Method, hparam, method, weighted_mean
from algorithms.parts.loss_table import FailureWeights
from algorithms.parts.losses import gradient_scaled_gce, lq
from algorithms.task import Task

FORMS = {"scaled": gradient_scaled_gce, "lq": lq}


@method("lff")
class Lff(Method):
    """Learning from failure: loss weights from a biased network (Nam et al., NeurIPS 2020)"""

    debiases = True
    emits = "weights"

    @dataclass(frozen=True)
    class Hparams:
        m_alpha: float = hparam(
            0.7, search=[0.1, 0.5, 0.7, 0.9], low=0, high=1, help="share of the former average in a running loss"
        )
        q: float = hparam(
            0.7, search=[0.1, 0.3, 0.5, 0.7, 0.9], low=0, high=1, help="of the biased network's GCE; 0 is cross entropy"
        )
        form: str = hparam(
            "scaled",
            choices=tuple(FORMS),
            help="of the biased network's GCE; scaled: the authors' code, q times the gradient of lq: the paper's",
        )

    def __init__(self, task: Task, hparams: Hparams) -> None:
        super().__init__(task, hparams)
        self.biased_network = task.new_network("biased")
        self.optimizers = [
            task.settings.optimizer([*self.network.parameters(), *self.biased_network.parameters()]),
        ]
        self.weights = FailureWeights(task.train.labels, task.num_classes, hparams.m_alpha)

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        biased, debiased = self.biased_network(batch.images), self.network(batch.images)
        losses = lff_losses(biased, debiased, batch, self.weights, self.hparams.q, self.hparams.form)
        loss = weighted_mean(losses, batch.weights)
        self.update(self.optimizers[0], loss)
        return loss.detach(), debiased.detach()

    def select(self) -> tuple[Tensor, Tensor]:
        weights = self.weights.everywhere()
        return weights, weights.double()


def lff_losses(
    biased: Tensor, debiased: Tensor, batch: Batch, weights: FailureWeights, q: float, form: str = "scaled"
) -> Tensor:
    """GCE_q of the biased logits plus w CE of the debiased ones (both [B, C]), per sample; updates `weights`."""
    hardness = F.cross_entropy(biased.detach(), batch.labels, reduction="none")
    losses = F.cross_entropy(debiased, batch.labels, reduction="none")
    w = weights.update(batch.index, hardness, losses)
    return FORMS[form](biased, batch.labels, q) + w * losses
