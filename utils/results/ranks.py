"""Ranks of methods over many cells: Friedman's test and Nemenyi's critical difference.

After Demsar, *Statistical comparisons of classifiers over multiple data sets*, JMLR 2006, section 3.2.2.
"""

import math
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from utils.errors import UsageError
from utils.results.comparisons import METRICS, Table
from utils.results.grouping import by_data, one_per_seed, rows_of, short_names
from utils.results.runs import Run

LEVEL = 0.05
"""Significance level of the critical difference."""


@dataclass(frozen=True)
class Ranking:
    """Methods on the cells that all of them have: data with their ratios, and a network.

    values: means over the seeds that all methods have in a cell, in percent, float64 [cells, methods]. left_out: lines
    on the other cells.
    """

    methods: list[str]
    values: np.ndarray
    left_out: list[str]

    @property
    def mean_ranks(self) -> np.ndarray:
        """1 is the best; equals share the mean of their ranks. float64 [methods]."""
        return self.ranks.mean(0)

    @property
    def ranks(self) -> np.ndarray:
        return stats.rankdata(-self.values, axis=1)

    def friedman(self) -> tuple[float, float]:
        """Friedman's chi-squared, with its correction for ties, and its p; NaN for fewer than three methods."""
        if len(self.methods) < 3 or len(self.values) < 2 or (np.ptp(self.values, axis=1) == 0).all():
            return math.nan, math.nan
        chi_squared, p = stats.friedmanchisquare(*self.values.T)
        return float(chi_squared), float(p)

    @property
    def critical_difference(self) -> float:
        """Nemenyi's: mean ranks that are at least so far apart differ at `LEVEL`."""
        cells, k = self.values.shape
        quantile = stats.studentized_range.ppf(1 - LEVEL, k, math.inf) / math.sqrt(2)
        return float(quantile * math.sqrt(k * (k + 1) / (6 * cells)))


def ranking(runs: Iterable[Run], asked: Namespace) -> Ranking:
    """The ranking of the methods asked for, or of all, by a metric of the finished runs.

    Raises:
        UsageError: there are no two methods, or no cell that has them all.
    """
    when, key = asked.when or "end", METRICS[asked.metric]
    cells: dict[str, dict[str, dict[int, float]]] = {}
    for data in by_data(run for run in runs if run.result is not None):
        for model in sorted({run.network for run in data.runs}):
            rows = rows_of([run for run in data.runs if run.network == model], asked.methods)
            cells[f"{data.title}, {model}"] = {
                name: {
                    run.seed: 100 * value
                    for run in one_per_seed(row.runs)
                    if (value := run.value(when, key)) is not None
                }
                for name, row in zip(short_names(rows, asked.methods), rows, strict=True)
            }
    methods = list(dict.fromkeys(label for cell in cells.values() for label in cell))
    values: list[list[float]] = []
    lacks: dict[str, list[str]] = {}
    for name, cell in cells.items():
        seeds = set.intersection(*(set(cell.get(label, ())) for label in methods))
        if seeds:
            values.append([float(np.mean([cell[label][seed] for seed in sorted(seeds)])) for label in methods])
        else:
            lacking = [label for label in methods if not cell.get(label)]
            reason = f"no run of {', '.join(lacking)}" if lacking else "no seed that all methods have"
            lacks.setdefault(reason, []).append(name)
    left_out = [f"left out, {reason}: {'; '.join(names)}" for reason, names in lacks.items()]
    if len(methods) < 2 or not values:
        more = f": {left_out[0]}" if left_out else ""
        raise UsageError(f"--show ranks needs two methods or more, and data that all have run on{more}. Use --methods.")
    return Ranking(methods, np.array(values), left_out)


def ranks_tables(runs: list[Run], asked: Namespace) -> list[Table]:
    """One table: the methods by mean rank, in how many cells each is the first, and its mean over cells."""
    found = ranking(runs, asked)
    ranks, means = found.mean_ranks, found.values.mean(0)
    firsts = (found.ranks == found.ranks.min(1, keepdims=True)).sum(0)
    title = f"{asked.metric}, {asked.when or 'end'}: {len(found.methods)} methods on {len(found.values)} cells"
    head = ["method", "mean rank", "first in", "mean over cells"]
    order = np.lexsort((means * -1, ranks))
    chi_squared, p = found.friedman()
    notes = [] if math.isnan(p) else [f"Friedman's test: chi-squared {chi_squared:.1f}, p {p:.2g}"]
    notes.append(f"critical difference of mean ranks (Nemenyi, {LEVEL}): {found.critical_difference:.2f}")
    return [
        Table(
            title,
            head,
            [[found.methods[i], f"{ranks[i]:.2f}", str(firsts[i]), f"{means[i]:.1f}"] for i in order],
            notes + found.left_out,
        )
    ]


def draw_ranks(path: Path, runs: list[Run], asked: Namespace) -> None:
    """Draws the mean ranks, with bars that overlap where two differ by less than the critical difference."""
    from utils.results import plots

    found = ranking(runs, asked)
    title = f"{asked.metric}, {asked.when or 'end'}, {len(found.values)} cells"
    plots.critical_differences(path, found.methods, found.mean_ranks, found.critical_difference, title)
