"""Outcomes of a comparison, kept as JSON lines from command to command, and the flags of such commands."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from utils.cli import number
from utils.files import read_json_lines, write_text

Row = dict[str, Any]


def add_flags(group: Any, rows: Path) -> None:
    """`--seeds`, `--rows` with this default, and `--only_table`."""
    group.add_argument("--seeds", type=seeds, default=[0], help="seeds to compare with, such as 0,1,2 (default: 0)")
    group.add_argument("--rows", type=Path, default=rows, help="where outcomes are kept")
    group.add_argument("--only_table", action="store_true", help="train nothing, print the table of --rows")


def seeds(text: str) -> list[int]:
    return [number(int, low=0)(part) for part in text.split(",")]


def read_rows(path: Path) -> list[Row]:
    """The rows in a file, none where it is not there."""
    return read_json_lines(path, dict, "Name another file of rows.") if path.exists() else []


def with_row(rows: list[Row], new: Row, same: Iterable[str]) -> list[Row]:
    """The rows and a new one, in place of those that are equal to it in all of `same`."""
    return [*(row for row in rows if any(row.get(key) != new[key] for key in same)), new]


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
