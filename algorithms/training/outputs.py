"""The files that a run leaves: configuration, epochs, selections, what it says of every image, and its result."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from algorithms.training.config import RunConfig, StageConfig
from algorithms.training.criteria import CRITERIA, best_epoch
from algorithms.training.selection import Selection
from algorithms.training.trainer import Fitted, Record
from data.split import Dataset
from utils.errors import DamagedFile, RunError
from utils.files import load_own_tensors, write_json
from utils.identity import changed_parts
from utils.logbook import environment, rounding
from utils.results.tables import record_csv
from utils.run_files import Config
from utils.run_folder import RunFolder

log = logging.getLogger(__name__)

REPORTED = dict.fromkeys(
    ("epoch", "valid_accuracy", "valid_loss", "test_accuracy", "test_aligned", "test_conflicting", "test_worst_group",
     "test_adjusted", *(criterion.key for criterion in CRITERIA.values()))
)  # fmt: skip

Watch = Callable[[list[Record]], None]


class Journal:
    """The epochs of a run's stages and what each stage came to, both in the order in which they ran."""

    def __init__(self, folder: RunFolder, write_scalars: Callable[[Record], None], watch: Watch) -> None:
        self.folder, self.write_scalars, self.watch = folder, write_scalars, watch
        self.records: list[Record] = []
        self.other_seconds = 0.0
        """Time to add to that of this process: what earlier ones spent on the stages, less what is told apart below."""
        self.referee_seconds = 0.0
        self.cross_validation_seconds = 0.0
        self.stages: list[dict[str, Any]] = []

    def on_epoch(self, history: list[Record]) -> None:
        """Brings `metrics.jsonl` and the curves up to date with the stage that is being trained."""
        mine = self._numbered(history)
        self.folder.write_metrics(self.records + mine)
        self.write_scalars(mine[-1])
        self.watch(mine)

    def end_stage(self, stage: StageConfig, fitted: Fitted, **more: Any) -> None:
        """Keeps a trained stage's epochs and, for `result.json`, its settings, its time and `more`."""
        self.records += self._numbered(fitted.history)
        self.other_seconds += fitted.earlier
        if "kept_by_class" in fitted.history[-1]:
            more["kept_by_class"] = fitted.history[-1]["kept_by_class"]
        if stage.settings.stop != "off":
            more["stop_epoch"] = len(fitted.history)
        seconds = sum(record["seconds"] for record in fitted.history)
        self.stages.append({**stage.as_dict(), "seconds": seconds, **more})

    def _numbered(self, history: list[Record]) -> list[Record]:
        return [{"stage": len(self.stages) + 1, **record} for record in history]


def write_config(
    config: RunConfig, arguments: dict[str, Any], folder: RunFolder, there: Config | None, dataset: Dataset
) -> None:
    """Writes `config.json`; of a run or search that was started before, checks its data and notes where it goes on.

    Raises:
        RunError: it was started with other data.
    """
    now = environment(config.device)
    if there is None:
        begun = {"arguments": arguments, "data": dataset.summary(), "environment": now}
        write_json(folder / "config.json", begun)
        return
    check_data(config, folder, there, dataset)
    if check_rounding(config, there, "was started"):
        before = [*there.get("environments_before", []), there.get("environment", {})]
        write_json(folder / "config.json", {**there, "environment": now, "environments_before": before})


def check_finished(config: RunConfig, folder: RunFolder, there: Config, dataset: Dataset) -> None:
    """Checks that a finished run is the one that is asked for, and its model its own; warns of another environment.

    Raises:
        RunError: it is not.
    """
    check_data(config, folder, there, dataset)
    check_rounding(config, there, "was trained")
    model = folder / "model.pt"
    if model.exists():  # whoever removed it did not want it
        load_own_tensors(model, config.whose(dataset.identity))


def check_data(config: RunConfig, folder: RunFolder, there: Config, dataset: Dataset) -> None:
    """Checks that a run is of the very data there are now, wherever they lie.

    Raises:
        RunError: it is of others.
    """
    mend = "Give this run a --run_name, or replace the other one with --overwrite."
    if "contents" not in there.get("data", {}).get("train", {}):
        raise DamagedFile(f"{folder / 'config.json'} does not say of which data: an earlier version wrote it. {mend}")
    changed = changed_parts(there["data"], dataset.summary())
    if changed:
        raise RunError(
            f"{', '.join(changed)} have changed: {folder.path} holds a run on other data than there are now in "
            f"--data_dir {config.data.data_dir}. Restore them. Or: {mend}"
        )


def check_rounding(config: RunConfig, there: Config, what: str) -> bool:
    """Warns where numbers will not be, or were not, those of one run in this environment; returns whether it did."""
    before = there.get("environment", {})
    other = [
        f"{name.replace('_', ' ')} {before.get(name, 'unknown')} there, {value} now"
        for name, value in rounding(config.device).items()
        if before.get(name) != value
    ]
    if other:
        log.warning("this run %s elsewhere (%s): not the same to the bit as one from here", what, "; ".join(other))
    return bool(other)


def log_data(summary: dict[str, Any]) -> None:
    log.info("data: %s", summary["origin"])
    for name in ("train", "valid", "test"):
        part = summary[name]
        ratios = ", ".join(
            f"{what} unknown"
            if part[f"effective_{key}"] is None
            else f"{what} {100 * part[f'effective_{key}']:.2f} %"
            + (f" of {part[f'{key}_known']} known" if part[f"{key}_known"] < part["size"] else "")
            for what, key in (("noisy", "nratio"), ("conflicting", "bratio"))
        )
        groups = ", ".join(f"{group} {count}" for group, count in part["groups"].items() if count)
        log.info("%s: %d images, %s (%s), fingerprint %s", name, part["size"], ratios, groups, part["fingerprint"])


def save_selection(
    config: RunConfig, folder: RunFolder, selection: Selection, members: Tensor, dataset: Dataset
) -> None:
    """Writes `selection.npz`, whose rows are the samples at `members` (int64 [K]), and figures of it."""
    groups = dataset.train_groups()[members].numpy()
    selection.save(folder / "selection.npz", index=members.numpy(), group=groups)
    if not config.figures:
        return
    from utils.results import plots

    draws, score, figures = selection.share_of_draws().numpy(), selection.score.numpy(), folder / "figures"
    plots.score_histogram(figures, score, groups)
    if (chosen := selection.chosen) is not None:
        plots.choice_curve(figures, chosen.name, chosen.value, chosen.curve)
    train, notes = dataset.train, dataset.annotations["train"]
    order = members.numpy()[np.argsort(-draws, kind="stable")]
    shown = {
        "most sampled: given label (true label)": order[: plots.SHEET],
        "least sampled: given label (true label)": order[-plots.SHEET :],
    }
    plots.sample_sheet(
        figures / "samples.png", dataset.train_pictures, shown,
        train.labels, notes.true_labels, notes.wrong(train.labels), dataset.class_names,
    )  # fmt: skip


def result(config: RunConfig, summary: dict[str, Any], journal: Journal, history: list[Record]) -> dict[str, Any]:
    """The content of `result.json` but for time and memory; `history` is the final stage's."""
    criterion = CRITERIA[config.best_by]
    evaluated = [record for record in history if criterion.key in record]
    curve = [record[criterion.key] for record in evaluated]
    best = evaluated[best_epoch(curve, criterion.maximise)]
    return {
        "alg": config.alg,
        "seed": config.data.seed,
        "end": {key: history[-1][key] for key in REPORTED if key in history[-1]},
        "best": {key: best[key] for key in REPORTED if key in best},
        "best_by": config.best_by,
        **({"curve": curve} if config.trial else {}),
        "data": summary,
        "stages": [
            {**told, "changed": stage.changed()} for told, stage in zip(journal.stages, config.stages, strict=True)
        ],
        "presets": config.presets,
    }


def save_result(config: RunConfig, folder: RunFolder, journal: Journal, result: dict[str, Any]) -> None:
    """Writes `result.json`, which marks the run done, and then what can be missing: figures and tables."""
    folder.write_metrics(journal.records)
    folder.finish(result)
    save_row(config, result)
    if config.figures:
        from utils.results import plots

        plots.learning_curves(folder / "figures", journal.records)


def save_row(config: RunConfig, result: dict[str, Any]) -> None:
    """Puts the run into the authors' `result.csv`, if one is wanted."""
    if config.result_dir is not None:
        place: Path = config.result_dir / config.dataset_name / config.alg / config.ratios
        record_csv(place / ("result_clean.csv" if config.data.clean_valid else "result.csv"), result)
