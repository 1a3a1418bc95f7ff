"""A step on a GPU never waits for it: every method's step, run on tensors that claim to be on one but hold no numbers.

With such tensors the host cannot decide by a value: reading one (`.item()`, `if tensor`), or an output whose size
depends on one (`nonzero`, a boolean mask), raises, and so does an operation on tensors of two devices. A copy back to
the host would be possible and is refused here. The backward pass and pinned memory need a real device and are left out;
so is the thread that reads ahead, for the pretence holds in one thread only.
"""

import dataclasses

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from algorithms.base import methods
from data.batches import Batches

GPU = torch.device("cuda:0")


class NothingComesBack(TorchDispatchMode):
    """Refuses copies from the GPU to the host."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.aten._to_copy.default and args[0].device.type == "cuda":
            assert result.device.type == "cuda", "a step copies a tensor to the host"
        return result


@pytest.fixture
def on_gpu(monkeypatch):
    """Moves a method or a batch to the pretended GPU; all that follows in the test happens there."""
    monkeypatch.setattr(Tensor, "backward", lambda self: None)
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr("data.batches.read_ahead", map)
    randint = torch.randint

    def number_from_the_host(*arguments, **settings):
        with _disable_current_modes():
            return int(randint(*arguments, **settings))

    monkeypatch.setattr(torch, "randint", number_from_the_host)

    def empty(tensor):
        like = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=GPU)
        return torch.nn.Parameter(like, tensor.requires_grad) if isinstance(tensor, torch.nn.Parameter) else like

    def move(thing):
        if isinstance(thing, Tensor):
            return empty(thing)
        if isinstance(thing, torch.nn.Module):
            for module in thing.modules():
                for tensors in (module._parameters, module._buffers):
                    tensors.update({name: empty(tensor) for name, tensor in tensors.items() if tensor is not None})
            return thing
        if dataclasses.is_dataclass(thing):
            return type(thing)(**{f.name: move(getattr(thing, f.name)) for f in dataclasses.fields(thing)})
        return thing

    with FakeTensorMode(), NothingComesBack():
        yield move


@pytest.mark.parametrize("name", methods)
@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_never_waits(name, epoch, weighted, make, on_gpu):
    """In its warm-up, of one epoch, and after it; with loss weights from an earlier stage and without."""
    with _disable_current_modes():
        method = make(name, weights=torch.ones(96) if weighted else None)
        for number in range(epoch + 1):
            method.begin_epoch(number)
        batch = next(iter(method.batches(epoch)))
    loss, logits = on_gpu(method).step(on_gpu(batch))
    assert loss.device == logits.device == GPU


@pytest.mark.parametrize("resident", [True, False])
def test_making_a_batch_never_waits(resident, tiny, on_gpu):
    """Whether the images are on the GPU or come from the host."""
    order = torch.arange(len(tiny.train))
    split = on_gpu(tiny.train)
    if not resident:
        split = dataclasses.replace(split, images=torch.empty(split.images.shape, dtype=torch.uint8),
                                    labels=torch.empty(len(split), dtype=torch.int64))  # fmt: skip
    for batch in Batches(split, order, 32, GPU, on_gpu(torch.ones(len(tiny.train)))):
        assert batch.images.device == batch.labels.device == batch.index.device == batch.weights.device == GPU


def test_what_would_wait_raises(on_gpu):
    values = on_gpu(torch.arange(3.0))
    for wait in (values.sum().item, lambda: bool(values.any()), values.nonzero, lambda: values[values > 1]):
        with pytest.raises(RuntimeError):
            wait()
    with pytest.raises(AssertionError):
        values.cpu()
    with pytest.raises(RuntimeError):
        values + torch.arange(3.0)
