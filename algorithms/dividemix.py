"""DivideMix: samples that a mixture over losses holds for mislabelled are trained on as unlabelled ones.

Junnan Li, Richard Socher, Steven C. H. Hoi. "DivideMix: Learning with Noisy Labels as Semi-supervised Learning."
ICLR 2020, arXiv:2002.07394.

A network's division: the cross entropy of every training sample, min-max normalised; the probability w of being clean
is that of the smaller-mean component of a two-component mixture. Training and deviations: see codivide.py.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import method
from algorithms.parts.codivide import CoDivide
from algorithms.parts.mixture import clean_probability
from models.registry import Network


@method("dividemix")
class DivideMix(CoDivide):
    """Semi-supervised training on a division by losses (Li et al., ICLR 2020)"""

    def divide(self, network: Network) -> Tensor:
        losses = F.cross_entropy(self.task.over_train(network), self.task.train.labels.cpu(), reduction="none")
        return torch.from_numpy(clean_probability(losses.numpy()))
