"""What a run shows of itself: the tables at its end, mean and deviation over seeds, the authors' CSV."""

import statistics
from pathlib import Path
from typing import Any

from utils.files import write_text
from utils.metrics import is_oracle

ACCURACIES = {
    "test_accuracy": "unbiased",
    "test_aligned": "aligned",
    "test_conflicting": "conflicting",
    "test_worst_group": "worst group",
    "valid_accuracy": "valid",
}


def percent(value: float | None, digits: int = 1) -> str:
    return "n/a" if value is None else f"{100 * value:.{digits}f}"


def result_table(result: dict[str, Any]) -> str:
    """Accuracies in percent at the last epoch and at the one that the run's criterion calls the best."""
    lines = [f"{'accuracy in %':>13} " + "".join(f"{title:>13}" for title in ACCURACIES.values()) + f"{'epoch':>7}"]
    for when in ("end", "best"):
        cells = "".join(f"{percent(result[when][key]):>13}" for key in ACCURACIES)
        lines.append(f"{when:>13} {cells}{result[when]['epoch']:>7}")
    oracle = " (oracle)" if is_oracle(result["best_by"]) else ""
    lines.append(f"{'':>14}best: the epoch with the best {result['best_by']}{oracle}")
    return "\n".join(lines)


def chosen_on_test_data(result: dict[str, Any]) -> bool:
    """Whether anything in the run was chosen on test data: its best epoch, or a preset of its hyper-parameters."""
    return is_oracle(result["best_by"]) or any(preset["oracle"] for preset in result["presets"])


def mass_table(stage: dict[str, Any]) -> str:
    """What a selector made of the four groups: their share of the images and of the draws, in percent.

    Below, how many images its draws are worth; runs from before there was such a number have none.
    """
    rows = [
        (stage["method"], list(stage["mass"])),
        ("images", [percent(share, 2) for share in stage["share"].values()]),
        ("draws", [percent(mass, 2) for mass in stage["mass"].values()]),
    ]
    if "effective" in stage:
        counts = stage["effective"].values()
        rows.append(("worth", ["n/a" if count is None else f"{count:.0f} images" for count in counts]))
    return "\n".join(f"{name:>13} " + "".join(f"{cell:>19}" for cell in cells) for name, cells in rows)


def mean_and_deviation(values: list[float | None]) -> str:
    """Of fractions, in percent: the mean, and the sample standard deviation where there are two or more."""
    known = [100 * value for value in values if value is not None]
    spread = f" ± {statistics.stdev(known):.1f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.1f}{spread}" if known else "n/a"


def seeds_table(results: list[dict[str, Any]]) -> str:
    """Mean and standard deviation over runs, in percent."""
    lines = [f"{f'n = {len(results)}':>13} " + "".join(f"{title:>16}" for title in ACCURACIES.values())]
    for when in ("end", "best"):
        cells = [mean_and_deviation([result[when][key] for result in results]) for key in ACCURACIES]
        lines.append(f"{when:>13} " + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines)


def record_csv(path: Path, result: dict[str, Any]) -> None:
    """Puts a run's six rows `key,percent` into the authors' result file; rows of the same seed are replaced."""
    rows = {}
    if path.exists():
        rows = dict(line.rsplit(",", 1) for line in path.read_text(encoding="utf-8").splitlines() if "," in line)
    for group, key in (("", "test_accuracy"), ("_major", "test_aligned"), ("_minor", "test_conflicting")):
        for when in ("End", "Best"):
            value = result[when.lower()][key]
            rows[f"{result['seed']}_{when}{group}"] = "" if value is None else f"{100 * value:.6g}"
    write_text(path, "".join(f"{key},{value}\n" for key, value in rows.items()))
