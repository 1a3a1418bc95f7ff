"""Speed of an epoch: our training loop, the bare loop that nothing can beat, and a loop as scripts often have it.

python -m benchmarks.epoch

All take turns in one process, so that whatever else the machine does hits all alike, and ratios are taken within a
turn. A turn is a slice of an epoch, scaled by its steps; drawing an epoch's samples is timed apart and added once.
Every result is also appended to `benchmarks/history.jsonl`.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in train_mix.py; read when torch starts

import statistics
import sys
import time
from argparse import Namespace
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch
import torch.nn.functional as F

from algorithms.command.resolve import use_device
from algorithms.deneb import Deneb
from algorithms.parts.mixture import clean_probability
from algorithms.vanilla import Vanilla
from benchmarks.contestants import BATCH, Slice, bare, recorded, synthetic, tasks, typical
from benchmarks.measuring import (
    EPOCH_SIZE,
    HISTORY,
    Times,
    epoch,
    machine,
    peak_memory,
    prepare,
    race,
    ratios,
    remember,
    seconds,
    spread,
)
from data.load import DataSettings, load_dataset
from data.split import Split
from models.registry import networks
from utils.cli import Parser, number, run_script

PROGRAM = "-m benchmarks.epoch"
PER_SAMPLE = ("steps", "uniform draw", "weighted draw", "scoring pass", "mixture")


def epoch_race(train: Split, network: str, turns: int, steps: int, device: torch.device) -> Times:
    """Seconds of an epoch of every contestant, and of its draw, which ours includes."""
    both = tasks(train, network, device=device)
    ours = {draw: Slice(task, steps).to(device) for draw, task in both.items()}
    steps = min(steps, both["uniform"].steps_per_epoch())
    slices = race(
        {"bare": bare(both["uniform"], steps)}
        | ({"recorded": recorded(both["uniform"], steps)} if device.type == "cuda" else {})
        | {f"ours {draw}": epoch(method) for draw, method in ours.items()}
        | {f"typical {draw}": typical(task, steps) for draw, task in both.items() if device.type == "cpu"},
        turns,
    )
    draws = race({draw: method.draw for draw, method in ours.items()}, turns)
    scale = both["uniform"].steps_per_epoch() / steps
    times = {name: [scale * value for value in values] for name, values in slices.items()}
    for draw, values in draws.items():
        times[f"draw {draw}"] = values
        times[f"ours {draw}"] = [sum(pair) for pair in zip(times[f"ours {draw}"], values, strict=True)]
    return times


def filter_race(train: Split, network: str, turns: int, device: torch.device) -> Times:
    """Whole epochs: a plain one, DENEB's prejudice model on what its mixture keeps, and the filtering alone."""
    task = tasks(train, network, device=device)["uniform"]
    plain, deneb = Vanilla(task, Vanilla.Hparams()).to(device), Deneb(task, Deneb.Hparams(warmup=1)).to(device)
    epoch(deneb, 0)()
    times = race({"plain": epoch(plain), "filtered": epoch(deneb), "filter": deneb.kept_samples}, turns, warm=0)
    return {**times, "kept": [len(deneb.kept_samples()) / len(train)]}


def growth(network: str, size: int, turns: int, steps: int, threads: int) -> dict[str, float]:
    """Microseconds per sample at `size` training samples; memory with the images, less what the bare loop takes."""
    prepare(threads)
    race({"bare": bare(tasks(synthetic(BATCH), network)["uniform"], 1)}, 10)
    before = peak_memory()
    both = tasks(synthetic(size), network)
    train = both["uniform"].train
    ours = {f"{draw} draw": Slice(task, min(steps, task.steps_per_epoch())) for draw, task in both.items()}
    method = ours["uniform draw"]
    times = race({"steps": epoch(method)} | {draw: method.draw for draw, method in ours.items()}, turns)
    times["steps"] = [value * size / (len(method.slice) * BATCH) for value in times["steps"]]
    method.eval()
    logits: list[torch.Tensor] = []
    again = range(max(1, 50_000 // size))
    times["scoring pass"] = [seconds(lambda: logits.append(method.task.over_train(method.predict))) for _ in again]
    losses = F.cross_entropy(logits[-1], train.labels, reduction="none").numpy()
    times["mixture"] = [seconds(lambda: clean_probability(losses)) for _ in again]
    taken = peak_memory() - before
    return {name: 1e6 * statistics.median(times[name]) / size for name in PER_SAMPLE} | {
        "memory_bytes": taken,
        "image_bytes": train.images.nbytes,
    }


def measure(train: Split, network: str, threads: int, arguments: Namespace, device: torch.device) -> dict[str, Any]:
    """Measures one network and prints while it does."""
    turns, steps, few = arguments.repeats, arguments.steps, max(arguments.repeats // 2, 1)
    print(f"\n{network}, {len(train)} images, batch {BATCH}: seconds per epoch from {turns} slices of {steps} steps")
    times = epoch_race(train, network, turns, steps, device)
    print("".join(f"{t:>20}" for t in ("", "of it draw", "ours", "bare", "typical", "ours / bare", "typical / ours")))
    for draw in ("uniform", "weighted"):
        ours, usual, least = times[f"ours {draw}"], times.get(f"typical {draw}"), times["bare"]
        cells = [spread(times[f"draw {draw}"], 3), spread(ours, 3), spread(least, 3), spread(usual) if usual else "-"]
        cells += [spread(ratios(ours, least)), spread(ratios(usual, ours)) if usual else "-"]
        print("".join(f"{cell:>20}" for cell in (draw, *cells)), flush=True)
    if "recorded" in times:
        print(f"the bare loop as a CUDA graph: {spread(times['recorded'], 3)}; "
              f"ours / that: {spread(ratios(times['ours uniform'], times['recorded']))}")  # fmt: skip
    whole = filter_race(train, network, few, device)
    print(f"whole epochs: plain {spread(whole['plain'])}, prejudice model {spread(whole['filtered'])}, "
          f"{spread(ratios(whole['filtered'], whole['plain']))} times a plain one\nfiltering for it: "
          f"{spread(ratios(whole['filter'], whole['plain']))} plain epochs, keeps {whole['kept'][0]:.0%}")  # fmt: skip
    print(f"{'images':>10}" + "".join(f"{name:>15}" for name in PER_SAMPLE) + "  (us per image); memory / images")
    sizes = {}
    for size in arguments.sizes if device.type == "cpu" else ():
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:  # peak memory is a whole process's
            row = sizes[size] = fresh.submit(growth, network, size, few, steps, threads).result()
        print(f"{size:>10}" + "".join(f"{row[name]:>15.3f}" for name in PER_SAMPLE)
              + f"  {row['memory_bytes'] / 1e6:.0f} MB / {row['image_bytes'] / 1e6:.0f} MB = "
              f"{row['memory_bytes'] / row['image_bytes']:.2f}", flush=True)  # fmt: skip
    return {"epoch": times, "filter": whole, "growth": sizes}


def compare(argv: list[str]) -> None:
    start = time.perf_counter()
    parser = Parser(prog=f"python {PROGRAM}", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=number(int, 1), help="computing threads (default: two at most)")
    parser.add_argument("--repeats", type=number(int, 1), default=7, help="turns of every contestant")
    parser.add_argument("--steps", type=number(int, 1), help="updates per turn (default: 30, on a GPU an epoch's)")
    parser.add_argument("--sizes", type=number(int, BATCH), nargs="*", default=[5_000, 50_000, 200_000, 1_000_000],
                        help="numbers of images for the growth of time and memory")  # fmt: skip
    parser.add_argument("--networks", nargs="+", choices=networks.names(), default=["CONV", "MLP"])
    parser.add_argument(
        "--gpu",
        help="number of the CUDA device (default: the CPU); sizes and scripts as they often are belong to a CPU",
    )
    parser.add_argument("--data_dir", help="race on the Colored MNIST there instead of synthetic images")
    parser.add_argument("--quick", action="store_true", help="2 turns of 10 updates, small sizes")
    arguments = parser.parse_all(argv)
    if arguments.quick:
        arguments.repeats, arguments.steps, arguments.sizes = 2, 10, [5_000, 50_000]
    device = use_device(arguments.gpu or "cpu")
    arguments.steps = arguments.steps or (30 if device.type == "cpu" else EPOCH_SIZE // BATCH)
    about = machine(prepare(arguments.threads), device)
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    settings = DataSettings("colored_mnist", arguments.data_dir, 0.01, 0.1, "sym", "reference", False, 0)
    train = load_dataset(settings).train if arguments.data_dir else synthetic(EPOCH_SIZE)
    results = {network: measure(train, network, about["threads"], arguments, device) for network in arguments.networks}
    settled = {
        "repeats": arguments.repeats,
        "steps": arguments.steps,
        "images": "real" if arguments.data_dir else "synthetic",
    }
    remember("epoch", about, settled, results)
    print(f"\n{time.perf_counter() - start:.0f} s; appended to {HISTORY}")


def main(argv: list[str]) -> int:
    return run_script(lambda: compare(argv), PROGRAM, argv, kept="nothing is kept")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
