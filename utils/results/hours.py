"""How long runs took, with selectors that several of them shared counted once."""

from argparse import Namespace

from utils.results.comparisons import Cell, Table
from utils.results.grouping import rows_of
from utils.results.runs import Run


def hours_tables(runs: list[Run], asked: Namespace) -> list[Table]:
    """One table: the finished runs of each data set and network, and the hours that they took on their machines.

    "hours": what was spent, where a selector that another run had trained takes no time. "hours, each alone": what the
    runs would take in folders of their own. Searches, and runs that were broken off, are in neither.
    """
    wanted = {run.folder: run for row in rows_of(runs, asked.methods) for run in row.runs if run.result is not None}
    places: dict[tuple[str, str], list[Run]] = {}
    for run in wanted.values():
        places.setdefault((run.dataset, run.network), []).append(run)
    rows: list[list[Cell]] = []
    for (dataset, model), there in sorted(places.items()):
        alone = sum(map(_seconds, there))
        reused = sum(stage["seconds"] for run in there for stage in run.stages if stage.get("reused"))
        rows.append([dataset, model, str(len(there)), f"{(alone - reused) / 3600:.1f}", f"{alone / 3600:.1f}"])
    return [Table("finished runs", ["data", "network", "runs", "hours", "hours, each alone"], rows, [])]


def _seconds(run: Run) -> float:
    """The time of a finished run; of one from before it was noted, that of its training epochs."""
    whole = (run.result or {}).get("seconds")
    return sum(stage["seconds"] for stage in run.stages) if whole is None else whole
