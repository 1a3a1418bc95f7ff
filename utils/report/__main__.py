"""A report of all runs below a log folder: web pages that open from the disk, without a server or a network.

python -m utils.report log/ -o report/
"""

if __name__ == "__main__":  # before the imports that take seconds
    from utils.startup import begin

    begin()

import hashlib
import json
import os
import re
import shutil
import statistics
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from utils.audit.samples import Samples
from utils.cli import Parser, any_path, run_script
from utils.errors import RunError, UsageError
from utils.files import read_json, write_text
from utils.report import figures
from utils.report.sources import (
    TO_FIND,
    Sweep,
    command,
    compared,
    judged,
    naming,
    read_lines,
    samples_of,
    searches,
    selections,
    suspects,
)
from utils.results.collector import (
    Cell,
    Estimate,
    Run,
    by_method,
    estimate,
    find_runs,
    finished,
    grouped,
    mixed,
    with_best,
    written,
)

MARKER = ".made-by-utils.report"
"""The file that tells a report, which may be replaced, from a folder that may not."""

SHOWN = ("unbiased", "aligned", "conflicting", "worst_group")
MOMENTS = [(when, name) for when in ("end", "best") for name in SHOWN]
SHOWN_CURVES = ("test_aligned", "test_conflicting", "test_accuracy", "valid_accuracy")


def _file_name(*parts: str) -> str:
    """A name for a file or an address that tells `parts` and can be any system's; no two are the same."""
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(filter(None, parts))).strip("-.")[:80]
    return f"{readable}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:6]}"


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
        environment.globals |= {"log": title, "made": made, "metrics": [name.replace("_", " ") for name in SHOWN]}
        self.template = environment.get_template("page.html")

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
            with naming(run.folder):
                _ = run.oracle, [estimate([run], when, name) for when, name in MOMENTS]
        found = searches(self.log)
        shown = [run for run in runs if not run.oracle]
        if not runs and not found:
            raise RunError(f"there are no runs below {self.log}. Train one with --log_dir {self.log}.")
        for members in grouped(shown, lambda run: (run.dataset, run.ratios, run.alg)).values():
            found += compared("runs", "run", members)
        sweeps = [self.sweep(sweep) for sweep in found]
        places = grouped(shown, lambda run: (run.dataset, run.ratios))
        places |= {sweep["place"]: [] for sweep in sweeps if sweep["place"] not in places}
        tables = [
            self.table(place[0], place[1], places[place], [sweep for sweep in sweeps if sweep["place"] == place])
            for place in sorted(places)
        ]
        counts = {
            "finished": len(finished(shown)),
            "unfinished": len(shown) - len(finished(shown)),
            "trials": sum(len(sweep.trials) for sweep in found if sweep.noun == "trial"),
        }
        oracles = [str(run.folder.relative_to(self.log)) for run in runs if run.oracle]
        self.page("index.html", "index", tables=tables, counts=counts, oracles=oracles)
        return len(runs)

    def table(self, dataset: str, ratios: str, runs: list[Run], sweeps: list[dict[str, Any]]) -> dict[str, Any]:
        """One table of the index, and the pages of its methods."""
        methods = by_method(runs, [])
        cells = with_best([[estimate(mine, when, name) for when, name in MOMENTS] for mine in methods.values()])
        compared_means = [
            {cell.mean for cell in column if isinstance(cell, Estimate) and len(cell.values) == cell.of}
            for column in zip(*cells, strict=True)
        ]
        rows = []
        for members, accuracies in zip(methods.values(), cells, strict=True):
            with naming(members[0].folder.parent):
                rows.append(self.method(members, accuracies))
        overview = [
            (row["method"], *(cell.mean if isinstance(cell, Estimate) else None for cell in row["cells"][:3]))
            for row in rows
            if row["n"]
        ]
        name = _file_name(dataset, ratios)
        return {
            "name": name,
            "dataset": dataset,
            "ratios": written(ratios),
            "data": next((result["data"] for result in finished(runs)), None),
            "rows": rows,
            "telling": [len(means) > 1 for means in compared_means],
            "notes": mixed(methods),
            "sweeps": sweeps,
            "figure": self.figure(
                figures.overview, name, "Aligned, unbiased and conflicting accuracy of every method", overview
            )
            if overview
            else None,
        }

    def method(self, runs: list[Run], cells: list[Cell]) -> dict[str, Any]:
        """A row of a table, and the page it leads to."""
        first, results = runs[0], finished(runs)
        name = _file_name(first.dataset, first.ratios, first.alg, first.name)
        page = f"{name}.html"
        done = [run for run in runs if run.result is not None]
        row = {
            "method": first.method,
            "page": page,
            "n": len(done),
            "unfinished": len(runs) - len(done),
            "cells": cells,
            "seconds": statistics.mean(sum(stage["seconds"] for stage in result["stages"]) for result in results)
            if results
            else None,
        }
        curves = [read_lines(run.folder / "metrics.jsonl") for run in done or runs]
        configs = [
            read_json(run.folder / "config.json") if (run.folder / "config.json").exists() else {} for run in runs
        ]
        samples = [samples_of(run.folder) for run in runs]
        environment: dict[str, Counter[str]] = {}
        for config in configs:
            for key, value in config.get("environment", {}).items():
                if key != "command":
                    environment.setdefault(key, Counter())[str(value)] += 1
        self.page(
            page,
            "method",
            row=row,
            dataset=first.dataset,
            ratios=written(first.ratios),
            best_by=sorted({result["best_by"] for result in results}),
            curves=self.curves(name, curves),
            selections=selections(results),
            roc=self.roc(name, samples),
            settings=grouped(done, lambda run: json.dumps(run.settings())).values(),
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
            pictures.append(self.figure(figures.learning_curves, f"{name}-curves-{stage}", words, title, values))
        return pictures

    def roc(self, name: str, samples: list[Samples | None]) -> list[Picture]:
        pictures = []
        for target, (title, _, _) in TO_FIND.items():
            found = [judged(sample, target) for sample in samples if sample is not None]
            by_score = {key: [run[key] for run in found if key in run] for key in figures.SCORES}
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
        last = read_lines(run.folder / "metrics.jsonl")[-1:]
        return {
            "seed": run.seed,
            "result": run.result,
            "last": last[0] if last else None,
            "command": typed,
            "exact": exact,
            "pictures": pictures,
            "suspects": suspects(samples),
        }

    def sweep(self, sweep: Sweep) -> dict[str, Any]:
        """The page of a sweep, and what a table says of it."""
        dataset, ratios, alg = sweep.place
        name = _file_name(*sweep.place, sweep.title, "sweep")
        page = f"{name}.html"
        trials = sweep.finished
        with naming(Path(dataset) / alg / ratios / sweep.title):
            pictures = []
            if trials and sweep.ordered:
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
                "noun": sweep.noun,
                "place": (dataset, ratios),
                "dataset": dataset,
                "ratios": written(ratios),
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
        with naming(log):
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


def main(argv: list[str]) -> int:
    def body() -> None:
        parser = Parser(prog="python -m utils.report", description=(__doc__ or "").splitlines()[0])
        parser.add_argument("log", type=any_path, metavar="LOG_FOLDER", help="where runs are; it is only read")
        parser.add_argument("-o", "--output", type=any_path, default=Path("report"), metavar="FOLDER",
                            help="where the report goes; an earlier report there is replaced")  # fmt: skip
        parser.add_argument("--overwrite", action="store_true", help="delete the folder also if it is no report")
        arguments = parser.parse_all(argv)
        count = build(arguments.log, arguments.output, arguments.overwrite)
        print(f"{count} runs: {arguments.output / 'index.html'}")

    return run_script(body, "-m utils.report", argv, kept="what was there is as it was")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
