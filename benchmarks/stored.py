"""Training on images in a file that is larger than memory should be: its speed, its memory, and what the disk gives.

python -m benchmarks.stored --folder DIR

Writes a store of synthetic 64x64 images into DIR and removes it at the end. Before every turn the system is told to
forget the file, so that each image that a turn serves comes from the disk.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in train_mix.py; read when torch starts

import statistics
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor

from algorithms.task import over_split
from benchmarks.contestants import BATCH, Slice, tasks
from benchmarks.measuring import Run, epoch, machine, peak_memory, prepare, race, ratios, seconds, spread
from data.augment import CROPPED_FLIPPED
from data.split import Split
from data.store import CHUNK, Images, open_store, write_store
from utils.cli import Parser, number, run_script

PROGRAM = "-m benchmarks.stored"
SIZE = 64
IN_MEMORY = 40_000


def noise(count: int) -> Iterator[Tensor]:
    """Random images, CHUNK at a time."""
    pixels = torch.randint(256, (CHUNK, SIZE, SIZE, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    for start in range(0, count, CHUNK):
        yield pixels[: count - start] ^ start // CHUNK % 256


def forget(path: Path) -> None:
    """Drops the file from the system's cache."""
    file = os.open(path, os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


def training(images: Images, network: str, steps: int) -> Slice:
    labels = torch.arange(len(images)) % 10
    return Slice(tasks(Split(images, labels, CROPPED_FLIPPED), network)["uniform"], steps)


def afresh(path: Path, run: Run) -> Run:
    def cold() -> None:
        forget(path)
        run()

    return cold


def speed(path: Path, network: str, turns: int, steps: int, threads: int) -> dict[str, list[float]]:
    """Seconds per batch: reading alone, and training from the file and from memory."""
    prepare(threads)
    store = open_store(path, "")
    assert store is not None
    memory = store.subset(torch.arange(IN_MEMORY)).to(torch.device("cpu"))
    stored, resident = training(store, network, steps), training(memory, network, steps)

    def passing() -> None:
        for start in range(0, steps * BATCH, BATCH):
            store[start : start + BATCH]

    def drawing() -> None:
        for index in stored.slice:
            store[index]

    times = race(
        {
            "in order": afresh(path, passing),
            "drawn": afresh(path, drawing),
            "memory": epoch(resident),
            "file": afresh(path, epoch(stored)),
        },
        turns,
    )
    return {name: [value / steps for value in values] for name, values in times.items()}


def memory(path: Path, network: str, steps: int, threads: int) -> tuple[int, int, float]:
    """Peak memory in bytes of a process that trained and scored, and after a pass over all images, with its seconds."""
    prepare(threads)
    store = open_store(path, "")
    assert store is not None
    method = training(store, network, steps)
    epoch(method)()
    method.eval()
    split = method.task.train
    over_split(method.predict, split.subset(torch.arange(BATCH * steps)), method.task.device)
    trained = peak_memory()
    forget(path)
    taken = seconds(lambda: over_split(lambda images: images[:, 0, 0, 0], split, method.task.device))
    return trained, peak_memory(), taken


def compare(argv: list[str]) -> None:
    parser = Parser(prog=f"python {PROGRAM}", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the file goes")
    parser.add_argument("--gigabytes", type=number(float, 1), default=20, help="its size")
    parser.add_argument("--network", default="CONV", help="the network")
    parser.add_argument("--threads", type=number(int, 1), help="computing threads (default: two at most)")
    parser.add_argument("--repeats", type=number(int, 1), default=5, help="turns of every contestant")
    parser.add_argument("--steps", type=number(int, 1), default=20, help="updates per turn")
    arguments = parser.parse_all(argv)
    try:
        threads = prepare(arguments.threads)
        print(", ".join(f"{name} {value}" for name, value in machine(threads).items()))
        path, count = arguments.folder / "benchmark.u8", int(arguments.gigabytes * 1e9 / (3 * SIZE * SIZE))
        written = seconds(lambda: write_store(path, "", (count, 3, SIZE, SIZE), noise(count)))
        megabytes = path.stat().st_size / 1e6
        print(f"{count} images of 3x{SIZE}x{SIZE}, {megabytes / 1e3:.1f} GB, written at {megabytes / written:.0f} MB/s")
        with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as fresh:
            times = fresh.submit(speed, path, arguments.network, arguments.repeats, arguments.steps, threads).result()
            batch = BATCH * 3 * SIZE * SIZE / 1e6
            for name in ("in order", "drawn"):
                print(f"read {name}: {batch / statistics.median(times[name]):.0f} MB/s")
            milliseconds = {name: spread([1e3 * value for value in values]) for name, values in times.items()}
            print(f"{arguments.network}, ms per batch of {BATCH}: {milliseconds}")
            print(f"rate from the file / from memory: {spread(ratios(times['memory'], times['file']))}")
            trained, whole, taken = fresh.submit(memory, path, arguments.network, arguments.steps, threads).result()
            print(f"peak memory: {trained / 1e6:.0f} MB training and scoring, {whole / 1e6:.0f} MB after a pass over "
                  f"all {megabytes / 1e3:.1f} GB ({megabytes / taken:.0f} MB/s)")  # fmt: skip
    finally:
        for file in arguments.folder.glob("benchmark.u8*"):
            file.unlink()


def main(argv: list[str]) -> int:
    return run_script(lambda: compare(argv), PROGRAM, argv, kept="nothing is kept")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
