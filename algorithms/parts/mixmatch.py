"""The mathematics of DivideMix's semi-supervised steps: targets for two views of every image, and their loss.

Rows come as two views of B images, view 1 first, then view 2 of the same images in the same order: [2B, ...].
Sources: DivideMix, Li et al., ICLR 2020, arXiv:2002.07394; MixMatch, Berthelot et al., NeurIPS 2019, arXiv:1905.02249.
"""

import math

import torch.nn.functional as F
from torch import Tensor

from algorithms.base import weighted_mean
from algorithms.parts.losses import soft_cross_entropy
from algorithms.parts.mixing import sharpen


def over_views(rows: Tensor) -> Tensor:
    """Replaces both views' rows by their average: [2B, C] to [2B, C]."""
    first, second = rows.chunk(2)
    return ((first + second) / 2).repeat(2, 1)


def refined_targets(logits: Tensor, labels: Tensor, clean: Tensor, temperature: float) -> Tensor:
    """Co-refinement: the given label as far as it is clean, else the network's prediction over both views, sharpened.

    Args:
        logits: float [2B, C]. labels: int64 [2B].
        clean: probability that the label is right, float [2B].
        temperature: of `sharpen`.

    Returns:
        [2B, C], rows that sum to one.
    """
    clean = clean.unsqueeze(1)
    predicted = (1 - clean) * over_views(logits.softmax(1))
    return sharpen(predicted.scatter_add(1, labels.unsqueeze(1), clean), temperature)


def guessed_targets(own: Tensor, partner: Tensor, temperature: float) -> Tensor:
    """Co-guessing: the prediction of both networks (logits [2B, C]) over both views, sharpened; [2B, C]."""
    return sharpen(over_views((own.softmax(1) + partner.softmax(1)) / 2), temperature)


def squared_error(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over classes of (softmax(logits) - targets)^2, per sample: [B, C] twice to [B]."""
    return (logits.softmax(1) - targets).square().mean(1)


def imbalance_penalty(logits: Tensor) -> Tensor:
    """KL divergence of the batch's mean prediction from the uniform distribution over classes: [B, C] to a scalar."""
    rows, classes = logits.shape
    log_mean = F.log_softmax(logits, dim=1).logsumexp(0) - math.log(rows)
    return -math.log(classes) - log_mean.mean()


def semi_supervised_loss(
    logits: Tensor, targets: Tensor, labelled: int, unlabelled_factor: float, weights: Tensor | None = None
) -> Tensor:
    """Cross entropy of the labelled rows, squared error of the others, and the penalty against imbalance.

    Args:
        logits, targets: float [R, C], labelled rows first.
        labelled: number of labelled rows; the rest may be empty.
        unlabelled_factor: of the squared error.
        weights: loss weights of the rows, float [R], or None; each part is divided by its number of rows.
    """
    x, u = slice(labelled), slice(labelled, None)
    weights_x, weights_u = (None, None) if weights is None else (weights[x], weights[u])
    loss = weighted_mean(soft_cross_entropy(logits[x], targets[x]), weights_x) + imbalance_penalty(logits)
    if labelled == len(logits):
        return loss
    return loss + unlabelled_factor * weighted_mean(squared_error(logits[u], targets[u]), weights_u)


def unlabelled_factor(lambda_u: float, epochs_mixing: float) -> float:
    """lambda_u, reached linearly over the first 16 epochs (a real number) after the warm-up."""
    return lambda_u * min(max(epochs_mixing / 16, 0.0), 1.0)
