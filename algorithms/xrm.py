"""XRM: twins take over each other's confident mistakes; an image that either then gets wrong belongs to a minority.

Mohammad Pezeshki, Diane Bouchacourt, Mark Ibrahim, Nicolas Ballas, Pascal Vincent, David Lopez-Paz. "Discovering
Environments with XRM." ICML 2024, arXiv:2309.16748.

1. Every sample is held in by one of two networks, at random, and held out by the other. Both are trained on what they
   hold in, with cross entropy of the current labels in which every class of the batch counts alike.
2. After each step the twin that holds a sample out may overwrite its current label, which starts as the given one: with
   probability (p_max - 1/C) C / (C - 1), p_max its largest probability, the label becomes its prediction.
3. A sample is of the minority environment if either twin, after training, does not predict its given label.
4. A fresh model is trained on draws that give each non-empty pair of given label and environment the same share: the
   second stage.
Flips teach the twins the cue, whatever the labels say. A mislabelled image contradicts its cue as a conflicting one
does, so that the minority environment holds both.

Deviations:

- The paper hands its environments to GroupDRO first of all; even draws of the groups are its simpler follower (there
  called RWG), and the one that fits selections here.
- The paper chooses settings and the iteration by the number of flipped labels; here the last epoch counts.
- Sampling rests on the training environments only; validation images get none.
- `flip` is a factor of the flip probability, 1 in the paper; 0 makes plain twins.
- The loss is the mean over the batch's classes (authors' code: their sum, with which SGD's steps are as many times as
  long as there are classes).
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, hparam, method
from algorithms.parts.two_networks import TwoNetworks
from algorithms.task import Task
from data.batches import as_probabilities


@method("xrm")
class Xrm(TwoNetworks):
    """Even draws of majority and minority of each class, as twins find them (Pezeshki et al., ICML 2024)"""

    debiases = True
    emits = "probabilities"
    second = "vanilla"
    tells_cue = True
    held_by_first: Tensor
    labels: Tensor

    @dataclass(frozen=True)
    class Hparams:
        flip: float = hparam(
            1.0, search=[0, 0.5, 1], low=0, high=1, help="factor of the probability that a held-out twin flips a label"
        )

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__(task, hparams)
        self.optimizers = [task.settings.optimizer([*self.network.parameters(), *self.partner.parameters()])]
        halves = torch.rand(len(task.train), generator=task.generator("halves")) < 0.5
        self.register_buffer("held_by_first", halves)
        self.register_buffer("labels", task.train.labels.clone())

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the mean loss and the held-out logits, [B, C]."""
        first, second = (network(batch.images) for network in self.networks)
        by_first, labels = self.held_by_first[batch.index].unsqueeze(1), self.labels[batch.index]
        held_in, held_out = torch.where(by_first, first, second), torch.where(by_first, second, first).detach()
        loss = (even_shares(labels, held_in.shape[1]) * F.cross_entropy(held_in, labels, reduction="none")).sum()
        self.update(self.optimizers[0], loss)
        flipped = torch.rand(len(labels), device=labels.device) < self.hparams.flip * flip_probability(held_out)
        self.labels[batch.index] = torch.where(flipped, held_out.argmax(1), labels)
        return loss.detach(), held_out

    def select(self) -> tuple[Tensor, Tensor]:
        labels = self.task.train.labels.cpu()
        wrong = [self.task.over_train(network).argmax(1) != labels for network in self.networks]
        minority = wrong[0] | wrong[1]
        return as_probabilities(even_shares(2 * labels + minority, 2 * self.task.num_classes)), minority.double()


def even_shares(groups: Tensor, count: int) -> Tensor:
    """Weights, float [B], sum 1, that add up to the same for each group with a member: of int64 [B], below `count`."""
    sizes = torch.zeros(count, device=groups.device).index_add_(0, groups, torch.ones_like(groups, dtype=torch.float32))
    return 1 / (sizes[groups] * (sizes > 0).sum())


def flip_probability(logits: Tensor) -> Tensor:
    """(p_max - 1/C) C / (C - 1): from 0 for a uniform prediction to 1 for a certain one, [B, C] to [B]."""
    classes = logits.shape[1]
    return (logits.softmax(1).amax(1) - 1 / classes) * classes / (classes - 1)
