"""Tables of one run and of its seeds: shown at its end, and the authors' CSV."""

import logging
import re
import statistics
from pathlib import Path
from typing import Any

from filelock import FileLock

from utils.distributed import writer_only
from utils.errors import RunError, machine_error
from utils.escape import elided, printable
from utils.files import write_text
from utils.metrics import is_oracle

log = logging.getLogger(__name__)

ROW = re.compile(r"\d+_(?:End|Best)(?:_major|_minor)?,[\d.e+-]*")
"""A line of the authors' result file."""

LOCK_SECONDS = 60
"""Seconds that a run waits for others that write to the same result file."""

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


SHOWN_CLASSES = 20
"""More would not fit on a screen."""


def class_table(result: dict[str, Any]) -> str:
    """Images and accuracies of every class, and what its test images are taken for; blank for very many classes.

    Classes are numbered, for the columns of the confusion matrix.
    """
    about, matrix = result["per_class"], result["confusion"]
    names = [f"{number} {elided(name, 20)}" for number, name in enumerate(about["names"], 1)]
    if len(names) > SHOWN_CLASSES:
        return ""
    width = max(5, *map(len, names))
    wide = max(4, 1 + max(len(str(count)) for row in matrix for count in row))
    header = "".join(f"{title:>9}" for title in ("train", "valid", "test", "valid %", "test %"))
    lines = [f"{'class':<{width}}{header}  taken for" + "".join(f"{n:>{wide}}" for n in range(1, 1 + len(names)))]
    for c, name in enumerate(names):
        counts = "".join(f"{about[split][c]:>9}" for split in ("train", "valid", "test"))
        shares = "".join(f"{percent(about[key][c]):>9}" for key in ("valid_accuracy", "test_accuracy"))
        lines.append(f"{name:<{width}}{counts}{shares}{'':>11}" + "".join(f"{n:>{wide}}" for n in matrix[c]))
    return "\n".join(lines)


def chosen_on_test_data(result: dict[str, Any]) -> bool:
    """True if anything in the run was chosen on test data: its best epoch, or a preset of its hyper-parameters."""
    return is_oracle(result["best_by"]) or any(preset["oracle"] for preset in result["presets"])


def mass_table(stage: dict[str, Any]) -> str:
    """The four groups as a selector treats them: their share of the images and of the draws, in percent.

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


@writer_only
def record_csv(path: Path, result: dict[str, Any]) -> None:
    """Puts a run's six rows `key,percent` into the authors' result file; rows of the same seed are replaced.

    Runs that end at the same time wait for each other. A file that is not ours is left as it is, with a warning: the
    run has its `result.json`.
    """
    rows = {}
    for group, key in (("", "test_accuracy"), ("_major", "test_aligned"), ("_minor", "test_conflicting")):
        for when in ("End", "Best"):
            value = result[when.lower()][key]
            rows[f"{result['seed']}_{when}{group}"] = "" if value is None else f"{100 * value:.6g}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_SECONDS):
            there = path.read_text(encoding="utf-8").split() if path.exists() else []
            if not all(map(ROW.fullmatch, there)):
                raise ValueError("it is not a result file of ours. Move it away, or choose another --result_dir")
            rows = dict(line.split(",") for line in there) | rows
            write_text(path, "".join(f"{key},{value}\n" for key, value in rows.items()))
    except (OSError, ValueError, RunError) as error:
        log.warning("the run is not in %s: %s", printable(str(path)), machine_error(error) or error)
