"""The biased model: generalised cross entropy amplifies its trust in what is easy, which is the cue (PGD, DPR).

Methods differ in what they make of it; they share trained models (`trained_as`).
"""

from dataclasses import dataclass

from torch import Tensor

from algorithms.base import Batch, Method, hparam
from algorithms.parts.losses import gradient_scaled_gce


class BiasedModel(Method):
    """Generalised cross entropy in the gradient-scaled form, on everything."""

    debiases = True
    emits = "probabilities"
    second = "vanilla"
    trained_as = "pgd"

    @dataclass(frozen=True)
    class Hparams:
        q: float = hparam(0.7, search=[0.1, 0.3, 0.5, 0.7, 0.9], low=0, high=1, help="of the biased model's GCE")

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        return gradient_scaled_gce(logits, batch.labels, self.hparams.q)
