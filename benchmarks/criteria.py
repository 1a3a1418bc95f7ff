"""Comparison of criteria: rank correlation with unbiased test accuracy, and what the choice loses.

bash scripts/compare_criteria.sh                         # searches, then this
python -m benchmarks.criteria docs/selection.jsonl       # the tables of docs/selection.md again

Test accuracy serves to judge the criteria here; no criterion but the oracle looks at it.
"""

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from algorithms.training.criteria import CRITERIA, best_epoch
from benchmarks.rows import read_rows, write_rows
from utils.cli import Parser, run_script
from utils.errors import UsageError
from utils.files import read_json, replacing

PROGRAM = "-m benchmarks.criteria"
Row = dict[str, Any]
Outcome = dict[str, tuple[float, float]]
FEWEST = 8
"""So many configurations make a group whose ranking is looked at."""

LEAK_FREE = {name: criterion for name, criterion in CRITERIA.items() if not criterion.oracle and name != "clean_valid"}
KEYS = [criterion.key for criterion in LEAK_FREE.values()] + ["test_accuracy"]


def rows_of_runs(folder: Path) -> list[Row]:
    """One row for each finished run below `folder`: where it belongs, its settings, evaluated epochs and the last."""
    rows = []
    for path in sorted(folder.rglob("result.json")):
        result = read_json(path)
        if "end" in result:
            arguments = read_json(path.with_name("config.json"))["arguments"]
            setting = {key: arguments[key] for key in ("dataset", "bratio", "nratio")}
            hparams = {stage["method"]: stage["hparams"] for stage in result["stages"]}
            lines = map(json.loads, path.with_name("metrics.jsonl").read_text(encoding="utf-8").splitlines())
            final = [line for line in lines if line["stage"] == len(result["stages"]) and KEYS[0] in line]
            model = result["stages"][-1]["settings"]["model"]
            about = {**setting, "model": model, "alg": result["alg"], "seed": result["seed"], "hparams": hparams}
            epochs = [{key: line[key] for key in KEYS if key in line} for line in final]
            rows.append({**about, **result["end"], "epochs": epochs})
    return rows


def judged(rows: list[Row]) -> Outcome:
    """For each criterion that `rows` have: Spearman's rho with test accuracy, and the test accuracy lost by its choice.

    Where several configurations share the best value, the loss is the mean of theirs.
    """
    test = np.array([row["test_accuracy"] for row in rows])
    outcome = {}
    for name in shared(rows):
        criterion = LEAK_FREE[name]
        value = np.array([row[criterion.key] for row in rows], dtype=float) * (1 if criterion.maximise else -1)
        rho = float(spearmanr(value, test).statistic) if np.ptp(value) else 0.0
        outcome[name] = rho, float(test.max() - test[value == value.max()].mean())
    return outcome


def shared(keyed: Iterable[Container[str]]) -> list[str]:
    """The criteria that all rows, epochs or outcomes have: some are older than a criterion."""
    keyed = list(keyed)
    return [name for name in LEAK_FREE if all(name in entry for entry in keyed)]


def report(rows: list[Row]) -> str:
    """A Markdown table per data set, network, ratios and method: a row for each criterion, a value for each seed."""
    groups: dict[tuple, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row["dataset"], row["model"], row["bratio"], row["nratio"], row["alg"]][row["seed"]].append(row)
    lines = []
    overall: list[Outcome] = []
    for (dataset, model, bratio, nratio, alg), seeds in sorted(groups.items()):
        members = [rows for _, rows in sorted(seeds.items()) if len(rows) >= FEWEST]
        if not members:
            continue
        outcomes = [judged(rows) for rows in members]
        overall += outcomes
        sizes = "/".join(str(len(rows)) for rows in members)
        best = " / ".join(f"{100 * max(row['test_accuracy'] for row in rows):.1f}" for rows in members)
        title = f"`{alg}` ({model}) on {dataset}, bratio {bratio}, nratio {nratio}"
        lines += [f"\n{title}; {sizes} configurations, best {best} %\n"]
        lines += ["| criterion | rho | points lost |", "|---|---|---|"]
        for name in shared(outcomes):
            rho = " / ".join(f"{outcome[name][0]:.2f}" for outcome in outcomes)
            lines.append(f"| {name} | {rho} | {' / '.join(f'{100 * outcome[name][1]:.1f}' for outcome in outcomes)} |")
    lines += overall_table("All", overall)
    complete = [outcome for outcome in overall if len(outcome) == len(LEAK_FREE)]
    if 0 < len(complete) < len(overall):
        lines += overall_table("With every criterion:", complete)
    runs = [row["epochs"] for row in rows if row.get("epochs")]
    judged_by_all = [epochs for epochs in runs if len(shared(epochs)) == len(LEAK_FREE)]
    for some in (runs, judged_by_all) if len(judged_by_all) < len(runs) else (runs,):
        lines += epochs_table(some) if some else []
    return "\n".join(lines)


def overall_table(which: str, outcomes: list[Outcome]) -> list[str]:
    """A row for each criterion that all groups have."""
    lines = [f"\n{which} {len(outcomes)} groups together\n"]
    lines += ["| criterion | mean rho | lowest rho | mean points lost | most lost |", "|---|---|---|---|---|"]
    for name in shared(outcomes):
        rhos, losses = zip(*(outcome[name] for outcome in outcomes), strict=True)
        lines.append(
            f"| {name} | {statistics.mean(rhos):.2f} | {min(rhos):.2f} | {100 * statistics.mean(losses):.1f} "
            f"| {100 * max(losses):.1f} |"
        )
    return lines


def epochs_table(runs: list[list[Row]]) -> list[str]:
    """Gain in test accuracy of choosing the best epoch by each criterion over taking the last one."""
    lines = [f"\nBest epoch of {len(runs)} runs, against their last one\n"]
    lines += ["| criterion | mean gain in points | largest loss |", "|---|---|---|"]
    compared = {name: LEAK_FREE[name] for name in shared(epochs[-1] for epochs in runs)}
    for name, criterion in [*compared.items(), ("test_accuracy (oracle)", CRITERIA["test_accuracy"])]:
        gains = []
        for epochs in runs:
            chosen = best_epoch([epoch[criterion.key] for epoch in epochs], criterion.maximise)
            gains.append(100 * (epochs[chosen]["test_accuracy"] - epochs[-1]["test_accuracy"]))
        lines.append(f"| {name} | {statistics.mean(gains):+.2f} | {min(gains):.1f} |")
    return lines


def draw(rows: list[Row], path: Path) -> None:
    """Test accuracy over each criterion, a panel for each; colours are data sets and methods."""
    figure = Figure(figsize=(4 * len(LEAK_FREE) / 2, 7.8), layout="constrained")
    for axis, (name, criterion) in zip(
        figure.subplots(2, (len(LEAK_FREE) + 1) // 2).flat, LEAK_FREE.items(), strict=True
    ):
        for group in sorted({(row["dataset"], row["alg"]) for row in rows}):
            mine = [row for row in rows if (row["dataset"], row["alg"]) == group]
            label = f"{group[1]}, {group[0].removeprefix('colored_')}"
            points = [(row[criterion.key], row["test_accuracy"]) for row in mine if criterion.key in row]
            axis.scatter(*zip(*points, strict=True) if points else ([], []), s=6, label=label)
        axis.set(xlabel=name.replace("_", " "), ylabel="unbiased test accuracy")
        if not criterion.maximise:
            axis.invert_xaxis()
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, markerscale=2)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def compare(argv: list[str]) -> None:
    parser = Parser(prog=f"python {PROGRAM}", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("place", type=Path, metavar="FOLDER|ROWS.jsonl", help="where runs are, or rows that were kept")
    place = parser.parse_all(argv).place
    rows = rows_of_runs(place) if place.is_dir() else read_rows(place)
    if not rows:
        raise UsageError(f"there are no finished runs, or no rows of them, in {place}.")
    if place.is_dir():
        write_rows(place / "selection.jsonl", rows)
    print(report(rows))
    draw(rows, place / "selection.png" if place.is_dir() else place.with_suffix(".png"))


def main(argv: list[str]) -> int:
    return run_script(lambda: compare(argv), PROGRAM, argv, kept="nothing is written")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
