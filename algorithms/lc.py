"""LC: logits are corrected by how often a label goes with the cue that a second, biased network sees.

Sheng Liu, Xu Zhang, Nitesh Sekhar, Yue Wu, Prateek Singhal, Carlos Fernandez-Granda. "Avoiding Spurious Correlations
via Logit Correction." ICLR 2023, arXiv:2212.01433.

A biased network b and the final model d learn side by side. Each step, on one batch with given labels y:

1. The cue of an image is a(x) = argmax b(x). The joint distribution of label and cue is a moving average over batches,
   P <- alpha P + (1 - alpha) mean 1[y_i = y] softmax(b(x_i))_a, whose first batch is copied (eq. 9 to 11).
2. Group MixUp: x' = l x + (1 - l) x_m, where x_m is a random image of the same class whose cue is not that class, and l
   ~ U(0, 1/2), one draw a batch, so that the rarer image has the larger share. The label stays. Where the batch has no
   such image of a class, partners are an ordinary permutation within the class. For the first `ramp` updates l ~
   U(1 - 2t, 1 - t) with t = exp(-5 (1 - s / ramp)^2) / 2 at update s, which begins with hardly mixed images.
3. The loss is mean CE(d(x') + c, y) + lambda_b mean GCE_q(b(x), y) with c_y' = log(P(y', a(x)) + 1e-4), mixed with the
   same l as the image. d(x) alone predicts.

Deviations from the authors' code:

- P is the paper's. The code keeps, for every cell (y, a), the average of softmax(b(x))_y over the samples with that
  label and that prediction, which is not a distribution.
- alpha is 0.5 (code: 0.995 by default), `ramp` 0.
- Optimiser and schedule are the run's (theirs: Adam); b learns with the same optimiser at `biased_lr` times the rate.
- An earlier stage's loss weights scale both losses; P counts every sample once.

A wrong label is a rare pair of label and cue as well: without knowledge of noise LC makes room for it, too.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, Method, hparam, method, weighted_mean
from algorithms.parts.losses import gradient_scaled_gce
from algorithms.parts.mixing import mix
from algorithms.task import Task

FLOOR = 1e-4
"""What is added to a probability before its logarithm is taken."""


@method("lc")
class Lc(Method):
    """Logit correction by a biased network's cues, with Group MixUp (Liu et al., ICLR 2023)"""

    debiases = True
    joint: Tensor
    updates: Tensor

    @dataclass(frozen=True)
    class Hparams:
        q: float = hparam(
            0.7, search=[0.3, 0.5, 0.7, 0.8], low=0, high=1, help="of the biased network's GCE; 0 is cross entropy"
        )
        lambda_b: float = hparam(1.0, low=0, help="factor of the biased network's loss")
        biased_lr: float = hparam(0.1, search=[0.1, 1], low=0, help="of the biased network, as a share of --lr")
        alpha: float = hparam(0.5, search=[0.5, 0.9, 0.995], low=0, high=1, help="share that P keeps at a batch")
        group_mixup: bool = hparam(True, search=[True, False], help="mix images with rare ones of their class")
        ramp: int = hparam(0, search=[0, 100, 1000], low=0, help="updates until mixing is at its full strength")

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__(task, hparams)
        self.biased_network = task.new_network("biased")
        slower = replace(task.settings, lr=hparams.biased_lr * task.settings.lr)
        self.optimizers.append(slower.optimizer(self.biased_network.parameters()))
        self.register_buffer("joint", torch.zeros(task.num_classes, task.num_classes))
        self.register_buffer("updates", torch.zeros(()))

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        biased = self.biased_network(batch.images)
        images, correction = batch.images, self.correction(biased.detach(), batch.labels)
        if self.hparams.group_mixup:
            share = mixing_share(self.updates, self.hparams.ramp)
            partners = group_partners(batch.labels, biased.argmax(1))
            images, correction = (mix(x, partners, share) for x in (images, correction))
        self.updates.add_(1)
        logits = self.network(images)
        corrected = F.cross_entropy(logits + correction, batch.labels, reduction="none")
        loss = weighted_mean(corrected, batch.weights)
        biased_losses = self.hparams.lambda_b * gradient_scaled_gce(biased, batch.labels, self.hparams.q)
        biased_loss = weighted_mean(biased_losses, batch.weights)
        self.update(self.optimizers[0], loss)
        self.update(self.optimizers[1], biased_loss)
        return (loss + biased_loss).detach(), logits.detach()

    def correction(self, biased: Tensor, labels: Tensor) -> Tensor:
        """Takes a batch into the joint; returns log(P(., a(x)) + 1e-4) of its images: float [B, C]."""
        keep = self.hparams.alpha * (self.joint.sum() > 0)
        self.joint.lerp_(joint_distribution(labels, biased.softmax(1)), 1 - keep)
        return (self.joint[:, biased.argmax(1)].T + FLOOR).log()


def joint_distribution(labels: Tensor, cues: Tensor) -> Tensor:
    """The mean over a batch of onehot(label) times its cue's distribution: int64 [B] and float [B, C] to [C, C]."""
    return torch.zeros_like(cues).scatter_(1, labels.unsqueeze(1), 1).T @ cues / len(labels)


def mixing_share(updates: Tensor, ramp: int) -> Tensor:
    """l ~ U(1 - 2t, 1 - t) after so many updates, with t growing to 1/2 over `ramp` of them; all scalars."""
    progress = (updates / ramp).clamp(max=1) if ramp else torch.ones_like(updates)
    t = torch.exp(-5 * (1 - progress).square()) / 2
    return 1 - 2 * t + t * torch.rand_like(updates)


def group_partners(labels: Tensor, cues: Tensor) -> Tensor:
    """For each row a random one of the same label whose cue is not the label, int64 [B] each.

    Rows whose label has none get those of a random permutation within the label.
    """
    rare = (labels.unsqueeze(1) == labels) & (cues != labels)
    chosen = torch.rand_like(rare, dtype=torch.float32).masked_fill(~rare, -1).argmax(1)
    permuted = torch.empty_like(labels)
    permuted[labels.argsort()] = (labels + torch.rand_like(labels, dtype=torch.float64)).argsort()
    return torch.where(rare.any(1), chosen, permuted)
