"""DENEB: rates samples by the entropy of a prejudice model, fitted to samples that look clean and bias-aligned.

Sumyeong Ahn, Se-Young Yun. "Denoising after Entropy-based Debiasing: A Robust Training Method for Dataset Bias with
Noisy Labels." AAAI 2023, arXiv:2212.01189.

1. The prejudice model is trained with cross entropy: `warmup` epochs on everything, then every epoch on the samples
   whose loss a two-component mixture gives to its smaller-mean component with probability above `p_threshold`.
2. Every sample's sampling probability is proportional to the entropy of the prejudice model's output at temperature
   `tau`. It never looks at the label, so mislabelled aligned images stay as rare as other aligned ones.
3. A fresh model is trained by any other method on batches drawn so, with replacement: the second stage.

Deviations from the authors' code: the losses come from one pass over the plain images (theirs are augmented and
shuffled); a kept set smaller than a batch still trains (theirs drops it); fewer than two kept samples mean all (theirs:
none kept mean all; one alone cannot be batch-normalised); all-zero entropy means uniform probabilities (theirs: NaN).
The mixture's initialisation is seeded.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, Method, hparam, method
from algorithms.losses import as_probabilities, prediction_entropy
from algorithms.mixture import clean_probability, keep


@method("deneb")
class Deneb(Method):
    """Entropy of a prejudice model as sampling probability (Ahn & Yun, AAAI 2023)"""

    debiases = True
    emits = "probabilities"
    second = "gce"

    @dataclass(frozen=True)
    class Hparams:
        p_threshold: float = hparam(
            0.5, search=[0.1, 0.3, 0.5, 0.7, 0.9], low=0, high=1, help="keep samples likelier than this to be clean"
        )
        warmup: int = hparam(1, search=[0, 5, 10], low=0, help="epochs on everything before the mixture filters")
        tau: float = hparam(
            1.0,
            search=[0.5, 1, 5, 10, 20],
            low=1e-3,
            after_training=True,
            help="temperature of the entropy; lower sharpens",
        )

    def begin_epoch(self, epoch: int) -> None:
        if epoch >= self.hparams.warmup:
            self.training_subset = self.kept_samples()

    def kept_samples(self) -> Tensor:
        """Positions of the samples that look clean and aligned to the current model, int64 [K]."""
        labels = self.task.train.labels.cpu()
        self.eval()
        losses = F.cross_entropy(self.task.over_train(self.predict), labels, reduction="none")
        self.train()
        return keep(torch.from_numpy(clean_probability(losses.numpy())), self.hparams.p_threshold)

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, batch.labels, reduction="none")

    def select(self) -> tuple[Tensor, Tensor]:
        entropy = prediction_entropy(self.task.over_train(self.predict).double(), self.hparams.tau)
        return as_probabilities(entropy), entropy
