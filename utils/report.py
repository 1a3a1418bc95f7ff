"""A report of all runs below a log folder: web pages that open from the disk, without a server or a network.

python -m utils.report log/ -o report/
"""

import contextlib
import csv
import hashlib
import itertools
import json
import os
import re
import shlex
import shutil
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from utils import report_figures as figures
from utils.cli import Parser, run_script
from utils.criteria import CRITERIA
from utils.errors import RunError, UsageError
from utils.files import read_json, write_text
from utils.metrics import GROUPS
from utils.plots import CURVES
from utils.trials import History, Trial

MARKER = ".made-by-utils.report"
"""The file that tells a report, which may be replaced, from a folder that may not."""

METRICS = {
    "unbiased": "test_accuracy",
    "aligned": "test_aligned",
    "conflicting": "test_conflicting",
    "worst group": "test_worst_group",
}
SHOWN_CURVES = ("test_aligned", "test_conflicting", "test_accuracy", "valid_accuracy")
TO_FIND = {
    "conflicting": ("Finding conflicting among clean samples", GROUPS[:2], GROUPS[1::2]),
    "noisy": ("Finding noisy samples", GROUPS, GROUPS[2:]),
}
"""What a selector's scores are judged by: a title, the groups looked at, and those of the samples to find."""

SUSPECTS = 20
"""Rows in a table of the most suspicious labels."""

VALUELESS = {"clean_valid", "sync_bn"}
"""Arguments whose flags take no value."""


@dataclass(frozen=True)
class Run:
    """A run's folder and what its place says; `result` is the content of `result.json`, None if it has not ended."""

    folder: Path
    dataset: str
    alg: str
    ratios: str
    seed: int
    name: str
    result: dict[str, Any] | None

    @property
    def method(self) -> str:
        return f"{self.alg} ({self.name})" if self.name else self.alg

    @property
    def oracle(self) -> bool:
        """Whether something about it was chosen on test data."""
        result = self.result
        return result is not None and (
            CRITERIA[result["best_by"]].oracle or any(preset["oracle"] for preset in result["presets"])
        )


def find_runs(folder: Path) -> list[Run]:
    """Every run below `folder` that was started, trials of a search and the training of selectors left out.

    Raises:
        RunError: a result cannot be read.
    """
    runs = []
    for place in sorted({path.parent for kind in ("config", "result") for path in folder.rglob(f"{kind}.json")}):
        if not re.fullmatch(r"\d+(_.+)?", place.name) or place.parent.name == "trials":
            continue
        result = read_json(place / "result.json") if (place / "result.json").exists() else None
        dataset, alg, ratios, seed = place.parts[-4:]
        number, _, name = seed.partition("_")
        runs.append(Run(place, dataset, alg, ratios, int(number), name, result))
    return runs


@dataclass(frozen=True)
class Estimate:
    """Values over seeds, of accuracies in percent; `best` says whether no other mean is higher."""

    values: tuple[float, ...]
    best: bool = False

    @property
    def mean(self) -> float:
        return statistics.mean(self.values)

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation; None of a single value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


def estimate(values: Iterable[float | None], scale: float = 100) -> Estimate | None:
    """None where no value is known."""
    known = tuple(scale * value for value in values if value is not None)
    return Estimate(known) if known else None


def marked(column: list[Estimate | None]) -> list[Estimate | None]:
    """The column with its best mean marked, among those over the most seeds, if they differ: fewer compare poorly."""
    most = max((len(cell.values) for cell in column if cell), default=0)
    means = {cell.mean for cell in column if cell and len(cell.values) == most}
    return [
        replace(cell, best=len(cell.values) == most and len(means) > 1 and cell.mean == max(means)) if cell else None
        for cell in column
    ]


def grouped(runs: Iterable[Run], key: Callable[[Run], Any]) -> dict[Any, list[Run]]:
    return {value: list(members) for value, members in itertools.groupby(sorted(runs, key=key), key)}


def finished(runs: list[Run]) -> list[dict[str, Any]]:
    return [run.result for run in runs if run.result is not None]


@contextlib.contextmanager
def _naming(place: Path) -> Iterator[None]:
    """Whatever a file of other contents than ours leads to becomes an error that names its folder."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RunError(
            f"{place} holds files that are damaged or not of a run ({reason}). Move it out of the log folder."
        ) from error


def _file_name(*parts: str) -> str:
    """A name for a file or an address that tells `parts` and can be any system's; no two are the same."""
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(filter(None, parts))).strip("-.")[:80]
    return f"{readable}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:6]}"


def _lines(path: Path) -> list[Any]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise RunError(f"cannot read {path}: {error}. Remove the file.") from error


@dataclass(frozen=True)
class Samples:
    """What a selector noted of every training sample.

    group: names of `GROUPS`, "" where unknown, [N]. scores: by key of `figures.SCORES`, float [N], NaN where unknown.
    rows: those of `samples.csv`; empty if there is only `selection.npz`.
    """

    group: np.ndarray
    scores: dict[str, np.ndarray]
    rows: list[dict[str, str]]

    @classmethod
    def read(cls, folder: Path) -> "Samples | None":
        """From `samples.csv`, or else `selection.npz`; None where there is neither."""
        if (folder / "samples.csv").exists():
            with open(folder / "samples.csv", encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            columns = {
                key: np.array([float(row.get(key) or "nan") for row in rows])
                for key in figures.SCORES  # fmt: skip
            }
            return cls(np.array([row["group"] for row in rows]), columns, rows)
        if (folder / "selection.npz").exists():
            with np.load(folder / "selection.npz", allow_pickle=False) as file:
                return cls(np.array([*GROUPS, ""])[file["group"]], {"score": file["score"].astype(float)}, [])
        return None

    def judged(self, target: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By score, whether each sample is one to find and its score; without scores that nothing can be said of."""
        _, among, wanted = TO_FIND[target]
        judged = {}
        for key, score in self.scores.items():
            known = np.isin(self.group, among) & np.isfinite(score)
            truth = np.isin(self.group[known], wanted)
            if truth.any() and not truth.all():
                judged[key] = truth, score[known]
        own = {key: pair for key, pair in judged.items() if key != "score"}
        return own or judged

    def suspects(self) -> list[dict[str, str]]:
        """Rows whose given label the model finds least likely, of those where it predicts another."""
        doubtful = [
            row
            for row in self.rows
            if row.get("given_label_confidence") and row.get("predicted_label") not in ("", row["given_label"])
        ]
        return sorted(doubtful, key=lambda row: float(row["given_label_confidence"]))[:SUSPECTS]


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

    criterion: what they are compared by, in words. tested: whether that is made of test images.
    """

    title: str
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
        with _naming(path.parent):
            dataset, alg, ratios, name = path.parent.parts[-4:]
            key = config.get("arguments", {}).get("best_by", "")
            oracle = " (oracle)" if key and CRITERIA[key].oracle else ""
            maximise = CRITERIA[key].maximise if key else True
            place = dataset, ratios, alg
            trials = History(path).trials
            found.append(Sweep(name, place, f"{key or 'criterion'}{oracle}", maximise, trials))
    for home in sorted({path.parents[1] for path in folder.rglob("trials/*/result.json")}):
        if not list(home.parent.glob("preset*/trials.jsonl")):
            dataset, alg, ratios, name = home.parts[-4:]
            runs = [
                Run(path.parent, dataset, alg, ratios, 0, path.parent.name, read_json(path))
                for path in sorted(home.glob("*/result.json"))
            ]
            found += compared(name, runs)
    return found


def compared(title: str, runs: list[Run]) -> list[Sweep]:
    """Finished runs of one method on the same data as a sweep, if their hyper-parameters differ.

    They are compared by the criterion of the first, at the last epoch.
    """
    done = [run for run in runs if run.result is not None and not run.oracle]
    if len(done) < 2:
        return []
    trials = []
    for number, run in enumerate(done):
        with _naming(run.folder):
            result = run.result or {}
            best_by = (done[0].result or {})["best_by"]
            arguments = read_json(run.folder / "config.json")["arguments"]
            values = {
                name: value
                for name, value in arguments.items()
                if name not in ("seed", "best_by") and not isinstance(value, dict | list)
            }
            value = result["end"].get(CRITERIA[best_by].key)
            details = {"test_accuracy": result["end"]["test_accuracy"]}
            status = "failed" if value is None else "finished"
            trials.append(Trial(number, values, status, curve=[] if value is None else [value], details=details))
    sweep = Sweep(title, (done[0].dataset, done[0].ratios, done[0].alg), best_by, CRITERIA[best_by].maximise, trials)
    return [sweep] if sweep.names else []


@dataclass(frozen=True)
class Picture:
    """A figure in the report: where it is, in words, and its size in CSS pixels."""

    file: str
    words: str
    width: int
    height: int


class Report:
    """Writes the pages and figures of a report into an empty folder."""

    def __init__(self, log: Path, title: str, folder: Path) -> None:
        self.log, self.folder = log, folder
        (folder / "figures").mkdir()
        loader = jinja2.FileSystemLoader(Path(__file__).parent)
        environment = jinja2.Environment(
            loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
        )
        made = datetime.now().strftime("%Y-%m-%d %H:%M")
        environment.globals |= {"log": title, "made": made, "metrics": list(METRICS)}
        self.template = environment.get_template("report.html")

    def page(self, file: str, kind: str, **values: Any) -> None:
        html = getattr(self.template.module, kind)(**values)
        (self.folder / file).write_text(str(html), encoding="utf-8")

    def figure(self, draw: Callable[..., None], file: str, words: str, *arguments: Any, **more: Any) -> Picture:
        path = self.folder / "figures" / f"{file}.svg"
        draw(path, *arguments, **more)
        with open(path, encoding="utf-8") as svg:
            size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg.read(2000))
        assert size is not None
        width, height = (round(float(points) * 4 / 3) for points in size.groups())
        return Picture(f"figures/{path.name}", words, width, height)

    def write(self) -> int:
        """Writes everything and returns how many runs there are.

        Raises:
            RunError: there is nothing to report, or a file is damaged.
        """
        runs = find_runs(self.log)
        for run in runs:
            with _naming(run.folder):
                _ = run.oracle, run.result and run.result["end"]
        found = searches(self.log)
        shown = [run for run in runs if not run.oracle]
        if not runs and not found:
            raise RunError(f"there are no runs below {self.log}. Train one with --log_dir {self.log}.")
        for (dataset, ratios, alg), members in grouped(shown, lambda run: (run.dataset, run.ratios, run.alg)).items():
            found += compared("runs", members) if any(run.name for run in members) else []
        sweeps = [self.sweep(sweep) for sweep in found]
        places = grouped(shown, lambda run: (run.dataset, run.ratios))
        places |= {sweep["place"]: [] for sweep in sweeps if sweep["place"] not in places}
        tables = [
            self.table(*place, places[place], [sweep for sweep in sweeps if sweep["place"] == place])
            for place in sorted(places)
        ]
        counts = {
            "finished": len(finished(shown)),
            "unfinished": len(shown) - len(finished(shown)),
            "trials": sum(len(sweep.trials) for sweep in found if sweep.title != "runs"),
        }
        oracles = [str(run.folder.relative_to(self.log)) for run in runs if run.oracle]
        self.page("index.html", "index", tables=tables, counts=counts, oracles=oracles)
        return len(runs)

    def table(self, dataset: str, ratios: str, runs: list[Run], sweeps: list[dict[str, Any]]) -> dict[str, Any]:
        """One table of the index, and the pages of its methods."""
        methods = list(grouped(runs, lambda run: (run.alg != "vanilla", run.alg, run.name)).values())
        columns = [
            marked([estimate(result[when][key] for result in finished(members)) for members in methods])
            for when in ("end", "best")
            for key in METRICS.values()
        ]
        cells = list(zip(*columns, strict=True))
        rows = []
        for members, accuracies in zip(methods, cells, strict=True):
            with _naming(members[0].folder):
                rows.append(self.method(members, accuracies))
        overview = [
            (row["method"], *(cell and cell.mean for cell in row["cells"][:3])) for row in rows if row["cells"][0]
        ]
        name = _file_name(dataset, ratios)
        return {
            "name": name,
            "dataset": dataset,
            "ratios": _spelled(ratios),
            "data": next((result["data"] for result in finished(runs)), None),
            "rows": rows,
            "sweeps": sweeps,
            "figure": self.figure(
                figures.overview, name, "Aligned, unbiased and conflicting accuracy of every method", overview
            )
            if overview
            else None,
        }

    def method(self, runs: list[Run], cells: tuple[Estimate | None, ...]) -> dict[str, Any]:
        """A row of a table, and the page it leads to."""
        first, results = runs[0], finished(runs)
        name = _file_name(first.dataset, first.ratios, first.alg, first.name)
        done = [run for run in runs if run.result is not None]
        row = {
            "method": first.method,
            "page": f"{name}.html",
            "n": len(done),
            "unfinished": len(runs) - len(done),
            "cells": cells,
            "seconds": estimate((sum(stage["seconds"] for stage in result["stages"]) for result in results), scale=1),
        }
        curves = [_lines(run.folder / "metrics.jsonl") for run in done or runs]
        configs = [
            read_json(run.folder / "config.json") if (run.folder / "config.json").exists() else {} for run in runs
        ]
        samples = [Samples.read(run.folder) for run in runs]
        environment: dict[str, Counter[str]] = {}
        for config in configs:
            for key, value in config.get("environment", {}).items():
                if key != "command":
                    environment.setdefault(key, Counter())[str(value)] += 1
        self.page(
            row["page"],
            "method",
            row=row,
            dataset=first.dataset,
            ratios=_spelled(first.ratios),
            best_by=sorted({result["best_by"] for result in results}),
            curves=self.curves(name, curves),
            selections=_selections(results),
            roc=self.roc(name, samples),
            stages=[stage for result in results[:1] for stage in result["stages"]],
            presets=[preset for result in results[:1] for preset in result["presets"]],
            environment=environment,
            runs=[
                self.run(f"{name}-{number}", run, config, sample)
                for number, (run, config, sample) in enumerate(zip(runs, configs, samples, strict=True))
            ],
        )
        return row

    def curves(self, name: str, runs: list[list[dict[str, Any]]]) -> list[Picture]:
        """The learning curves of every stage."""
        pictures = []
        stages = sorted({(record["stage"], record["method"]) for records in runs for record in records})
        for stage, method in stages:
            mine = [[record for record in records if record["stage"] == stage] for records in runs]
            length = max(record["epoch"] for records in mine for record in records)
            values = {key: np.full((len(mine), length), np.nan) for key in SHOWN_CURVES}
            for seed, records in enumerate(mine):
                for record in records:
                    for key in SHOWN_CURVES:
                        if record.get(key) is not None:
                            values[key][seed, record["epoch"] - 1] = record[key]
            title = f"stage {stage}: {method}" if len(stages) > 1 else method
            words = f"Accuracy by group over the epochs of {title}"
            pictures.append(
                self.figure(figures.learning_curves, f"{name}-curves-{stage}", words, title, values)
            )
        return pictures

    def roc(self, name: str, samples: list[Samples | None]) -> list[Picture]:
        pictures = []
        for target, (title, _, _) in TO_FIND.items():
            judged = [sample.judged(target) for sample in samples if sample is not None]
            by_score = {key: [run[key] for run in judged if key in run] for key in figures.SCORES}
            by_score = {key: seeds for key, seeds in by_score.items() if seeds}
            if by_score:
                words = f"{title}: ROC curves of {', '.join(figures.SCORES[key][0] for key in by_score)}"
                pictures.append(self.figure(figures.roc, f"{name}-roc-{target}", words, title, by_score))
        return pictures

    def run(self, name: str, run: Run, config: dict[str, Any], samples: Samples | None) -> dict[str, Any]:
        """What a method's page shows of one run."""
        pictures = []
        for path in sorted((run.folder / "figures").glob("*.png")):
            if path.stem == "learning_curves":
                continue  # drawn anew, over all seeds
            copy = self.folder / "figures" / f"{_file_name(name, path.stem)}.png"
            try:
                with Image.open(path) as image:
                    width, height = image.size
            except OSError as error:
                raise RunError(f"cannot read {path}: {error}. Remove the file.") from error
            shutil.copyfile(path, copy)
            pictures.append(Picture(f"figures/{copy.name}", path.stem.replace("_", " "), width, height))
        typed, exact = command(config) if config.get("arguments") else ("", False)
        last = _lines(run.folder / "metrics.jsonl")[-1:]
        return {
            "seed": run.seed,
            "result": run.result,
            "last": last[0] if last else None,
            "command": typed,
            "exact": exact,
            "pictures": pictures,
            "samples": samples,
            "suspects": samples.suspects() if samples else [],
        }

    def sweep(self, sweep: Sweep) -> dict[str, Any]:
        """The page of a sweep, and what a table says of it."""
        dataset, ratios, alg = sweep.place
        name = _file_name(*sweep.place, sweep.title, "sweep")
        trials = sweep.finished
        with _naming(self.log / dataset / alg / ratios / sweep.title):
            pictures = []
            if trials and sweep.title != "runs":
                words = f"{sweep.criterion} over the trials"
                pictures.append(self.figure(
                    figures.progress, f"{name}-progress", words, trials, sweep.criterion, sweep.maximise
                ))  # fmt: skip
            for number, hparam in enumerate(sweep.names if trials else []):
                words = f"{sweep.criterion} over the values of {hparam}"
                file = f"{name}-{number}"
                pictures.append(self.figure(figures.sweep, file, words, hparam, trials, sweep.criterion))
            about = {
                "title": sweep.title,
                "place": (dataset, ratios),
                "dataset": dataset,
                "ratios": _spelled(ratios),
                "alg": alg,
                "criterion": sweep.criterion,
                "names": sweep.names,
                "page": f"{name}.html",
                "count": len(sweep.trials),
                "statuses": Counter(trial.status for trial in sweep.trials),
            }
            ranked = sorted(trials, key=lambda trial: (trial.objective or 0.0) * (-1 if sweep.maximise else 1))
            others = [trial for trial in sweep.trials if trial.objective is None]
            self.page(about["page"], "sweep", **about, pictures=pictures, trials=ranked + others)
        return about


def _spelled(ratios: str) -> str:
    nratio, _, bratio = ratios.partition("_")
    return f"nratio {nratio}, bratio {bratio}"


def _selections(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For every selector, its groups with the mean over seeds of their share of the images and of the draws."""
    selections = []
    for position, stage in enumerate(results[0]["stages"] if results else []):
        if "mass" not in stage:
            continue
        groups = []
        for group in GROUPS:
            share, mass = (
                estimate(result["stages"][position][kind].get(group) for result in results) for kind in ("share", "mass")
            )
            factor = mass.mean / share.mean if share and mass and share.mean > 0 else None
            groups.append({"group": group, "share": share, "mass": mass, "factor": factor})
        selections.append({"method": stage["method"], "groups": groups})
    return selections


def build(log: Path, target: Path, overwrite: bool) -> int:
    """Writes the report on `log` into `target`, which is replaced at once when all is written; `log` is only read.

    Raises:
        UsageError: `log` is no folder, or `target` may not be replaced.
        RunError: there are no runs, or a file is damaged.
    """
    if not log.is_dir():
        raise UsageError(f"there is no log folder {log}.")
    title = str(log)
    log, target = log.resolve(), target.resolve()
    if target.is_relative_to(log):
        raise UsageError(f"-o {target} is inside the log folder, which is only read. Choose a place beside it.")
    if any(place.is_relative_to(target) for place in (log, Path.cwd())):
        raise UsageError(f"-o {target} holds the log folder or this one. Choose a folder for the report alone.")
    ours = target.is_dir() and ((target / MARKER).exists() or not any(target.iterdir()))
    if target.exists() and not (ours or overwrite):
        raise UsageError(f"-o {target} is there and not a report. Choose another place, or --overwrite deletes it.")
    making, leaving = (target.with_name(f".{target.name}.{os.getpid()}.{kind}") for kind in ("new", "old"))
    try:
        making.mkdir(parents=True)
        write_text(making / MARKER, "python -m utils.report may replace this folder.\n")
        count = Report(log, title, making).write()
        if target.exists():
            target.rename(leaving)
        making.rename(target)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    if leaving.is_dir():
        shutil.rmtree(leaving)
    else:
        leaving.unlink(missing_ok=True)
    return count


def main(argv: list[str]) -> None:
    flags = Parser(prog="python -m utils.report", description=(__doc__ or "").splitlines()[0])
    flags.add_argument("log", type=Path, help="a log folder")
    flags.add_argument("-o", "--output", type=Path, default=Path("report"), metavar="FOLDER", help="where it goes")
    flags.add_argument("--overwrite", action="store_true", help="also replace a folder that is not a report")
    arguments = flags.parse_all(argv)
    count = build(arguments.log, arguments.output, arguments.overwrite)
    print(f"{count} runs: {arguments.output / 'index.html'}")


if __name__ == "__main__":
    argv = sys.argv[1:]
    sys.exit(run_script(lambda: main(argv), "-m utils.report", argv, place="-o", kept="the report is as it was"))
