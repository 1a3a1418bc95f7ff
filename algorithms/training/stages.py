"""The stages of a run: selectors, found or trained, say what the next stage trains on; the last stage is a learner.

A trained selector is kept in a folder named by all that its training depends on, for every run that needs the same.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from algorithms.base import Chosen, Emission, Method, methods
from algorithms.parts.losses import prediction_entropy
from algorithms.task import Task, over_split
from algorithms.training.config import RunConfig, StageConfig
from algorithms.training.outputs import Journal
from algorithms.training.selection import Selection
from algorithms.training.trainer import Evaluator, Fitted, Record, fit
from data.batches import as_probabilities
from data.noise import expected_rate
from data.split import Split
from utils.distributed import from_writer, is_writer
from utils.errors import MachineError, RunError
from utils.files import load_own_tensors, save_tensors, write_json
from utils.identity import digest
from utils.logbook import rounding
from utils.metrics import selection_quality
from utils.run_folder import RunFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSet:
    """The training set as the stages so far left it.

    split: the samples that remain, K of them. members: their positions in the data set, int64 [K].
    probabilities, weights, cue: of an earlier selection, [K] or [K, C], or None.
    start: the state dict that the final model starts from, or None.
    rated: what selectors said of the images, by column of `samples.csv`: float64 [N], NaN for those not seen.
    """

    split: Split
    members: Tensor
    probabilities: Tensor | None = None
    weights: Tensor | None = None
    cue: Tensor | None = None
    start: dict[str, Tensor] | None = None
    rated: dict[str, Tensor] = field(default_factory=dict)

    def rating(self, columns: dict[str, Tensor], size: int) -> dict[str, Tensor]:
        """`rated` and more columns, each [K], spread over all images of the data set, of which there are `size`."""
        unseen = torch.full((size,), torch.nan, dtype=torch.float64)
        return self.rated | {
            name: unseen.index_copy(0, self.members, values.double()) for name, values in columns.items()
        }

    def after(self, selection: Selection, size: int, resampling: bool) -> "TrainingSet":
        """The next stage's training set; a kept subset restricts what earlier stages said and numbers samples anew.

        Args:
            size: of the whole data set, N.
        """
        values, rated = selection.values, self.rating(selection.columns(), size)
        if selection.kind == "kept":
            return TrainingSet(
                self.split.subset(values),
                self.members[values],
                None if self.probabilities is None else as_probabilities(self.probabilities[values]),
                None if self.weights is None else self.weights[values],
                start=self.start,
                rated=rated,
            )
        changed = replace(self, start=selection.start or self.start, rated=rated)
        if selection.kind == "weights":
            return replace(changed, weights=values)
        if selection.kind == "cue":
            return replace(changed, cue=values)
        if resampling:
            return replace(changed, probabilities=values)
        return replace(changed, weights=(values * len(self.split)).float())


def select(
    config: RunConfig, stage: StageConfig, kind: Emission, current: TrainingSet, evaluate: Evaluator, journal: Journal
) -> Selection:
    """A selector's selection of a kind from the current training set.

    The journal gets the selector's epochs and how well it selected.
    """
    method, fitted, reused = trained_selector(
        config, stage, current.split, evaluate, config.overwrite, journal.on_epoch
    )
    selected = cue_of(method) if kind == "cue" else method.select()
    values, score = from_writer(lambda: selected)
    diagnostics, chosen = {} if config.trial else method.diagnostics(), method.chosen()
    selection = Selection(kind, values, score, current.split.fingerprint(), diagnostics, chosen, method.start())
    draws, labels = selection.share_of_draws(), current.split.labels.cpu()
    by_class = draws.new_zeros(evaluate.dataset.num_classes).index_add_(0, labels, draws).tolist()
    quality = selection_quality(draws.numpy(), score.numpy(), evaluate.groups.numpy())
    if chosen is not None:
        quality["chosen"] = asdict(chosen)
        _log_choice(stage.method, chosen)
    journal.end_stage(stage, fitted, reused=reused, draws_by_class=by_class, **quality)
    return selection


def _log_choice(method: str, chosen: Chosen) -> None:
    for row in zip(*chosen.curve.values(), strict=True):
        log.info("%s: %s", method, ", ".join(f"{n} {v:.4g}" for n, v in zip(chosen.curve, row, strict=True)))
    log.info("%s: %s %.4g is chosen", method, chosen.name, chosen.value)


def cue_of(method: Method) -> tuple[Tensor, Tensor]:
    """A biased model's view of the training images' cues: logits, float32 [N, C], and their entropy, float64 [N]."""
    logits = method.task.over_train(method.predict)
    return logits, prediction_entropy(logits.double(), 1)


def referee_logits(config: RunConfig, train: Split, evaluate: Evaluator, journal: Journal) -> Tensor:
    """Logits of the run's referee, trained on `train`, for the validation images: [N_valid, C].

    The journal gets the time that it took; one that is a stage of the run as well took none of its own.
    """
    assert config.referee is not None
    start = time.perf_counter()
    if _described(config, config.stages[0], train, evaluate) == _described(config, config.referee, train, evaluate):
        method, _, _ = trained_selector(config, config.referee, train, evaluate, overwrite=False)
        return over_split(method.predict, evaluate.valid, config.device)
    log.info(
        "a referee (%s, %d epochs) judges which validation images count, to choose the best epoch by %s; it is trained "
        "once for these data and this seed, and --best_by valid_accuracy does without",
        config.referee.method, config.referee.settings.epochs, config.best_by,
    )  # fmt: skip
    method, fitted, _ = trained_selector(config, config.referee, train, evaluate, config.overwrite)
    logits = over_split(method.predict, evaluate.valid, config.device)
    journal.other_seconds -= time.perf_counter() - start
    journal.referee_seconds = fitted.seconds
    return logits


def cross_validated(config: RunConfig, train: Split, evaluate: Evaluator, journal: Journal) -> dict[str, Tensor]:
    """Columns of `samples.csv` by networks that were not trained on the images they judge, [N] each.

    The journal gets the time that these took.
    """
    assert config.cross_validation is not None
    start = time.perf_counter()
    method, fitted, _ = trained_selector(config, config.cross_validation, train, evaluate, config.overwrite)
    journal.other_seconds -= time.perf_counter() - start
    journal.cross_validation_seconds = fitted.seconds
    return method.diagnostics()


def trained_selector(
    config: RunConfig,
    stage: StageConfig,
    train: Split,
    evaluate: Evaluator,
    overwrite: bool,
    on_epoch: Callable[[list[Record]], None] = lambda history: None,
) -> tuple[Method, Fitted, bool]:
    """A selector in evaluation mode, how it was fitted, and whether an equal stage had trained it before.

    One whose files are damaged is trained anew.
    """
    described = _described(config, stage, train, evaluate)
    key = digest(described)
    whose = {"selector": key, "method": described["method"], "seed": config.data.seed}
    folder = RunFolder(config.log_dir / config.dataset_name / "selectors" / f"{described['method']}-{key}")
    task = _task(config, stage, train, evaluate.dataset.num_classes)
    method = methods[stage.method](task, stage.hparams).to(config.device)
    with folder.locked(wait=True):
        try:
            found = from_writer(_found, folder, described, whose, overwrite)
        except MachineError:
            raise
        except RunError as error:
            log.warning("%s The selector is trained anew.", error)
            found = from_writer(_found, folder, described, whose, overwrite=True)
        if found is None:
            write_json(folder / "config.json", {"arguments": described})
            title = f"referee ({stage.method})" if stage is config.referee else stage.method
            fitted = fit(method, evaluate, folder.checkpoint, on_epoch, title, _trace(config, stage), whose)
            save_tensors(folder / "model.pt", method.state_dict(), whose)
            folder.finish({"history": fitted.history, "seconds": fitted.seconds})
        else:
            log.info("%s: taking the trained selector in %s", stage.method, folder.path)
            result, state = found
            fitted = Fitted(result["history"], earlier=result["seconds"])
            method.load_state_dict(state)
    method.eval()
    return method, fitted, found is not None


def _described(config: RunConfig, stage: StageConfig, train: Split, evaluate: Evaluator) -> dict[str, Any]:
    """All that a selector's training depends on, to the bit, and what is measured in its epochs; not after which."""
    cls = methods[stage.method]
    task = _task(config, stage, train, evaluate.dataset.num_classes)
    return stage.as_dict() | {
        "method": task.stage,
        "hparams": {
            declared.name: getattr(stage.hparams, declared.name)
            for declared in fields(cls.Hparams)
            if not declared.metadata["after_training"]
        },
        "seed": config.data.seed,
        "noise_rate": task.noise_rate,
        "transform": digest(repr(train.transform)),
        "sync_bn": config.sync_bn,
        "train": train.fingerprint(),
        "data": evaluate.dataset.identity,
        "rounding": rounding(config.device),
    }


def _found(
    folder: RunFolder, described: dict[str, Any], whose: dict[str, Any], overwrite: bool
) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """The result and the tensors of a trained selector; None if it has yet to be trained, from its checkpoint if any.

    Raises:
        RunError: a file of it is damaged.
    """
    folder.start(described, overwrite)
    result = folder.result()
    if result is not None:
        return result, load_own_tensors(folder / "model.pt", whose)
    if folder.checkpoint.exists():
        load_own_tensors(folder.checkpoint, whose)
    return None


def train_final(
    config: RunConfig, folder: RunFolder, current: TrainingSet, evaluate: Evaluator, journal: Journal
) -> tuple[Method, list[Record]]:
    """The method that trains the final model, after its training, and its epochs."""
    stage = config.stages[-1]
    task = replace(
        _task(config, stage, current.split, evaluate.dataset.num_classes),
        probabilities=current.probabilities,
        weights=None if current.weights is None else current.weights.to(config.device),
        cue=current.cue,
        start=current.start,
    )
    method = methods[stage.method](task, stage.hparams).to(config.device)
    whose = config.whose(evaluate.dataset.identity)
    fitted = fit(method, evaluate, folder.checkpoint, journal.on_epoch, stage.method, _trace(config, stage), whose)
    journal.end_stage(stage, fitted)
    return method, fitted.history


def _task(config: RunConfig, stage: StageConfig, train: Split, num_classes: int) -> Task:
    data = config.data
    return Task(
        train,
        num_classes,
        config.device,
        stage.settings,
        data.seed,
        methods[stage.method].trained_as or stage.method,
        noise_rate=expected_rate(
            num_classes, data.nratio, data.noise_type, data.noise_style, data.bratio, data.noise_matrix
        ),
        sync_bn=config.sync_bn,
    )


def _trace(config: RunConfig, stage: StageConfig) -> Path | None:
    """The file that `--profile` writes; a stage is profiled where it is trained, for the run that trains it."""
    wanted = config.profile and stage in config.stages and is_writer()
    return config.folder / f"trace_{stage.method}.json" if wanted else None
