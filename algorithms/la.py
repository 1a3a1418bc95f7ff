"""LA: a likelihood of the given label in which cue, noise and draws are factors of their own.

After uLA (Christos Tsirigotis, Joao Monteiro, Pau Rodriguez, David Vazquez, Aaron Courville. "Group Robust
Classification Without Any Group Information." NeurIPS 2023, arXiv:2310.18555), with noise, per-image priors and draws
added by us; derived in docs/beyond_deneb.md. The first stage's model tells the cue a of every image.

The network's logits d(x) are to know nothing of the cue. For true label y, given label g and an image drawn with
probability proportional to w(g),

    P(g | x) = w(g) sum_y T[y, g] softmax(d(x) + log prior)_y / (the same, summed over g),

and the loss is its negative logarithm at the given label. d(x) alone predicts.

- `prior`: `image` is P(y | a, entropy) of the model of cues and noise in algorithms/parts/cue.py; `cell` is uLA's
  P(y | a), from the joint of cue (the softmax of the first stage's logits) and given label, with noise taken out by
  maximum likelihood.
- `noise`: `estimated` takes T from the same model; `known` is symmetric with the rate of wrong labels that the run's
  noise is expected to make.
- `draws`: `once` serves every image once an epoch; `even` draws a `share` from contradicted images, whose given label
  is not the cue's class, evenly; `posterior` in proportion to the probability that their label is right. Without noise,
  with `--prior cell --noise known --draws once`, this is uLA.

Deviations from uLA: the joint is one pass of a fixed first stage (theirs: a moving average), and its rows are weighted
by the softmax of the first stage rather than picked by its argmax.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from algorithms.base import Batch, Method, hparam, method
from algorithms.parts.cue import CueModel, fit_cue_model, symmetric_noise
from algorithms.task import Task
from data.batches import as_probabilities, weighted_draws

FLOOR = 1e-4
"""The least prior of a true label: no image is so sure of its cue that its content could not overrule it."""


@method("la")
class La(Method):
    """Logit adjustment by cue, with noise and draws in the likelihood (ours, after uLA, NeurIPS 2023)"""

    debiases = True
    first = "deneb"
    log_prior: Tensor
    log_noise: Tensor
    log_draws: Tensor

    @dataclass(frozen=True)
    class Hparams:
        prior: str = hparam(
            "image", search=["image", "cell"], choices=("image", "cell"), help="of the true label: by image, or by cue"
        )
        noise: str = hparam("estimated", choices=("estimated", "known"), help="where the noise matrix is from")
        draws: str = hparam(
            "posterior",
            search=["posterior", "even", "once"],
            choices=("posterior", "even", "once"),
            help="how often images are served",
        )
        share: float = hparam(
            0.7, search=[0.5, 0.7, 0.9], low=0.01, high=0.99, help="of the draws, on contradicted images"
        )

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__(task, hparams)
        assert task.cue is not None
        labels, logits = task.train.labels.cpu(), task.cue.double()
        cues = fit_cue_model(logits, labels)
        noise = cues.noise if hparams.noise == "estimated" else symmetric_noise(task.noise_rate, task.num_classes)
        prior = cues.true_label_prior() if hparams.prior == "image" else cell_prior(logits.softmax(1), labels, noise)
        self.draws = draws_by_label(cues, labels, hparams.draws, hparams.share)
        for name, values in (("log_prior", prior.clamp_min(FLOOR)), ("log_noise", noise), ("log_draws", self.draws)):
            self.register_buffer(name, values.clamp_min(1e-12).log().float(), persistent=False)

    def batches(self, epoch: int) -> Iterable[Batch]:
        task, generator = self.task, self.task.generator("order", epoch)
        if self.hparams.draws == "once":
            return task.batches(task.order(generator))
        chosen = as_probabilities(self.draws.gather(1, task.train.labels.cpu().unsqueeze(1)).squeeze(1))
        return task.batches(weighted_draws(chosen, len(chosen), generator))

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        index = batch.index
        return given_label_losses(logits, batch.labels, self.log_prior[index], self.log_noise, self.log_draws[index])

    def diagnostics(self) -> dict[str, Tensor]:
        logits, labels = self.task.over_train(self.predict), self.task.train.labels.cpu()
        joint = (logits + self.log_prior.cpu()).log_softmax(1) + self.log_noise.cpu()[:, labels].T
        true_label = joint.softmax(1)
        assert self.task.cue is not None
        of_label, of_cue = (
            true_label.gather(1, it.unsqueeze(1)).squeeze(1) for it in (labels, self.task.cue.argmax(1))
        )
        return {"mislabelled_probability": 1 - of_label, "conflicting_probability": 1 - of_cue}


def given_label_losses(
    logits: Tensor, labels: Tensor, log_prior: Tensor, log_noise: Tensor, log_draws: Tensor
) -> Tensor:
    """-log P(given label | image, that it was drawn), per sample: float [B].

    Args:
        logits: float [B, C], d(x).
        labels: given labels, int64 [B].
        log_prior: [B, C], of the true label.
        log_noise: [C, C], of the given label (columns) for each true one.
        log_draws: [B, C], of how often the image would be drawn with each given label, up to a constant.
    """
    log_true = (logits + log_prior).log_softmax(1)
    log_given = torch.logsumexp(log_true.unsqueeze(2) + log_noise, dim=1)
    return -(log_given + log_draws).log_softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1)


def draws_by_label(cues: CueModel, labels: Tensor, kind: str, share: float) -> Tensor:
    """The frequency at which each image would be drawn had it each of the labels, up to a constant: float64 [N, C]."""
    size, classes = len(labels), len(cues.noise)
    every = torch.ones(size, classes, dtype=torch.float64)
    contradicted = cues.cue != labels
    if kind == "once" or contradicted.all() or not contradicted.any():
        return every
    weights = cues.right_label_probabilities() if kind == "posterior" else every
    total = weights.gather(1, labels.unsqueeze(1))[contradicted].sum().clamp_min(1e-12)
    agreeing = (1 - share) / int((~contradicted).sum())
    return (share * weights / total).scatter(1, cues.cue.unsqueeze(1), agreeing)


def cell_prior(cue: Tensor, labels: Tensor, noise: Tensor, steps: int = 500) -> Tensor:
    """P(true label | cue) of every image, float64 [N, C]: maximum likelihood given the noise, by EM (it is convex).

    Args:
        cue: distribution over cue classes, float64 [N, C].
        labels: given labels, int64 [N].
        noise: P(given | true), float64 [C, C].
    """
    classes = cue.shape[1]
    joint = torch.zeros(classes, classes, dtype=torch.float64).index_add_(1, labels, cue.T.contiguous())
    observed = joint / joint.sum(1, keepdim=True).clamp_min(1e-12)
    prior = torch.full_like(observed, 1 / classes)
    for _ in range(steps):
        prior = prior * ((observed / (prior @ noise).clamp_min(1e-12)) @ noise.T)
    return cue @ (prior / prior.sum(1, keepdim=True).clamp_min(1e-12))
