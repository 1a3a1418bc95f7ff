"""`--amp auto`: the precision in which a network's training step is faster on this device, measured once and kept."""

import logging
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from filelock import FileLock

from algorithms.task import StageSettings, Task
from algorithms.training.config import RunConfig
from data.load import load_dataset
from utils.distributed import from_writer, world, writer_first
from utils.files import read_json, write_json
from utils.logbook import device_name

log = logging.getLogger(__name__)

ROUNDS = 9
WARM_UP = 2
WORTH = 1.1
"""Other rounding is worth a gain that stands out of the noise of a short race."""


def settle(config: RunConfig) -> RunConfig:
    """`config` with what `--amp auto` means here in its place.

    What was measured stays in `precision.json` in the log folder, so that the same command means the same tomorrow;
    without that file it is measured again.
    """
    stages = []
    for stage in config.stages:
        settings = stage.settings
        if settings.amp == "auto":
            settings = replace(settings, amp=_pick(_seconds(config, settings)))
        stages.append(replace(stage, settings=settings))
    return replace(config, stages=tuple(stages))


def _seconds(config: RunConfig, settings: StageSettings) -> dict[str, float]:
    """What a race measured, if not now then before."""
    path = config.log_dir / "precision.json"
    model = f"compiled {settings.model}" if settings.compile else settings.model
    where = f"{world()} x {device_name(config.device)} with {torch.get_num_threads()} threads"
    case = f"{model} on {config.dataset_name} in batches of {settings.batch_size}, {where}"
    seconds = from_writer(_known, path).get(case)
    if seconds is None:
        seconds = from_writer(_keep, path, case, race(config, settings))
        times = ", ".join(f"{amp} {1e3 * each:.1f} ms" for amp, each in seconds.items())
        log.info("--amp auto: %s for %s (a step: %s)", _pick(seconds), case, times)
    return seconds


def _pick(seconds: dict[str, float]) -> str:
    """The fastest precision, if it is `WORTH` leaving float32 ("off")."""
    best = min(seconds, key=seconds.__getitem__)
    return best if seconds["off"] >= WORTH * seconds[best] else "off"


def _known(path: Path) -> dict[str, dict[str, float]]:
    return read_json(path) if path.exists() else {}


def _keep(path: Path, case: str, seconds: dict[str, float]) -> dict[str, float]:
    """What holds from now on: these seconds, unless another run has measured the case in the meantime."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        known = {case: seconds} | _known(path)
        write_json(path, known)
    return known[case]


def race(config: RunConfig, settings: StageSettings) -> dict[str, float]:
    """Median seconds of forward and backward passes by precision, in turns, on a throw-away network and real images."""
    dataset = writer_first(load_dataset, config.data)
    index = torch.arange(settings.batch_size) % len(dataset.train)
    task = Task(dataset.train, dataset.num_classes, config.device, settings, seed=0, stage="race")
    runners = {
        amp: replace(task, settings=replace(settings, amp=amp)).new_network() for amp in candidates(config.device)
    }
    times: dict[str, list[float]] = {amp: [] for amp in runners}
    with torch.random.fork_rng():
        batch = task.batch(index)
        for _ in range(WARM_UP + ROUNDS):
            for amp, network in runners.items():
                start = time.perf_counter()
                F.cross_entropy(network(batch.images), batch.labels).backward()
                if config.device.type == "cuda":
                    torch.cuda.synchronize(config.device)
                times[amp].append(time.perf_counter() - start)
    return {amp: statistics.median(values[WARM_UP:]) for amp, values in times.items()}


def candidates(device: torch.device) -> list[str]:
    """What to try: float32, and bf16, or fp16 on a GPU that only emulates bf16."""
    emulated = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    return ["off", "fp16" if emulated else "bf16"]
