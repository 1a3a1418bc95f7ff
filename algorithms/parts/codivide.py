"""The base of DivideMix and f-DivideMix: two networks that divide the samples for each other, and MixMatch training.

Junnan Li, Richard Socher, Steven C. H. Hoi. "DivideMix: Learning with Noisy Labels as Semi-supervised Learning."
ICLR 2020, arXiv:2002.07394.

`warmup` epochs of cross entropy on everything, in batches of 2B, come first. Then, every epoch:

1. Each network, in evaluation mode, gives every sample a probability w of being clean (what the two methods differ in).
2. Each network in turn trains with the other one's w. Labelled are the samples with w > p_threshold, B per step, and as
   many of the unlabelled rest are drawn beside them. Of every image there are two augmented views.
3. A labelled image's target is w onehot(y) + (1 - w) p, with p the network's prediction averaged over the views; an
   unlabelled one's the prediction of both networks averaged over the views. Targets are sharpened, p^(1/T).
4. All images and targets are mixed (MixUp, the larger share l of Beta(alpha, alpha)). The loss is the cross entropy of
   the labelled half + lambda mean over rows and classes of (p - target)^2 of the other half + the divergence of the
   mean prediction from uniform; lambda grows to lambda_u over 16 epochs.

The mean of both networks' logits is the prediction. As a selector it keeps the samples whose w, averaged over the two
final networks, exceeds p_threshold.

Deviation from DENEB's copy: the squared error is a mean over classes as in the paper, not a sum, so that a lambda_u of
theirs is C times larger here. Deviations from the original:

- Both networks share the warm-up's batches. The warm-up defaults to 5 epochs (paper: 10 or 30 of 300) for shorter runs.
- The warm-up's confidence penalty, which theirs has under asymmetric noise only, of which a method does not know, is
  the option `warmup_penalty`.
- One forward pass guesses for all images of a step, so batch norm sees labelled and unlabelled ones together there,
  as it does when training.
- The last, smaller labelled batch is left out.
- There is no average of the last five losses, which theirs takes at noise 0.9 only.
- Fewer than two labelled samples mean that all are, and without unlabelled ones there is no squared error (original:
  crashes).
- Mixtures are seeded.
- Sampling probabilities of an earlier stage apply within the labelled and the unlabelled samples, and loss weights to
  the rows of either, as in DENEB's copy; they are not mixed, and the division sees every sample once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, hparam, weighted_mean
from algorithms.parts.losses import prediction_entropy
from algorithms.parts.mixing import mixup
from algorithms.parts.mixmatch import guessed_targets, refined_targets, semi_supervised_loss, unlabelled_factor
from algorithms.parts.mixture import clean_positions
from algorithms.parts.two_networks import TwoNetworks
from models.registry import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class SemiBatch(Batch):
    """Two views of B labelled images, [2B, ...], for one network, and as many unlabelled ones.

    learner: number of the network to train.
    clean: probability that the label is right, float [2B].
    unlabelled: two views of further images, whose labels are not used, or None.
    unlabelled_factor: of the unlabelled images' loss.
    """

    learner: int
    clean: Tensor
    unlabelled: Batch | None
    unlabelled_factor: float


class CoDivide(TwoNetworks):
    """Base of the DivideMix family: a method defines how one network divides the samples."""

    emits = "kept"
    recordable = False

    @dataclass(frozen=True)
    class Hparams:
        alpha: float = hparam(4.0, search=[0.5, 1, 2, 5], low=0, help="of MixUp's Beta distribution; 0 mixes nothing")
        lambda_u: float = hparam(25.0, search=[0, 0.5, 1, 15, 25], low=0, help="factor of the unlabelled images' loss")
        p_threshold: float = hparam(
            0.5, search=[0.1, 0.3, 0.5, 0.7], low=0, high=1, help="samples likelier than this to be clean are labelled"
        )
        warmup: int = hparam(5, search=[0, 5, 10], low=0, help="epochs of cross entropy before the first division")
        T: float = hparam(0.5, search=[0.1, 0.5], low=0.01, help="temperature that sharpens targets")
        warmup_penalty: float = hparam(0.0, low=0, help="factor of the warm-up's confidence penalty; 1 for asym noise")

    def divide(self, network: Network) -> Tensor:
        """Probability of each training sample to be clean, float [N] on the CPU; `network` is in evaluation mode."""
        raise NotImplementedError

    def divisions(self) -> Tensor:
        """Both networks' divisions, float [2, N]."""
        training = self.training
        self.eval()
        clean = torch.stack([self.divide(network) for network in self.networks])
        self.train(training)
        return clean

    def begin_epoch(self, epoch: int) -> None:
        if epoch >= self.hparams.warmup:
            self.clean = self.divisions()
            self.training_subset = clean_positions(self.clean[1], self.hparams.p_threshold)
            self.mixing = self.task.generator("mixing", epoch)

    def batches(self, epoch: int) -> Iterable[Batch]:
        if epoch >= self.hparams.warmup:
            return self.semi_batches(epoch)
        order = self.task.order(self.task.generator("order", epoch))
        return self.task.batches(order, 2 * self.task.settings.batch_size)

    def semi_batches(self, epoch: int) -> Iterator[SemiBatch]:
        """All steps of the first network, then those of the second."""
        task, size = self.task, self.task.settings.batch_size
        for learner in range(2):
            generator, clean = task.generator("order", epoch, learner), self.clean[1 - learner]
            labelled = clean_positions(clean, self.hparams.p_threshold)
            rest = torch.ones(len(clean), dtype=torch.bool).index_fill_(0, labelled, False).nonzero().flatten()
            labelled_views = task.batches(two_views(task.order(generator, labelled), size), 2 * size)
            steps = len(labelled_views)
            unlabelled_views: Iterable[Batch | None] = repeat(None, steps)
            if len(rest):
                unlabelled_views = task.batches(two_views(task.order(generator, rest, steps * size), size), 2 * size)
            clean = clean.to(task.device)
            for step, (views, beside) in enumerate(zip(labelled_views, unlabelled_views, strict=True)):
                yield SemiBatch(
                    views.images,
                    views.labels,
                    views.index,
                    views.weights,
                    learner=learner,
                    clean=clean[views.index].to(views.images.dtype),
                    unlabelled=beside,
                    unlabelled_factor=unlabelled_factor(
                        self.hparams.lambda_u, epoch - self.hparams.warmup + step / steps
                    ),
                )

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.semi_step(batch) if isinstance(batch, SemiBatch) else self.warmup_step(batch)

    def warmup_step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        losses = []
        for network, optimizer in zip(self.networks, self.optimizers, strict=True):
            logits = network(batch.images)
            loss = weighted_mean(F.cross_entropy(logits, batch.labels, reduction="none"), batch.weights)
            if self.hparams.warmup_penalty:
                loss = loss - self.hparams.warmup_penalty * prediction_entropy(logits, 1).mean()
            self.update(optimizer, loss)
            losses.append(loss.detach())
        return torch.stack(losses).mean(), logits.detach()

    def semi_step(self, batch: SemiBatch) -> tuple[Tensor, Tensor]:
        own, partner = self.networks[batch.learner], self.networks[1 - batch.learner]
        own.train()
        partner.eval()
        parts = [batch] if batch.unlabelled is None else [batch, batch.unlabelled]
        images, labelled = torch.cat([part.images for part in parts]), len(batch.labels)
        with torch.no_grad():
            guesses = own(images)
            targets = refined_targets(guesses[:labelled], batch.labels, batch.clean, self.hparams.T)
            if batch.unlabelled is not None:
                theirs = partner(batch.unlabelled.images)
                targets = torch.cat([targets, guessed_targets(guesses[labelled:], theirs, self.hparams.T)])
        mixed, targets, _, _ = mixup(images, targets, self.hparams.alpha, self.mixing)
        weights = [part.weights for part in parts if part.weights is not None]
        loss = semi_supervised_loss(
            own(mixed), targets, labelled, batch.unlabelled_factor, torch.cat(weights) if weights else None
        )
        self.update(self.optimizers[batch.learner], loss)
        return loss.detach(), guesses[:labelled]

    def select(self) -> tuple[Tensor, Tensor]:
        clean = self.divisions().mean(0).double()
        return clean_positions(clean, self.hparams.p_threshold), clean


def two_views(order: Tensor, size: int) -> Tensor:
    """Every `size` positions of `order` (int64 [K]) twice: a batch of 2 `size` then holds two views of each image."""
    return torch.cat([part.repeat(2) for part in order.split(size)])
