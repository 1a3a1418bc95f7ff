"""SELF: the last layer is trained once more on the held-out images about which an early model disagrees most.

Tyler LaBonte, Vidya Muthukumar, Abhishek Kumar. "Towards Last-layer Retraining for Group Robustness with Fewer
Annotations." NeurIPS 2023, arXiv:2309.08534.

1. A network is trained with cross entropy on a share 1 - `share` of the images; after `early` epochs it is copied, but
   before the last one (of a single epoch, as it was at first), lest it agree with itself.
2. Of the held-out images the `count` with the largest KL(p_final || p_early) are chosen. No label is looked at.
3. From the trained network's own, the last layer alone is trained on them, every class with the same weight.
A mislabelled image is chosen only if its content is disputed, so that label noise does little harm, as in DENEB.

Deviations: the paper holds out half of the validation images; here a share of the training images is, since validation
images choose the epoch. Class-balanced batches are a class-balanced gradient of all chosen images. The paper chooses
`early` and `count` by the worst group of validation; here there are no groups.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import hparam, method
from algorithms.parts.last_layer import LastLayer, class_balance
from algorithms.task import Task


@method("self")
class Self(LastLayer):
    """The last layer anew on the images that an early model disputes (LaBonte et al., NeurIPS 2023)"""

    debiases = True

    @dataclass(frozen=True)
    class Hparams:
        early: int = hparam(1, search=[1, 2, 5], low=0, help="epochs after which the early model is copied")
        count: int = hparam(100, search=[20, 100, 500], low=1, help="how many held-out images are chosen")
        stay: float = hparam(0.0, search=[0, 0.01, 0.1], low=0, help="factor of the squared way of the last layer")
        share: float = hparam(0.2, low=0, high=0.9, help="of the images that are held out for the last layer")
        rate: float = hparam(0.01, search=[0.01, 0.001], low=0, help="learning rate of the last layer's descent")
        steps: int = hparam(250, search=[250, 500], low=0, help="of the last layer's descent")

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__(task, hparams)
        self.early_network = copy.deepcopy(self.network).requires_grad_(False)

    def begin_epoch(self, epoch: int) -> None:
        if epoch == min(self.hparams.early, self.task.settings.epochs - 1):
            self.early_network.load_state_dict(self.network.state_dict())

    def reweighted(self, features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        early = self.task.over_train(self.early_network)[self.held].to(logits.device)
        weights = torch.zeros_like(labels, dtype=logits.dtype)
        chosen = disagreement(logits, early).topk(min(self.hparams.count, len(labels))).indices
        weights[chosen] = class_balance(labels[chosen])
        return weights


def disagreement(logits: Tensor, early: Tensor) -> Tensor:
    """KL(softmax(logits) || softmax(early)) of each row: [K, C] twice to [K]."""
    final = logits.log_softmax(1)
    return F.kl_div(early.log_softmax(1), final, reduction="none", log_target=True).sum(1)
