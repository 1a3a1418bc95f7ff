"""A report of all runs below a log folder: web pages that open from the disk, without a server or a network.

python -m utils.report log/ -o report/
"""

if __name__ == "__main__":  # before the imports that take seconds
    from utils.startup import begin

    begin()

import os
import shutil
import sys
from pathlib import Path

from utils.cli import Parser, any_path, run_script
from utils.errors import RunError, UsageError
from utils.files import write_text
from utils.report.pages import Report

MARKER = ".made-by-utils.report"
"""The file that tells a report, which may be replaced, from a folder that may not."""


def build(log: Path, target: Path, overwrite: bool) -> tuple[int, list[str]]:
    """Writes the report on `log` into `target`, which is replaced at once when all is written; `log` is only read.

    Returns:
        how many runs there are, and a line for each file that cannot be read or figure that cannot be drawn.

    Raises:
        UsageError: `log` is no folder, or `target` may not be replaced.
        RunError: there are no runs.
    """
    if not log.is_dir():
        raise UsageError(f"there is no log folder {log}.")
    title = str(log)
    log, target = log.resolve(), target.resolve()
    if target.is_relative_to(log):
        raise UsageError(f"-o {target} is inside the log folder, which is only read. Choose a place beside it.")
    if any(place.is_relative_to(target) for place in (log, Path.cwd())):
        raise UsageError(f"-o {target} holds the log folder or this one. Choose a folder for the report alone.")
    ours = target.is_dir() and ((target / MARKER).exists() or not any(target.iterdir()))
    if target.exists() and not (ours or overwrite):
        raise UsageError(f"-o {target} is there and not a report. Choose another place, or --overwrite deletes it.")
    making, leaving = (target.with_name(f".{target.name}.{os.getpid()}.{kind}") for kind in ("new", "old"))
    try:
        making.mkdir(parents=True)
        write_text(making / MARKER, "python -m utils.report may replace this folder.\n")
        report = Report(log, title, making)
        count = report.write()
        if target.exists():
            target.rename(leaving)
        making.rename(target)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    if leaving.is_dir():
        shutil.rmtree(leaving)
    else:
        leaving.unlink(missing_ok=True)
    return count, list(dict.fromkeys(report.complaints))


def main(argv: list[str]) -> int:
    def body() -> None:
        parser = Parser(prog="python -m utils.report", description=(__doc__ or "").splitlines()[0])
        parser.add_argument("log", type=any_path, metavar="LOG_FOLDER", help="where runs are; it is only read")
        parser.add_argument("-o", "--output", type=any_path, default=Path("report"), metavar="FOLDER",
                            help="where the report goes; an earlier report there is replaced")  # fmt: skip
        parser.add_argument("--overwrite", action="store_true", help="delete the folder also if it is no report")
        arguments = parser.parse_all(argv)
        count, complaints = build(arguments.log, arguments.output, arguments.overwrite)
        print(f"{count} {'run' if count == 1 else 'runs'}: {arguments.output / 'index.html'}")
        if complaints:
            raise RunError("\n".join(complaints))

    return run_script(body, "-m utils.report", argv, kept="what was there is as it was")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
