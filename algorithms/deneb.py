"""DENEB: rates samples by the entropy of a prejudice model, fitted to samples that look clean and bias-aligned.

Sumyeong Ahn, Se-Young Yun. "Denoising after Entropy-based Debiasing: A Robust Training Method for Dataset Bias with
Noisy Labels." AAAI 2023, arXiv:2212.01189.

1. The prejudice model is trained with cross entropy: `warmup` epochs on everything, then every epoch on the samples
   whose loss a two-component mixture gives to its smaller-mean component with probability above `p_threshold`
   (algorithms/parts/prejudice.py).
2. Every sample's sampling probability is proportional to the entropy of the prejudice model's output at temperature
   `tau`. It never looks at the label, so mislabelled aligned images stay as rare as other aligned ones.
   For comparison `score` puts in its place, at the same temperature, the cross entropy of the given label, the norm of
   its gradient or DPR's disagreement (algorithms/parts/scores.py); all three look at the label.
   `tau` auto is ours (docs/beyond_deneb.md): of temperatures whose draws are worth ten images a class at least, the one
   under whose draws the given label tells least about the model's prediction, in mutual information.
3. A fresh model is trained by any other method on batches drawn so, with replacement: the second stage.

The gradient is that with respect to the logits, so that all scores are functions of the same output and differ
in nothing else. PGD's, with respect to the last layer, is this one times the length of the image's features, which
changes little (docs/methods.md).
A `warmup` of all epochs trains without the filter.

Deviations from the authors' code: the losses come from one pass over the plain images (theirs are augmented and
shuffled); a kept set smaller than a batch still trains (theirs drops it), and else the last, smaller batch is dropped
in every stage alike; fewer than two kept samples mean all (theirs: none kept mean all; one alone cannot be
batch-normalised); orders and dropout come from streams that go on from epoch to epoch (theirs: every filtered epoch
builds its data set anew and seeds all generators again); all-zero entropy means uniform probabilities (theirs: NaN).
The mixture's initialisation is seeded. On a CPU batch norm rounds some 200 times more coarsely in the channels-last
layout than theirs does (1e-4 instead of 5e-7 of a normalised activation). Avoiding that costs what the layout gains: a
step of CONV takes 1.4 times as long all contiguous, or with batch norm alone contiguous, and 1.8 times with means and
variances by torch.var_mean.
"""

from dataclasses import dataclass

from torch import Tensor

from algorithms.base import Chosen, hparam, method
from algorithms.parts.cue import label_cue_information
from algorithms.parts.prejudice import PrejudiceModel
from algorithms.parts.scores import SCORES, sampling_score
from data.batches import as_probabilities
from utils.metrics import effective_number

TEMPERATURES = [2 ** (k / 4) for k in range(-8, 9)]
"""The temperatures that `tau` auto chooses from."""
LEAST_PER_CLASS = 10
"""Images that draws have to be worth for it, by class: below that a few images decide, whatever they tell."""


@method("deneb")
class Deneb(PrejudiceModel):
    """Entropy of a prejudice model as sampling probability (Ahn & Yun, AAAI 2023)"""

    second = "gce"

    @dataclass(frozen=True)
    class Hparams(PrejudiceModel.Hparams):
        tau: float | str = hparam(
            1.0,
            search=[0.5, 1, 5, 10, 20],
            low=1e-3,
            word="auto",
            after_training=True,
            help="temperature of the entropy; lower sharpens; auto: where given label and prediction are least related",
        )
        score: str = hparam(
            "entropy",
            choices=SCORES,
            after_training=True,
            help="what sampling probabilities are proportional to, of the prejudice model's output at tau",
        )

    def select(self) -> tuple[Tensor, Tensor]:
        logits = self.task.over_train(self.predict).double()
        score = sampling_score(self.hparams.score, logits, self.task.train.labels.cpu(), self.temperature(logits))
        return as_probabilities(score), score

    def chosen(self) -> Chosen | None:
        if self.hparams.tau != "auto":
            return None
        logits = self.task.over_train(self.predict).double()
        return least_informative(self.hparams.score, logits, self.task.train.labels.cpu())

    def temperature(self, logits: Tensor) -> float:
        if self.hparams.tau != "auto":
            return self.hparams.tau
        return least_informative(self.hparams.score, logits, self.task.train.labels.cpu()).value


def least_informative(kind: str, logits: Tensor, labels: Tensor) -> Chosen:
    """The temperature whose draws tell least of the cue by the given label, and the curve; see `tau` auto above.

    Where none is worth ten images a class, the one that is worth most.
    """
    cue, classes = logits.argmax(1), logits.shape[1]
    draws = [as_probabilities(sampling_score(kind, logits, labels, tau)) for tau in TEMPERATURES]
    information = [label_cue_information(probabilities, labels, cue, classes) for probabilities in draws]
    effective = [effective_number(probabilities.numpy()) for probabilities in draws]
    allowed = [k for k, worth in enumerate(effective) if worth >= min(LEAST_PER_CLASS * classes, max(effective))]
    best = min(allowed, key=information.__getitem__)
    curve = {"tau": list(TEMPERATURES), "mutual_information": information, "effective_images": effective}
    return Chosen("tau", TEMPERATURES[best], curve)
