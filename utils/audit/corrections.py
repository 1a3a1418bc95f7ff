"""`corrections.csv`: labels that should be others, in the form that `--annotations` of the `folder` data set takes.

A correction is a class for the column `given_label`. Whatever the annotations that the run was trained with said is
kept, so that one file holds everything, however often images are corrected.
"""

import csv
import io
from pathlib import Path

import numpy as np

from utils.annotations import plain_name, read_table
from utils.audit.ranking import Ranking
from utils.audit.samples import Samples
from utils.escape import csv_cell

FILE = "corrections.csv"


def corrections(samples: Samples, ranking: Ranking, members: np.ndarray, annotations: Path | None) -> str:
    """The text of the file: what `annotations` say, and the other label of the images at `members`.

    Raises:
        RunError: the annotations cannot be read.
    """
    columns, lines, _ = ([], [], None) if annotations is None else read_table(annotations)
    columns += [name for name in ("file", "given_label") if name not in columns]
    rows = {plain_name(row["file"]): row for _, row in lines}
    for i in members:
        file = str(samples["file"][i])
        rows.setdefault(plain_name(file), {"file": file})["given_label"] = csv_cell(str(ranking.other[i]))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows.values())
    return text.getvalue()
