"""Several processes that train one run together, started by `torchrun`; without it every function here is trivial.

Each process runs the same program. What is computed on a whole batch is computed by all of them alike, from the same
random streams; what is costly is shared out by rows and gathered. The first process is the only one that writes and
prints. See docs/scaling.md.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from utils.errors import RunError, UsageError
from utils.seeds import derive

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = timedelta(days=1)
"""The time that a process waits for the others: the first one may wait for a lock that another run holds."""

_store: dist.Store | None = None
_own_stream = torch.Generator()


def launched() -> bool:
    """True if torchrun started this process along with others."""
    return dist.is_available() and dist.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) > 1


def join() -> None:
    """Meets the other processes that torchrun started, if it did and they have not met; only the first still prints.

    Tensors on a GPU travel by NCCL, those on the CPU and objects by gloo.
    """
    global _store
    if not launched() or dist.is_initialized():
        return
    _store, rank, size = next(dist.rendezvous("env://"))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with _or_lost():
        dist.init_process_group(
            backend, store=dist.PrefixStore("train", _store), rank=rank, world_size=size, timeout=PATIENCE
        )
    if rank:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives


def leave() -> None:
    """Parts from the other processes, once all have finished."""
    if world() > 1:
        average([torch.zeros(1)])  # waits for all, and unlike dist.barrier never asks for a GPU
        dist.destroy_process_group()


def world() -> int:
    """The number of processes that train together; 1 without torchrun."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_writer() -> bool:
    """True in the process that writes and prints."""
    return world() == 1 or dist.get_rank() == 0


def bars_off() -> bool | None:
    """For tqdm's `disable`: the first process shows progress, on a terminal; the others never do."""
    return None if is_writer() else True


def local_world() -> int:
    """The number of the processes that share this machine."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if launched() else 1


def launcher() -> list[str]:
    """The beginning of a command like the one that started this process."""
    return ["torchrun", f"--nproc_per_node={local_world()}"] if launched() else ["python"]


def single_process_only(program: str) -> None:
    """Raises a UsageError if torchrun started `program` in several processes."""
    if launched():
        raise UsageError(f"{program} runs in one process; start it with python, not with torchrun.")


def local_device() -> torch.device:
    """This process's GPU: that of its number on this machine.

    Raises:
        UsageError: there are fewer GPUs than processes here.
    """
    number, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if number >= there:
        raise UsageError(
            f"torchrun started {local_world()} processes here, but there are {there} CUDA devices. "
            f"Say --nproc_per_node={there}, or --gpu cpu."
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def complain(message: str) -> None:
    """Prints an error, unless another process has told what went wrong already."""
    try:
        first = _store is None or _store.add("complaints", 1) == 1
    except RuntimeError:  # whoever kept the store is gone
        first = True
    if first:
        print(message, file=sys.stderr)


def writer_only(function: Callable[P, Any]) -> Callable[P, None]:
    """Decorates what only the first process does: something is written, nothing returned."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        if is_writer():
            function(*args, **kwargs)

    return call


def from_writer(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls `function` in the first process only; all get what it returns, or the exception it raises."""
    if world() == 1:
        return function(*args, **kwargs)
    outcome: list[Any] = [None, None]
    if is_writer():
        try:
            outcome[0] = function(*args, **kwargs)
        except Exception as error:
            outcome[1] = error
    with _or_lost():
        dist.broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def writer_first(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls `function` in the first process and then in the others, which find the files that it left."""
    results: list[T] = []
    from_writer(lambda: results.append(function(*args, **kwargs)))
    return results[0] if results else function(*args, **kwargs)


def own_rows(total: int) -> slice:
    """The rows of `total` that this process computes; all of them where there are fewer than two for each process."""
    if total < 2 * world():
        return slice(0, total)
    rank = dist.get_rank() if world() > 1 else 0
    return slice(total * rank // world(), total * (rank + 1) // world())


def gather_rows(part: Tensor, total: int) -> Tensor:
    """All rows, [total, ...], from every process's `own_rows(total)`; without gradients."""
    if len(part) == total:
        return part
    longest = -(-total // world())
    padded = part.new_zeros(longest, *part.shape[1:])
    padded[: len(part)] = part
    parts = [torch.empty_like(padded) for _ in range(world())]
    with _or_lost():
        dist.all_gather(parts, padded)
    bounds = [total * rank // world() for rank in range(world() + 1)]
    return torch.cat([rows[: stop - start] for rows, start, stop in zip(parts, bounds, bounds[1:], strict=False)])


def average(tensors: Iterable[Tensor]) -> None:
    """Replaces each float tensor by its mean over the processes, in one exchange; afterwards all hold the same bits."""
    if world() == 1:
        return
    tensors = list(tensors)
    if not tensors:
        return
    flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
    with _or_lost():
        dist.all_reduce(flat)
    flat /= world()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def seed_all(seed: int) -> None:
    """Seeds torch's global generators, alike in all processes, and the stream that `own_draws` takes from, unlike."""
    torch.manual_seed(seed)
    if world() > 1:
        _own_stream.manual_seed(derive(seed, "process", dist.get_rank()))


@contextmanager
def own_draws(device: torch.device) -> Iterator[None]:
    """Within the block, torch's global generators give each process numbers of its own; then they go on as before."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**62, (), generator=_own_stream)))
        yield


@contextmanager
def _or_lost() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise RunError(
            f"lost another process of this run; every finished epoch is saved. See torchrun's summary ({reason})."
        ) from error
