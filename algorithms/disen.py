"""Disen: separates the intrinsic features of an image from the biased ones and swaps the latter between images.

Jungsoo Lee, Eungyeup Kim, Juyoung Lee, Jihyeon Lee, Jaegul Choo. "Learning Debiased Representation via Disentangled
Feature Augmentation." NeurIPS 2021, arXiv:2107.01372.

Two encoders give features z_l (intrinsic) and z_b (biased), two linear heads C_l and C_b see both, [z_l; z_b], but each
trains its own encoder only. With y the given label, a random permutation of the batch marked by ~, and w the weight of
LfF (see lff.py) from the cross entropies of both heads:

1. L_dis = mean w CE(C_l[z_l; sg z_b], y) + lambda_dis mean GCE_q(C_b[sg z_l; z_b], y).
2. L_swap = mean w CE(C_l[z_l; sg z~_b], y) + lambda_dis mean GCE_q(C_b[sg z_l; z~_b], y~); w is not permuted.
3. The loss is L_dis for `warmup` epochs, then L_dis + lambda_swap L_swap.
4. The final model is C_l[z_l; z_b]. As a selector Disen emits every sample's last w as a loss weight.

The authors have two factors for the biased branch, lambda_dis_align and lambda_swap_align, set equal in their recipes.
DENEB's search has one, so lambda_dis is both. Defaults are those for Colored MNIST; there swapping starts after a fifth
of the training, which is 4 of 20 epochs.

Deviations from the authors' code: q can be set (theirs ignores the option and uses 0.7); swapping starts with an epoch,
and the learning rate follows the run's schedule from the start (theirs waits for the swapping); the optimiser is the
run's (theirs: Adam, which is blind to the size of lambda_dis, while SGD is not); w is guarded as in LfF; features come
from the network's `extract` (theirs from a hook around a pass with zeros appended); the heads are the two networks' own
last layers, made wider.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algorithms.base import Batch, Method, hparam, method, weighted_mean
from algorithms.parts.loss_table import FailureWeights
from algorithms.parts.losses import gradient_scaled_gce
from algorithms.task import Task


@method("disen")
class Disen(Method):
    """Disentangled features with swapped biases (Lee et al., NeurIPS 2021)"""

    debiases = True
    emits = "weights"

    @dataclass(frozen=True)
    class Hparams:
        m_alpha: float = hparam(
            0.7, search=[0.1, 0.5, 0.7, 0.9], low=0, high=1, help="share of the former average in a running loss"
        )
        q: float = hparam(
            0.7, search=[0.1, 0.3, 0.5, 0.7, 0.9], low=0, high=1, help="of the biased branch's GCE; 0 is cross entropy"
        )
        warmup: int = hparam(4, search=[0, 10, 20], low=0, help="epochs before biased features are swapped")
        lambda_dis: float = hparam(10.0, search=[1, 10, 30], low=0, help="factor of the biased branch's losses")
        lambda_swap: float = hparam(1.0, search=[1, 10, 30], low=0, help="factor of the losses on swapped features")

    def __init__(self, task: Task, hparams: Hparams) -> None:
        super().__init__(task, hparams)
        self.biased_network = task.new_network("biased")
        for network, name in ((self.network, "head"), (self.biased_network, "biased head")):
            with task.initialising(name):
                network.fc = nn.Linear(2 * network.feature_dim, task.num_classes).to(task.device)
        self.optimizers = [task.settings.optimizer(self.parameters())]
        self.weights = FailureWeights(task.train.labels, task.num_classes, hparams.m_alpha)
        self.swapping = False

    def begin_epoch(self, epoch: int) -> None:
        self.swapping = epoch >= self.hparams.warmup

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        features = self.network.extract(batch.images), self.biased_network.extract(batch.images)
        heads = self.network.predict, self.biased_network.predict
        permutation = torch.randperm(len(batch.labels), device=batch.labels.device) if self.swapping else None
        losses, logits = disen_losses(*heads, *features, batch, self.weights, self.hparams, permutation)
        loss = weighted_mean(losses, batch.weights)
        self.update(self.optimizers[0], loss)
        return loss.detach(), logits.detach()

    def predict(self, images: Tensor) -> Tensor:
        features = self.network.extract(images), self.biased_network.extract(images)
        return self.network.predict(torch.cat(features, 1))

    def select(self) -> tuple[Tensor, Tensor]:
        weights = self.weights.everywhere()
        return weights, weights.double()


def disen_losses(
    head: Callable[[Tensor], Tensor],
    biased_head: Callable[[Tensor], Tensor],
    intrinsic: Tensor,
    biased: Tensor,
    batch: Batch,
    weights: FailureWeights,
    hparams: Disen.Hparams,
    permutation: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The loss of every sample, [B], and the logits of C_l, [B, C]; updates `weights`.

    Args:
        head, biased_head: C_l and C_b, from [B, 2d] to logits [B, C].
        intrinsic, biased: features z_l and z_b, [B, d].
        permutation: int64 [B], or None to swap nothing.
    """

    def logits(biased: Tensor) -> tuple[Tensor, Tensor]:
        return head(torch.cat([intrinsic, biased.detach()], 1)), biased_head(torch.cat([intrinsic.detach(), biased], 1))

    def losses(logits: Tensor, biased_logits: Tensor, biased_labels: Tensor) -> Tensor:
        cross_entropy = F.cross_entropy(logits, labels, reduction="none")
        return w * cross_entropy + hparams.lambda_dis * gradient_scaled_gce(biased_logits, biased_labels, hparams.q)

    labels = batch.labels
    pair = logits(biased)
    hardness, biased_hardness = (F.cross_entropy(each.detach(), labels, reduction="none") for each in pair)
    w = weights.update(batch.index, biased_hardness, hardness)
    total = losses(*pair, labels)
    if permutation is not None:
        total = total + hparams.lambda_swap * losses(*logits(biased[permutation]), labels[permutation])
    return total, pair[0]
