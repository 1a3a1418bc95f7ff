"""Mixing images, targets and parameters: MixUp, sharpening, and the two running averages that ELR+ draws targets from.

Sources: MixUp, Zhang et al., ICLR 2018, arXiv:1710.09412, in the form of DivideMix and ELR+ (the larger share stays
with the sample itself); mean teacher and its ramp, Tarvainen & Valpola, NeurIPS 2017, arXiv:1703.01780; temporal
ensembling, Laine & Aila, ICLR 2017, arXiv:1610.02242.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from data.store import read


def mix(x: Tensor, permutation: Tensor, lam: float | Tensor) -> Tensor:
    """lam * x + (1 - lam) * x[permutation], along the first dimension; images lie channels last."""
    others = read(x, permutation) if x.dim() == 4 else x[permutation]
    return others.lerp_(x, lam)


def mixup(
    images: Tensor, targets: Tensor, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, float, Tensor]:
    """Mixes every image and its target with those of a random other row.

    Args:
        images: float [B, ...].
        targets: float [B, C], rows that sum to one.
        alpha: lam = max(b, 1 - b) with b ~ Beta(alpha, alpha); nothing is mixed (lam = 1) unless it is positive.
        generator: on the CPU; the only source of randomness there. On a GPU the permutation is drawn from the device's
            own, so that nothing has to be copied.

    Returns:
        mixed images, mixed targets, lam, and the permutation (int64 [B], on the images' device).
    """
    lam = 1.0
    if alpha > 0:
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        share = np.random.default_rng(seed).beta(alpha, alpha)
        lam = float(max(share, 1 - share))
    own = generator if images.device == generator.device else None
    permutation = torch.randperm(len(images), generator=own, device=images.device)
    return mix(images, permutation, lam), mix(targets, permutation, lam), lam, permutation


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """p^(1/T), scaled to sum to one along the last dimension; from logarithms, so that no row underflows to 0/0."""
    return probabilities.log().div(temperature).softmax(-1)


def sigmoid_rampup(current: float, length: float) -> float:
    """exp(-5 (1 - t/L)^2) for t = `current` in [0, L], clipped to it: from e^-5 up to 1; always 1 if L = 0."""
    if length == 0:
        return 1.0
    return math.exp(-5 * (1 - min(max(current, 0.0), length) / length) ** 2)


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """teacher <- decay * teacher + (1 - decay) * student, for the parameters.

    Buffers stay the teacher's own: run it in training mode, and its batch norms follow the activations it really has.
    """
    for average, parameter in zip(teacher.parameters(), student.parameters(), strict=True):
        average.lerp_(parameter, 1 - decay)


@torch.no_grad()
def update_history(history: Tensor, index: Tensor, rows: Tensor, beta: float) -> Tensor:
    """history[index] <- beta * history[index] + (1 - beta) * rows; returns the updated rows.

    Where `index` repeats a sample, as under weighted sampling, the last of its rows wins, on every device.

    Args:
        history: float [N, C], changed in place. rows: [B, C]. index: int64 [B].
    """
    updated = (beta * history[index] + (1 - beta) * rows)[last_occurrence(index, len(history))]
    history[index] = updated
    return updated


def last_occurrence(index: Tensor, size: int) -> Tensor:
    """For each row the last position that holds the same number (each in [0, size)): int64 [B] to [B]."""
    position = torch.arange(len(index), device=index.device)
    return index.new_empty(size).scatter_reduce_(0, index, position, "amax", include_self=False)[index]
