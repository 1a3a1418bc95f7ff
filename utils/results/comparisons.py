"""Tables over many runs: methods, methods by ratios, and differences between methods on the same seeds."""

import statistics
from argparse import Namespace
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from scipy import stats

from utils.errors import UsageError
from utils.results.grouping import (
    JUDGED_BY,
    DataGroup,
    Row,
    by_data,
    doubles,
    one_per_seed,
    rows_of,
    unalike_seeds,
    unfinished,
    usual_values,
)
from utils.results.runs import Run
from utils.results.tables import ACCURACIES

METRICS = {title.replace(" ", "_"): key for key, title in ACCURACIES.items()}
METRICS["debiased_valid"] = "debiased_valid_accuracy"
"""Keys of a result's accuracies by the names of `--metric`; the last is for those who have no true labels."""

SHOWN = ("unbiased", "aligned", "conflicting")
TITLE = ("model", "opt", "lr", "batch_size", "epochs")
"""Settings of the final stage that a title tells."""


@dataclass(frozen=True)
class Estimate:
    """Values over seeds, in percent.

    of: how many seeds the fullest row of the table has. best: whether no mean over as many seeds is higher.
    """

    values: tuple[float, ...]
    of: int = 0
    best: bool = False
    show_n: bool = False

    @property
    def mean(self) -> float:
        return statistics.mean(self.values)

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation; None of a single value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def text(self, plus_minus: str) -> str:
        spread = "" if self.deviation is None else f" {plus_minus} {self.deviation:.1f}"
        return f"{self.mean:.1f}{spread}" + (f" ({counted(len(self.values), self.of)})" if self.show_n else "")


Cell = str | Estimate


@dataclass(frozen=True)
class Table:
    """`title`, `head`, `notes` and the first cell of each row hold names that users chose; other cells do not."""

    title: str
    head: list[str]
    rows: list[list[Cell]]
    notes: list[str]


def counted(n: int, of: int, unfinished: int = 0) -> str:
    return (f"{n} of {of}" if n < of else f"{n}") + (f", {unfinished} unfinished" if unfinished else "")


def results(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """The results of the finished runs, of each seed once."""
    return [run.result for run in one_per_seed(runs) if run.result is not None]


def estimate(runs: Iterable[Run], when: str, metric: str) -> Cell:
    """Of the finished runs, each seed once; "missing" if there is none, "n/a" if the data have no such group."""
    values = [run.value(when, METRICS[metric]) for run in one_per_seed(runs)]
    known = tuple(100 * value for value in values if value is not None)
    return Estimate(known) if known else "n/a" if values else "missing"


def with_best(rows: list[list[Cell]], show_n: bool = False) -> list[list[Cell]]:
    """The rows with the best mean of each column marked, among those over the most seeds: fewer compare poorly."""
    columns = []
    for column in zip(*rows, strict=True):
        estimates = [cell for cell in column if isinstance(cell, Estimate)]
        of = max((len(cell.values) for cell in estimates), default=0)
        top = max((cell.mean for cell in estimates if len(cell.values) == of), default=0)
        columns.append(
            [
                replace(cell, of=of, best=len(cell.values) == of and cell.mean == top and len(rows) > 1, show_n=show_n)
                if isinstance(cell, Estimate)
                else cell
                for cell in column
            ]
        )
    return [list(row) for row in zip(*columns, strict=True)]


def settings_title(rows: Iterable[Row]) -> str:
    """The settings of the final stages, for a title; where they differ all values, that of most rows first."""
    finals = [row.final for row in rows if row.final]
    usual = usual_values(rows)
    words = []
    for name in TITLE:
        values = dict.fromkeys(final[name] for final in finals if name in final)
        ordered = sorted(values, key=lambda value: value != usual["final", "setting", name])
        if ordered:
            words.append(f"{name} {' / '.join(ordered)}")
    return f"; {', '.join(words)}" if words else ""


def notes_on(rows: list[Row]) -> list[str]:
    """Lines that readers need: doubles of seeds that do not count, and settings that not all seeds noted."""
    return [*(line for row in rows for line in doubles(row.label, row.runs)), *unalike_seeds(rows)]


def methods_tables(runs: list[Run], asked: Namespace) -> list[Table]:
    """One table for each data set with its ratios: all there is to say about each method."""
    moments = [asked.when] if asked.when else ["end", "best"]
    head = ["method", "n", *(f"{name}, {moment}" for moment in moments for name in SHOWN), "seconds", "MB"]
    tables = []
    for data in by_data(runs):
        rows = rows_of(data.runs, asked.methods)
        most = max(len(results(row.runs)) for row in rows)
        cells: list[list[Cell]] = []
        for row in rows:
            mine = results(row.runs)
            memory = [peak for result in mine if (peak := result["peak_memory_bytes"]) is not None]
            seconds = [sum(stage["seconds"] for stage in result["stages"]) for result in mine]
            cells.append(
                [
                    row.label,
                    counted(len(mine), most, unfinished(row.runs)),
                    *(estimate(row.runs, moment, name) for moment in moments for name in SHOWN),
                    f"{statistics.mean(seconds):.0f}" if mine else "",
                    f"{max(memory) / 1e6:.0f}" if memory else "",
                ]
            )
        tables.append(Table(f"{data.title}{settings_title(rows)}", head, with_best(cells), notes_on(rows)))
    return tables


def by_dataset(runs: Iterable[Run]) -> dict[str, list[DataGroup]]:
    """The groups of runs on the same data, which are columns of a table, by data set."""
    columns: dict[str, list[DataGroup]] = {}
    for data in by_data(runs):
        columns.setdefault(data.dataset, []).append(data)
    return columns


def ratios_tables(runs: list[Run], asked: Namespace) -> list[Table]:
    """One table for each data set: methods by ratios, one metric."""
    when = asked.when or "end"
    tables = []
    for dataset, columns in by_dataset(runs).items():
        rows = rows_of([run for data in columns for run in data.runs], asked.methods)
        cells: list[list[Cell]] = []
        notes = unalike_seeds(rows)
        for row in rows:
            parts = [data.among(row.runs) for data in columns]
            cells.append([row.label, *(estimate(part, when, asked.metric) for part in parts)])
            notes += [line for part in parts for line in doubles(row.label, part)]
        title = f"{dataset}, {asked.metric}, {when} (number of seeds){settings_title(rows)}"
        head = ["method", *(data.columns for data in columns)]
        tables.append(Table(title, head, with_best(cells, show_n=True), notes))
    return tables


def gains_tables(runs: list[Run], asked: Namespace) -> list[Table]:
    """One table for each data set: what runs with a run name gain over their method's without one, by ratios.

    That is what tuning is worth, or a setting: points on the same seeds, with the 95 % interval.

    Raises:
        UsageError: there is nothing to compare, or a method without a run name has several settings.
    """
    when, key = asked.when or "end", METRICS[asked.metric]
    ignoring = JUDGED_BY if when == "end" else ()
    tables = []
    for dataset, columns in by_dataset(runs).items():
        everything = [run for data in columns for run in data.runs]
        named = [row for row in rows_of(everything, asked.methods, ignoring) if row.runs and row.runs[0].name]
        plain = _without_run_name(everything, {row.runs[0].alg for row in named}, dataset, ignoring)
        named = [row for row in named if row.runs[0].alg in plain]
        columns = [data for data in columns if any(data.among(row.runs) for row in named)]
        cells: list[list[Cell]] = []
        notes = unalike_seeds(named)
        for row in named:
            cells.append([row.label])
            for data in columns:
                both = (row, plain[row.runs[0].alg])
                mine, base = (replace(each, runs=data.among(each.runs)) for each in both)
                cells[-1].append(_gain(mine, base, when, key))
                notes += [line for each in (mine, base) for line in doubles(each.label, each.runs)]
        if named:
            title = f"{dataset}, {asked.metric}, {when}: points above the same method without the run name (pairs)"
            head = ["method", *(data.columns for data in columns)]
            tables.append(Table(title, head, cells, list(dict.fromkeys(notes))))
    if not tables:
        raise UsageError("--show gains: no method has runs with a run name and finished ones without.")
    return tables


def _without_run_name(runs: Iterable[Run], algs: set[str], dataset: str, ignoring: Collection[str]) -> dict[str, Row]:
    """The row of each method's finished runs without a run name, by method; see `rows_of`.

    Raises:
        UsageError: a method has several settings.
    """
    plain: dict[str, Row] = {}
    for row in rows_of([run for run in runs if not run.name and run.result is not None], ignoring=ignoring):
        other = plain.setdefault(row.method, row)
        if other is not row and row.method in algs:
            raise UsageError(
                f"--show gains: over {other.label} or {row.label} on {dataset}? Only one may have no run name: move "
                "the other one out of the folder, or leave it out by --ratios or --dataset."
            )
    return plain


def _gain(row: Row, base: Row, when: str, key: str) -> str:
    """The mean of the differences, its interval and how many there are; or why there are none."""
    gains = differences(row, base, when, key)
    spread = f", {interval(gains)}" if len(gains) > 1 else ""
    return f"{statistics.mean(gains):+.1f}{spread} ({len(gains)})" if gains else _absent(row, base)


def _absent(row: Row, base: Row) -> str:
    """The word for no difference: "n/a" where seeds of both are there but not the metric, else "missing"."""
    seeds = ({run.seed for run in one_per_seed(each.runs)} for each in (row, base))
    return "n/a" if set.intersection(*seeds) else "missing"


def differences_tables(runs: list[Run], asked: Namespace) -> list[Table]:
    """The gain of each method over another on the same seeds: mean and 95 % confidence interval (Student's t).

    A row is compared with one whose network and schedule are its own.
    """
    against, when, key = asked.against, asked.when or "end", METRICS[asked.metric]
    head = ["method", "pairs", "difference", "95 % interval"]
    tables, lacking = [], []
    for data in by_data(runs):
        known = [row for row in rows_of(data.runs, [against]) if row.final]
        if not known:
            lacking.append(f"there is no finished run of {against} on {data.title}, to compare with.")
            tables.append(Table(f"{data.title}: {asked.metric}, {when}", head, [], lacking[-1:]))
            continue
        rows = rows_of(data.runs, asked.methods)
        cells: list[list[Cell]] = []
        notes = notes_on([*known, *(row for row in rows if row.label not in {base.label for base in known})])
        for row in rows:
            if row.label in {base.label for base in known}:
                continue
            bases = [base for base in known if base.final == row.final]
            if row.final and not bases:
                notes.append(f"{row.label}: no run of {against} has its network and schedule")
            for base in bases or known[:1]:
                gains = differences(row, base, when, key) if bases else []
                label = row.label if len(bases) < 2 else f"{row.label} above {base.label}"
                absent = _absent(row, base) if bases else "missing"
                mean = f"{statistics.mean(gains):+.1f}" if gains else absent
                cells.append([label, str(len(gains)), mean, interval(gains)])
        names = " or ".join(base.label for base in known)
        title = f"{data.title}: {asked.metric}, {when}, points above {names} on the same seeds"
        tables.append(Table(title, head, cells, notes))
    if len(lacking) == len(tables):
        raise UsageError(lacking[0])
    return tables


def differences(row: Row, base: Row, when: str, key: str) -> list[float]:
    """`row` minus `base` in points, for every seed that both have a value of."""
    mine, theirs = ({run.seed: run.value(when, key) for run in one_per_seed(each.runs)} for each in (row, base))
    pairs = [(ours, theirs.get(seed)) for seed, ours in mine.items()]
    return [100 * (ours - other) for ours, other in pairs if ours is not None and other is not None]


def interval(values: list[float]) -> str:
    if len(values) < 2:
        return "n/a"
    low, high = bounds(values)
    return f"{low:+.1f} to {high:+.1f}"


def bounds(values: list[float]) -> tuple[float, float]:
    """The 95 % confidence interval (Student's t) of the mean of two values or more."""
    mean, error = statistics.mean(values), stats.sem(values)
    return stats.t.interval(0.95, len(values) - 1, mean, error) if error > 0 else (mean, mean)
