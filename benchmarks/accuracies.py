"""Unbiased accuracy of methods at several ratios: the figure of docs/photographs.md.

python -m benchmarks.accuracies docs/results/photographs docs/photographs.png vanilla gce jtt_vanilla deneb_gce
"""

import statistics
import sys
from pathlib import Path

from matplotlib.figure import Figure

from utils.cli import Parser, run_script
from utils.errors import UsageError
from utils.files import replacing
from utils.results.grouping import by_data
from utils.results.runs import Run, find_runs

PROGRAM = "-m benchmarks.accuracies"

Columns = dict[str, dict[str, list[float]]]
"""Accuracies in %, one for each seed, by method, by the ratios of the data."""


def accuracies(runs: list[Run], methods: list[str]) -> dict[str, Columns]:
    """The last epoch's, by data set."""
    found: dict[str, Columns] = {}
    for data in by_data(run for run in runs if run.method in methods and run.result):
        column = found.setdefault(data.dataset, {}).setdefault(data.columns, {})
        for run in data.runs:
            assert run.result is not None
            column.setdefault(run.method, []).append(100 * run.result["end"]["test_accuracy"])
    return found


def draw(found: dict[str, Columns], methods: list[str], path: Path) -> None:
    """A panel for every data set, a row for every method, and a dot for every ratio with the seeds' deviation."""
    figure = Figure(figsize=(1 + 3.4 * len(found), 1.2 + 0.32 * len(methods)), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
    for axis, (title, columns) in zip(panels, found.items(), strict=True):
        for number, (name, column) in enumerate(columns.items()):
            rows = [row for row, method in enumerate(methods) if method in column]
            values = [column[methods[row]] for row in rows]
            means = [statistics.mean(some) for some in values]
            spread = [statistics.stdev(some) if len(some) > 1 else 0 for some in values]
            places = [row + 0.2 * (number - (len(columns) - 1) / 2) for row in rows]
            axis.errorbar(means, places, xerr=spread, fmt="o", markersize=4, label=name)
        axis.set(title=title, xlabel="unbiased test accuracy (%)")
        axis.set_yticks(range(len(methods)), methods)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    panels[0].invert_yaxis()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def main(argv: list[str]) -> int:
    def body() -> None:
        parser = Parser(prog=f"python {PROGRAM}", description=(__doc__ or "").splitlines()[0])
        parser.add_argument("folder", type=Path, help="where runs are")
        parser.add_argument("figure", type=Path, metavar="PNG", help="file to draw, in place of one that is there")
        parser.add_argument("methods", nargs="+", metavar="METHOD", help="rows, from the top")
        arguments = parser.parse_all(argv)
        found = accuracies(find_runs(arguments.folder).runs, arguments.methods)
        if not found:
            raise UsageError(f"there are no finished runs of {', '.join(arguments.methods)} below {arguments.folder}.")
        draw(found, arguments.methods, arguments.figure)

    return run_script(body, PROGRAM, argv, kept="nothing is written")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
