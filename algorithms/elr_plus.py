"""ELR+: early-learning regularisation with MixUp and two networks, whose targets come from each other's average.

Sheng Liu, Jonathan Niles-Weed, Narges Razavian, Carlos Fernandez-Granda. "Early-Learning Regularization Prevents
Memorization of Noisy Labels." NeurIPS 2020, arXiv:2007.00151 (section 4.3 and appendix).

Each of two students has a teacher, the running average of its parameters, and a target h for every training sample. At
each batch, for a student:
1. h <- beta h + (1 - beta) p', with p' the other student's teacher's prediction for the plain images.
2. MixUp of images and one-hot labels; q mixes the targets h alike. With 100 classes the mixed labels are multiplied by
   q and rescaled, as in the authors' code.
3. Loss: soft cross entropy + r lbd log(1 - <q, p>), p the student's prediction clipped to [1e-4, 1 - 1e-4], and r
   growing from e^-5 to 1 over `coef_step` updates.
4. The teacher keeps a share of itself that grows from e^-5 ema_alpha to ema_alpha over `ema_step` updates, so early on
   it is just the student. Shorter runs than `ema_step` never reach ema_alpha; the authors' settings do not on small
   data, and are kept. Only parameters are averaged: teachers predict in training mode, with the batch's
   statistics, and with dropout where the network has it.
The first `warmup` epochs train with plain cross entropy, and h follows the student's own predictions.
The mean of the two students' logits is the prediction.

Deviations from the authors' code:

- Both students learn from every batch in turn, and both teachers predict before either learns (theirs: the students
  take turns of an epoch, each with its own order).
- Teachers start as copies of their students and follow them through the warm-up too, so that no target comes from an
  untrained network; updates are counted from the start of training.
- lbd is not truncated to an integer (DENEB's copy does).
- A sample drawn twice into a batch counts by its last row.
- An earlier stage's loss weights scale the cross entropy only, unmixed, as in DENEB's copy.
- The training loss and accuracy that are logged are those of the first student on mixed images.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algorithms.base import Batch, hparam, method, weighted_mean
from algorithms.parts.losses import clipped_softmax, elr_penalty, soft_cross_entropy
from algorithms.parts.mixing import mix, mixup, sigmoid_rampup, update_history, update_teacher
from algorithms.parts.two_networks import TwoNetworks
from algorithms.task import Task

SHARPENED_CLASSES = 100
"""The authors' code sharpens the labels for CIFAR-100 and no other data set, and tells it by its classes."""


@method("elr+")
class ElrPlus(TwoNetworks):
    """Early-learning regularisation with two networks, mean teachers and MixUp (Liu et al., NeurIPS 2020)"""

    recordable = False

    @dataclass(frozen=True)
    class Hparams:
        lbd: float = hparam(3.0, search=[1, 3, 5, 7], low=0, help="weight of the regulariser")
        beta: float = hparam(0.7, search=[0.7, 0.9], low=0, high=1, help="share that a target keeps at each visit")
        warmup: int = hparam(0, search=[0, 10, 30], low=0, help="epochs of plain cross entropy before")
        ema_alpha: float = hparam(
            0.997, search=[0.9, 0.99, 0.997], low=0, high=1, help="share of itself that a teacher keeps in the end"
        )
        ema_step: int = hparam(40000, search=[30000, 40000, 50000], low=0, help="updates until a teacher keeps so much")
        mixup_alpha: float = hparam(1.0, search=[0.5, 1, 2, 5], low=0, help="MixUp's Beta parameter; 0 mixes nothing")
        coef_step: int = hparam(0, search=[0, 100, 1000], low=0, help="updates until the regulariser has full weight")

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__(task, hparams)
        self.teachers = nn.ModuleList(copy.deepcopy(network).requires_grad_(False) for network in self.networks)
        self.histories: Tensor
        self.register_buffer("histories", torch.zeros(2, len(task.train), task.num_classes))

    def begin_epoch(self, epoch: int) -> None:
        self.regularised = epoch >= self.hparams.warmup
        self.updates = epoch * self.task.steps_per_epoch()
        self.mixing = self.task.generator("mixup", epoch)

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        self.updates += 1
        with torch.no_grad():
            taught = [teacher(batch.images).softmax(1) if self.regularised else None for teacher in self.teachers]
        outcome, _ = [self.learn(k, batch, taught[1 - k]) for k in (0, 1)]
        return outcome

    def learn(self, k: int, batch: Batch, taught: Tensor | None) -> tuple[Tensor, Tensor]:
        """One update of student `k` and its teacher; `taught` [B, C] comes from the other teacher, None in warm-up."""
        student, hparams = self.networks[k], self.hparams
        if taught is None:
            logits = student(batch.images)
            update_history(self.histories[k], batch.index, logits.detach().softmax(1), hparams.beta)
            loss = weighted_mean(F.cross_entropy(logits, batch.labels, reduction="none"), batch.weights)
        else:
            labels = torch.zeros_like(taught).scatter_(1, batch.labels.unsqueeze(1), 1)
            images, targets, lam, permutation = mixup(batch.images, labels, hparams.mixup_alpha, self.mixing)
            history = update_history(self.histories[k], batch.index, taught, hparams.beta)
            logits = student(images)
            cross_entropy, penalty = elr_plus_losses(logits, targets, mix(history, permutation, lam))
            strength = hparams.lbd * sigmoid_rampup(self.updates, hparams.coef_step)
            loss = weighted_mean(cross_entropy, batch.weights) + strength * penalty.mean()
        self.update(self.optimizers[k], loss)
        decay = hparams.ema_alpha * sigmoid_rampup(self.updates + 1, hparams.ema_step)
        update_teacher(self.teachers[k], student, decay)
        return loss.detach(), logits.detach()


def elr_plus_losses(logits: Tensor, targets: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
    """Soft cross entropy and penalty, per sample, [B] each.

    Args:
        logits: float [B, C], of mixed images.
        targets: float [B, C], mixed one-hot labels.
        history: float [B, C], mixed running predictions; no gradient.
    """
    if logits.shape[1] == SHARPENED_CLASSES:
        agreed = targets * history
        targets = agreed / agreed.sum(1, keepdim=True).clamp_min(torch.finfo(agreed.dtype).tiny)
    return soft_cross_entropy(logits, targets), elr_penalty(clipped_softmax(logits), history)
