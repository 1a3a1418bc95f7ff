"""Training steps on a GPU as CUDA graphs: the device gets a step's hundreds of launches at once.

A small network's launches take the device less time than they take the host to make, so the host would set the pace.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, replace

import torch
from torch import Tensor

from algorithms.base import Method
from data.batches import Batch
from utils.distributed import world
from utils.errors import RunError

Step = Callable[[Batch], tuple[Tensor, ...]]

WARM_UP = 3
"""Steps of an epoch that run as they are: they make the libraries' choices and buffers, on the recording's stream."""


class Recorder:
    """Records one step of every epoch and replays it for those that follow; numbers and draws are as without it.

    What is recorded is the work of the device, on the memory that it was done in: numbers of the host, such as the
    learning rate, stay those of the recorded step. So a recording serves for one epoch, of a method that says that its
    steps allow it (`Method.recordable`). It takes over the memory of the one before.
    """

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.graph: torch.cuda.CUDAGraph | None = None

    @classmethod
    def of(cls, method: Method) -> "Recorder | None":
        """For a method whose steps can be recorded, on a GPU where that is wanted; else None.

        Steps with a loss scaler, as in fp16, are not recorded.
        """
        device, settings = method.task.device, method.task.settings
        wanted = device.type == "cuda" and settings.cuda_graphs and settings.amp != "fp16" and world() == 1
        return cls(device) if wanted and method.recordable else None

    def epoch(self, step: Step) -> Step:
        """`step`, for the batches of one epoch, which are of one size."""
        count, own = 0, None
        outcome: tuple[Tensor, ...] = ()

        def run(batch: Batch) -> tuple[Tensor, ...]:
            nonlocal count, own, outcome
            count += 1
            if count <= WARM_UP:
                with self._own_stream():
                    return step(batch)
            if own is None:
                own = replace(batch, **{name: part.clone() for name, part in _tensors(batch).items()})
                outcome = self._record(step, own)
            else:
                for name, part in _tensors(batch).items():
                    getattr(own, name).copy_(part)
            assert self.graph is not None
            self.graph.replay()
            return tuple(part.clone() for part in outcome)

        return run

    def _record(self, step: Step, batch: Batch) -> tuple[Tensor, ...]:
        """Records a step on `batch`; returns the tensors that its outcome will be in whenever it is replayed."""
        graph = torch.cuda.CUDAGraph()
        with self._own_stream():
            # "thread_local": another thread, which reads images ahead, may use the device meanwhile.
            graph.capture_begin(self.graph.pool() if self.graph else None, capture_error_mode="thread_local")
            try:
                outcome = step(batch)
            except RuntimeError as error:
                with suppress(RuntimeError):  # which says again that nothing was recorded
                    graph.capture_end()
                raise RunError(
                    f"a training step cannot be recorded as a CUDA graph ({str(error).splitlines()[0]}). "
                    "Say --cuda_graphs false."
                ) from error
            graph.capture_end()
        self.graph = graph
        return outcome

    @contextmanager
    def _own_stream(self) -> Iterator[None]:
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            yield
        current.wait_stream(self.stream)


def _tensors(batch: Batch) -> dict[str, Tensor]:
    parts = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: part for name, part in parts.items() if part is not None}
