"""A data set and settings small enough to train every method well within a second."""

from dataclasses import replace

import pytest
import torch

from algorithms.base import methods
from algorithms.task import StageSettings, Task
from algorithms.training.trainer import Evaluator, fit
from data.load import DataSettings, load_dataset
from data.split import Annotations

CPU = torch.device("cpu")
SIZES = {"train": 96, "valid": 40, "test": 60}


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def second_gpu(monkeypatch):
    """The second GPU of a machine that need not have one is picked; a list of the devices that torch is told to use."""
    told = []
    monkeypatch.setattr("algorithms.command.resolve.pick_device", lambda gpu: torch.device("cuda:1"))
    monkeypatch.setattr(torch.cuda, "set_device", told.append)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    return told


@pytest.fixture(scope="session")
def tiny():
    """The first of the coloured digits: 96 to train on, 40 to validate and 60 to test with."""
    whole = load_dataset(DataSettings("colored_digits", "", 0.2, 0.2, "sym", "reference", clean_valid=False, seed=0))
    return replace(
        whole,
        **{name: getattr(whole, name).subset(torch.arange(size)) for name, size in SIZES.items()},
        annotations={
            name: Annotations(whole.annotations[name].true_labels[:size], whole.annotations[name].bias_labels[:size])
            for name, size in SIZES.items()
        },
    )


@pytest.fixture(scope="session")
def settings():
    """Three epochs of three steps, with CONV."""
    return StageSettings("CONV", 3, 32, "SGD", 0.05, 0.9, 1e-3, "StepLR", 0.1, "2")


@pytest.fixture(scope="session")
def make(tiny, settings):
    """Makes a method for the tiny data set, as in `make("jtt", lbd_up=5)`; `task` changes what it has to work with.

    A warm-up is over after the first epoch, unless said otherwise.
    """

    def build(name, task=None, weights=None, probabilities=None, **hparams):
        cls = methods[name]
        warmup = {"warmup": 1} if hasattr(cls.Hparams, "warmup") else {}
        whole = Task(tiny.train, tiny.num_classes, CPU, settings, seed=0, stage=name, noise_rate=0.2)
        changed = replace(whole, **{"weights": weights, "probabilities": probabilities, **(task or {})})
        if cls.first is not None and changed.cue is None:
            random = torch.Generator().manual_seed(0)
            changed = replace(changed, cue=2 * torch.randn(len(changed.train), tiny.num_classes, generator=random))
        return cls(changed, cls.Hparams(**{**warmup, **hparams}))

    return build


@pytest.fixture(scope="session")
def train(tiny):
    """Trains with the project's own trainer, from the checkpoint if there is one; returns the records of the epochs."""

    def run(method, checkpoint, dataset=tiny, on_epoch=lambda history: None, every=1):
        evaluate = Evaluator(dataset.valid, dataset.test, dataset, CPU, dataset.train_groups(), every=every)
        return fit(method, evaluate, checkpoint, on_epoch, method.name).history

    return run
