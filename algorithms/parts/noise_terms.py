"""Sparse over-parametrisation: what is wrong with every sample's label, learned beside the network (SOP, SOP+).

Sheng Liu, Zhihui Zhu, Qing Qu, Chong You. "Robust Training under Label Noise by Over-parameterization." ICML 2022,
arXiv:2202.14026.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from algorithms.base import Method, hparam
from algorithms.task import Task

START = 1e-8
"""The standard deviation of all terms at first."""

FLOOR = 1e-4
"""The least that a class counts for."""


class NoiseTerms(nn.Module):
    """A scalar u and a vector v for every training sample, which follow their gradient without momentum.

    Args:
        size: N. classes: C.
        generator: of the first terms, on the CPU.
        u_lr, v_lr: constant learning rates; nothing else of the run's optimiser reaches u and v.
    """

    u: Tensor
    v: Tensor

    def __init__(self, size: int, classes: int, generator: torch.Generator, u_lr: float, v_lr: float) -> None:
        super().__init__()
        self.u_lr, self.v_lr = u_lr, v_lr
        self.register_buffer("u", START * torch.randn(size, generator=generator))
        self.register_buffer("v", START * torch.randn(size, classes, generator=generator))

    def probabilities(self, logits: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """What the network and the terms say of the labels that samples at `index` (int64 [B]) are given: [B, C]."""
        return given_label_probabilities(logits, labels, self.u[index], self.v[index])

    def learn(self, logits: Tensor, labels: Tensor, index: Tensor) -> None:
        """One step of the terms of the samples at `index` (int64 [B]); their logits [B, C] are constant.

        A sample that occurs several times takes the mean of its steps.
        """
        logits, u, v = logits.detach(), self.u[index].requires_grad_(), self.v[index].requires_grad_()
        likelihood = given_label_probabilities(logits, labels, u, v).gather(1, labels.unsqueeze(1)).log()
        loss = squared_errors(logits, labels, u, v).mean() - likelihood.mean()
        along_u, along_v = torch.autograd.grad(loss, (u, v))
        times = torch.zeros_like(self.u).index_add_(0, index, torch.ones_like(u))[index]
        self.u.index_add_(0, index, along_u / times, alpha=-self.u_lr)
        self.v.index_add_(0, index, along_v / times.unsqueeze(1), alpha=-self.v_lr)


class OverParametrised(Method):
    """Base of methods with such terms: a method defines how its network learns beside them."""

    @dataclass(frozen=True)
    class Hparams:
        u_lr: float = hparam(10.0, search=[1, 10, 100], low=0, help="learning rate of u")
        v_lr: float = hparam(10.0, search=[1, 10, 100], low=0, help="learning rate of v")

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__(task, hparams)
        size, generator = len(task.train), task.generator("noise terms")
        self.terms = NoiseTerms(size, task.num_classes, generator, hparams.u_lr, hparams.v_lr)


def split_terms(labels: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """U = u^2 at the given label and V = v^2 elsewhere, clipped to [0, 1]: int64 [B], [B], [B, C] to [B, C] each."""
    own = labels.unsqueeze(1)
    here = torch.zeros_like(v).scatter(1, own, u.square().clamp(0, 1).unsqueeze(1))
    return here, v.square().clamp(0, 1).scatter(1, own, 0)


def given_label_probabilities(logits: Tensor, labels: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """q = softmax(z) + U - sg(V), not below 1e-4 and scaled to sum to one (SOP, Loss 1): [B, C]."""
    here, elsewhere = split_terms(labels, u, v)
    q = (logits.softmax(1) + here - elsewhere.detach()).clamp_min(FLOOR)
    return (q / q.sum(1, keepdim=True)).clamp(FLOOR, 1)


def squared_errors(logits: Tensor, labels: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """|| onehot(argmax z) + U - V - onehot(y) ||^2 (SOP, Loss 2): [B]."""
    here, elsewhere = split_terms(labels, u, v)
    ones = torch.ones_like(v)
    predicted, given = (torch.zeros_like(v).scatter(1, at.unsqueeze(1), ones) for at in (logits.argmax(1), labels))
    return (predicted + here - elsewhere - given).square().sum(1)
