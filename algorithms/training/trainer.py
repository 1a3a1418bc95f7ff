"""Fits one method: epochs, schedules, evaluation, checkpoints and resuming, all that methods have in common."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from algorithms.base import Method
from algorithms.task import over_split
from algorithms.training.criteria import refereed_accuracies
from algorithms.training.recorder import Recorder
from algorithms.training.stopping import LabelWave
from data.split import Dataset, Split
from models.sharded import average_batch_norms
from utils.distributed import bars_off, from_writer, seed_all
from utils.errors import TrainingFailed, UsageError, machine_error
from utils.files import load_own_tensors, save_tensors
from utils.metrics import accuracies_within, adjusted_accuracy, fraction, group_accuracies, group_counts
from utils.profiling import tracing
from utils.seeds import derive

log = logging.getLogger(__name__)

Record = dict[str, Any]

NOT_REPEATABLE = " does not have a deterministic implementation"
"""The words of torch, after an operation's name."""

TOGETHER = 64
"""Steps whose losses and logits are taken in together: few large operations take less time than many small ones."""


@dataclass
class Evaluator:
    """Measures a model on the validation split (given labels) and the test split (true labels, groups).

    Nothing that it returns reaches a method. `referee`, [N_valid, C], are the referee's logits for the validation
    images, if there is one (see criteria.py). `groups`, int64 [N], are those of the current training set, for the
    log. `every`: it is called after so many epochs, and after the last one.
    """

    valid: Split
    test: Split
    dataset: Dataset
    device: torch.device
    groups: Tensor
    referee: Tensor | None = None
    every: int = 1

    def __call__(self, method: Method) -> Record:
        return self.record(*self.logits(method))

    def logits(self, method: Method) -> tuple[Tensor, Tensor]:
        """The logits of the validation and the test images, [N, C]."""
        method.eval()
        valid = over_split(method.predict, self.valid, self.device)
        test = over_split(method.predict, self.test, self.device)
        method.train()
        return valid, test

    def record(self, valid: Tensor, test: Tensor) -> Record:
        """Accuracies and criteria of such logits.

        Raises:
            TrainingFailed: they are not finite.
        """
        for name, logits in (("validation", valid), ("test", test)):
            if not logits.isfinite().all():
                raise TrainingFailed(f"the logits of {name} images are not finite")
        given, notes = self.dataset.valid.labels, self.dataset.annotations["test"]
        correct = valid.argmax(1) == given
        predicted, true, cue = test.argmax(1), notes.true_labels, notes.groups_by
        groups = group_accuracies(predicted, true, notes.bias_labels, self.dataset.num_classes, cue)
        if (train := self.dataset.annotations.get("train")) is not None:
            groups["adjusted"] = adjusted_accuracy(predicted, true, cue, train.true_labels, train.groups_by)
        record: Record = {
            "valid_accuracy": fraction(correct, torch.ones_like(correct)),
            "valid_loss": float(F.cross_entropy(valid, given)),
            "worst_class_valid_accuracy": float(accuracies_within(correct, given).min()),
            **{f"test_{name}": value for name, value in groups.items()},
        }
        if self.referee is not None:
            record |= refereed_accuracies(correct, given, self.referee)
        return record

    def kept(self, subset: Tensor) -> dict[str, int]:
        """The number of samples of each group in a training subset; for the log only."""
        return group_counts(self.groups[subset])


class Fitted(NamedTuple):
    """A method's training: one record per epoch, and the seconds it took, `earlier` of them in other processes."""

    history: list[Record]
    now: float = 0.0
    earlier: float = 0.0

    @property
    def seconds(self) -> float:
        return self.earlier + self.now


def fit(
    method: Method,
    evaluate: Evaluator,
    checkpoint: Path,
    on_epoch: Callable[[list[Record]], None],
    title: str,
    trace: Path | None = None,
    about: dict[str, Any] | None = None,
) -> Fitted:
    """Trains `method` to the end, from `checkpoint` where it left off.

    After every epoch the whole state is in `checkpoint`, and `on_epoch` is called with all records so far; those of
    epochs without an evaluation have none of its keys. Where a rule stops training (`settings.stop`), method and
    records are those of the epoch that it keeps. The beginning of the last epoch is profiled if a `trace` is wanted,
    see `utils.profiling.tracing`. `about` says whose the checkpoint is.

    Raises:
        DamagedFile: the checkpoint is damaged, or not about this training.
        UsageError: `--deterministic` asks for what torch cannot do for these networks.
        TrainingFailed: a number that was measured is no longer finite.
    """
    start, about = time.perf_counter(), about or {}
    settings = method.task.settings
    schedulers = method.schedulers()
    history: list[Record] = []
    earlier = 0.0
    wave = LabelWave() if settings.stop == "label_wave" else None
    saved = from_writer(lambda: load_own_tensors(checkpoint, about) if checkpoint.exists() else None)
    if saved is not None:
        history, earlier = _restore(saved, method, schedulers), saved["seconds"]
        log.info("%s: continuing after epoch %d of %d", title, len(history), settings.epochs)
        wave = wave and LabelWave(**saved["wave"])
        on_epoch(history)  # the run may have ended between the checkpoint and this call
    recorder = Recorder.of(method)
    bar = tqdm(total=settings.epochs, initial=len(history), desc=title, unit="epoch", disable=bars_off())
    for epoch in range(len(history), 0 if wave and wave.stopped else settings.epochs):
        try:
            with tracing(trace if epoch == settings.epochs - 1 else None) as after_step:
                record = train_epoch(method, epoch, recorder, after_step)
            if wave and wave.rises(method):
                log.info("%s: more predictions changed in epoch %d (%d) than in the one before (%d), which is kept",
                         title, epoch + 1, wave.changed, history[-1]["changed_predictions"])  # fmt: skip
                history = _kept(checkpoint, about, method, schedulers, evaluate)
                on_epoch(history)
                break
            last = epoch == settings.epochs - 1
            if last:
                method.finish()
            record["lr"] = method.optimizers[0].param_groups[0]["lr"]
            if last or (epoch + 1) % evaluate.every == 0:
                record |= evaluate(method)
            _check_finite(record)
        except (TrainingFailed, ValueError, RuntimeError, ArithmeticError) as error:
            if NOT_REPEATABLE in str(error):
                operation = str(error).partition(NOT_REPEATABLE)[0]
                raise UsageError(
                    f"--deterministic: torch has no repeatable {operation}, which {title} needs with this --model. "
                    "Leave the flag out, or take another --model."
                ) from error
            diverged = isinstance(error, TrainingFailed) or not _finite(method)
            if not diverged or machine_error(error):
                raise
            reason = str(error) if isinstance(error, TrainingFailed) else "the weights are not finite"
            raise TrainingFailed(
                f"{title}: {reason} in epoch {epoch + 1}; the model has diverged. Lower --lr."
            ) from error
        if method.training_subset is not None:
            record["kept"] = evaluate.kept(method.training_subset)
            labels = method.task.train.labels.cpu()[method.training_subset]
            record["kept_by_class"] = torch.bincount(labels, minlength=evaluate.dataset.num_classes).tolist()
        if wave:
            record["changed_predictions"] = wave.changed
        for scheduler in schedulers:
            scheduler.step()
        history.append({"method": method.name, "epoch": epoch + 1, **record})
        state = _state(method, schedulers, history, earlier + time.perf_counter() - start)
        save_tensors(checkpoint, state | ({"wave": vars(wave)} if wave else {}), about)
        on_epoch(history)
        bar.set_postfix_str(_short(record), refresh=False)
        bar.update()
        log.log(logging.DEBUG if not bar.disable else logging.INFO, "%s", _line(title, settings.epochs, history[-1]))
    bar.close()
    return Fitted(history, time.perf_counter() - start, earlier)


def train_epoch(
    method: Method, epoch: int, recorder: Recorder | None = None, after_step: Callable[[], None] = lambda: None
) -> Record:
    """One epoch (numbered from 0) of a method: its mean loss, its accuracy on the given labels, and its time.

    The sums stay on the device and are read once; what steps have to say is taken in for many of them together.
    """

    def take_in() -> None:
        losses, logits, labels, index = (torch.cat(parts) for parts in zip(*recent, strict=True))
        method.dynamics.observe(index, labels, logits)
        totals.add_(torch.stack([losses.double().sum(), (logits.argmax(1) == labels).sum()]))
        recent.clear()

    start = time.perf_counter()
    task = method.task
    seed_all(derive(task.seed, task.stage, "epoch", epoch))
    method.train()
    method.begin_epoch(epoch)
    totals, seen = torch.zeros(2, dtype=torch.float64, device=task.device), 0
    recent: list[tuple[Tensor, ...]] = []
    step = recorder.epoch(method.step) if recorder else method.step
    bar = tqdm(method.batches(epoch), desc=f"epoch {epoch + 1}", leave=False, disable=bars_off(), mininterval=0.5)
    for batch in bar:
        loss, logits = step(batch)
        recent.append((loss.expand(1) * len(logits), logits, batch.labels, batch.index))
        seen += len(logits)
        if len(recent) == TOGETHER:
            take_in()
        after_step()
    if recent:
        take_in()
    average_batch_norms(method)
    method.end_epoch(epoch)
    mean_loss, accuracy = (totals / seen).tolist()
    if not math.isfinite(mean_loss):
        raise TrainingFailed(f"the loss is {mean_loss}")
    return {"train_loss": mean_loss, "train_accuracy": accuracy, "seconds": time.perf_counter() - start}


def _check_finite(record: Record) -> None:
    for key, value in record.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise TrainingFailed(f"{key} is {value}")


def _finite(method: Method) -> bool:
    return all(parameter.isfinite().all() for parameter in method.parameters())


def _kept(
    checkpoint: Path, about: dict[str, Any], method: Method, schedulers: list, evaluate: Evaluator
) -> list[Record]:
    """Takes the method back to its checkpoint, for good: returns the records up to there."""
    saved = from_writer(load_own_tensors, checkpoint, about)
    history = _restore(saved, method, schedulers)
    method.finish()
    history[-1].update(evaluate(method))
    state = _state(method, schedulers, history, saved["seconds"])
    save_tensors(checkpoint, {**state, "wave": {**saved["wave"], "stopped": True}}, about)
    return history


def _state(method: Method, schedulers: list, history: list[Record], seconds: float) -> dict:
    return {
        "method": method.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in method.optimizers],
        "schedulers": [scheduler.state_dict() for scheduler in schedulers],
        "scaler": method.scaler.state_dict(),
        "history": history,
        "seconds": seconds,
    }


def _restore(state: dict, method: Method, schedulers: list) -> list[Record]:
    method.load_state_dict(state["method"])
    for kind, parts in (("optimizers", method.optimizers), ("schedulers", schedulers)):
        for part, saved in zip(parts, state[kind], strict=True):
            part.load_state_dict(saved)
    method.scaler.load_state_dict(state["scaler"])
    return state["history"]


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.1f}"


def _short(record: Record) -> str:
    shown = {"valid_accuracy": "valid", "test_accuracy": "test", "test_conflicting": "conflicting"}
    accuracies = [f", {title} {_percent(record[key])}" for key, title in shown.items() if key in record]
    return f"loss {record['train_loss']:.3f}{''.join(accuracies)}"


def _line(title: str, epochs: int, record: Record) -> str:
    kept = f", trained on {sum(record['kept'].values())} kept samples" if "kept" in record else ""
    return f"{title} epoch {record['epoch']}/{epochs}: {_short(record)}{kept} ({record['seconds']:.1f} s)"
