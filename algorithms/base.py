"""What a method is: a network, its optimiser, and the mathematics of one step.

A method is a `torch.nn.Module`. Its networks are submodules and its per-sample tables are buffers, so moving it to a
device and saving it to a checkpoint need no code of its own.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from data.batches import Batch, Batches, shuffled, to_float, weighted_draws
from data.split import Split
from models.registry import Network, build_network
from utils.errors import UsageError
from utils.registry import Registry
from utils.seeds import derive, torch_generator

EVALUATION_BATCH = 500
OPTIMIZERS = ("SGD", "Adam", "AdamW")
SCHEDULES = ("StepLR", "MultiStepLR", "CosineAnnealingLR")


def hparam(default: Any, *, help: str, search: list | None = None, low: float | None = None, high: float | None = None):
    """Declares a hyper-parameter: its default, what it is, its search space and its bounds (both inclusive)."""
    return field(default=default, metadata={"help": help, "search": search or [default], "low": low, "high": high})


@dataclass(frozen=True)
class StageSettings:
    """How one stage is trained, whatever the method."""

    model: str
    epochs: int
    batch_size: int
    opt: str
    lr: float
    momentum: float
    weight_decay: float
    lr_decay: str
    lr_decay_rate: float
    lr_decay_opt: str

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of `--opt`; Adam gets the weight decay it is told (the authors' code dropped it)."""
        if self.opt == "SGD":
            return torch.optim.SGD(parameters, self.lr, self.momentum, weight_decay=self.weight_decay)
        return getattr(torch.optim, self.opt)(parameters, self.lr, weight_decay=self.weight_decay)

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        """The schedule of `--lr_decay`, stepped once per epoch."""
        if self.lr_decay == "CosineAnnealingLR":
            return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.epochs)
        milestones = [int(epoch) for epoch in self.lr_decay_opt.split(",")]
        if self.lr_decay == "StepLR":
            return torch.optim.lr_scheduler.StepLR(optimizer, milestones[0], self.lr_decay_rate)
        return torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, self.lr_decay_rate)


@dataclass(frozen=True)
class Task:
    """All that a method may know: given labels, never true or bias labels, and no test data.

    probabilities: sampling probabilities from an earlier stage, float64 [N], or None for uniform epochs.
    weights: loss weights from an earlier stage, float32 [N], or None.
    """

    train: Split
    num_classes: int
    device: torch.device
    settings: StageSettings
    seed: int
    stage: str
    probabilities: Tensor | None = None
    weights: Tensor | None = None

    def new_network(self, name: str = "network") -> Network:
        """A fresh network, initialised from a stream of its own: it does not depend on what was drawn before."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.seed, self.stage, name))
            network = build_network(self.settings.model, tuple(self.train.images.shape[1:]), self.num_classes)
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def generator(self, *name: str | int) -> torch.Generator:
        """The random stream `name` of this stage."""
        return torch_generator(self.seed, self.stage, *name)

    def batches(self, order: Tensor) -> Batches:
        return Batches(self.train, order, self.settings.batch_size, self.device, self.weights)

    def over_train(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Applies `function` to the training images, each once and in order; returns float [N, ...] on the CPU."""
        return over_split(function, self.train, self.device)


def over_split(function: Callable[[Tensor], Tensor], split: Split, device: torch.device) -> Tensor:
    """Applies `function` (images [B, C, H, W] to [B, ...]) to all images of `split`, without gradients."""
    with torch.inference_mode():
        parts = [
            function(to_float(images.to(device, non_blocking=True))) for images in split.images.split(EVALUATION_BATCH)
        ]
        joined = torch.cat(parts).cpu()
    return joined.clone()  # outside inference mode: an ordinary tensor


class Method(nn.Module):
    """Base of every method. The trainer calls, for each epoch, `begin_epoch`, `step` on each of `batches`, `end_epoch`.

    Class attributes:
        name: how `--alg` calls it, set by `method`.
        second: for a selector, the learner of its own paper, which a bare name means; None for a learner.
    """

    name: ClassVar[str]
    second: ClassVar[str | None] = None

    @dataclass(frozen=True)
    class Hparams:
        pass

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__()
        self.task, self.hparams = task, hparams
        self.network = task.new_network()
        self.optimizers = [task.settings.optimizer(self.network.parameters())]
        self.training_subset: Tensor | None = None

    def begin_epoch(self, epoch: int) -> None:
        """Called before an epoch, with the modules in training mode; may set `training_subset` (int64 [K])."""

    def batches(self, epoch: int) -> Iterable[Batch]:
        """The epoch's batches: weighted draws if an earlier stage gave probabilities, else each sample once.

        An epoch of weighted draws has as many as there are training samples.
        """
        task, generator = self.task, self.task.generator("order", epoch)
        if task.probabilities is not None:
            return task.batches(weighted_draws(task.probabilities, len(task.train), generator))
        subset = torch.arange(len(task.train)) if self.training_subset is None else self.training_subset
        return task.batches(shuffled(subset, generator))

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One update; returns the detached mean loss and the logits [B, C] it came from, without synchronising."""
        logits = self.network(batch.images)
        losses = self.losses(logits, batch)
        loss = (losses if batch.weights is None else batch.weights * losses).mean()
        self.optimizers[0].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[0].step()
        return loss.detach(), logits.detach()

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """Per-sample training losses, [B]; all that a single-network method needs to define."""
        raise NotImplementedError

    def end_epoch(self, epoch: int) -> None:
        """Called after an epoch's last step."""

    def predict(self, images: Tensor) -> Tensor:
        """Logits [B, C] of the model that this method trains; called in evaluation mode."""
        return self.network(images)

    def scores(self) -> tuple[Tensor, Tensor]:
        """For a selector, after its last epoch: sampling probabilities and the score behind them, both float64 [N]."""
        raise NotImplementedError(f"{self.name} is not a selector")


methods: Registry[type[Method]] = Registry("method", "algorithms")


def method(name: str) -> Callable[[type[Method]], type[Method]]:
    """Registers a method class under the name that `--alg` uses."""

    def add(cls: type[Method]) -> type[Method]:
        cls.name = name
        return methods.register(name)(cls)

    return add


def parse_alg(alg: str) -> list[str]:
    """The methods that `--alg` names, in order: a learner alone, or a selector and a learner.

    Raises:
        UsageError: an unknown method, or a pair without meaning; the message says why.
    """
    names = alg.split("_")
    if len(names) > 2:
        raise UsageError(f"--alg {alg} has {len(names)} parts; wanted METHOD or FIRST_SECOND, such as deneb_gce.")
    first = methods[names[0]]
    if len(names) == 1:
        return [first.name] if first.second is None else [first.name, first.second]
    second = methods[names[1]]
    selectors = sorted(name for name in methods if methods[name].second)
    if first.second is None:
        raise UsageError(
            f"--alg {alg}: {first.name} trains a final model and passes nothing on to a second stage. "
            f"FIRST can be: {', '.join(selectors)}."
        )
    if second.second is not None:
        raise UsageError(
            f"--alg {alg}: {second.name} rates samples for another method to train on, so it cannot come second. "
            f"SECOND can be: {', '.join(sorted(name for name in methods if not methods[name].second))}."
        )
    return [first.name, second.name]
