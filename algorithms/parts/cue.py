"""A model of cues and noise from a prejudice model's output: every image's cue, its conflicts, and the noise of labels.

Ours (docs/beyond_deneb.md). Of images with cue a and given label g, none but the given labels is looked at.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.parts.losses import prediction_entropy

PRIOR_IMAGES = 100
"""As many images of symmetric noise each cue's row of the noise matrix is believed to have seen beforehand."""


@dataclass(frozen=True)
class CueModel:
    """A model of how given labels arise: a cue, a true label that is the cue's class or not, and noise.

    cue: int64 [N], the class that the prejudice model predicts.
    conflicting: float64 [N] in [0, 1], the probability that an image's true label is not its cue's class.
    noise: float64 [C, C], the probability of every given label (columns) for every true label (rows).
    """

    cue: Tensor
    conflicting: Tensor
    noise: Tensor

    def true_label_prior(self) -> Tensor:
        """P(true label | cue, entropy), float64 [N, C]: evenly on the other classes if an image conflicts."""
        classes = len(self.noise)
        others = (self.conflicting / (classes - 1)).unsqueeze(1).repeat(1, classes)
        return others.scatter(1, self.cue.unsqueeze(1), (1 - self.conflicting).unsqueeze(1))

    def right_label_probabilities(self) -> Tensor:
        """P(true label = g | cue, entropy, given label g) for each label g that might be given: float64 [N, C]."""
        prior = self.true_label_prior()
        given = prior @ self.noise
        return torch.where(given > 0, prior * self.noise.diag() / given, 1.0)

    def right_label_probability(self, labels: Tensor) -> Tensor:
        """The same for the given labels, int64 [N]: float64 [N]."""
        return self.right_label_probabilities().gather(1, labels.unsqueeze(1)).squeeze(1)


def fit_cue_model(logits: Tensor, labels: Tensor, temperature: float = 1.0) -> CueModel:
    """Fits it to a prejudice model's logits (float64 [N, C]) and the given labels (int64 [N]) in one pass.

    Entropies are ranked among the images of the same cue, since the model is surer of some cues than of others. The
    surer half is taken for aligned: given labels there show the noise of their cue's class. The share of contradicted
    images rises with the rank from the noise rate rho (isotonic regression): rate = rho + (1 - rho) P(conflicting).
    """
    from scipy.stats import rankdata
    from sklearn.isotonic import IsotonicRegression

    cue, entropy = logits.argmax(1), prediction_entropy(logits, temperature)
    quantile = torch.empty_like(entropy)
    for members in (cue == one for one in cue.unique()):
        quantile[members] = torch.from_numpy(rankdata(entropy[members]) / int(members.sum()))
    contradicted = (cue != labels).double()
    surer = quantile <= 0.5
    rho = float(contradicted[surer].mean()) if surer.any() else 0.0
    rate = torch.from_numpy(IsotonicRegression().fit_transform(quantile.numpy(), contradicted.numpy()))
    conflicting = ((rate - rho) / max(1 - rho, 1e-12)).clamp(0, 1)
    return CueModel(cue, conflicting, noise_matrix(cue[surer], labels[surer], rho, logits.shape[1]))


def label_cue_information(draws: Tensor, labels: Tensor, cue: Tensor, classes: int) -> float:
    """Mutual information in nats of given label and cue (both int64 [N]) under sampling probabilities float64 [N].

    0 where the cue says nothing of the label, as in an unbiased set; it looks at no true label.
    """
    joint = torch.zeros(classes**2, dtype=torch.float64).index_add_(0, labels * classes + cue, draws).view(classes, -1)
    independent = joint.sum(1, keepdim=True) * joint.sum(0)
    return float(torch.special.xlogy(joint, joint / independent.clamp_min(1e-300)).sum())


def noise_matrix(true: Tensor, given: Tensor, rate: float, classes: int) -> Tensor:
    """P(given | true) from pairs of labels (int64 [K]), shrunk towards symmetric noise of `rate`: float64 [C, C]."""
    counts = torch.bincount(true * classes + given, minlength=classes**2).view(classes, classes)
    counts = counts + PRIOR_IMAGES * symmetric_noise(rate, classes)
    return counts / counts.sum(1, keepdim=True)


def symmetric_noise(rate: float, classes: int) -> Tensor:
    """The noise matrix that moves a share `rate` of the labels, evenly to the other classes: float64 [C, C]."""
    others = torch.full((classes, classes), rate / (classes - 1), dtype=torch.float64)
    return others.fill_diagonal_(1 - rate)
