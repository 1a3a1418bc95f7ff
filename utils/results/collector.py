"""Collects the runs below a folder into tables: mean and standard deviation over seeds, the best in bold.

python -m utils.results log/                                    # a table for every data set and its ratios
python -m utils.results log/ --show ratios --metric conflicting # methods by ratios, as papers print them
python -m utils.results log/ --show differences --against vanilla --format latex
python -m utils.results log/ --show gains                       # with a run name, such as tuned, over without one
python -m utils.results log/ --show grid --methods vanilla      # one method: bias by noise
python -m utils.results log/ --show winners                     # bias by noise: the best method of each cell
python -m utils.results log/ --show ranks --figure ranks.png    # mean ranks over all cells, and a figure of them
python -m utils.results log/ --show hours                       # how many runs, and what they took
python -m utils.results docs/results --claims docs/claims.json  # claims beside what these results say
python -m utils.results --fill README.md docs/*.md              # makes the tables and figures anew that pages ask for

Runs on other data stand in other tables, runs with another network, schedule or hyper-parameter in other rows, whose
names say so. A run that was chosen on test data (an oracle) is left out and named, as is what cannot be read.
"""

import re
import shlex
import sys
from argparse import Namespace
from fnmatch import fnmatchcase
from pathlib import Path

from utils.cli import Parser
from utils.errors import MachineError, RunError, UsageError
from utils.escape import printable
from utils.files import write_text
from utils.results.claims import claims_tables
from utils.results.comparisons import METRICS, differences_tables, gains_tables, methods_tables, ratios_tables
from utils.results.formats import FORMATS
from utils.results.grids import draw_grids, grid_tables, winners_tables
from utils.results.hours import hours_tables
from utils.results.ranks import draw_ranks, ranks_tables
from utils.results.runs import Found, find_runs

SHOW = {
    "methods": methods_tables,
    "ratios": ratios_tables,
    "grid": grid_tables,
    "differences": differences_tables,
    "gains": gains_tables,
    "winners": winners_tables,
    "ranks": ranks_tables,
    "hours": hours_tables,
}
FIGURES = {"grid": draw_grids, "winners": draw_grids, "ranks": draw_ranks}
MARKER = re.compile(r"(<!-- python -m utils\.results (.*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def names(text: str) -> list[str]:
    """A type for `add_argument`: names separated by commas, of which those in brackets separate nothing."""
    return [name.strip() for name in re.split(r",(?![^()]*\))", text) if name.strip()]


def parser() -> Parser:
    flags = Parser(prog="python -m utils.results", description=(__doc__ or "").splitlines()[0])
    flags.add_argument("folder", type=Path, nargs="?", help="a log folder, or any folder within one")
    flags.add_argument(
        "--fill",
        type=Path,
        nargs="+",
        metavar="PAGE",
        help="make the tables and figures anew that pages have markers for",
    )
    flags.add_argument("--show", choices=tuple(SHOW), default="methods", help="which tables")
    flags.add_argument("--format", choices=tuple(FORMATS), default="md", help="how they are written")
    flags.add_argument("--claims", type=Path, metavar="JSON", help="in place of --show: what was claimed and measured")
    flags.add_argument("--figure", type=Path, metavar="PNG", help="also draw grids or ranks here")
    flags.add_argument("--overwrite", action="store_true", help="replace the file of --figure")
    flags.add_argument("--metric", choices=tuple(METRICS), default="unbiased", help="of all but the tables of methods")
    flags.add_argument(
        "--when", choices=("end", "best"), help="the last epoch or the best; by default both, or else the end"
    )
    flags.add_argument("--against", default="vanilla", metavar="METHOD", help="what differences are taken from")
    flags.add_argument("--dataset", help="only this data set")
    flags.add_argument("--ratios", default="*", metavar="NRATIO_BRATIO", help="only these, such as 0.1_0.01 or '0.1_*'")
    flags.add_argument("--methods", type=names, default=[], metavar="A,B,...", help="only these, in this order")
    return flags


def parsed(argv: list[str]) -> Namespace:
    """The arguments of a command line.

    Raises:
        UsageError: one of them would change nothing, so that the tables would answer another question than was asked.
    """
    flags = parser()
    given = flags.parse_all(argv)
    if given.fill is not None:
        asked, used = "--fill", {"fill"}
    elif given.claims is not None:
        asked, used = "--claims", {"claims", "folder", "dataset", "ratios", "format"}
    else:
        asked = f"--show {given.show}"
        used = {"folder", "show", "dataset", "ratios", "methods", "format"}
        used |= {"figure", "overwrite"} if given.show in FIGURES else set()
        used |= {"when"} if given.show != "hours" else set()
        used |= {"metric"} if given.show not in ("methods", "hours") else set()
        used |= {"against"} if given.show == "differences" else set()
    for name, value in vars(given).items():
        if name not in used and value != flags.get_default(name):
            flag = value if name == "folder" else f"--{name}"
            raise UsageError(f"{flag}: {asked} makes no use of it. Leave it out.")
    return given


def tables_text(argv: list[str], draw: bool = True) -> str:
    """The tables that one command line asks for; its figure is drawn unless `draw` is false.

    Raises:
        RunError: there are no runs, or one cannot be read, so that a table would miss it.
    """
    text, damaged = collected(argv, draw)
    if damaged:
        raise RunError(damaged[0])
    return text


def collected(argv: list[str], draw: bool = True) -> tuple[str, list[str]]:
    """The tables of all runs that can be read, and what is wrong with the others.

    Raises:
        RunError: there are no runs that can be read.
    """
    arguments = parsed(argv)
    if arguments.folder is None or not arguments.folder.is_dir():
        raise UsageError("the first argument must be a folder with runs, such as log/.")
    found = find_runs(arguments.folder)
    runs = [
        run
        for run in found.runs
        if arguments.dataset in (None, run.dataset) and fnmatchcase(run.ratios, arguments.ratios)
    ]
    oracles = [run for run in runs if run.oracle]
    runs = [run for run in runs if not run.oracle]
    if not runs and not oracles:
        asked = arguments.dataset is not None or arguments.ratios != "*"
        raise nothing_found(found, f"below {arguments.folder}" + (" on these data" if asked else ""))
    if arguments.claims is not None:
        tables = claims_tables(runs, arguments.folder, arguments.claims)
    else:
        tables = SHOW[arguments.show](runs, arguments)
    if arguments.figure is not None and draw:
        FIGURES[arguments.show](arguments.figure, runs, arguments)
    if arguments.format == "csv":
        for note in (note for table in tables for note in table.notes):
            print(printable(note), file=sys.stderr)
    for place in found.foreign:
        print(f"left out, not the folder of a run: {printable(str(place))}", file=sys.stderr)
    for run in oracles:
        print(f"left out, chosen on test data (oracle): {printable(str(run.folder))}", file=sys.stderr)
    return "\n\n".join(map(FORMATS[arguments.format], tables)), found.damaged


def nothing_found(found: Found, where: str) -> RunError:
    """The error for a folder without runs: it names what is there instead."""
    reasons = [*found.damaged, *(f"{place} is not the folder of a run." for place in found.foreign)]
    more = f" Of {len(reasons)} that cannot be read, the first: {reasons[0]}" if reasons else ""
    return RunError(f"there are no runs {where}.{more}")


def filled(page: str, draw: bool = False) -> str:
    """The page with the tables between its markers made anew, and on demand the figures that they name.

    `<!-- python -m utils.results ARGUMENTS -->` begins one and `<!-- end -->` ends it.

    Raises:
        RunError: a table cannot be made; it begins with the marker.
    """

    def anew(found: re.Match[str]) -> str:
        marker = found[1].strip()
        try:
            words = shlex.split(found[2])
        except ValueError as error:
            raise RunError(f"{marker}: {error}.") from error
        try:
            return f"{found[1]}\n{tables_text(words, draw)}\n\n{found[3]}"
        except MachineError:
            raise
        except RunError as error:
            raise RunError(f"{marker}: {error}") from error

    return MARKER.sub(anew, page)


def main(argv: list[str]) -> None:
    """Prints or fills in the tables that the arguments ask for.

    Raises:
        RunError: there are no runs, or not all could be read; tables of the others are printed before.
    """
    arguments = parsed(argv)
    if arguments.fill is None:
        if arguments.figure is not None and arguments.figure.exists() and not arguments.overwrite:
            raise UsageError(f"--figure {arguments.figure} is already there. --overwrite replaces it.")
        text, damaged = collected(argv)
        print(text)
        if damaged:
            raise RunError("\n".join(damaged))
        return
    for path in arguments.fill:
        try:
            page = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"cannot read --fill {path} as text: {error}. Name a Markdown page.") from error
        write_text(path, filled(page, draw=True))
