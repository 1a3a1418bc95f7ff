"""The prejudice model: fitted to samples that look clean and aligned, it knows a class by its cue (DENEB's stage 1).

Methods differ in what they make of it; they share trained models (`trained_as`).
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, Method, hparam
from algorithms.parts.losses import prediction_entropy
from algorithms.parts.mixture import clean_positions, clean_probability
from algorithms.task import Task


class PrejudiceModel(Method):
    """Cross entropy: `warmup` epochs on everything, then on the samples that a mixture of their losses finds clean.

    Every epoch keeps the samples whose loss a two-component mixture gives to its smaller-mean component with
    probability above `p_threshold` (Ahn & Yun, AAAI 2023). Deviations are listed in algorithms/deneb.py.

    `filter` wrong_events puts another number in the place of the loss: how often, at the start of the filtered epochs
    so far, the prediction was not the given label. IDO (2025) counts the wrong predictions of training passes; here a
    sample that is filtered out has none, so that plain images are looked at, all of them at every filtered epoch.
    """

    debiases = True
    emits = "probabilities"
    trained_as = "deneb"
    tells_cue = True
    wrong_passes: Tensor

    @dataclass(frozen=True)
    class Hparams:
        p_threshold: float = hparam(
            0.5, search=[0.1, 0.3, 0.5, 0.7, 0.9], low=0, high=1, help="keep samples likelier than this to be clean"
        )
        warmup: int = hparam(
            1, search=[0, 5, 10], low=0, help="epochs on everything before the mixture filters; all of them: no filter"
        )
        filter: str = hparam(
            "loss",
            choices=("loss", "wrong_events"),
            help="what the mixture is fitted to: losses, or how often the prediction was not the given label so far",
        )

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__(task, hparams)
        self.register_buffer("wrong_passes", torch.zeros(len(task.train), dtype=torch.int32))

    def begin_epoch(self, epoch: int) -> None:
        if epoch >= self.hparams.warmup:
            self.training_subset = self.kept_samples()

    def kept_samples(self) -> Tensor:
        """Positions of the samples that look clean and aligned to the current model, int64 [K]."""
        self.eval()
        logits = self.task.over_train(self.predict)
        self.train()
        self.wrong_passes += (logits.argmax(1) != self.task.train.labels.cpu()).to(self.wrong_passes.device)
        return clean_positions(self.clean_aligned_probability(logits), self.hparams.p_threshold)

    def clean_aligned_probability(self, logits: Tensor) -> Tensor:
        """That the mixture gives to every training sample, float64 [N], from logits [N, C] for all of them."""
        by_loss = self.hparams.filter == "loss"
        values = self.given_label_losses(logits) if by_loss else self.wrong_passes.cpu().double()
        return torch.from_numpy(clean_probability(values.numpy()))

    def given_label_losses(self, logits: Tensor) -> Tensor:
        """Cross entropy of every training sample's given label, [N], from logits [N, C]."""
        return F.cross_entropy(logits, self.task.train.labels.cpu(), reduction="none")

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, batch.labels, reduction="none")

    def diagnostics(self) -> dict[str, Tensor]:
        logits = self.task.over_train(self.predict)
        return {
            "prejudice_loss": self.given_label_losses(logits),
            "clean_aligned_probability": self.clean_aligned_probability(logits),
            "entropy": prediction_entropy(logits.double(), self.temperature(logits.double())),
        }

    def temperature(self, logits: Tensor) -> float:
        """Of the entropy of the model's output, from its logits for the training images, float64 [N, C]."""
        return self.hparams.tau
