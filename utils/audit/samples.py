"""`samples.csv` of a run folder: a row for every training image in the order of the data set (see docs/audit.md)."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from utils.distributed import writer_only
from utils.errors import RunError
from utils.escape import csv_cell, from_csv_cell
from utils.files import replacing

FILE = "samples.csv"
TEXTS = ("file", "given_label", "true_label", "bias_label", "group", "predicted_label", "out_of_sample_label")
COLUMNS = (
    "index", "file", "given_label", "true_label", "bias_label", "group", "score", "sampling_probability",
    "prejudice_loss", "clean_aligned_probability", "entropy", "predicted_label", "given_label_confidence",
    "times_seen", "wrong_events", "training_confidence", "out_of_sample_label", "out_of_sample_confidence",
    "cross_validated_confidence", "expected_precision", "mislabelled_probability", "conflicting_probability",
)  # fmt: skip

BYTES = "surrogateescape"
"""Python's name for the bytes of a file name that is not UTF-8, as it reads and writes them."""

OLDER = COLUMNS[: COLUMNS.index("times_seen")]
"""Columns that runs wrote before they counted; those that are missing are read as blank."""

Samples = dict[str, np.ndarray]


def names(positions: Tensor, known: Sequence[str]) -> list[str]:
    """The names at `positions` (int64 [N]); nothing for -1, which is unknown."""
    return [(*known, "")[position] for position in positions.tolist()]


def numbers(values: Tensor) -> list[str]:
    """`values` (float [N]) with six digits; nothing for NaN."""
    return [f"{value:.6g}" if value == value else "" for value in values.tolist()]


@writer_only
def write_samples(path: Path, columns: dict[str, Sequence]) -> None:
    """Writes `columns` in the order of `COLUMNS`; those that are missing stay blank.

    Names of files that are not UTF-8 keep their bytes, and no name is a formula to a spreadsheet.
    """
    columns = {name: list(map(csv_cell, cells)) if name in TEXTS else cells for name, cells in columns.items()}
    assert columns.keys() <= set(COLUMNS), "a column that has no place in COLUMNS"
    blank = [""] * len(columns["index"])
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", errors=BYTES, newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(zip(*(columns.get(name, blank) for name in COLUMNS), strict=True))


def read_samples(folder: Path) -> Samples:
    """The columns of a run folder's `samples.csv`, [N] each: str, int64 (`index`) or float64 with NaN for blank cells.

    Raises:
        RunError: the file is missing, or it is not one of ours.
    """
    path = folder / FILE
    try:
        with open(path, encoding="utf-8", errors=BYTES, newline="") as file:
            header, *rows = csv.reader(file, strict=True)
        if tuple(header) not in (COLUMNS, OLDER):
            raise ValueError(f"its columns are {', '.join(header)[:80]}")
        cells = dict.fromkeys(COLUMNS, ("",) * len(rows)) | dict(zip(header, zip(*rows, strict=True), strict=True))
        parse: dict[str, Callable[[str], Any]] = {"index": int, **dict.fromkeys(TEXTS, from_csv_cell)}
        return {
            name: np.array([parse[name](cell) if name in parse else float(cell or "nan") for cell in cells[name]])
            for name in COLUMNS
        }
    except OSError as error:
        raise RunError(
            f"cannot read {path}: {error.strerror}. Name the folder of a finished run; an older one gets this "
            "file with --overwrite."
        ) from error
    except (ValueError, csv.Error) as error:
        raise RunError(f"{path} is not what a run writes ({error}). Train again with --overwrite.") from error
