"""The share of each method's epoch that is not its networks' own work.

python -m benchmarks.methods

An epoch of a method, with its scoring passes, mixtures and tables, takes turns with its floor: as many forward,
backward and optimiser passes over as many images, in the same modes, with cross entropy and nothing else, on batches
that are floats in memory already. The passes are counted while the method runs, so that no step is recorded on a GPU.
On a CPU each method has a fresh process; the memory that it takes beyond that of the training images and of a
network's bare step is shown. Every result is also appended to `benchmarks/history.jsonl` and compared with the last
one of the same machine. With one thread on a CPU, seconds are those that the process worked: a busy machine hardly
changes them.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in train_mix.py; read when torch starts

import itertools
import statistics
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Method, methods
from algorithms.command.resolve import use_device
from algorithms.task import Task
from benchmarks.contestants import BATCH, bare, synthetic, tasks
from benchmarks.measuring import (
    EPOCH_SIZE,
    HISTORY,
    Run,
    Times,
    epoch,
    last,
    machine,
    peak_memory,
    prepare,
    ratios,
    remember,
    seconds,
    spread,
    work_clock,
)
from models.registry import Network, networks
from utils.cli import Parser, number, run_script

PROGRAM = "-m benchmarks.methods"
WARM_UP = 4
"""Times that a method trains its first epoch before it is measured, so that its filters have something to find."""

DISTINCT = 8
"""Prepared batches of a size, so that the floor's images are not always in the processor's cache."""


@dataclass(frozen=True)
class Pass:
    """A network's forward pass over `rows` images; if it learns, a backward pass and an optimiser step follow."""

    rows: int
    training: bool
    learns: bool


@contextmanager
def counting() -> Iterator[list[Pass]]:
    """Collects the passes of all networks within the block."""
    passes: list[Pass] = []
    extract = Network.extract

    def counted(network: Network, images: Tensor) -> Tensor:
        passes.append(Pass(len(images), network.training, torch.is_grad_enabled()))
        return extract(network, images)

    Network.extract = counted  # type: ignore[method-assign, assignment]
    try:
        yield passes
    finally:
        Network.extract = extract  # type: ignore[method-assign]


def floor(task: Task, passes: list[Pass]) -> Run:
    """Nothing but `passes`, on one network."""
    network = task.new_network()
    optimizer = task.settings.optimizer(network.parameters())
    generator = torch.Generator().manual_seed(0)
    batches = {
        rows: [task.batch(torch.randint(len(task.train), (rows,), generator=generator)) for _ in range(DISTINCT)]
        for rows in {each.rows for each in passes}
    }

    def run() -> None:
        for each, position in zip(passes, itertools.cycle(range(DISTINCT))):
            batch = batches[each.rows][position]
            network.train(each.training)
            with torch.inference_mode(not each.learns):
                logits = network(batch.images)
            if each.learns:
                optimizer.zero_grad()
                F.cross_entropy(logits, batch.labels).backward()
                optimizer.step()

    return run


def prepared(task: Task, name: str) -> Method:
    """The method with a warm-up, if it has one, of a single epoch, which is over; it has learnt a little."""
    hparams = {"warmup": 1} if hasattr(methods[name].Hparams, "warmup") else {}
    cue = torch.randn(len(task.train), task.num_classes, generator=torch.Generator().manual_seed(0))
    settings = replace(task.settings, cuda_graphs=False)
    named = replace(task, settings=settings, stage=name, noise_rate=0.2, cue=cue)
    method = methods[name](named, methods[name].Hparams(**hparams)).to(task.device)
    for _ in range(WARM_UP):
        epoch(method, 0)()
    epoch(method)()
    return method


def measure(
    name: str, network: str, amp: str, size: int, turns: int, threads: int, device: torch.device
) -> dict[str, Any]:
    """Seconds of an epoch of `size` images and of its floor, turn by turn, the bytes it takes, and its last passes.

    A floor has the passes of the very epoch before it: what a filter keeps changes from epoch to epoch.
    """
    prepare(threads)
    task, clock = tasks(synthetic(size), network, amp, device)["uniform"], work_clock(device)
    bare(task, 1)()
    before = peak_memory(device)
    method = prepared(task, name)
    taken = peak_memory(device) - before
    times: Times = {"ours": [], "floor": []}
    for _ in range(turns):
        with counting() as passes:
            times["ours"].append(seconds(epoch(method), clock))
        least = floor(task, passes)
        least()
        times["floor"].append(seconds(least, clock))
    learnt = sum(each.rows for each in passes if each.learns)
    return {
        **times,
        "memory_bytes": taken,
        "learnt_images": learnt / size,
        "other_images": (sum(each.rows for each in passes) - learnt) / size,
    }


def compare(argv: list[str]) -> None:
    parser = Parser(prog=f"python {PROGRAM}", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=number(int, 1), help="computing threads (default: two at most)")
    parser.add_argument("--repeats", type=number(int, 1), default=5, help="turns of every method and its floor")
    parser.add_argument("--size", type=number(int, BATCH), default=32 * BATCH, help="training images")
    parser.add_argument("--methods", nargs="+", choices=methods.names(), default=methods.names())
    parser.add_argument("--networks", nargs="+", choices=networks.names(), default=["CONV", "MLP"])
    parser.add_argument("--gpu", help="number of the CUDA device (default: the CPU)")
    parser.add_argument("--amp", choices=["off", "bf16"], default="off", help="precision of training passes")
    arguments = parser.parse_all(argv)
    device = use_device(arguments.gpu or "cpu")
    about = machine(prepare(arguments.threads), device)
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    for network in arguments.networks:
        settings = {"network": network, "amp": arguments.amp, "size": arguments.size, "repeats": arguments.repeats}
        before = last("methods", about, settings)
        print(f"\n{network}, batch {BATCH}, amp {arguments.amp}: s per epoch of {EPOCH_SIZE} images, from "
              f"{arguments.repeats} of {arguments.size}; learnt: images in passes that learn / training images, "
              f"other: in other passes\n{'':<14}{'ours':>9}{'floor':>9}{'ours / floor':>20}{'before':>9}"
              f"{'learnt':>9}{'other':>9}{'memory':>10}")  # fmt: skip
        results = {}
        for name in arguments.methods:
            asked = (name, network, arguments.amp, arguments.size, arguments.repeats, about["threads"], device)
            if device.type == "cuda":  # whose memory can be asked for anew
                torch.cuda.reset_peak_memory_stats(device)
                row = results[name] = measure(*asked)
            else:
                with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
                    row = results[name] = fresh.submit(measure, *asked).result()
            scale = EPOCH_SIZE / arguments.size
            ours, least = (scale * statistics.median(row[key]) for key in ("ours", "floor"))
            known = before["results"].get(name) if before else None
            was = f"{statistics.median(ratios(known['ours'], known['floor'])):.2f}" if known else "-"
            print(f"{name:<14}{ours:>9.2f}{least:>9.2f}{spread(ratios(row['ours'], row['floor'])):>20}{was:>9}"
                  f"{row['learnt_images']:>9.2f}{row['other_images']:>9.2f}{row['memory_bytes'] / 1e6:>7.0f} MB",
                  flush=True)  # fmt: skip
        remember("methods", about, settings, results)
    print(f"\nappended to {HISTORY}")


def main(argv: list[str]) -> int:
    return run_script(lambda: compare(argv), PROGRAM, argv, kept="nothing is kept")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
