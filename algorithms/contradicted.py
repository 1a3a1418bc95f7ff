"""Contradicted: draws evenly from the images whose given label a prejudice model contradicts.

Ours, unpublished; derived in docs/beyond_deneb.md. DENEB's draws are proportional to an entropy that spans orders of
magnitude, so that a few images get nearly all of them. JTT draws all errors of a first model alike, most of which are
mislabelled where noise is common. This selector stands between the two:

1. The prejudice model is DENEB's, with the same filter (algorithms/parts/prejudice.py).
2. An image is contradicted where its given label is not the model's prediction b(x): it is conflicting, or mislabelled.
   A fixed `share` of the draws goes to contradicted images, the rest evenly to the others.
3. Among contradicted images draws are proportional to `weight`:
   - `posterior`: the probability that the label is right, given the model's prediction and the entropy of its output,
     by the model of cues and noise in algorithms/parts/cue.py. For the draws w it is the best choice: of all w, w = r
     makes (sum w r)^2 / sum w^2 largest, the effective number of rightly labelled images.
   - `root`: the square root of the entropy, which is low where cue and content agree and only the label is wrong.
   - `mixture`: the posterior of the higher component of a two-component Gaussian mixture on its logarithm, or 0.1.
   - `even`: 1, as JTT draws its errors.
4. A fresh model is trained by any other method on batches drawn so, with replacement: the second stage. Wrong labels
   are among them, and how a method takes these decides much: SCE is the default.

If the model contradicts none or all of the labels there are not two kinds to share the draws, which are even then.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.base import hparam, method
from algorithms.parts.cue import fit_cue_model
from algorithms.parts.losses import prediction_entropy
from algorithms.parts.mixture import component_posterior
from algorithms.parts.prejudice import PrejudiceModel
from data.batches import as_probabilities


@method("contradicted")
class Contradicted(PrejudiceModel):
    """Even draws from the images whose label a prejudice model contradicts (ours)"""

    second = "sce"

    @dataclass(frozen=True)
    class Hparams(PrejudiceModel.Hparams):
        share: float = hparam(
            0.7, search=[0.5, 0.7, 0.9], low=0, high=1, after_training=True, help="of the draws, on contradicted images"
        )
        weight: str = hparam(
            "posterior",
            search=["posterior", "root", "mixture"],
            choices=("posterior", "root", "mixture", "even"),
            after_training=True,
            help="what draws are proportional to among contradicted images",
        )
        tau: float = hparam(
            1.0, search=[0.5, 1, 2], low=1e-3, after_training=True, help="temperature of the entropy; lower sharpens"
        )

    def select(self) -> tuple[Tensor, Tensor]:
        logits, labels, chosen = self.task.over_train(self.predict).double(), self.task.train.labels.cpu(), self.hparams
        entropy, contradicted = prediction_entropy(logits, chosen.tau), logits.argmax(1) != labels
        weights = {
            "posterior": lambda: fit_cue_model(logits, labels, chosen.tau).right_label_probability(labels)[
                contradicted
            ],
            "root": lambda: entropy[contradicted].sqrt(),
            "mixture": lambda: higher_component(entropy[contradicted]),
            "even": lambda: torch.ones(int(contradicted.sum())),
        }[chosen.weight]
        return shared_draws(contradicted, chosen.share, weights()), entropy

    def diagnostics(self) -> dict[str, Tensor]:
        logits, labels = self.task.over_train(self.predict).double(), self.task.train.labels.cpu()
        cues = fit_cue_model(logits, labels, self.hparams.tau)
        return super().diagnostics() | {
            "mislabelled_probability": 1 - cues.right_label_probability(labels),
            "conflicting_probability": cues.conflicting,
        }


def shared_draws(contradicted: Tensor, share: float, weights: Tensor) -> Tensor:
    """Sampling probabilities, float64 [N]: `share` on the contradicted images, the rest evenly on the others.

    Args:
        contradicted: bool [N], K of them true.
        weights: what draws are proportional to among the contradicted ones, [K].
    """
    if contradicted.all() or not contradicted.any():
        return torch.full(contradicted.shape, 1 / len(contradicted), dtype=torch.float64)
    probabilities = torch.full(contradicted.shape, (1 - share) / int((~contradicted).sum()), dtype=torch.float64)
    probabilities[contradicted] = share * as_probabilities(weights)
    return probabilities


def higher_component(entropy: Tensor) -> Tensor:
    """Posterior of the higher of two Gaussian components of the logarithm, 0.1 at least: float64 [K] to [K]."""
    smallest = torch.finfo(torch.float32).eps  # zero has no logarithm; tinier ones would be a component of their own
    return torch.from_numpy(component_posterior(entropy.clamp_min(smallest).log().numpy(), "upper")).clamp_min(0.1)
