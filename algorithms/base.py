"""The base of every method: networks, their optimisers, and the mathematics of one step.

A method is a `torch.nn.Module`. Its networks are submodules and its per-sample tables are buffers, so moving it to a
device and saving it to a checkpoint need no code of its own.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from algorithms.task import StageSettings, Task
from data.batches import Batch
from utils.distributed import average
from utils.registry import Registry

Emission = Literal["probabilities", "weights", "kept", "cue"]


def hparam(
    default: Any,
    *,
    help: str,
    search: list | None = None,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    word: str | None = None,
    after_training: bool = False,
):
    """Declares a hyper-parameter: its default, what it is, its search space and its bounds (both inclusive) or choices.

    `word` may stand in place of a number. `after_training` says that a selector uses it in `select` only, so that
    values of it can share one trained selector.
    """
    about = {"help": help, "search": search or [default], "low": low, "high": high, "choices": choices}
    return field(default=default, metadata={**about, "word": word, "after_training": after_training})


@dataclass(frozen=True)
class Chosen:
    """A hyper-parameter that a selector read off the training data.

    curve: what it was read off, columns of equal length: of the hyper-parameter under its name, then of others.
    """

    name: str
    value: float
    curve: dict[str, list[float]]


class Dynamics(nn.Module):
    """Training dynamics: what was seen of each of N samples whenever it was served, before the update.

    Sources: wrong events, IDO (2025); mean confidence in the given label, Swayamdipta et al., EMNLP 2020,
    arXiv:2009.10795. Whatever a method does with the images of a step (MixUp, views), its logits are taken as they are.
    Of several processes each has the logits of the whole batch, so all count alike.

    times_seen: how often, int32 [N]; with weighted draws perhaps never, or several times an epoch.
    wrong_events: how often another class than the given label was predicted, int32 [N].
    confidence_sum: of the given label's probabilities, float64 [N].
    """

    times_seen: Tensor
    wrong_events: Tensor
    confidence_sum: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("times_seen", torch.zeros(size, dtype=torch.int32))
        self.register_buffer("wrong_events", torch.zeros(size, dtype=torch.int32))
        self.register_buffer("confidence_sum", torch.zeros(size, dtype=torch.float64))

    @torch.no_grad()
    def observe(self, index: Tensor, labels: Tensor, logits: Tensor) -> None:
        """Takes in the logits, float [B, C], of served samples and their given labels, int64 [B], without waiting."""
        wrong = (logits.argmax(1) != labels).int()
        confidence = logits.softmax(1).gather(1, labels[:, None]).squeeze(1)
        self.times_seen.index_add_(0, index, torch.ones_like(wrong))
        self.wrong_events.index_add_(0, index, wrong)
        self.confidence_sum.index_add_(0, index, confidence.double())

    def columns(self) -> dict[str, Tensor]:
        """As `samples.csv` calls them, [N] each, on the CPU; the mean confidence of a sample never seen is NaN."""
        mean = self.confidence_sum / self.times_seen
        return {
            "times_seen": self.times_seen.cpu(),
            "wrong_events": self.wrong_events.cpu(),
            "training_confidence": mean.cpu(),
        }


class Method(nn.Module):
    """Base of every method. The trainer calls, for each epoch, `begin_epoch`, `step` on each of `batches`, `end_epoch`.

    After the last epoch it calls `finish`.

    Class attributes:
        name: how `--alg` calls it, set by `method`.
        debiases: whether it is meant against bias (True) or label noise (False).
        emits: as a selector, what it passes to the next stage: sampling probabilities, loss weights or a kept subset;
            None if it passes nothing.
        second: the method that trains the final model when this one, which trains none, is named last (its paper's own
            second stage); None for a method that trains a final model itself.
        trained_as: of a selector, the method as which it is trained, if it differs from that in `select` only: the two
            share their random streams and trained models. None: its own name.
        tells_cue: whether its model knows a biased class by its cue, so that its prediction is the cue of an image.
        first: for a learner that has to know the cue of every image (`Task.cue`), the method that tells it if none is
            named before; None for all others.
        recordable: whether the steps of an epoch are one and the same work on the device: nothing in them is decided,
            counted or drawn on the host, so that one may be recorded for all (see training/recorder.py).
    """

    name: ClassVar[str]
    debiases: ClassVar[bool] = False
    emits: ClassVar[Emission | None] = None
    second: ClassVar[str | None] = None
    trained_as: ClassVar[str | None] = None
    tells_cue: ClassVar[bool] = False
    first: ClassVar[str | None] = None
    recordable: ClassVar[bool] = True

    @dataclass(frozen=True)
    class Hparams:
        pass

    @classmethod
    def stage_settings(cls, settings: StageSettings, hparams: Any) -> StageSettings:
        """The settings that this method's stage really runs with, where its hyper-parameters have a say in them."""
        return settings

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__()
        self.task, self.hparams = task, hparams
        self.dynamics = Dynamics(len(task.train))
        self.network = task.new_network()
        self.optimizers = [task.settings.optimizer(self.network.parameters())]
        self.scaler = torch.amp.GradScaler(task.device.type, enabled=task.settings.amp == "fp16")
        self.training_subset: Tensor | None = None

    def schedulers(self) -> list[torch.optim.lr_scheduler.LRScheduler]:
        """One for each optimiser, from its first epoch on; the trainer steps them once per epoch."""
        return [self.task.settings.scheduler(optimizer) for optimizer in self.optimizers]

    def begin_epoch(self, epoch: int) -> None:
        """Called before an epoch (numbered from 0) in training mode; may set `training_subset` (int64 [K])."""

    def batches(self, epoch: int) -> Iterable[Batch]:
        """The epoch's batches: weighted draws if an earlier stage gave probabilities, else each sample once.

        An epoch of weighted draws has as many as there are samples to choose from.
        """
        return self.task.batches(self.task.order(self.task.generator("order", epoch), self.training_subset))

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One update; returns the detached mean loss and the logits [B, C] it came from, without synchronising."""
        logits = self.network(batch.images)
        loss = weighted_mean(self.losses(logits, batch), batch.weights)
        self.update(self.optimizers[0], loss)
        return loss.detach(), logits.detach()

    def update(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        """One optimiser step along the gradient of `loss`, averaged over the processes: see models/sharded.py.

        For fp16 the loss is scaled; else the scaler does nothing.
        """
        optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        average(part.grad for group in optimizer.param_groups for part in group["params"] if part.grad is not None)
        self.scaler.step(optimizer)
        self.scaler.update()

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """Per-sample training losses, [B]; all that a single-network method needs to define."""
        raise NotImplementedError

    def end_epoch(self, epoch: int) -> None:
        """Called after an epoch's last step."""

    def finish(self) -> None:
        """Called once, after the last epoch, however many there were; the model is evaluated after that."""

    def predict(self, images: Tensor) -> Tensor:
        """Logits [B, C] of the model that this method trains; called in evaluation mode."""
        return self.network(images)

    def select(self) -> tuple[Tensor, Tensor]:
        """For a selector, after its last epoch, in evaluation mode: what `emits` names, and the score behind it.

        Returns:
            probabilities (float64 [N], sum 1), weights (float32 [N]) or kept positions (int64 [K]);
            and what the samples are ranked by, float64 [N].
        """
        raise NotImplementedError(f"{self.name} is not a selector")

    def start(self) -> dict[str, Tensor] | None:
        """For a selector, called where `select` is: the state dict that the final model starts from, or None."""
        return None

    def chosen(self) -> Chosen | None:
        """For a selector, called where `select` is: the hyper-parameter that it chose from the data, if any."""
        return None

    def diagnostics(self) -> dict[str, Tensor]:
        """After the last epoch, in evaluation mode: columns of `samples.csv` that it fills for its samples, [N] each.

        Nothing is trained on them.
        """
        return {}


def weighted_mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Mean of weights * losses over the batch (both [B]): divided by B, not by the sum of the weights."""
    return (losses if weights is None else weights * losses).mean()


methods: Registry[type[Method]] = Registry("method", "algorithms")


def method(name: str) -> Callable[[type[Method]], type[Method]]:
    """Registers a method class under the name that `--alg` uses."""

    def add(cls: type[Method]) -> type[Method]:
        cls.name = name
        return methods.register(name)(cls)

    return add
