"""A table as Markdown, LaTeX or CSV."""

import csv
import io
import itertools

from utils import escape
from utils.results.comparisons import Cell, Estimate, Table


def markdown(table: Table) -> str:
    def shown(cell: Cell) -> str:
        text = cell.text("±") if isinstance(cell, Estimate) else escape.markdown(cell)
        return f"**{text}**" if isinstance(cell, Estimate) and cell.best else text

    head = [escape.markdown(name) for name in table.head]
    lines = [head, ["---"] * len(head), *(list(map(shown, row)) for row in table.rows)]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([escape.markdown(table.title), body, *map(escape.markdown, table.notes)])


def latex(table: Table) -> str:
    """A `tabular` with the rules of the package booktabs."""

    def shown(cell: Cell) -> str:
        text = cell.text(r"$\pm$") if isinstance(cell, Estimate) else escape.latex(cell)
        return rf"\textbf{{{text}}}" if isinstance(cell, Estimate) and cell.best else text

    rows = [" & ".join(map(shown, row)) + r" \\" for row in table.rows]
    return "\n".join(
        [
            *(f"% {escape.printable(line)}" for line in (table.title, *table.notes)),
            rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
            r"\toprule",
            " & ".join(map(escape.latex, table.head)) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def comma_separated(table: Table) -> str:
    """Every estimate as three columns: mean, standard deviation, number of seeds."""
    wide = [any(isinstance(row[i], Estimate) for row in table.rows) for i in range(len(table.head))]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    named = map(escape.csv_cell, table.head)
    heads = ([title, f"{title}, sd", f"{title}, n"] if w else [title] for title, w in zip(named, wide, strict=True))
    writer.writerow(["table", *itertools.chain.from_iterable(heads)])
    for first, *others in table.rows:
        cells: list[str] = [escape.csv_cell(table.title)]
        for cell, w in zip([escape.csv_cell(str(first)), *others], wide, strict=True):
            if isinstance(cell, Estimate):
                spread = "" if cell.deviation is None else f"{cell.deviation:.6g}"
                cells += [f"{cell.mean:.6g}", spread, str(len(cell.values))]
            else:
                cells += [cell, "", "0"] if w else [cell]
        writer.writerow(cells)
    return out.getvalue().rstrip("\n")


FORMATS = {"md": markdown, "latex": latex, "csv": comma_separated}
