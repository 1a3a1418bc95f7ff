"""The first steps of a script, before it imports anything else: libraries take seconds to load, and can fail to.

Written so that an old Python can read it, and say that it is too old.
"""

import os
import signal
import sys

OLDEST = (3, 11)
ROOMS = ("algorithms", "benchmarks", "data", "models", "utils")


def begin() -> None:
    """Ends in one line where Python is too old, and where a signal or a failure comes while libraries load."""
    if sys.version_info < OLDEST:
        needed, here = (".".join(map(str, version[:2])) for version in (OLDEST, sys.version_info))
        sys.exit(f"error: this needs Python {needed} or later, and was started with Python {here}.")
    end_quietly()
    sys.excepthook = _explain


def end_quietly() -> None:
    """From now on SIGINT and SIGTERM end the process at once, with a word and exit code 130."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)


def _end(number: int, frame: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)


def _explain(kind: type, error: BaseException, trace: object) -> None:
    missing = (getattr(error, "name", None) or "").split(".")[0]
    if issubclass(kind, ModuleNotFoundError) and missing not in ROOMS:
        sys.stderr.write(f"error: the package {missing} is missing: pip install -r requirements.txt\n")
    elif issubclass(kind, (MemoryError, OSError)) or (issubclass(kind, ImportError) and missing not in ROOMS):
        reason = str(error) or "there is not enough memory"
        sys.stderr.write(f"error: a library cannot be loaded: {reason}\n")
    else:
        sys.__excepthook__(type(error), error, error.__traceback__)
