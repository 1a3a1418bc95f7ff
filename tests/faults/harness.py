"""Runs commands in a child that is thrown away, where every file it writes can fail or be its last one.

By default a sample of all faults is tried, within two minutes; FAULTS=20 tries twenty times as many.
"""

import itertools
import json
import os
import random
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import preset_standalone
import train_mix
from data import colored_digits, prepare
from utils.audit import __main__ as audit
from utils.cli import run_script
from utils.report import __main__ as report
from utils.results import collector

SCRIPTS: dict[str, Callable[[list[str]], int]] = {
    "train_mix.py": train_mix.main,
    "preset_standalone.py": preset_standalone.main,
    "data.prepare": prepare.main,
    "utils.results": lambda argv: run_script(lambda: collector.main(argv), "-m utils.results", argv),
    "utils.report": report.main,
    "utils.audit": audit.main,
}
TINY = ["--model", "MLP", "--epochs", "2", "--threads", "1", "--no_figures"]
TRAIN = ["train_mix.py", "--alg", "deneb_gce", "--best_by", "valid_accuracy", *TINY, "--log_dir", "log",
         "--preset", "none"]  # fmt: skip
SEARCH = ["preset_standalone.py", "--alg", "gce", "--search_trial", "2", "--best_by", "valid_accuracy", *TINY,
          "--log_dir", "log"]  # fmt: skip
PREPARE = ["data.prepare", "--dataset", "colored_digits", "--out", "log", "--workers", "1"]
RUN = Path("log/colored_digits/deneb_gce/0.1_0.05/0")
SHARE = int(os.environ.get("FAULTS", "1"))
TOLD_ONCE = {"seconds", "referee_seconds", "peak_memory_bytes", "command", "reused", "checksum", "git"}
"""Keys whose values differ from run to run."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: the signal that killed it), what it printed, its errors."""

    code: int
    output: str
    errors: str

    def assert_told(self) -> None:
        """It failed, and said why in one line."""
        assert self.code in (1, 2), self
        assert "Traceback" not in self.output + self.errors, self.errors
        assert self.errors.splitlines()[-1].startswith("error: "), self.errors
        assert len([line for line in self.errors.splitlines() if line.startswith("error: ")]) == 1, self.errors


def sampled(cases: list, size: int) -> list:
    """`size` of the cases, always the same ones, or so many times more as FAULTS says."""
    chosen = random.Random(0).sample(range(len(cases)), min(size * SHARE, len(cases)))
    return [cases[k] for k in sorted(chosen)]


def command(words: list[str], fault: Callable[[], Any] = lambda: None) -> Ended:
    """Runs a script with its arguments in a child process, after `fault` was called there."""
    (read_out, write_out), (read_err, write_err) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.dup2(write_out, 1)
            os.dup2(write_err, 2)
            for end in (read_out, read_err, write_out, write_err):
                os.close(end)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
            signal.alarm(300)
            colored_digits.TRAIN_IMAGES, colored_digits.VALID_IMAGES, colored_digits.TEST_DIGITS = 300, 60, 20
            script, *argv = words
            fault()
            code = SCRIPTS[script](argv)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    os.close(write_out)
    os.close(write_err)
    with open(read_out, errors="replace") as out, open(read_err, errors="replace") as err, ThreadPoolExecutor() as pool:
        texts = list(pool.map(lambda stream: stream.read(), (out, err)))
    return Ended(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), *texts)


def at_write(first: int, act: Callable[[str], None], lasting: bool = False) -> Callable[[], None]:
    """A fault: `act` is called with the file's name at the write numbered `first`, or at all from there on.

    Writes are all that changes what is below the folder "log": opening for writing, renaming, removing, making folders.
    """

    def install() -> None:
        numbers = itertools.count()

        def hook(event: str, details: tuple) -> None:
            if event == "open":
                path, mode, flags = details
                changes = any(c in mode for c in "wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            else:
                path, changes = details[0] if details else "", event in ("os.rename", "os.remove", "os.mkdir")
            if changes and "log" in str(path):
                number = next(numbers)
                if number == first or (lasting and number > first and event != "os.remove"):
                    act(str(path))

        sys.addaudithook(hook)

    return install


def fail(number: int) -> Callable[[str], None]:
    def act(path: str) -> None:
        raise OSError(number, os.strerror(number), path)

    return act


def kill(path: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def file_size(limit: int) -> Callable[[], None]:
    """A fault: no file can grow beyond `limit` bytes; where it is larger already, only the printed lines are spared."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def outcome(folder: Path) -> dict[str, Any]:
    """What is below a folder, by name, without times and what else differs from run to run."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        if path.suffix == ".json":
            found[name] = _plain(json.loads(path.read_text(encoding="utf-8")))
        elif path.suffix == ".jsonl":
            found[name] = [_plain(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
        elif path.name not in ("train.log", ".lock"):
            found[name] = path.read_bytes()
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if key not in TOLD_ONCE}
    return [_plain(part) for part in value] if isinstance(value, list) else value
