"""Collects the runs below a folder into tables: mean and standard deviation over seeds, the best in bold.

python -m utils.results log/                                    # a table for every data set and its ratios
python -m utils.results log/ --show ratios --metric conflicting # methods by ratios, as papers print them
python -m utils.results log/ --show differences --against vanilla --format latex
python -m utils.results --fill docs/results.md                  # makes the tables anew that stand in a page

A run that was chosen on test data (an oracle) is left out and named.
"""

import csv
import io
import itertools
import re
import shlex
import statistics
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scipy import stats

from utils.cli import Parser
from utils.errors import RunError, UsageError
from utils.files import read_json, write_text
from utils.results.tables import ACCURACIES, chosen_on_test_data

METRICS = {title.replace(" ", "_"): key for key, title in ACCURACIES.items()}
SHOWN = ("unbiased", "aligned", "conflicting")
MARKER = re.compile(r"(<!-- python -m utils\.results (.*?) -->\n).*?(<!-- end -->)", re.DOTALL)


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
        return self.result is not None and chosen_on_test_data(self.result)

    def settings(self) -> list[dict[str, Any]]:
        """The method, hyper-parameters and settings of its stages."""
        stages = self.result["stages"] if self.result else []
        return [{key: stage[key] for key in ("method", "hparams", "settings")} for stage in stages]


def find_runs(folder: Path) -> list[Run]:
    """Every run below `folder` that was started, trials of a search and the training of selectors left out.

    Raises:
        RunError: a result cannot be read.
    """
    runs = []
    for place in sorted(
        {path.parent for kind in ("config", "result") for path in folder.resolve().rglob(f"{kind}.json")}
    ):
        if not re.fullmatch(r"\d+(_.+)?", place.name) or place.parent.name == "trials":
            continue
        result = read_json(place / "result.json") if (place / "result.json").exists() else None
        dataset, alg, ratios, seed = place.parts[-4:]
        number, _, name = seed.partition("_")
        runs.append(Run(place, dataset, alg, ratios, int(number), name, result))
    return runs


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
    title: str
    head: list[str]
    rows: list[list[Cell]]
    notes: list[str]


def counted(n: int, of: int, unfinished: int = 0) -> str:
    return (f"{n} of {of}" if n < of else f"{n}") + (f", {unfinished} unfinished" if unfinished else "")


def finished(runs: Iterable[Run]) -> list[dict[str, Any]]:
    return [run.result for run in runs if run.result is not None]


def estimate(runs: Iterable[Run], when: str, metric: str) -> Cell:
    """Of the finished runs; "missing" if there is none, "n/a" if the data have no such group."""
    results = finished(runs)
    values = [result[when][METRICS[metric]] for result in results]
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


def grouped(runs: Iterable[Run], key: Callable[[Run], Any]) -> dict[Any, list[Run]]:
    ordered = sorted(runs, key=key)
    return {value: list(members) for value, members in itertools.groupby(ordered, key)}


def by_method(runs: list[Run], wanted: list[str]) -> dict[str, list[Run]]:
    """In the order wanted, with what is missing; else plain training first and then by name."""
    found = grouped(runs, lambda run: (run.alg != "vanilla", run.alg, run.name))
    named = {members[0].method: members for members in found.values()}
    return {method: named.get(method, []) for method in wanted} if wanted else named


def written(ratios: str) -> str:
    nratio, bratio = ratios.split("_")
    return f"nratio {nratio}, bratio {bratio}"


def shared_settings(runs: list[Run]) -> str:
    """What the final stages have in common, for a title."""
    finals = [run.settings()[-1]["settings"] for run in runs if run.result is not None]
    common = [
        f"{name} {finals[0][name]}"
        for name in ("model", "opt", "lr", "batch_size", "epochs")
        if finals and name in finals[0] and all(final.get(name) == finals[0][name] for final in finals)
    ]
    return f"; {', '.join(common)}" if common else ""


def mixed(methods: dict[str, list[Run]]) -> list[str]:
    """Names the settings in which a method's seeds differ; one that a run's code did not have is "not recorded"."""
    notes = []
    for method, runs in methods.items():
        seeds = [
            {
                f"{stage['method']}.{name}": value
                for stage in run.settings()
                for name, value in (stage["hparams"] | stage["settings"]).items()
            }
            for run in runs
            if run.result is not None
        ]
        for name in dict.fromkeys(itertools.chain.from_iterable(seeds)):
            values = dict.fromkeys(str(seed.get(name, "not recorded")) for seed in seeds)
            if len(values) > 1:
                notes.append(f"{method}: seeds differ in {name} ({', '.join(values)})")
    return notes


def methods_tables(runs: list[Run], asked: Namespace) -> list[Table]:
    """One table for every data set and its ratios: all there is to say about each method."""
    moments = [asked.when] if asked.when else ["end", "best"]
    head = ["method", "n", *(f"{name}, {moment}" for moment in moments for name in SHOWN), "seconds", "MB"]
    tables = []
    for (dataset, ratios), members in grouped(runs, lambda run: (run.dataset, run.ratios)).items():
        methods = by_method(members, asked.methods)
        most = max(len(finished(mine)) for mine in methods.values())
        rows: list[list[Cell]] = []
        for method, mine in methods.items():
            results = finished(mine)
            seconds = [sum(stage["seconds"] for stage in result["stages"]) for result in results]
            rows.append(
                [
                    method,
                    counted(len(results), most, len(mine) - len(results)),
                    *(estimate(mine, moment, name) for moment in moments for name in SHOWN),
                    f"{statistics.mean(seconds):.0f}" if results else "",
                    f"{max(result['peak_memory_bytes'] for result in results) / 1e6:.0f}" if results else "",
                ]
            )
        title = f"{dataset}, {written(ratios)}{shared_settings(members)}"
        tables.append(Table(title, head, with_best(rows), mixed(methods)))
    return tables


def ratios_tables(runs: list[Run], asked: Namespace) -> list[Table]:
    """One table for every data set: methods by ratios, one metric."""
    when = asked.when or "end"
    tables = []
    for dataset, members in grouped(runs, lambda run: run.dataset).items():
        methods = by_method(members, asked.methods)
        ratios = sorted({run.ratios for run in members})
        rows: list[list[Cell]] = [
            [
                method,
                *(estimate([run for run in mine if run.ratios == ratio], when, asked.metric) for ratio in ratios),
            ]
            for method, mine in methods.items()
        ]
        title = f"{dataset}, {asked.metric}, {when} (number of seeds){shared_settings(members)}"
        tables.append(Table(title, ["method", *map(written, ratios)], with_best(rows, show_n=True), []))
    return tables


def differences_tables(runs: list[Run], asked: Namespace) -> list[Table]:
    """What each method gains over another on the same seeds: mean and 95 % confidence interval (Student's t)."""
    against, when, key = asked.against, asked.when or "end", METRICS[asked.metric]
    tables = []
    for (dataset, ratios), members in grouped(runs, lambda run: (run.dataset, run.ratios)).items():
        accuracies = {
            method: {
                run.seed: 100 * run.result[when][key]
                for run in rows
                if run.result is not None and run.result[when][key] is not None
            }
            for method, rows in by_method(members, [*asked.methods, against] if asked.methods else []).items()
        }
        if not accuracies.get(against):
            raise UsageError(f"there is no finished run of {against} on {dataset}, {written(ratios)}, to compare with.")
        rows: list[list[Cell]] = []
        for method, mine in accuracies.items():
            gains = [mine[seed] - accuracies[against][seed] for seed in sorted({*mine} & {*accuracies[against]})]
            if method != against:
                mean = f"{statistics.mean(gains):+.1f}" if gains else "missing"
                rows.append([method, str(len(gains)), mean, interval(gains)])
        title = f"{dataset}, {written(ratios)}: {asked.metric}, {when}, points above {against} on the same seeds"
        tables.append(Table(title, ["method", "pairs", "difference", "95 % interval"], rows, []))
    return tables


def interval(values: list[float]) -> str:
    if len(values) < 2:
        return "n/a"
    mean, error = statistics.mean(values), stats.sem(values)
    low, high = stats.t.interval(0.95, len(values) - 1, mean, error) if error > 0 else (mean, mean)
    return f"{low:+.1f} to {high:+.1f}"


SHOW = {"methods": methods_tables, "ratios": ratios_tables, "differences": differences_tables}


def markdown(table: Table) -> str:
    def shown(cell: Cell) -> str:
        text = cell.text("±") if isinstance(cell, Estimate) else cell.replace("|", "\\|")
        return f"**{text}**" if isinstance(cell, Estimate) and cell.best else text

    lines = [table.head, ["---"] * len(table.head), *(list(map(shown, row)) for row in table.rows)]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([table.title, body, *table.notes])


def latex(table: Table) -> str:
    """A `tabular` with the rules of the package booktabs."""

    def plain(text: str) -> str:
        return re.sub(r"([#$%&_{}])", r"\\\1", text)

    def shown(cell: Cell) -> str:
        text = cell.text(r"$\pm$") if isinstance(cell, Estimate) else plain(cell)
        return rf"\textbf{{{text}}}" if isinstance(cell, Estimate) and cell.best else text

    rows = [" & ".join(map(shown, row)) + r" \\" for row in table.rows]
    return "\n".join(
        [
            *(f"% {line}" for line in (table.title, *table.notes)),
            rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
            r"\toprule",
            " & ".join(map(plain, table.head)) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def comma_separated(table: Table) -> str:
    """Every estimate as three columns: mean, standard deviation, number of seeds."""
    wide = [any(isinstance(row[i], Estimate) for row in table.rows) for i in range(len(table.head))]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = (
        [title, f"{title}, sd", f"{title}, n"] if w else [title] for title, w in zip(table.head, wide, strict=True)
    )
    writer.writerow(["table", *itertools.chain.from_iterable(heads)])
    for row in table.rows:
        cells: list[str] = [table.title]
        for cell, w in zip(row, wide, strict=True):
            if isinstance(cell, Estimate):
                spread = "" if cell.deviation is None else f"{cell.deviation:.6g}"
                cells += [f"{cell.mean:.6g}", spread, str(len(cell.values))]
            else:
                cells += [cell, "", "0"] if w else [cell]
        writer.writerow(cells)
    return out.getvalue().rstrip("\n")


FORMATS = {"md": markdown, "latex": latex, "csv": comma_separated}


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def parser() -> Parser:
    flags = Parser(prog="python -m utils.results", description=(__doc__ or "").splitlines()[0])
    flags.add_argument("folder", type=Path, nargs="?", help="a log folder, or any folder within one")
    flags.add_argument("--fill", type=Path, metavar="PAGE", help="make the tables anew that this page has markers for")
    flags.add_argument("--show", choices=tuple(SHOW), default="methods", help="which tables")
    flags.add_argument("--format", choices=tuple(FORMATS), default="md", help="how they are written")
    flags.add_argument("--metric", choices=tuple(METRICS), default="unbiased", help="of ratios and differences")
    flags.add_argument(
        "--when", choices=("end", "best"), help="the last epoch or the best; by default both, or else the end"
    )
    flags.add_argument("--against", default="vanilla", metavar="METHOD", help="what differences are taken from")
    flags.add_argument("--dataset", help="only this data set")
    flags.add_argument("--ratios", metavar="NRATIO_BRATIO", help="only these, such as 0.1_0.01")
    flags.add_argument("--methods", type=names, default=[], metavar="A,B,...", help="only these, in this order")
    return flags


def tables_text(argv: list[str]) -> str:
    """The tables that one command line asks for.

    Raises:
        RunError: there are no runs, or a result cannot be read.
    """
    arguments = parser().parse_all(argv)
    if arguments.folder is None or not arguments.folder.is_dir():
        raise UsageError("the first argument must be a folder with runs, such as log/.")
    runs = [
        run
        for run in find_runs(arguments.folder)
        if arguments.dataset in (None, run.dataset) and arguments.ratios in (None, run.ratios)
    ]
    oracles = [run for run in runs if run.oracle]
    runs = [run for run in runs if not run.oracle]
    if not runs and not oracles:
        raise RunError(f"no runs below {arguments.folder}" + (" on these data." if arguments.dataset else "."))
    tables = SHOW[arguments.show](runs, arguments)
    for run in oracles:
        print(f"left out, chosen on test data (oracle): {run.folder}", file=sys.stderr)
    return "\n\n".join(map(FORMATS[arguments.format], tables))


def filled(page: str) -> str:
    """The page with the tables between its markers made anew.

    `<!-- python -m utils.results ARGUMENTS -->` begins one and `<!-- end -->` ends it.
    """
    return MARKER.sub(lambda found: f"{found[1]}\n{tables_text(shlex.split(found[2]))}\n\n{found[3]}", page)


def main(argv: list[str]) -> None:
    arguments = parser().parse_all(argv)
    if arguments.fill is None:
        print(tables_text(argv))
    else:
        write_text(arguments.fill, filled(arguments.fill.read_text(encoding="utf-8")))
