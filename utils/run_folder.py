"""A folder that holds one run: its configuration first, its result last, and never half a file."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from utils.distributed import from_writer, writer_only
from utils.errors import DamagedFile, MachineError, RunError, system_error
from utils.files import ANEW, read_json, remove_leftovers, write_text
from utils.identity import differences
from utils.run_files import Config, read_signed, write_signed

log = logging.getLogger(__name__)

OURS = (
    "config.json", "metrics.jsonl", "train.log", "selection.npz", "checkpoint.pt", "model.pt", "model.json",
    "samples.csv", "suspects.npz", "predictions.npz", "result.json",
)  # fmt: skip


NAMED = 6
"""As many differing arguments are named."""


class RunFolder:
    """`config.json` says what the run is, `result.json` marks it done; whoever trains in it holds its lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.pt"
        self._lock_file: tuple[int, int] | None = None

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @contextmanager
    def locked(self, wait: bool) -> Iterator[None]:
        """Holds the folder's lock; the system frees it when the process ends, however it ends.

        Raises:
            RunError: another process holds it and `wait` is false, or the folder cannot be made.
        """
        lock = FileLock(self / ".lock")
        self._lock_file = from_writer(self._acquire, lock, wait)
        try:
            yield
        finally:
            self._lock_file = None
            lock.release()

    def _acquire(self, lock: FileLock, wait: bool) -> tuple[int, int]:
        """Returns device and number of the lock's file, and clears away what killed processes left."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if not wait:
                    raise RunError(
                        f"another process is training in {self.path}. Wait for it, or give this run a --run_name."
                    ) from None
                log.info("waiting for another process that trains %s", self.path)
                lock.acquire()
            for folder in (self.path, self / "figures"):
                remove_leftovers(folder)
            if (self / "result.json").exists():  # a kill came between the two
                self.checkpoint.unlink(missing_ok=True)
            there = (self / ".lock").stat()
            return there.st_dev, there.st_ino
        except OSError as error:
            told = system_error(error, f"cannot write to {self.path}")
            raise MachineError(f"{told} --log_dir chooses another place.") from error

    def check(self) -> None:
        """Checks that nobody has removed the folder while it was locked.

        Raises:
            MachineError: it is gone, or another one.
        """
        files = self / ".lock", self / "config.json"
        there = files[0].stat() if all(file.exists() for file in files) else None
        if self._lock_file and (there is None or (there.st_dev, there.st_ino) != self._lock_file):
            raise MachineError(f"{self.path} was removed while this run was training in it. Start the command again.")

    def start(self, arguments: dict[str, Any], overwrite: bool) -> Config | None:
        """Makes the folder this run's. Returns its configuration if the run was started before, else None.

        Raises:
            RunError: the folder belongs to a run with other arguments, and `overwrite` is false.
        """
        if overwrite:
            self.clear()
        if not (self / "config.json").exists():
            if (self / "result.json").exists():
                raise DamagedFile(f"{self.path} holds a result.json without the config.json that says of what. {ANEW}")
            return None
        there = read_json(self / "config.json", Config)
        differing = differences(there["arguments"], arguments)
        if differing:
            more = f" and {len(differing) - NAMED} more" if len(differing) > NAMED else ""
            raise RunError(
                f"{'; '.join(differing[:NAMED])}{more}: {self.path} holds a run with other arguments. "
                "Give this run a --run_name, or replace the other one with --overwrite."
            )
        return there

    def result(self) -> Any:
        """The content of `result.json`, just as `finish` got it, or None if the run has not ended.

        Raises:
            DamagedFile: it is not what was written.
        """
        return read_signed(self / "result.json") if (self / "result.json").exists() else None

    def clear(self) -> None:
        """Removes the files that runs write, and nothing else; the result goes first, so no moment looks finished."""
        for name in reversed(OURS):
            (self / name).unlink(missing_ok=True)
        for pattern in ("figures/*.png", "trace_*.json", "tensorboard/events.out.tfevents.*"):
            for file in self.path.glob(pattern):
                file.unlink()

    def write_metrics(self, records: list[dict[str, Any]]) -> None:
        from_writer(self.check)
        write_text(self / "metrics.jsonl", "".join(json.dumps(record, allow_nan=False) + "\n" for record in records))

    @writer_only
    def finish(self, result: dict[str, Any]) -> None:
        """Writes the result, which marks the run done, and removes the checkpoint."""
        self.check()
        write_signed(self / "result.json", result)
        self.checkpoint.unlink(missing_ok=True)
