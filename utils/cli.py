"""Argument parsing with bounds, errors that suggest the nearest name, and how a script ends."""

import argparse
import dataclasses
import difflib
import io
import itertools
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch

from utils.distributed import complain, launcher
from utils.errors import RunError, UsageError


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
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}") from None
        inside = (low is None or value >= low) and (high is None or value <= high) and (above is None or value > above)
        if not inside or value in (float("inf"), float("-inf")) or value != value:
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
    epochs = [int(part) if part.isdecimal() else 0 for part in parts]
    if epochs[0] < 1 or any(late <= early for early, late in itertools.pairwise(epochs)):
        raise argparse.ArgumentTypeError(f"{text!r} is not an epoch such as 30 or an increasing list such as 40,80")
    return ",".join(map(str, epochs))


def existing_file(text: str) -> Path:
    """A type for `add_argument`: the path of a file that is there."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return Path(text)


def flag_of(declared: dataclasses.Field) -> dict[str, Any]:
    """What `add_argument` takes for a declared value, a hyper-parameter or a data set's option.

    Its metadata are `help`, `low`, `high` and `choices`. A flag not given is absent from the result.
    """
    about, kind = declared.metadata, type(declared.default)
    types = {bool: truth, str: str}
    numeric = number(kind, low=about["low"], high=about["high"], word=about.get("word"))
    return {
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


def show_log(only: str = "") -> None:
    """What is logged (by loggers below `only`) goes to the standard output, and in more detail to a run's own log."""
    console = logging.StreamHandler(sys.stdout)
    console.setLevel(logging.INFO)
    console.addFilter(logging.Filter(only))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[console], force=True)
    logging.getLogger("algorithms").setLevel(logging.DEBUG)  # train.log also gets what a terminal shows as bars


def print_anything() -> None:
    """A terminal that lacks a character of a name is shown its escape, and nothing ends for that."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def run_script(
    body: Callable[[], object],
    script: str,
    argv: list[str],
    place: str = "--log_dir",
    kept: str = "every finished epoch is saved",
) -> int:
    """Runs what a script does and returns its exit code; what a user can run into ends in one line, not a traceback.

    Args:
        place: the flag that says where it writes.
        kept: what an interrupted script leaves.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print_anything()
    try:
        body()
    except RunError as error:
        complain(f"error: {error}")
        return error.exit_code
    except torch.OutOfMemoryError:
        complain("error: the GPU's memory is full. Lower --batch_size, or use --gpu cpu.")
        return 1
    except BrokenPipeError:  # whoever read our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, a folder without permission
        complain(f"error: {error}. Free the place or choose another {place}.")
        return 1
    except KeyboardInterrupt:
        complain(f"\ninterrupted; {kept}. To continue: {command_line(script, argv)}")
        return 130
    return 0
