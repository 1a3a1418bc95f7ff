"""Accuracy over what the draws are worth: the figure of docs/beyond_deneb.md.

python -m benchmarks.effective docs/results/beyond docs/effective.png
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from utils.cli import Parser, run_script
from utils.errors import UsageError
from utils.files import replacing
from utils.results.runs import Run, find_runs

PROGRAM = "-m benchmarks.effective"
GROUP = "conflicting-clean"


def points(runs: list[Run]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """For every data set and method that draws: effective number of clean conflicting images, and accuracy in %."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for run in runs:
        stage = run.result["stages"][0] if run.result else {}
        if run.result and stage.get("effective", {}).get(GROUP) and "_la" not in run.alg:
            point = stage["effective"][GROUP], 100 * run.result["end"]["test_accuracy"]
            found.setdefault(f"{run.dataset}, {run.ratios}", {}).setdefault(run.method, []).append(point)
    return found


def draw(found: dict[str, dict[str, list[tuple[float, float]]]], path: Path) -> None:
    """A panel for every data set, a colour for every method, a dot for every run."""
    figure = Figure(figsize=(6 * len(found), 4), layout="constrained")
    colors = {name: f"C{k}" for k, name in enumerate(sorted({name for by in found.values() for name in by}))}
    for axis, (title, methods) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        for name, places in sorted(methods.items()):
            axis.plot(*zip(*places, strict=True), "o", label=name, color=colors[name], alpha=0.7)
        axis.set(title=title, xscale="log", xlabel="clean conflicting images that the draws are worth")
        axis.set_ylabel("unbiased test accuracy (%)")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def main(argv: list[str]) -> int:
    def body() -> None:
        parser = Parser(prog=f"python {PROGRAM}", description=(__doc__ or "").splitlines()[0])
        parser.add_argument("folder", type=Path, help="where runs are")
        parser.add_argument("figure", type=Path, metavar="PNG", help="file to draw, in place of one that is there")
        arguments = parser.parse_all(argv)
        found = points(find_runs(arguments.folder).runs)
        if not found:
            raise UsageError(f"there are no finished runs that draw and know their groups below {arguments.folder}.")
        draw(found, arguments.figure)

    return run_script(body, PROGRAM, argv, kept="nothing is written")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
