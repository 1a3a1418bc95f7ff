"""One run: selectors, if there are any, then the learner that trains the final model; and all that is written."""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms.base import Emission, Method, methods
from algorithms.parts.losses import prediction_entropy
from algorithms.task import Task, over_split
from algorithms.training.config import RunConfig, StageConfig
from algorithms.training.criteria import CRITERIA, best_epoch
from algorithms.training.pairs import passed_on
from algorithms.training.samples import audit
from algorithms.training.selection import Selection
from algorithms.training.trainer import Evaluator, Record, fit
from data.batches import as_probabilities
from data.load import load_dataset
from data.noise import expected_rate
from data.split import Dataset, Split
from utils.distributed import from_writer, is_writer, world, writer_first
from utils.errors import RunError
from utils.files import load_tensors, read_json, save_tensors, write_json
from utils.logbook import environment, log_file, peak_memory, tensorboard
from utils.metrics import selection_quality
from utils.results import plots
from utils.results.tables import record_csv
from utils.run_folder import RunFolder

log = logging.getLogger(__name__)

REPORTED = ("epoch", "valid_accuracy", "valid_loss", "test_accuracy", "test_aligned", "test_conflicting",
            "test_worst_group", *(criterion.key for criterion in CRITERIA.values() if criterion.refereed))  # fmt: skip


Watch = Callable[[list[Record]], None]


def run(config: RunConfig, watch: Watch = lambda records: None) -> dict[str, Any]:
    """Trains what `config` describes and returns the content of `result.json`.

    A finished run's result is returned without work; an interrupted run continues after its last finished epoch.
    After every epoch `watch` gets the records of its stage so far; an exception from it leaves the run interrupted.

    Raises:
        RunError: the folder holds another run, data are missing or damaged, or training diverged.
    """
    folder = RunFolder(config.folder)
    with folder.locked(wait=config.trial):
        finished = from_writer(folder.start, config.arguments(), config.overwrite)
        if finished is not None:
            log.info("already finished: %s (--overwrite trains it again)", folder.path)
            return finished
        with log_file(folder / "train.log"):
            return _train(config, folder, watch)


@dataclass(frozen=True)
class TrainingSet:
    """The training set as the stages so far left it.

    split: the samples that remain, K of them. members: their positions in the data set, int64 [K].
    probabilities, weights, cue: of an earlier selection, [K] or [K, C], or None.
    """

    split: Split
    members: Tensor
    probabilities: Tensor | None = None
    weights: Tensor | None = None
    cue: Tensor | None = None

    def spread(self, values: Tensor, size: int) -> Tensor:
        """`values` of the K samples as float64 [size], for all images of the data set; NaN for those that are gone."""
        return torch.full((size,), torch.nan, dtype=torch.float64).index_copy_(0, self.members, values.double())

    def after(self, selection: Selection, resampling: bool) -> "TrainingSet":
        """What the next stage trains on; a kept subset restricts what earlier stages said and numbers samples anew."""
        values, size = selection.values, len(self.split)
        if selection.kind == "kept":
            return TrainingSet(
                self.split.subset(values),
                self.members[values],
                None if self.probabilities is None else as_probabilities(self.probabilities[values]),
                None if self.weights is None else self.weights[values],
            )
        if selection.kind == "weights":
            return replace(self, weights=values)
        if selection.kind == "cue":
            return replace(self, cue=values)
        return replace(self, probabilities=values) if resampling else replace(self, weights=(values * size).float())


def _train(config: RunConfig, folder: RunFolder, watch: Watch) -> dict[str, Any]:
    start = time.perf_counter()
    dataset = writer_first(load_dataset, config.data)
    summary, groups = dataset.summary(), dataset.train_groups()
    from_writer(_write_config, config, folder, summary)
    _log_data(summary)
    valid, test = _place(dataset.valid, config.device), _place(dataset.test, config.device)
    evaluate = Evaluator(valid, test, dataset, config.device, groups)
    current = TrainingSet(_place(dataset.train, config.device), torch.arange(len(dataset.train)))
    if config.referee is not None:
        judge, _, _ = _trained_selector(config, config.referee, current.split, evaluate, config.overwrite)
        evaluate.referee = over_split(judge.predict, valid, config.device)
    records: list[Record] = []
    stages: list[dict[str, Any]] = []
    rated: dict[str, Tensor] = {}
    with tensorboard(folder.path, config.tensorboard) as write_scalars:

        def on_epoch(history: list[Record]) -> None:
            mine = _numbered(history, len(stages) + 1)
            folder.write_metrics(records + mine)
            write_scalars(mine[-1])
            watch(mine)

        for stage, following in pairwise(config.stages):
            kind = passed_on(stage.method, following.method)
            selection, outcome, history = _select(config, stage, kind, current.split, evaluate, on_epoch)
            members = current.members.numpy()
            draws, score = selection.share_of_draws().numpy(), selection.score.numpy()
            outcome |= selection_quality(draws, score, groups[members].numpy())
            selection.save(folder / "selection.npz", index=members, group=groups[members].numpy())
            if config.figures:
                _plot_selection(folder / "figures", draws, score, current.members, dataset)
            records += _numbered(history, len(stages) + 1)
            stages.append(outcome)
            rated |= {name: current.spread(values, len(groups)) for name, values in selection.columns().items()}
            current = current.after(selection, config.resampling)
            evaluate.groups = groups[current.members]

        final = config.stages[-1]
        weights = None if current.weights is None else current.weights.to(config.device)
        task = replace(
            _task(config, final, current.split, dataset.num_classes),
            probabilities=current.probabilities,
            weights=weights,
            cue=current.cue,
        )
        method = methods[final.method](task, final.hparams).to(config.device)
        history = fit(method, evaluate, folder.checkpoint, on_epoch, final.method, _trace(config, final))
        records += _numbered(history, len(stages) + 1)
        stages.append({**final.as_dict(), "seconds": sum(record["seconds"] for record in history)})

    save_tensors(folder / "model.pt", method.state_dict())
    if not config.trial:
        method.eval()
        rated |= {name: current.spread(values, len(groups)) for name, values in method.diagnostics().items()}
        audit(folder, dataset, method, rated, config.figures)
    criterion = CRITERIA[config.best_by]
    best = history[best_epoch([record[criterion.key] for record in history], criterion.maximise)]
    result = {
        "alg": config.alg,
        "seed": config.data.seed,
        "end": {key: history[-1][key] for key in REPORTED if key in history[-1]},
        "best": {key: best[key] for key in REPORTED if key in best},
        "best_by": config.best_by,
        "data": summary,
        "stages": stages,
        "presets": config.presets,
        "seconds": time.perf_counter() - start,
        "peak_memory_bytes": peak_memory(config.device),
    }
    if config.figures:
        plots.learning_curves(folder / "figures", records)
    if config.result_dir is not None:
        place = config.result_dir / config.dataset_name / config.alg / config.ratios
        record_csv(place / ("result_clean.csv" if config.data.clean_valid else "result.csv"), result)
    folder.write_metrics(records)
    folder.finish(result)
    return result


def _numbered(history: list[Record], stage: int) -> list[Record]:
    return [{"stage": stage, **record} for record in history]


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


def _select(
    config: RunConfig, stage: StageConfig, kind: Emission, train: Split, evaluate: Evaluator, on_epoch: Callable
) -> tuple[Selection, dict[str, Any], list[Record]]:
    """A selector's selection of a kind from `train`, what `result.json` says of the stage, and its epochs."""
    overwrite = config.overwrite and stage != config.referee  # which was trained anew a moment ago
    method, history, reused = _trained_selector(config, stage, train, evaluate, overwrite, on_epoch)
    selected = cue_of(method) if kind == "cue" else method.select()
    values, score = from_writer(lambda: selected)
    diagnostics = {} if config.trial else method.diagnostics()
    selection = Selection(kind, values, score, train.fingerprint(), diagnostics)
    seconds = sum(record["seconds"] for record in history)
    return selection, {**stage.as_dict(), "seconds": seconds, "reused": reused}, history


def cue_of(method: Method) -> tuple[Tensor, Tensor]:
    """What a biased model says of the training images' cues: logits, float32 [N, C], and their entropy, float64 [N]."""
    logits = method.task.over_train(method.predict)
    return logits, prediction_entropy(logits.double(), 1)


def _trained_selector(
    config: RunConfig,
    stage: StageConfig,
    train: Split,
    evaluate: Evaluator,
    overwrite: bool,
    on_epoch: Callable[[list[Record]], None] = lambda history: None,
) -> tuple[Method, list[Record], bool]:
    """A selector in evaluation mode, its epochs, and whether an equal stage had trained it before.

    Every trained selector is kept in a folder named by all that its training depends on.
    """
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


def _trace(config: RunConfig, stage: StageConfig) -> Path | None:
    """Where `--profile` writes; a stage is profiled where it is trained, for the run that trains it."""
    wanted = config.profile and stage in config.stages and is_writer()
    return config.folder / f"trace_{stage.method}.json" if wanted else None


def _place(split: Split, device: torch.device) -> Split:
    """The split on the device if it takes less than half of the free memory there, else where it is."""
    if device.type != "cuda":
        return split
    free, _ = torch.cuda.mem_get_info(device)
    if split.images.nbytes < free / 2:
        return split.to(device)
    log.info("%.1f GB of images do not fit on %s; batches are copied there", split.images.nbytes / 1e9, device)
    return split


def _write_config(config: RunConfig, folder: RunFolder, summary: dict) -> None:
    path = folder / "config.json"
    if not path.exists():
        contents = {"arguments": config.arguments(), "data": summary, "environment": environment(config.device)}
        write_json(path, contents)
        return
    there = read_json(path)
    before, now = there["data"]["train"]["fingerprint"], summary["train"]["fingerprint"]
    if before != now:
        raise RunError(
            f"{folder.path} was started with training data {before}, but the same arguments now give {now}: "
            f"the files under {config.data.data_dir} have changed. Restore them, or use --run_name or --overwrite."
        )
    processes = there["environment"].get("processes", 1)
    if processes != world():
        log.warning("started with --nproc_per_node=%d, goes on with %d: not the same to the bit", processes, world())


def _log_data(summary: dict) -> None:
    log.info("data: %s", summary["origin"])
    for name in ("train", "valid", "test"):
        part = summary[name]
        ratios = ", ".join(
            f"{what} {'unknown' if part[key] is None else f'{100 * part[key]:.2f} %'}"
            for what, key in (("noisy", "effective_nratio"), ("conflicting", "effective_bratio"))
        )
        groups = ", ".join(f"{group} {count}" for group, count in part["groups"].items() if count)
        log.info("%s: %d images, %s (%s), fingerprint %s", name, part["size"], ratios, groups, part["fingerprint"])


def _plot_selection(folder: Path, draws: np.ndarray, score: np.ndarray, members: Tensor, dataset: Dataset) -> None:
    plots.score_histogram(folder, score, dataset.train_groups()[members].numpy())
    train, notes = dataset.train, dataset.annotations["train"]
    order = members.numpy()[np.argsort(-draws, kind="stable")]
    shown = {
        "most sampled: given label (true label)": order[: plots.SHEET],
        "least sampled: given label (true label)": order[-plots.SHEET :],
    }
    plots.sample_sheet(
        folder / "samples.png", train.images, shown,
        train.labels, notes.true_labels, notes.wrong(train.labels), dataset.class_names,
    )  # fmt: skip
