"""The stages of a run: selectors, found or trained, say what the next stage trains on; the last stage is a learner.

A trained selector is kept in a folder named by all that its training depends on, for every run that needs the same.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import torch
from torch import Tensor

from algorithms.base import Chosen, Emission, Method, methods
from algorithms.parts.losses import prediction_entropy
from algorithms.task import Task
from algorithms.training.config import RunConfig, StageConfig
from algorithms.training.outputs import Journal
from algorithms.training.selection import Selection
from algorithms.training.trainer import Evaluator, Record, fit
from data.batches import as_probabilities
from data.noise import expected_rate
from data.split import Split
from utils.distributed import from_writer, is_writer
from utils.files import load_tensors, save_tensors, write_json
from utils.metrics import selection_quality
from utils.run_folder import RunFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSet:
    """The training set as the stages so far left it.

    split: the samples that remain, K of them. members: their positions in the data set, int64 [K].
    probabilities, weights, cue: of an earlier selection, [K] or [K, C], or None.
    rated: what selectors said of the images, by column of `samples.csv`: float64 [N], NaN for those not seen.
    """

    split: Split
    members: Tensor
    probabilities: Tensor | None = None
    weights: Tensor | None = None
    cue: Tensor | None = None
    rated: dict[str, Tensor] = field(default_factory=dict)

    def rating(self, columns: dict[str, Tensor], size: int) -> dict[str, Tensor]:
        """`rated` and more columns, each [K], spread over all images of the data set, of which there are `size`."""
        unseen = torch.full((size,), torch.nan, dtype=torch.float64)
        return self.rated | {
            name: unseen.index_copy(0, self.members, values.double()) for name, values in columns.items()
        }

    def after(self, selection: Selection, size: int, resampling: bool) -> "TrainingSet":
        """What the next stage trains on; a kept subset restricts what earlier stages said and numbers samples anew.

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
                rated=rated,
            )
        if selection.kind == "weights":
            return replace(self, weights=values, rated=rated)
        if selection.kind == "cue":
            return replace(self, cue=values, rated=rated)
        if resampling:
            return replace(self, probabilities=values, rated=rated)
        return replace(self, weights=(values * len(self.split)).float(), rated=rated)


def select(
    config: RunConfig, stage: StageConfig, kind: Emission, current: TrainingSet, evaluate: Evaluator, journal: Journal
) -> Selection:
    """A selector's selection of a kind from the current training set.

    The journal gets the selector's epochs and how well it selected.
    """
    overwrite = config.overwrite and stage != config.referee  # which was trained anew a moment ago
    method, history, reused = trained_selector(config, stage, current.split, evaluate, overwrite, journal.on_epoch)
    selected = cue_of(method) if kind == "cue" else method.select()
    values, score = from_writer(lambda: selected)
    diagnostics, chosen = {} if config.trial else method.diagnostics(), method.chosen()
    selection = Selection(kind, values, score, current.split.fingerprint(), diagnostics, chosen)
    quality = selection_quality(selection.share_of_draws().numpy(), score.numpy(), evaluate.groups.numpy())
    if chosen is not None:
        quality["chosen"] = asdict(chosen)
        _log_choice(stage.method, chosen)
    journal.end_stage(stage, history, reused=reused, **quality)
    return selection


def _log_choice(method: str, chosen: Chosen) -> None:
    for row in zip(*chosen.curve.values(), strict=True):
        log.info("%s: %s", method, ", ".join(f"{n} {v:.4g}" for n, v in zip(chosen.curve, row, strict=True)))
    log.info("%s: %s %.4g is chosen", method, chosen.name, chosen.value)


def cue_of(method: Method) -> tuple[Tensor, Tensor]:
    """What a biased model says of the training images' cues: logits, float32 [N, C], and their entropy, float64 [N]."""
    logits = method.task.over_train(method.predict)
    return logits, prediction_entropy(logits.double(), 1)


def trained_selector(
    config: RunConfig,
    stage: StageConfig,
    train: Split,
    evaluate: Evaluator,
    overwrite: bool,
    on_epoch: Callable[[list[Record]], None] = lambda history: None,
) -> tuple[Method, list[Record], bool]:
    """A selector in evaluation mode, its epochs, and whether an equal stage had trained it before."""
    cls = methods[stage.method]
    task = _task(config, stage, train, evaluate.dataset.num_classes)
    described = stage.as_dict() | {
        "method": task.stage,
        "hparams": {
            declared.name: getattr(stage.hparams, declared.name)
            for declared in fields(cls.Hparams)
            if not declared.metadata["after_training"]
        },
        "seed": config.data.seed,
        "noise_rate": task.noise_rate,
        "train": train.fingerprint(),
    }
    key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]
    folder = RunFolder(config.log_dir / config.dataset_name / "selectors" / f"{task.stage}-{key}")
    method = cls(task, stage.hparams).to(config.device)
    with folder.locked(wait=True):
        finished = from_writer(folder.start, described, overwrite)
        if finished is None:
            write_json(folder / "config.json", {"arguments": described})
            history = fit(method, evaluate, folder.checkpoint, on_epoch, stage.method, _trace(config, stage))
            save_tensors(folder / "model.pt", method.state_dict())
            folder.finish({"history": history})
        else:
            log.info("%s: taking the trained selector in %s", stage.method, folder.path)
            history = finished["history"]
            method.load_state_dict(from_writer(load_tensors, folder / "model.pt"))
    method.eval()
    return method, history, finished is not None


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
    )
    method = methods[stage.method](task, stage.hparams).to(config.device)
    history = fit(method, evaluate, folder.checkpoint, journal.on_epoch, stage.method, _trace(config, stage))
    journal.end_stage(stage, history)
    return method, history


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
    """Where `--profile` writes; a stage is profiled where it is trained, for the run that trains it."""
    wanted = config.profile and stage in config.stages and is_writer()
    return config.folder / f"trace_{stage.method}.json" if wanted else None
