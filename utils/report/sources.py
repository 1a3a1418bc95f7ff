"""What `utils.report` reads in run folders besides results: samples, commands, selections and searches."""

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

import jinja2
import numpy as np

from utils.audit.samples import FILE, Samples, label_errors, read_samples
from utils.errors import RunError
from utils.files import read_json
from utils.hpo.trials import History, Trial
from utils.metrics import GROUPS, is_oracle, larger_is_better, record_key
from utils.report.figures import SCORES
from utils.results.collector import Estimate, Run

TO_FIND = {
    "conflicting": ("Finding conflicting among clean samples", GROUPS[:2], GROUPS[1::2]),
    "noisy": ("Finding noisy samples", GROUPS, GROUPS[2:]),
}
"""What a selector's scores are judged by: a title, the groups looked at, and those of the samples to find."""

SUSPECTS = 20
"""Rows in a table of the most suspicious labels."""

VALUELESS = {"clean_valid", "sync_bn"}
"""Arguments whose flags take no value."""

UNFIT = (
    LookupError, TypeError, ValueError, AttributeError, EOFError, csv.Error, zipfile.BadZipFile, jinja2.UndefinedError,
)  # fmt: skip
"""What comes of reading a file that is damaged or of something else."""


@contextlib.contextmanager
def naming(place: Path) -> Iterator[None]:
    """Whatever a file of other contents than ours leads to becomes an error that names its folder."""
    try:
        yield
    except UNFIT as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RunError(
            f"{place} holds files that are damaged or not of a run ({reason}). Move it out of the log folder."
        ) from error


def read_lines(path: Path) -> list[Any]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise RunError(f"cannot read {path}: {error}. Remove the file.") from error


def samples_of(folder: Path) -> Samples | None:
    """What a run noted of its training images: `samples.csv`, or of an older run the score in `selection.npz`, or None.

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
    """The images whose given label is likeliest to be wrong, the likeliest first: their columns of `samples.csv`."""
    if samples is None or "predicted_label" not in samples:
        return []
    columns = (samples[name] for name in ("given_label", "predicted_label", "given_label_confidence"))
    return [{name: values[i] for name, values in samples.items()} for i in label_errors(*columns)[:SUSPECTS]]


def command(config: dict[str, Any]) -> tuple[str, bool]:
    """What to type for a run again, and whether that is what was typed or only made of the run's arguments."""
    typed = config.get("environment", {}).get("command")
    if typed:
        return typed if typed.startswith(("python ", "torchrun ")) else f"python {typed}", True
    words = ["python", "train_mix.py"]
    for name, value in config["arguments"].items():
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
    criterion: what they are compared by.
    """

    title: str
    noun: str
    ordered: bool
    place: tuple[str, str, str]
    criterion: str
    maximise: bool
    trials: list[Trial]

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


def searches(folder: Path) -> list[Sweep]:
    """Every search below `folder`, from its history; trials whose history is gone from their own folders."""
    found = []
    for path in sorted(folder.rglob("trials.jsonl")):
        config = read_json(path.with_name("config.json")) if path.with_name("config.json").exists() else {}
        with naming(path.parent):
            dataset, alg, ratios, name = path.parent.parts[-4:]
            key = config.get("arguments", {}).get("best_by", "")
            oracle = " (oracle)" if is_oracle(key) else ""
            maximise = larger_is_better(key)
            place = dataset, ratios, alg
            trials = History(path).trials
            found.append(Sweep(name, "trial", True, place, f"{key or 'criterion'}{oracle}", maximise, trials))
    for home in sorted({path.parents[1] for path in folder.rglob("trials/*/result.json")}):
        if not list(home.parent.glob("preset*/trials.jsonl")):
            dataset, alg, ratios, name = home.parts[-4:]
            runs = [
                Run(path.parent, dataset, alg, ratios, 0, path.parent.name, read_json(path))
                for path in sorted(home.glob("*/result.json"))
            ]
            found += compared(name, "trial", runs)
    return found


def compared(title: str, noun: str, runs: list[Run]) -> list[Sweep]:
    """Finished runs of one method on the same data as a sweep, if their hyper-parameters differ.

    They are compared by the criterion of the first, at the last epoch.
    """
    done = [run for run in runs if run.result is not None and not run.oracle]
    if len(done) < 2:
        return []
    trials = []
    for number, run in enumerate(done):
        with naming(run.folder):
            result = run.result or {}
            best_by = (done[0].result or {})["best_by"]
            arguments = read_json(run.folder / "config.json")["arguments"]
            values = {
                name: value
                for name, value in arguments.items()
                if name not in ("seed", "best_by") and not isinstance(value, dict | list)
            }
            value = result["end"].get(record_key(best_by))
            details = {"test_accuracy": result["end"]["test_accuracy"]}
            curve = [] if value is None else [value]
            trials.append(
                Trial(number, values, "failed" if value is None else "finished", run.folder.name, curve, details)
            )
    place, maximise = (done[0].dataset, done[0].ratios, done[0].alg), larger_is_better(best_by)
    sweep = Sweep(title, noun, False, place, best_by, maximise, trials)
    return [sweep] if sweep.names else []


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
