"""What may be recorded: the work of a step that is the same for all steps of an epoch. On a GPU: test_cuda.py."""

from dataclasses import replace

import pytest
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from algorithms.base import methods
from algorithms.training.recorder import Recorder
from algorithms.training.trainer import train_epoch


class Work(TorchDispatchMode):
    """All operations with the numbers that they get from the host."""

    def __init__(self):
        super().__init__()
        self.done = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        leaves = tree_leaves((args, kwargs or {}))
        shapes = [tuple(leaf.shape) for leaf in leaves if isinstance(leaf, Tensor)]
        numbers = [leaf for leaf in leaves if isinstance(leaf, int | float)]
        self.done.append((str(function), shapes, numbers))
        return function(*args, **(kwargs or {}))


class Watched:
    """A recorder that records nothing, and notes the work of each step."""

    def __init__(self):
        self.steps = []

    def epoch(self, step):
        def run(batch):
            with Work() as work:
                outcome = step(batch)
            self.steps.append(work.done)
            return outcome

        return run


@pytest.mark.parametrize("name", methods)
def test_steps_of_an_epoch_are_alike_if_they_are_recordable(name, make, settings, monkeypatch):
    """And of a method that is not there are some that differ, in a warm-up or after it."""
    monkeypatch.setattr("algorithms.coteaching_plus.AGREEING_UPDATES", 40)
    ramp = {"num_gradual": 1} if hasattr(methods[name].Hparams, "num_gradual") else {}
    method = make(name, {"settings": replace(settings, model="MLP", batch_size=4)}, **ramp)
    alike = []
    for epoch in range(3):
        watched = Watched()
        train_epoch(method, epoch, watched)
        assert len(watched.steps) > 3
        alike += [step == watched.steps[2] for step in watched.steps[2:]]
    assert all(alike) == method.recordable


def test_nothing_is_recorded_on_a_cpu(make):
    assert Recorder.of(make("vanilla")) is None
