"""Losses and quantities on logits, as plain functions of tensors, in float32 and float64 and for any finite logits."""

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


def prediction_entropy(logits: Tensor, temperature: float) -> Tensor:
    """Entropy in nats of softmax(logits / temperature), per sample: float [B, C] to [B] (DENEB, stage 2)."""
    log_probabilities = F.log_softmax(logits / temperature, dim=1)
    return -(log_probabilities.exp() * log_probabilities).sum(1)


def as_probabilities(scores: Tensor) -> Tensor:
    """Non-negative scores [N], scaled to sum to one in float64; uniform where all are zero."""
    scores = scores.double()
    total = scores.sum()
    return scores / total if total > 0 else torch.full_like(scores, 1 / len(scores))
