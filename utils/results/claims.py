"""Claims, published ones and our own, beside what the raw results say: everything that is measured is computed.

A file of claims says where each was published and what to keep in mind; of ours, in which words it stands on a page.
"""

import re
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.errors import RunError, UsageError
from utils.files import naming, read_json
from utils.results.comparisons import METRICS, Cell, Estimate, Table, bounds, differences, estimate
from utils.results.grouping import Row, by_data, rows_of
from utils.results.runs import Run

MEND = "Mend the file of claims."


@dataclass(frozen=True)
class Source:
    """Where claims were published. caveat: what to keep in mind when they are compared with ours."""

    reference: str
    caveat: str


@dataclass(frozen=True)
class Claim:
    """A published value, or a statement of ours, about one method on one set of data with its ratios.

    bratio: None where the files have the bias that they have. results: the folder of the raw results, below the one
    that is named for all; none if it was not measured. row: the row of the results, if it has not the method's name.
    reported, source: of a published claim; in percent. says: of ours, with {mean}, {spread}, {n}, {low} and {high} (of
    the 95 % interval), with formats as in {mean:.1f}. page: where it stands in these words, from the file's folder.
    against: the row from which differences in points are taken, on the same seeds.
    """

    method: str
    dataset: str
    model: str
    nratio: float
    bratio: float | None
    source: str = ""
    reported: float | None = None
    results: str = ""
    row: str = ""
    metric: str = "unbiased"
    when: str = "end"
    says: str = ""
    page: str = ""
    against: str = ""
    command: str = ""
    revision: str = ""

    @property
    def ratios(self) -> str:
        return f"{self.nratio:g}, {'given' if self.bratio is None else f'{self.bratio:g}'}"


@dataclass(frozen=True)
class Claims:
    """The content of a file of claims."""

    sources: dict[str, Source]
    claims: list[Claim]


def read_claims(path: Path) -> Claims:
    """The content of a file of claims.

    Raises:
        RunError: it cannot be read, or a claim names a source or a metric that there is none of.
    """
    content: Any = read_json(path, Claims, MEND)
    sources = {name: Source(**source) for name, source in content["sources"].items()}
    claims = [Claim(**claim) for claim in content["claims"]]
    with naming(path, MEND):
        for number, claim in enumerate(claims, 1):
            if bool(claim.says) == bool(claim.source) or (claim.source and claim.source not in sources):
                raise ValueError(f"claim {number} has neither a source of the file nor what it says, or has both")
            if claim.says and not claim.results:
                raise ValueError(f"claim {number} names no results")
            if claim.metric not in METRICS or claim.when not in ("end", "best"):
                raise ValueError(f"claim {number} is not of one of {', '.join(METRICS)} at the end or at the best")
    return Claims(sources, claims)


def claims_tables(runs: list[Run], folder: Path, path: Path) -> list[Table]:
    """A table of the published claims and one of ours; `folder` holds all results.

    Raises:
        RunError: the file cannot be read, or the results of a claim are not there.
    """
    content = read_claims(path)
    tables = []
    published = [claim for claim in content.claims if claim.source]
    if published:
        head = ["method", "data, network", "nratio, bratio", "source", "reported", "here", "n", "here - reported"]
        rows: list[list[Cell]] = []
        for claim in published:
            value = here(claim, runs, folder)
            reported, gain = "not available", ""
            if claim.reported is not None:
                reported = f"{claim.reported:g}"
                gain = f"{value.mean - claim.reported:+.1f}" if isinstance(value, Estimate) else ""
            n = str(len(value.values)) if isinstance(value, Estimate) else "0"
            data = f"{claim.dataset}, {claim.model}"
            rows.append([claim.row or claim.method, data, claim.ratios, claim.source, reported, value, n, gain])
        notes = [f"{name}: {source.reference} {source.caveat}" for name, source in content.sources.items()]
        tables.append(Table("Published, accuracy in % at the last epoch", head, rows, notes))
    ours = [claim for claim in content.claims if claim.says]
    if ours:
        head = ["statement", "page", "data, network", "nratio, bratio", "results", "command", "revision"]
        notes, rows = [], []
        for claim in ours:
            text = statement(claim, runs, folder, path)
            if claim.page and " ".join(text.split()) not in " ".join(_page(path, claim).split()):
                notes.append(f"{claim.page} does not say: {text}")
            rows.append(
                [
                    re.sub(r"\[(.*?)\]\(.*?\)", r"\1", text),
                    claim.page.removeprefix("../"),
                    f"{claim.dataset}, {claim.model}",
                    claim.ratios,
                    claim.results,
                    claim.command,
                    claim.revision,
                ]
            )
        tables.append(Table("Ours", head, rows, notes))
    return tables


def here(claim: Claim, runs: list[Run], folder: Path) -> Cell:
    """What the results of a published claim are."""
    return estimate(measured(claim, runs, folder).runs, claim.when, claim.metric) if claim.results else "not measured"


def measured(claim: Claim, runs: list[Run], folder: Path, name: str = "") -> Row:
    """The row of results that a claim is about, or the one called `name` on the same data.

    Raises:
        RunError: there is none, or there are several.
    """
    place = (folder / claim.results).resolve()
    mine = [
        run
        for run in runs
        if run.result is not None
        and run.folder.is_relative_to(place)
        and run.dataset == claim.dataset
        and run.network == claim.model
        and _same_ratios(claim, run.ratios)
    ]
    wanted = name or claim.row or claim.method
    rows = [row for data in by_data(mine) for row in rows_of(data.runs, [wanted]) if row.runs]
    if len(rows) != 1:
        what = f"{wanted} on {claim.dataset} with {claim.model}, nratio and bratio {claim.ratios}"
        raise RunError(f"a claim needs one row of results: there are {len(rows)} of {what} below {place}.")
    return rows[0]


def _same_ratios(claim: Claim, ratios: str) -> bool:
    nratio, bratio = ratios.split("_")
    there = None if bratio == "given" else float(bratio)
    return (float(nratio), there) == (claim.nratio, claim.bratio)


def statement(claim: Claim, runs: list[Run], folder: Path, path: Path) -> str:
    """What a claim of ours says, with the numbers that the results give.

    Raises:
        RunError: it asks for a number that there is none of.
    """
    row = measured(claim, runs, folder)
    if claim.against:
        base = measured(claim, runs, folder, claim.against)
        values = differences(row, base, claim.when, METRICS[claim.metric])
    else:
        value = estimate(row.runs, claim.when, claim.metric)
        values = list(value.values) if isinstance(value, Estimate) else []
    numbers: dict[str, Any] = {"n": len(values)}
    if values:
        numbers["mean"] = statistics.mean(values)
    if len(values) > 1:
        numbers["spread"] = statistics.stdev(values)
        numbers["low"], numbers["high"] = bounds(values)
    try:
        return claim.says.format_map(numbers)
    except (KeyError, ValueError, IndexError, AttributeError, TypeError) as error:
        raise RunError(f"cannot fill in {claim.says!r} of {path}: {error}. {MEND}") from error


def _page(path: Path, claim: Claim) -> str:
    place = path.parent / claim.page
    try:
        return place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the page {place} of a claim: {error}. {MEND}") from error
