"""The prejudice model: fitted to samples that look clean and aligned, it knows a class by its cue (DENEB's stage 1).

Methods differ in what they make of it; they share trained models (`trained_as`).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, Method, hparam
from algorithms.parts.losses import prediction_entropy
from algorithms.parts.mixture import clean_positions, clean_probability


class PrejudiceModel(Method):
    """Cross entropy: `warmup` epochs on everything, then on the samples that a mixture of their losses finds clean.

    Every epoch keeps the samples whose loss a two-component mixture gives to its smaller-mean component with
    probability above `p_threshold` (Ahn & Yun, AAAI 2023). Deviations are listed in algorithms/deneb.py.
    """

    debiases = True
    emits = "probabilities"
    trained_as = "deneb"
    tells_cue = True

    @dataclass(frozen=True)
    class Hparams:
        p_threshold: float = hparam(
            0.5, search=[0.1, 0.3, 0.5, 0.7, 0.9], low=0, high=1, help="keep samples likelier than this to be clean"
        )
        warmup: int = hparam(
            1, search=[0, 5, 10], low=0, help="epochs on everything before the mixture filters; all of them: no filter"
        )

    def begin_epoch(self, epoch: int) -> None:
        if epoch >= self.hparams.warmup:
            self.training_subset = self.kept_samples()

    def kept_samples(self) -> Tensor:
        """Positions of the samples that look clean and aligned to the current model, int64 [K]."""
        self.eval()
        losses = self.given_label_losses(self.task.over_train(self.predict))
        self.train()
        return clean_positions(torch.from_numpy(clean_probability(losses.numpy())), self.hparams.p_threshold)

    def given_label_losses(self, logits: Tensor) -> Tensor:
        """Cross entropy of every training sample's given label, [N], from logits [N, C]."""
        return F.cross_entropy(logits, self.task.train.labels.cpu(), reduction="none")

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, batch.labels, reduction="none")

    def diagnostics(self) -> dict[str, Tensor]:
        logits = self.task.over_train(self.predict)
        losses = self.given_label_losses(logits)
        return {
            "prejudice_loss": losses,
            "clean_aligned_probability": torch.from_numpy(clean_probability(losses.numpy())),
            "entropy": prediction_entropy(logits.double(), self.temperature(logits.double())),
        }

    def temperature(self, logits: Tensor) -> float:
        """Of the entropy of the model's output, from its logits for the training images, float64 [N, C]."""
        return self.hparams.tau
