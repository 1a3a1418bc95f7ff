"""One method over all ratios of bias and noise: a table of both, and heat maps of several on one colour scale."""

from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from utils.results.comparisons import Cell, Estimate, Table, estimate, settings_title
from utils.results.grouping import DataGroup, Row, by_data, doubles, rows_of, short_names, unalike_seeds
from utils.results.runs import Run


@dataclass(frozen=True)
class Grid:
    """A method's results: `cells` has a list for each of the `bratios`, with a cell for each of the `nratios`.

    name: the row's label, or less where that tells it from the data set's other rows.
    """

    dataset: str
    name: str
    row: Row
    bratios: list[str]
    nratios: list[str]
    cells: list[list[Cell]]
    notes: list[str]


def grids(runs: list[Run], asked: Namespace) -> list[Grid]:
    """A grid for each data set and row, of one metric."""
    kinds: dict[str, list[DataGroup]] = {}
    for data in by_data(runs):
        kinds.setdefault(f"{data.dataset}, {data.remark}" if data.remark else data.dataset, []).append(data)
    found = []
    for name, groups in kinds.items():
        pairs = [data.ratios.split("_") for data in groups]
        nratios, bratios = (
            sorted({pair[i] for pair in pairs}, key=lambda ratio: (ratio == "given", ratio)) for i in (0, 1)
        )
        rows = rows_of([run for data in groups for run in data.runs], asked.methods)
        for title, row in zip(short_names(rows, asked.methods), rows, strict=True):
            parts = {data.ratios: data.among(row.runs) for data in groups}
            cells = [
                [estimate(parts.get(f"{n}_{b}", []), asked.when or "end", asked.metric) for n in nratios]
                for b in bratios
            ]
            notes = [*unalike_seeds([row]), *(line for part in parts.values() for line in doubles(row.label, part))]
            found.append(Grid(name, title, row, bratios, nratios, cells, notes))
    return found


def grid_tables(runs: list[Run], asked: Namespace) -> list[Table]:
    """One table for each data set and method: bias by noise."""
    tables = []
    for grid in grids(runs, asked):
        of = max((len(cell.values) for line in grid.cells for cell in line if isinstance(cell, Estimate)), default=0)
        rows: list[list[Cell]] = [
            [bratio, *(replace(cell, of=of, show_n=True) if isinstance(cell, Estimate) else cell for cell in line)]
            for bratio, line in zip(grid.bratios, grid.cells, strict=True)
        ]
        what = f"{asked.metric}, {asked.when or 'end'} (number of seeds)"
        title = f"{grid.dataset}, {grid.row.label}, {what}{settings_title([grid.row])}"
        head = ["bratio", *(f"nratio {nratio}" for nratio in grid.nratios)]
        tables.append(Table(title, head, rows, grid.notes))
    return tables


def draw_grids(path: Path, runs: list[Run], asked: Namespace) -> None:
    """Draws a heat map of each grid's means, all on one colour scale."""
    from utils.results import plots

    found = grids(runs, asked)
    several = len({grid.dataset for grid in found}) > 1
    panels = [
        (
            f"{grid.dataset}, {grid.name}" if several else grid.name,
            np.array([[c.mean if isinstance(c, Estimate) else np.nan for c in line] for line in grid.cells]),
            grid.bratios,
            grid.nratios,
        )
        for grid in found
    ]
    plots.heat_maps(path, panels, f"{asked.metric} accuracy in %, {asked.when or 'end'}")


def winners_tables(runs: list[Run], asked: Namespace) -> list[Table]:
    """One table for each data set, bias by noise: the best method of each cell, and what the next one lacks to it.

    Of a cell's methods those count that have the most seeds there.
    """
    datasets: dict[str, list[Grid]] = {}
    for grid in grids(runs, asked):
        datasets.setdefault(grid.dataset, []).append(grid)
    tables = []
    for dataset, found in datasets.items():
        rows: list[list[Cell]] = [
            [bratio, *(_winner(found, i, j) for j in range(len(found[0].nratios)))]
            for i, bratio in enumerate(found[0].bratios)
        ]
        head = ["bratio", *(f"nratio {nratio}" for nratio in found[0].nratios)]
        notes = list(dict.fromkeys(line for grid in found for line in grid.notes))
        title = f"{dataset}, {asked.metric}, {asked.when or 'end'}: the best of {len(found)} methods (number of seeds)"
        tables.append(Table(title, head, rows, notes))
    return tables


def _winner(found: list[Grid], i: int, j: int) -> str:
    estimates = [(grid, cell) for grid in found if isinstance(cell := grid.cells[i][j], Estimate)]
    if not estimates:
        return "missing"
    most = max(len(cell.values) for _, cell in estimates)
    ordered = sorted((pair for pair in estimates if len(pair[1].values) == most), key=lambda pair: -pair[1].mean)
    (first, best), *others = ordered
    text = f"{first.name} {replace(best, of=most, show_n=True).text('±')}"
    return text + "".join(f", {best.mean - cell.mean:.1f} above {grid.name}" for grid, cell in others[:1])
