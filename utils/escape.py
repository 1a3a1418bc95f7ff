"""User's words on their way into tables, figures and terminals: names of files, classes and runs hold any character.

Every encoder takes them from here. What reads back the same is said; the rest is for people to look at.
"""

import re
from bisect import bisect_left, bisect_right
from itertools import accumulate
from unicodedata import east_asian_width

LATEX = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
LATEX |= {character: f"\\{character}" for character in "#$%&_{}"}
FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""The beginning of a cell that a spreadsheet takes for a formula, or of one that `csv_cell` has marked."""


def printable(text: str) -> str:
    """`text` with what cannot be seen or encoded (control characters, bytes that are not UTF-8) as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def elided(text: str, width: int) -> str:
    """`printable` text of at most `width` columns, of which Chinese characters take two: the middle is left out."""
    text = printable(text)
    ends = list(accumulate(map(display_width, text)))
    if not ends or ends[-1] <= width:
        return text
    head, tail = (width - 1) // 2, ends[-1] - width // 2
    return f"{text[: bisect_right(ends, head)]}…{text[bisect_left(ends, tail) + 1 :]}"


def display_width(text: str) -> int:
    """The width of `text` in characters of a fixed width, as a terminal or an East Asian font has it."""
    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def latex(text: str) -> str:
    """For LaTeX, outside of mathematics."""
    return "".join(LATEX.get(c, c) for c in printable(text))


def markdown(text: str) -> str:
    """For a cell of a Markdown table."""
    return re.sub(r"([\\|`*<\[])", r"\\\1", printable(text))


def csv_cell(text: str) -> str:
    """For a cell of a CSV file: an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{text}" if FORMULA.match(text) else text


def from_csv_cell(cell: str) -> str:
    """The text that `csv_cell` made `cell` of."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
