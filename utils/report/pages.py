"""The pages and figures of a report, written into an empty folder."""

import hashlib
import json
import re
import shutil
import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from utils.audit.samples import Samples
from utils.errors import MachineError, RunError, machine_error
from utils.escape import printable
from utils.report import figures
from utils.report.sources import (
    TO_FIND,
    Sweep,
    by_class,
    command,
    in_one_table,
    judged,
    naming,
    samples_of,
    searches,
    selections,
    settings_of,
    suspects,
)
from utils.results.collector import nothing_found
from utils.results.comparisons import Cell, Estimate, estimate, notes_on, results, settings_title, with_best
from utils.results.grouping import DataGroup, Row, by_data, one_per_seed, rows_of, unfinished
from utils.results.runs import Run, find_runs
from utils.run_files import read_metrics

SHOWN = ("unbiased", "aligned", "conflicting", "worst_group")
MOMENTS = [(when, name) for when in ("end", "best") for name in SHOWN]
SHOWN_CURVES = ("test_aligned", "test_conflicting", "test_accuracy", "valid_accuracy")


def _file_name(*parts: str) -> str:
    """A name for a file or an address that tells `parts` and can be any system's; no two are the same."""
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(filter(None, parts))).strip("-.")[:80]
    return f"{readable}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:6]}"


def _shown(value: Any) -> Any:
    """A value as pages show it: text that is no HTML of ours with escapes for what cannot be seen."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


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
        self.complaints: list[str] = []
        (folder / "figures").mkdir()
        loader = jinja2.FileSystemLoader(Path(__file__).parent)
        environment = jinja2.Environment(
            loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
            finalize=_shown,
        )  # fmt: skip
        made = datetime.now().strftime("%Y-%m-%d %H:%M")
        environment.globals |= {"log": title, "made": made, "metrics": [name.replace("_", " ") for name in SHOWN]}
        self.template = environment.get_template("page.html")

    def page(self, file: str, kind: str, **values: Any) -> None:
        html = getattr(self.template.module, kind)(**values)
        (self.folder / file).write_text(str(html), encoding="utf-8")

    def figure(self, draw: Callable[..., None], file: str, words: str, *arguments: Any, **more: Any) -> list[Picture]:
        """The picture that `draw` makes; none, with a complaint, if it cannot be made."""
        path = self.folder / "figures" / f"{file}.svg"
        try:
            draw(path, *arguments, **more)
        except Exception as error:
            if machine_error(error):
                raise
            self.complaints.append(f"cannot draw {words}: {error}".splitlines()[0])
            return []
        with open(path, encoding="utf-8") as svg:
            size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg.read(2000))
        assert size is not None
        width, height = (round(float(points) * 4 / 3) for points in size.groups())
        return [Picture(f"figures/{path.name}", words, width, height)]

    def write(self) -> int:
        """Writes everything and returns how many runs there are.

        Raises:
            RunError: there is nothing to report.
        """
        found = find_runs(self.log)
        self.complaints += found.damaged
        runs, sweeps = found.runs, searches(self.log, self.complaints)
        if not runs and not sweeps:
            raise nothing_found(found, f"below {self.log}")
        shown = [run for run in runs if not run.oracle]
        groups = by_data(shown)
        sweeps += [sweep for data in groups for sweep in in_one_table(data)]
        places = {(sweep.place[0], sweep.place[1], sweep.remark) for sweep in sweeps}
        known = {(data.dataset, data.ratios, data.remark) for data in groups}
        groups += [DataGroup(*place, []) for place in places - known]
        groups.sort(key=lambda data: (data.dataset, data.ratios, data.remark))
        pages = [self.sweep(sweep) for sweep in sweeps]
        tables = [
            self.table(
                data, [page for page in pages if (page["dataset"], page["ratios"]) == (data.dataset, data.columns)]
            )
            for data in groups
        ]
        counts = {
            "finished": sum(run.result is not None for run in shown),
            "unfinished": unfinished(shown),
            "trials": sum(len(sweep.trials) for sweep in sweeps if sweep.noun == "trial"),
        }
        oracles = [str(run.folder.relative_to(self.log)) for run in runs if run.oracle]
        complaints = list(dict.fromkeys(self.complaints))
        self.page("index.html", "index", tables=tables, counts=counts, oracles=oracles, complaints=complaints)
        return len(runs)

    def table(self, data: DataGroup, sweeps: list[dict[str, Any]]) -> dict[str, Any]:
        """One table of the index, and the pages of its methods."""
        rows = rows_of(data.runs)
        cells = with_best([[estimate(row.runs, when, name) for when, name in MOMENTS] for row in rows])
        compared_means = [
            {cell.mean for cell in column if isinstance(cell, Estimate) and len(cell.values) == cell.of}
            for column in zip(*cells, strict=True)
        ]
        shown = [self.method(data, row, accuracies) for row, accuracies in zip(rows, cells, strict=True)]
        overview = [
            (row["method"], *(cell.mean if isinstance(cell, Estimate) else None for cell in row["cells"][:3]))
            for row in shown
            if row["n"]
        ]
        name = _file_name(data.dataset, data.ratios, data.remark)
        words = "Aligned, unbiased and conflicting accuracy of every method"
        return {
            "name": name,
            "dataset": data.dataset,
            "ratios": data.columns,
            "settings": settings_title(rows).removeprefix("; "),
            "data": next((run.data for run in data.runs if run.data), None),
            "rows": shown,
            "telling": [len(means) > 1 for means in compared_means],
            "notes": notes_on(rows),
            "sweeps": sweeps,
            "figures": self.figure(figures.overview, name, words, overview) if overview else [],
        }

    def method(self, data: DataGroup, row: Row, cells: list[Cell]) -> dict[str, Any]:
        """A row of a table, and the page it leads to."""
        name = _file_name(data.dataset, data.ratios, data.remark, row.label)
        page = f"{name}.html"
        done, ended = one_per_seed(row.runs), results(row.runs)
        about = {
            "method": row.label,
            "page": page,
            "n": len(done),
            "unfinished": unfinished(row.runs),
            "cells": cells,
            "seconds": statistics.mean(sum(stage["seconds"] for stage in result["stages"]) for result in ended)
            if ended
            else None,
        }
        runs = [*done, *(run for run in row.runs if run.result is None)]
        curves = {run.folder: self.readable([], run.folder, read_metrics, run.folder / "metrics.jsonl") for run in runs}
        samples = [self.readable(None, run.folder, samples_of, run.folder) for run in runs]
        environment: dict[str, Counter[str]] = {}
        for run in runs:
            for key, value in run.noted.get("environment", {}).items():
                if key != "command":
                    environment.setdefault(key, Counter())[str(value)] += 1
        self.page(
            page,
            "method",
            row=about,
            dataset=data.dataset,
            ratios=data.columns,
            best_by=sorted({result["best_by"] for result in ended}),
            curves=self.curves(name, [curves[run.folder] for run in done or runs]),
            selections=self.readable([], runs[0].folder, selections, ended),
            classes=self.readable(None, runs[0].folder, by_class, ended),
            roc=self.roc(name, samples),
            settings=settings_of(done),
            environment=environment,
            runs=[
                self.run(f"{name}-{number}", run, curves[run.folder][-1:], sample)
                for number, (run, sample) in enumerate(zip(runs, samples, strict=True))
            ],
        )
        return about

    def readable(self, otherwise: Any, place: Path, read: Callable[..., Any], *source: Any) -> Any:
        """Reads a source; if it is damaged, notes a complaint about `place` and returns something else."""
        try:
            with naming(place):
                return read(*source)
        except MachineError:
            raise
        except RunError as error:
            self.complaints.append(str(error))
            return otherwise

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
            pictures += self.figure(figures.learning_curves, f"{name}-curves-{stage}", words, title, values)
        return pictures

    def roc(self, name: str, samples: list[Samples | None]) -> list[Picture]:
        pictures = []
        for target, (title, _, _) in TO_FIND.items():
            found = [judged(sample, target) for sample in samples if sample is not None]
            by_score = {key: [run[key] for run in found if key in run] for key in figures.SCORES}
            by_score = {key: seeds for key, seeds in by_score.items() if seeds}
            if by_score:
                words = f"{title}: ROC curves of {', '.join(figures.SCORES[key][0] for key in by_score)}"
                pictures += self.figure(figures.roc, f"{name}-roc-{target}", words, title, by_score)
        return pictures

    def run(self, name: str, run: Run, last: list[dict[str, Any]], samples: Samples | None) -> dict[str, Any]:
        """The part of a method's page on one run; `last` is its last epoch, if there is one."""
        pictures: list[Picture] = []
        for path in sorted((run.folder / "figures").glob("*.png")):
            if path.stem != "learning_curves":  # drawn anew, over all seeds
                copy = self.folder / "figures" / f"{_file_name(name, path.stem)}.png"
                pictures += self.readable([], path, _copied, path, copy)
        typed, exact = command(run.noted) if run.arguments else ("", False)
        return {
            "seed": run.seed,
            "result": run.result,
            "last": last[0] if last else None,
            "command": typed,
            "exact": exact,
            "pictures": pictures,
            "suspects": self.readable([], run.folder, suspects, samples),
        }

    def sweep(self, sweep: Sweep) -> dict[str, Any]:
        """The page of a sweep, and what a table says of it."""
        dataset, ratios, alg = sweep.place
        name = _file_name(*sweep.place, sweep.title, sweep.remark, "sweep")
        page = f"{name}.html"
        columns = DataGroup(dataset, ratios, sweep.remark, []).columns
        trials = sweep.finished
        pictures: list[Picture] = []
        if trials and sweep.ordered:
            words = f"{sweep.criterion} over the trials"
            pictures += self.figure(
                figures.progress, f"{name}-progress", words, trials, sweep.criterion, sweep.maximise
            )  # fmt: skip
        for number, hparam in enumerate(sweep.names if trials else []):
            words = f"{sweep.criterion} over the values of {hparam}"
            pictures += self.figure(figures.sweep, f"{name}-{number}", words, hparam, trials, sweep.criterion)
        about = {
            "title": sweep.title,
            "noun": sweep.noun,
            "place": (dataset, columns),
            "dataset": dataset,
            "ratios": columns,
            "alg": alg,
            "criterion": sweep.criterion,
            "names": sweep.names,
            "page": page,
            "count": len(sweep.trials),
            "statuses": Counter(trial.status for trial in sweep.trials),
        }
        ranked = sorted(trials, key=lambda trial: (trial.objective or 0.0) * (-1 if sweep.maximise else 1))
        others = [trial for trial in sweep.trials if trial.objective is None]
        self.page(page, "sweep", **about, pictures=pictures, trials=ranked + others)
        return about


def _copied(path: Path, copy: Path) -> list[Picture]:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            width, height = image.size
    except OSError as error:
        raise RunError(f"cannot read {path}: {error}. Remove the file.") from error
    shutil.copyfile(path, copy)
    return [Picture(f"figures/{copy.name}", path.stem.replace("_", " "), width, height)]
