"""A trace of some training steps, and a short table of where time goes."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from utils.files import replacing

log = logging.getLogger(__name__)

STEPS = 20
ROWS = 12


@contextmanager
def tracing(path: Path | None) -> Iterator[Callable[[], None]]:
    """Yields a function to call after each step; from the block's start to its 20th call all operations are recorded.

    Then the trace is in `path` (JSON, for chrome://tracing or ui.perfetto.dev), and the operations that took most are
    logged. Without a path nothing is recorded.
    """
    if path is None:
        yield lambda: None
        return

    profiler, steps = torch.profiler.profile(), 0
    profiler.start()

    def after_step() -> None:
        nonlocal steps
        steps += 1
        if steps == STEPS:
            finish()

    def finish() -> None:
        profiler.stop()
        with replacing(path) as temporary:
            profiler.export_chrome_trace(str(temporary))
        log.info("%s, %s", path, table(profiler))

    yield after_step
    if steps < STEPS:
        finish()


def table(profiler: torch.profiler.profile) -> str:
    """The operations by their own time, on the GPU if one was used, without that of operations they call."""
    rows = [
        (event.self_device_time_total, event.self_cpu_time_total, event.count, event.key)
        for event in profiler.key_averages()
    ]
    column = 0 if any(row[0] for row in rows) else 1
    total = sum(row[column] for row in rows)
    lines = [f"{total / 1e3:.0f} ms on the {('GPU', 'CPU')[column]}, of that"]
    for row in sorted(rows, key=lambda row: -row[column])[:ROWS]:
        lines.append(f"{row[column] / 1e3:>10.1f} ms {row[column] / total:>6.1%} {row[2]:>7} x {row[3]}")
    return "\n".join(lines)
