"""Label errors and hidden minority images in one's own data: `samples.csv` of a run folder, and what is worth a look.

python -m utils.audit log/folder/deneb_gce/0.0_given/0 --top 20

`samples.csv` has a row for every training image in the order of the data set; docs/audit.md tells its columns.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from utils.cli import Parser, any_path, number, run_script
from utils.distributed import writer_only
from utils.errors import RunError
from utils.escape import csv_cell, from_csv_cell, printable
from utils.files import replacing
from utils.metrics import GROUPS, auroc

FILE = "samples.csv"
TEXTS = ("file", "given_label", "true_label", "bias_label", "group", "predicted_label")
COLUMNS = (
    "index", "file", "given_label", "true_label", "bias_label", "group", "score", "sampling_probability",
    "prejudice_loss", "clean_aligned_probability", "entropy", "predicted_label", "given_label_confidence",
)  # fmt: skip

BYTES = "surrogateescape"
"""Python's name for the bytes of a file name that is not UTF-8, as it reads and writes them."""

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
        if tuple(header) != COLUMNS:
            raise ValueError(f"its columns are {', '.join(header)[:80]}")
        cells = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
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


def label_errors(given: np.ndarray, predicted: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Positions of the images whose predicted class (all [N]) is not the given one, least confidence in that first."""
    candidates = np.flatnonzero(given != predicted)
    return candidates[np.argsort(confidence[candidates], kind="stable")]


def hidden_minority(given: np.ndarray, predicted: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Positions of the images whose given class the final model predicts, the most sampled (all [N]) first."""
    candidates = np.flatnonzero((given == predicted) & np.isfinite(probability))
    return candidates[np.argsort(-probability[candidates], kind="stable")]


def report(samples: Samples, top: int) -> str:
    """Two lists of up to `top` images and, where the truth is known, how good they are."""
    given, predicted, confidence = (samples[n] for n in ("given_label", "predicted_label", "given_label_confidence"))
    true, group, probability = (samples[name] for name in ("true_label", "group", "sampling_probability"))
    errors = label_errors(given, predicted, confidence)[:top]
    relative = probability * np.isfinite(probability).sum()
    minority = hidden_minority(given, predicted, probability)[:top]

    def table(members: np.ndarray, *columns: tuple[str, np.ndarray]) -> list[str]:
        cells = [[title, *(f"{v:.4g}" if values.dtype.kind == "f" else printable(str(v)) for v in values[members])]
                 for title, values in (("index", samples["index"]), ("file", samples["file"]), *columns)
                 if title != "file" or (samples["file"] != "").any()]  # fmt: skip
        widths = [max(map(len, column)) for column in cells]
        return ["  ".join(f"{c:>{w}}" for c, w in zip(row, widths, strict=True)) for row in zip(*cells, strict=True)]

    lines = [f"Likeliest label errors, {len(errors)} of the {(given != predicted).sum()} images that the final model "
             "takes for another class:"]  # fmt: skip
    lines += table(errors, ("given", given), ("predicted", predicted), ("confidence in given", confidence))
    lines += _judged("wrong", given != true, true != "", -confidence, errors)
    if np.isfinite(probability).any():
        lines += ["", f"Likeliest hidden minority, the {len(minority)} most sampled images that the final model takes "
                  "for what they are called:"]  # fmt: skip
        lines += table(minority, ("given", given), ("times drawn as often as at random", relative))
        agreed = (given == predicted) & np.isfinite(probability) & (group != "")
        lines += _judged("conflicting and clean", group == GROUPS[1], agreed, probability, minority)
    else:
        lines += ["", "No selector rated these images: a run of --alg deneb_gce also shows a hidden minority."]
    return "\n".join(lines)


def _judged(what: str, positive: np.ndarray, among: np.ndarray, score: np.ndarray, listed: np.ndarray) -> list[str]:
    """How good a list is, and the ranking behind it `among` images whose truth is known."""
    judged = listed[among[listed]]
    if not len(judged):
        return []
    area = auroc(score, positive, among)
    ranking = f"; AUROC of the ranking, among {among.sum()} images, {area:.3f}" if area is not None else ""
    return [f"{what}: {positive[judged].sum()} of the {len(judged)} listed whose truth is known{ranking}"]


def main(argv: list[str]) -> int:
    def body() -> None:
        parser = Parser(prog="python -m utils.audit", description=(__doc__ or "").splitlines()[0])
        parser.add_argument("folder", type=any_path, metavar="RUN_FOLDER", help="where a run left its samples.csv")
        parser.add_argument("--top", type=number(int, low=1), default=20, help="images in each list")
        arguments = parser.parse_all(argv)
        print(report(read_samples(arguments.folder), arguments.top))

    return run_script(body, "-m utils.audit", argv)
