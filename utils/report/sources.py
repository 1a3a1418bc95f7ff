"""Readers of what run folders hold besides results: samples, commands, selections and searches."""

import contextlib
import csv
import json
import shlex
import statistics
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.audit.ranking import ranking
from utils.audit.samples import FILE, Samples, read_samples
from utils.errors import MachineError, RunError
from utils.hpo.trials import History, Status, Trial
from utils.metrics import GROUPS, is_oracle, larger_is_better, record_key
from utils.report.figures import SCORES
from utils.results.comparisons import Cell, Estimate
from utils.results.grouping import DataGroup, one_per_seed, rows_of
from utils.results.runs import RATIOS_FOLDER, Run
from utils.run_files import Noted, read_noted, read_result

TO_FIND = {
    "conflicting": ("Finding conflicting among clean samples", GROUPS[:2], GROUPS[1::2]),
    "noisy": ("Finding noisy samples", GROUPS, GROUPS[2:]),
}
"""Tasks by which a selector's scores are judged: a title, the groups looked at, and those of the samples to find."""

SUSPECTS = 20
"""Rows in a table of the most suspicious labels."""

VALUELESS = {"clean_valid", "sync_bn"}
"""Arguments whose flags take no value."""


@contextlib.contextmanager
def naming(place: Path) -> Iterator[None]:
    """Turns any failure to read a file of other contents than ours into an error that names its place."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, EOFError, csv.Error, zipfile.BadZipFile) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RunError(f"{place} is damaged or not of a run ({reason}). Move it out of the log folder.") from error


def samples_of(folder: Path) -> Samples | None:
    """The notes of a run on its training images: `samples.csv`, of an older run the score in `selection.npz`, or None.

    Raises:
        RunError: the file is damaged.
    """
    if (folder / FILE).exists():
        return read_samples(folder)
    if (folder / "selection.npz").exists():
        with naming(folder), np.load(folder / "selection.npz", allow_pickle=False) as file:
            return {"group": np.array([*GROUPS, ""])[file["group"]], "score": file["score"].astype(float)}
    return None


def judged(samples: Samples, target: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By score, whether each image is one to find and its score; the selector's own only where no other is known."""
    _, among, wanted = TO_FIND[target]
    found = {}
    for key in SCORES.keys() & samples.keys():
        known = np.isin(samples["group"], among) & np.isfinite(samples[key])
        truth = np.isin(samples["group"][known], wanted)
        if truth.any() and not truth.all():
            found[key] = truth, samples[key][known]
    return {key: pair for key, pair in found.items() if key != "score"} or found


def suspects(samples: Samples | None) -> list[dict[str, Any]]:
    """The images whose given label is likeliest to be wrong, the likeliest first: their columns of `samples.csv`.

    Also the `other` label that each may have, and the `confidence` in the given one that they are ranked by.
    """
    if samples is None or "predicted_label" not in samples:
        return []
    ranked = ranking(samples)
    return [
        {name: values[i] for name, values in samples.items()}
        | {"other": ranked.other[i], "confidence": ranked.confidence[i], "words": ranked.words}
        for i in ranked.errors[:SUSPECTS]
    ]


def command(noted: Noted) -> tuple[str, bool]:
    """The command that trains a run again, and true if it is as it was typed, false if made of the run's arguments."""
    typed = noted.get("environment", {}).get("command")
    if typed:
        return typed if typed.startswith(("python ", "torchrun ")) else f"python {typed}", True
    words = ["python", "train_mix.py"]
    for name, value in noted.get("arguments", {}).items():
        if name in VALUELESS:
            words += [f"--{name}"] if value else []
        elif isinstance(value, bool):
            words += [f"--{name}", str(value).lower()]
        elif isinstance(value, str | int | float) and value != "":
            words += [f"--{name}", str(value)]
    return shlex.join(words), False


@dataclass(frozen=True)
class Sweep:
    """Trials that differ in hyper-parameters: a search, or runs of one method on the same data.

    title: of the search, or of what it is. noun: "trial" or "run". ordered: whether trials were tried in their order.
    criterion: what they are compared by. remark: tells their data from others of that name.
    """

    title: str
    noun: str
    ordered: bool
    place: tuple[str, str, str]
    criterion: str
    maximise: bool
    trials: list[Trial]
    remark: str = ""

    @property
    def finished(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.objective is not None]

    @property
    def names(self) -> list[str]:
        """The hyper-parameters that were varied, in the order in which they are noted."""
        values: dict[str, set[str]] = {}
        for trial in self.trials:
            for name, value in trial.values.items():
                values.setdefault(name, set()).add(str(value))
        return [name for name, different in values.items() if len(different) > 1]


def searches(folder: Path, complaints: list[str]) -> list[Sweep]:
    """Every search below `folder`, from its history; trials whose history is gone from their own folders.

    Args:
        complaints: gets a line for each that cannot be read.
    """
    found = []
    homes = {path.parent for path in folder.rglob("trials.jsonl")}
    lost = {path.parents[1] for path in folder.rglob("trials/*/result.json")} - {
        home.parent / "trials" for home in homes
    }
    for home in sorted(homes | lost):
        try:
            with naming(home):
                found += _trials_of(home) if home in lost else [_search(home)]
        except MachineError:
            raise
        except RunError as error:
            complaints.append(str(error))
    return found


def _search(home: Path) -> Sweep:
    noted = read_noted(home / "config.json")
    dataset, alg, ratios, name = _place_of(home)
    key = noted.get("arguments", {}).get("best_by", "")
    oracle = " (oracle)" if is_oracle(key) else ""
    place = dataset, ratios, alg
    trials = History(home / "trials.jsonl").trials
    return Sweep(name, "trial", True, place, f"{key or 'criterion'}{oracle}", larger_is_better(key), trials)


def _trials_of(home: Path) -> list[Sweep]:
    dataset, alg, ratios, name = _place_of(home)
    runs = []
    for path in sorted(home.glob("*/result.json")):
        result, noted = read_result(path), read_noted(path.with_name("config.json"))
        runs.append(Run(path.parent, dataset, alg, ratios, 0, path.parent.name, result, noted))
    return compared(name, "trial", "", runs)


def _place_of(folder: Path) -> tuple[str, ...]:
    if len(folder.parts) < 5 or not RATIOS_FOLDER.fullmatch(folder.parent.name):
        raise ValueError(f"{folder.parent.name} is not NRATIO_BRATIO")
    return folder.parts[-4:]


def in_one_table(data: DataGroup) -> list[Sweep]:
    """For every method with runs on the same data that differ in a hyper-parameter: these runs, each seed once."""
    sweeps = []
    for alg in sorted({run.alg for run in data.runs}):
        rows = rows_of(run for run in data.runs if run.alg == alg)
        runs = sorted((run for row in rows for run in one_per_seed(row.runs)), key=lambda run: run.folder)
        sweeps += compared("runs", "run", data.remark, runs)
    return sweeps


def compared(title: str, noun: str, remark: str, runs: list[Run]) -> list[Sweep]:
    """Finished runs of one method on the same data as a sweep, if their hyper-parameters differ.

    They are compared by the criterion of the first, at the last epoch.
    """
    done = [run for run in runs if run.result is not None and run.arguments and not run.oracle]
    if len(done) < 2:
        return []
    best_by = (done[0].result or {})["best_by"]
    trials = []
    for number, run in enumerate(done):
        values = {
            name: value
            for name, value in run.arguments.items()
            if name not in ("seed", "best_by") and not isinstance(value, dict | list)
        }
        end = (run.result or {})["end"]
        value, details = end.get(record_key(best_by)), {"test_accuracy": end["test_accuracy"]}
        status: Status = "finished" if isinstance(value, int | float) else "failed"
        trials.append(Trial(number, values, status, run.folder.name, [value] if status == "finished" else [], details))
    place, maximise = (done[0].dataset, done[0].ratios, done[0].alg), larger_is_better(best_by)
    sweep = Sweep(title, noun, False, place, best_by, maximise, trials, remark)
    return [sweep] if sweep.names else []


def settings_of(runs: list[Run]) -> list[dict[str, Any]]:
    """The stages of finished runs of one row, and where their hyper-parameters came from; those that differ apart."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        stages = [{key: stage[key] for key in ("method", "hparams", "settings")} for stage in run.stages]
        presets = [{key: preset.get(key, "") for key in ("method", "file", "criterion")} for preset in run.presets]
        about = {"stages": stages, "presets": presets}
        found.setdefault(json.dumps(about, sort_keys=True), {**about, "seeds": []})["seeds"].append(run.seed)
    return list(found.values())


def selections(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For every selector, its groups: means over seeds of their share of images and of draws, and their worth."""
    selections = []
    for position, stage in enumerate(results[0]["stages"] if results else []):
        if "mass" not in stage:
            continue
        groups = []
        for group in GROUPS:
            share, mass = (
                [100 * result["stages"][position][kind][group] for result in results
                 if result["stages"][position][kind][group] is not None]
                for kind in ("share", "mass")
            )  # fmt: skip
            known = bool(share and mass)
            factor = statistics.mean(mass) / statistics.mean(share) if known and any(share) else None
            cells = [Estimate(tuple(values)) if known else "n/a" for values in (share, mass)]
            counts = [result["stages"][position].get("effective", {}).get(group) for result in results]
            worth = None if None in counts else statistics.mean(counts)
            groups.append({"group": group, "cells": cells, "factor": factor, "worth": worth})
        selections.append({"method": stage["method"], "groups": groups})
    return selections


def by_class(results: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Every class over seeds: images (of the first seed), mean accuracies, summed confusions.

    Runs from before there were such numbers have none.
    """
    known = [result for result in results if "per_class" in result and "confusion" in result]
    if not known:
        return None
    first, size = known[0]["per_class"], len(known[0]["per_class"]["names"])
    confusion = np.sum([result["confusion"] for result in known], 0)
    if confusion.shape != (size, size):
        raise ValueError(f"{confusion.shape} confusions of {size} classes")
    rows = []
    for c, name in enumerate(first["names"]):
        cells: list[Cell] = []
        for key in ("valid_accuracy", "test_accuracy"):
            values = [result["per_class"][key][c] for result in known]
            there = tuple(100 * value for value in values if value is not None)
            cells.append(Estimate(there) if there else "n/a")
        counts = [first[split][c] for split in ("train", "valid", "test")]
        rows.append({"name": name, "counts": counts, "cells": cells, "taken_for": confusion[c].tolist()})
    return {"rows": rows, "seeds": len(known)}
