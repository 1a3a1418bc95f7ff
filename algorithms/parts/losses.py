"""Losses and quantities on logits, as plain functions of tensors, in float32 and float64 and for any finite logits."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def gradient_scaled_gce(logits: Tensor, labels: Tensor, q: float) -> Tensor:
    """Generalised cross entropy in the gradient-scaled form, per sample: q * sg(p_y)^q * CE.

    Its gradient is that of 1 - p_y^q, that is q times the gradient of L_q = (1 - p_y^q)/q (Zhang & Sabuncu, NeurIPS
    2018, eq. 6). Its value is not L_q. For q = 0 it is plain cross entropy, as in DENEB's code.

    Args:
        logits: float [B, C].
        labels: int64 [B].
        q: in [0, 1].

    Returns:
        float [B].
    """
    cross_entropy = F.cross_entropy(logits, labels, reduction="none")
    if q == 0:
        return cross_entropy
    return q * cross_entropy.detach().mul(-q).exp() * cross_entropy


def symmetric_cross_entropy(logits: Tensor, labels: Tensor, alpha: float, beta: float, floor: float) -> Tensor:
    """alpha * CE + beta * RCE, per sample: float [B, C] and int64 [B] to [B] (Wang et al., ICCV 2019, eq. 5-8).

    The reverse cross entropy RCE = -sum_k p_k log(onehot_k) replaces the zeros of the one-hot label by `floor`, so it
    is -log(floor) times the probability of the other classes; each p_k counts for 1e-7 at least, as in the authors'
    code.
    """
    others = logits.softmax(1).clamp(1e-7, 1).scatter(1, labels[:, None], 0).sum(1)
    return alpha * F.cross_entropy(logits, labels, reduction="none") - beta * math.log(floor) * others


def clipped_softmax(logits: Tensor) -> Tensor:
    """softmax(logits) clipped to [1e-4, 1 - 1e-4]; clipped entries pass no gradient (ELR)."""
    return logits.softmax(1).clamp(1e-4, 1 - 1e-4)


def elr_penalty(probabilities: Tensor, targets: Tensor) -> Tensor:
    """log(1 - <targets, probabilities>), per sample: the regulariser of ELR, to be minimised.

    Args:
        probabilities: [B, C], from `clipped_softmax`, which keeps the logarithm finite.
        targets: [B, C], rows that sum to one at most, without gradient.
    """
    return torch.log1p(-(targets * probabilities).sum(1))


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """-sum_k targets_k log softmax(logits)_k, per sample: float [B, C] twice to [B]."""
    return -(targets * F.log_softmax(logits, dim=1)).sum(1)


def prediction_entropy(logits: Tensor, temperature: float) -> Tensor:
    """Entropy in nats of softmax(logits / temperature), per sample: float [B, C] to [B] (DENEB, stage 2)."""
    log_probabilities = F.log_softmax(logits / temperature, dim=1)
    return -(log_probabilities.exp() * log_probabilities).sum(1)


def lq(logits: Tensor, labels: Tensor, q: float) -> Tensor:
    """L_q = (1 - p_y^q) / q, per sample; cross entropy for q = 0, its limit (Zhang & Sabuncu, NeurIPS 2018, eq. 6).

    Args:
        logits: float [B, C].
        labels: int64 [B].
        q: in [0, 1].

    Returns:
        float [B].
    """
    cross_entropy = F.cross_entropy(logits, labels, reduction="none")
    return cross_entropy if q == 0 else torch.expm1(-q * cross_entropy) / -q


def truncated_lq(logits: Tensor, labels: Tensor, q: float, k: float, kept: Tensor) -> Tensor:
    """L_q minus its value at probability k where `kept` is 1, and 0 where it is 0 (the same paper, section 3.3).

    Args:
        logits: float [B, C].
        labels: int64 [B].
        q: in [0, 1].
        k: in (0, 1): the least probability of the given label with which a sample stays when samples are pruned.
        kept: float [B], 0 or 1.

    Returns:
        float [B]; negative where p_y > k.
    """
    at_k = -math.log(k) if q == 0 else (1 - k**q) / q
    return kept * (lq(logits, labels, q) - at_k)


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """z_y minus the largest other logit, per sample: [B, C] and [B] to [B] (AUM, NeurIPS 2020); C is at least 2."""
    own = labels.unsqueeze(1)
    return logits.gather(1, own).squeeze(1) - logits.scatter(1, own, -torch.inf).amax(1)


def head_gradient_norms(logits: Tensor, labels: Tensor, features: Tensor) -> Tensor:
    """Norm of every sample's gradient of cross entropy with respect to a final linear layer's weight and bias.

    That gradient is the outer product of softmax(z) - onehot(y) and the features with a 1 appended, so that its norm
    is the product of theirs, without a backward pass.

    Args:
        logits: float [B, C].
        labels: int64 [B].
        features: float [B, D], the input of the layer that gave the logits.

    Returns:
        float [B].
    """
    others = logits.softmax(1).scatter(1, labels.unsqueeze(1), 0)  # their sum keeps the digits that 1 - p_y loses
    residual = torch.cat([others, others.sum(1, keepdim=True)], dim=1)
    return residual.norm(dim=1) * (features.square().sum(1) + 1).sqrt()
