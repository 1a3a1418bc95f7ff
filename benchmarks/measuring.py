"""Shared by the benchmarks: contestants that take turns, and a history of what was measured on which machine."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from algorithms.base import Method
from algorithms.training.recorder import Recorder
from algorithms.training.trainer import train_epoch
from utils.cpu import keep_freed_memory, use_threads
from utils.logbook import device_name

HISTORY = Path(__file__).with_name("history.jsonl")
EPOCH_SIZE = 54_000
"""Training images of Colored MNIST."""

CPU = torch.device("cpu")

Run = Callable[[], object]
Times = dict[str, list[float]]


def epoch(method: Method, number: int = 1) -> Run:
    """The trainer's own epoch, numbered from 0."""
    recorder = Recorder.of(method)
    return lambda: train_epoch(method, number, recorder)


def seconds(run: Run, clock: Callable[[], float] = time.perf_counter) -> float:
    """Time of `run`, until a GPU that it uses has finished too."""
    start = clock()
    run()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return clock() - start


def work_clock(device: torch.device = CPU) -> Callable[[], float]:
    """Seconds that this process worked, which a busy machine does not add to; else, as on a GPU, those elapsed."""
    return time.process_time if device == CPU and torch.get_num_threads() == 1 else time.perf_counter


def race(
    contestants: dict[str, Run], turns: int, warm: int = 1, clock: Callable[[], float] = time.perf_counter
) -> Times:
    """Seconds of every turn, after `warm` untimed ones; every other round goes in reverse order."""
    times: Times = {name: [] for name in contestants}
    for turn in range(warm + turns):
        for name in list(contestants)[:: -1 if turn % 2 else 1]:
            times[name].append(seconds(contestants[name], clock))
    return {name: values[warm:] for name, values in times.items()}


def peak_memory(device: torch.device = CPU) -> int:
    """Of this process or on its GPU, in bytes; unlike `ru_maxrss` it does not begin with the parent's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status").read_text().split()
    return 1024 * int(status[status.index("VmHWM:") + 1])


def prepare(threads: int | None) -> int:
    """Memory and threads as `train_mix.py` sets them; returns the number of threads."""
    keep_freed_memory()
    return use_threads(threads)


def machine(threads: int, device: torch.device = CPU) -> dict[str, Any]:
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "cpu": device_name(CPU),
        "gpu": device_name(device) if device.type == "cuda" else None,
        "cores": os.cpu_count(),
        "threads": threads,
        "load before": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def spread(values: list[float], digits: int = 2) -> str:
    low, middle, high = (f"{of(values):.{digits}f}" for of in (min, statistics.median, max))
    return f"{middle} [{low}-{high}]"


def ratios(above: list[float], below: list[float]) -> list[float]:
    """Turn by turn, so that what else the machine did hits both alike."""
    return [a / b for a, b in zip(above, below, strict=True)]


def remember(benchmark: str, about: dict[str, Any], settings: dict[str, Any], results: dict[str, Any]) -> None:
    """Appends a line to the history."""
    entry = {"benchmark": benchmark, "machine": about, "settings": settings, "results": results}
    with HISTORY.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def last(benchmark: str, about: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any] | None:
    """The latest entry of the same benchmark with the same settings on the same kind of machine."""
    lines = HISTORY.read_text(encoding="utf-8").splitlines() if HISTORY.exists() else []
    for entry in map(json.loads, reversed(lines)):
        alike = all(entry["machine"].get(key) == about.get(key) for key in ("cpu", "gpu", "cores", "threads"))
        if alike and entry.get("benchmark") == benchmark and entry["settings"] == settings:
            return entry
    return None
