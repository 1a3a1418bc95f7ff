"""Argument parsing with bounds, errors that suggest the nearest name, and how a script ends."""

import argparse
import dataclasses
import difflib
import errno
import io
import itertools
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO

from utils.distributed import complain, launcher
from utils.errors import RunError, UsageError, machine_error, system_error


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are `UsageError`s and which suggests the flag that was probably meant."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Help, **settings)
        self.elsewhere: dict[str, str] = {}
        """Flags that exist but not here, with the reason to tell."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)

    def parse_all(self, argv: list[str]) -> argparse.Namespace:
        arguments, rest = self.parse_known_args(argv)
        if rest:
            flag = rest[0].split("=")[0]
            if flag in self.elsewhere:
                raise UsageError(f"{flag}: {self.elsewhere[flag]}")
            near = difflib.get_close_matches(flag, list(self._option_string_actions), n=1)
            hint = f" Did you mean {near[0]}?" if near else " See --help."
            raise UsageError(f"unknown argument {flag!r}.{hint}")
        return arguments


class _Help(argparse.HelpFormatter):
    """Names the default of each argument, if it has one."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=110)

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        plain = action.default in (None, False, argparse.SUPPRESS) or "default" in text
        return text if plain else f"{text} (default: %(default)s)"


LARGEST = {int: 2**63 - 1, float: 3.4e38}
"""The largest number that tensors can hold: none may be larger, whatever its own bounds."""


def number(
    kind: type,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    word: str | None = None,
) -> Callable:
    """A type for `add_argument`: a finite int or float in [low, high] and greater than `above`; or the `word`."""
    bounds = [f"at least {low:g}"] if low is not None else []
    bounds += [f"more than {above:g}"] if above is not None else []
    bounds += [f"at most {high:g}"] if high is not None else []
    wanted = " ".join(["a whole number" if kind is int else "a number", " and ".join(bounds)]).strip()
    wanted += f", or {word}" if word else ""

    def parse(text: str) -> Any:
        if word is not None and text == word:
            return word
        try:
            value = kind(text) + 0  # without the sign of -0.0, which folders would be named by
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is not {wanted}") from None
        if abs(value) > LARGEST[kind]:
            raise argparse.ArgumentTypeError(f"{text[:40]} is not {wanted}: its size is above {LARGEST[kind]:g}")
        if value != value:
            raise argparse.ArgumentTypeError(f"{text[:40]} is not {wanted}")
        if (low is not None and value < low) or (high is not None and value > high):
            raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
        if above is not None and value <= above:
            raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
        return value

    return parse


def truth(text: str) -> bool:
    """A type for `add_argument`: true or false."""
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return words[text.lower()]


def milestones(text: str) -> str:
    """A type for `add_argument`: one or more positive, increasing whole numbers, separated by commas."""
    parts = [part.strip() for part in text.split(",")]
    epochs = [int(part) if part.isdecimal() and len(part) < 10 else 0 for part in parts]
    if epochs[0] < 1 or any(late <= early for early, late in itertools.pairwise(epochs)):
        raise argparse.ArgumentTypeError(f"{text!r} is not an epoch such as 30 or an increasing list such as 40,80")
    return ",".join(map(str, epochs))


def folder_name(text: str) -> str:
    """A type for `add_argument`: a part of a folder's name, which cannot lead anywhere else."""
    if not text.isprintable() or any(part in text for part in ("/", "\\", "..")) or len(text.encode()) > 100:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!a} cannot be part of a folder's name: wanted at most 100 bytes, without /, \\, .. and "
            "control characters"
        )
    return text


def any_path(text: str) -> Path:
    """A type for `add_argument`: where something is or goes; ~ is the home folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; . is this folder")
    return Path(text).expanduser()


def existing_file(text: str) -> Path:
    """A type for `add_argument`: the path of a file that is there."""
    if not any_path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return any_path(text)


def flag_of(declared: dataclasses.Field) -> dict[str, Any]:
    """Arguments of `add_argument` for a declared value, a hyper-parameter or a data set's option.

    Its metadata are `help`, `low`, `high` and `choices`. A flag not given is absent from the result.
    """
    about, kind = declared.metadata, type(declared.default)
    types = {bool: truth, str: str}
    numeric = number(kind, low=about["low"], high=about["high"], word=about.get("word"))
    switch = {"nargs": "?", "const": True, "metavar": "true|false"} if kind is bool else {}
    return switch | {
        "type": types.get(kind, numeric),
        "choices": about["choices"],
        "help": about["help"] if declared.default == "" else f"{about['help']} (default: {declared.default})",
        "default": argparse.SUPPRESS,
    }


def declared_values(cls: type, given: dict[str, Any], *prefixes: str) -> Any:
    """An instance of a class of declared values, from the flags given; those with a later prefix win."""
    values = {}
    for declared in dataclasses.fields(cls):
        for prefix in ("", *prefixes):
            if given.get(prefix + declared.name) is not None:
                values[declared.name] = given[prefix + declared.name]
    return cls(**values)


def command_line(script: str, argv: list[str]) -> str:
    """The command that runs `script` (which may be several words, such as "-m data.prepare") in the same way."""
    return shlex.join([*launcher(), *script.split(), *argv])


class Console(logging.StreamHandler):
    """Logs to the standard output; where that cannot be written, the script ends instead of going on in the dark."""

    def handleError(self, record: logging.LogRecord) -> None:
        raise


def show_log(only: str = "") -> None:
    """Sends what is logged (by loggers below `only`) to the standard output, and in more detail to a run's own log."""
    console = Console(sys.stdout)
    console.setLevel(logging.INFO)
    console.addFilter(logging.Filter(only))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[console], force=True)
    logging.getLogger("algorithms").setLevel(logging.DEBUG)  # train.log also gets what a terminal shows as bars


class Output:
    """A standard stream that takes any text, and falls silent when whoever read it has left, as `head` does."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - the script's own, to its end
        if isinstance(self.stream, io.TextIOWrapper):
            self.stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        return self._unless_broken(self.stream.write, text) or len(text)

    def flush(self) -> None:
        self._unless_broken(self.stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _unless_broken(self, function: Callable, *arguments: str) -> Any:
        try:
            return function(*arguments)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())  # Python writes what is left when it ends
            windows = sys.platform == "win32" and error.errno == errno.EINVAL  # its word for a broken pipe
            if not (windows or isinstance(error, BrokenPipeError)):
                raise system_error(error, "cannot write to the standard output") from error


@contextmanager
def standard_streams() -> Iterator[None]:
    """Within the block the standard output and error are an `Output` each."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Output(sys.stdout), Output(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block SIGINT and SIGTERM raise KeyboardInterrupt, in the main thread."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_script(
    body: Callable[[], object], script: str, argv: list[str], kept: str = "every finished epoch is saved"
) -> int:
    """Runs what a script does and returns its exit code; what a user can run into ends in one line, not a traceback.

    Args:
        kept: what an interrupted script leaves.
    """
    with standard_streams():
        try:
            with interruptible():
                body()
            sys.stdout.flush()
        except KeyboardInterrupt:
            complain(f"\ninterrupted; {kept}. To continue: {command_line(script, argv)}")
            return 130
        except Exception as error:
            told = error if isinstance(error, RunError) else machine_error(error)
            if told is None:
                raise
            complain(f"error: {told}")
            return told.exit_code
    return 0
