"""Notes about a run besides its results: where it ran, how much memory it took, its log and its curves."""

import contextlib
import logging
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

import numpy as np
import torch

from utils.distributed import is_writer, launcher, world
from utils.errors import RunError, system_error

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]


def environment(device: torch.device) -> dict[str, Any]:
    """The command, the revision of the code, versions and hardware, as stored in `config.json`."""
    return {
        "command": shlex.join([*launcher(), *sys.argv]),
        "git": git_revision(Path(__file__).parents[1]),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": f"{device}, {device_name(device)}",
        **rounding(device),
    }


def rounding(device: torch.device) -> dict[str, Any]:
    """The part of `environment` that decides bits: with another value results are close, but not equal."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {
        "device_kind": f"{device.type} {kind}",
        "threads": torch.get_num_threads(),
        "processes": world(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": version("scikit-learn"),
    }


def device_name(device: torch.device) -> str:
    """The maker's name of a GPU or of this machine's processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def git_revision(code: Path) -> str | None:
    """The commit of the repository whose top folder is `code`; None for a copy, also one inside another repository."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(code), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        own = Path(git("rev-parse", "--show-toplevel")).resolve() == code.resolve()
        return git("describe", "--always", "--dirty", "--abbrev=12") if own else None
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def restart_peak_memory(device: torch.device) -> None:
    """From here on `peak_memory` is that of what follows, with what is held already, where the system can tell.

    It can for a GPU, and on Linux for a process; elsewhere the peak stays that of the whole process.
    """
    if device.type == "cuda":
        if torch.cuda.is_initialized():  # else there is no peak yet, and nothing to ask for it
            torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # as the manual page proc(5) has it


def peak_memory(device: torch.device) -> int | None:
    """In bytes, since `restart_peak_memory`: of the device if it is a GPU, else of this process.

    None where the system does not tell (Windows).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    if resource is None:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class _LogFile(WatchedFileHandler):
    """The end of a file, made anew if it was removed; where it cannot be written the run ends, as for other files."""

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(path, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise system_error(error, f"cannot write {path}") from error
        self.path = path

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            raise system_error(error, f"cannot write {self.path}") from error
        raise


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """While the block runs, everything that is logged also goes to the end of `path`."""
    if not is_writer():
        yield
        return
    handler = _LogFile(path)
    handler.setFormatter(logging.Formatter("(%(asctime)s): %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
        handler.reopenIfNeeded()
    finally:
        root.removeHandler(handler)
        handler.close()


@contextmanager
def tensorboard(folder: Path, wanted: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yields a function that takes an epoch's record; it writes the numbers for TensorBoard, if that is wanted.

    Raises:
        RunError: it is wanted, and the package is missing.
    """
    if not (wanted and is_writer()):
        yield lambda record: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RunError("--tensorboard needs an extra package: pip install tensorboard") from error
    with SummaryWriter(str(folder / "tensorboard")) as writer:

        def write(record: dict[str, Any]) -> None:
            for key, value in record.items():
                if isinstance(value, float):
                    writer.add_scalar(f"{record['stage']}_{record['method']}/{key}", value, record["epoch"])

        yield write
