"""Features that several processes compute together, and what must then be averaged over them.

Every process runs a method's mathematics on the whole batch, so that tables, rankings, mixtures and MixUp are those of
a single process. Only `extract`, which costs the time, is shared out: each process computes its rows, then all get all.

Gradients. All processes have the same loss, so it equals its mean over the processes; its gradient is the mean of what
each one gets by differentiating the sum of all losses with respect to its own computation. A process's rows enter the
losses of all `world` processes, hence the factor in `_Gather.backward`; layers above the features, which every process
computes in full, need none. Averaging all gradients (`update`) is then right for every parameter alike, however
a method uses its networks.

This is why the average is an all-reduce in the update and not DistributedDataParallel: that one follows the `forward`
of a module whose parameters never change, while methods call `extract`, put other heads on it, copy networks as
teachers, and run passes without gradients between a forward and its backward. What is lost is that it sends gradients
while the backward pass still runs.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from utils.distributed import average, gather_rows, own_draws, own_rows, world
from utils.errors import UsageError

Module = TypeVar("Module", bound=nn.Module)


def shared_out(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """`function` of all images, [B, ...], of which each process computes its rows only; with gradients."""
    rows, total = own_rows(len(images)), len(images)
    if torch.is_inference_mode_enabled() or rows == slice(0, total):  # scoring passes are shared out as a whole
        return function(images)
    with own_draws(images.device):
        part = function(images[rows])
    return _Gather.apply(part, total)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, total: int) -> Tensor:
        ctx.total = total
        return gather_rows(part, total)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return world() * gradient[own_rows(ctx.total)], None


def synchronised(network: Module) -> Module:
    """`network` with batch norms that take their statistics from the whole batch, not from each process's rows.

    Raises:
        UsageError: it is on the CPU, where torch has no such batch norm.
    """
    if next(network.parameters()).device.type != "cuda":
        raise UsageError("--sync_bn: torch synchronises batch norm on CUDA devices only. Leave it out on the CPU.")
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)


def average_batch_norms(module: nn.Module) -> None:
    """Gives all processes the mean of their running statistics, which follow each one's own rows."""
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    statistics = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var)]
    average(buffer for buffer in statistics if buffer is not None)
