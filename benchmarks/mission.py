"""Time of the README's command: DENEB, then GCE, with CONV on 54,000 images of 3x28x28, 100 epochs each.

python -m benchmarks.mission

The parts of its epochs are timed in turns with those of a plain script: items read one by one, `nn.Dropout`, `.item()`
at every step, a linear scan for every weighted draw, the data set read from its file again for every filtered epoch.
Whole times are sums of the parts, the same sum for all: both train on as large a share of the images in a filtered
epoch, and evaluate on 6,000 validation and 10,000 test images after every epoch. Every result is also appended to
`benchmarks/history.jsonl` and compared with the last one of the same machine. With one thread, seconds are those that
the process worked: a busy machine hardly changes them.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in train_mix.py; read when torch starts

import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from algorithms.deneb import Deneb
from algorithms.parts.mixture import clean_probability
from algorithms.task import Task, over_split
from benchmarks.contestants import BATCH, PerItem, Slice, synthetic, tasks, typical, typical_scoring
from benchmarks.measuring import (
    EPOCH_SIZE,
    HISTORY,
    Run,
    epoch,
    last,
    machine,
    prepare,
    race,
    remember,
    work_clock,
)
from utils.cli import Parser, number, run_script

EPOCHS, WARM_UP = 100, 1
PROGRAM = "-m benchmarks.mission"
EVALUATED = 16_000
PRECISIONS = ("off", "bf16")
Parts = dict[str, float]


def our_parts(both: dict[str, Task], steps: int) -> dict[str, Run]:
    """The filter is whole; training is a slice of `steps` updates, whose draws are timed with it, for a whole epoch."""
    slices = {draw: Slice(task, steps) for draw, task in both.items()}
    deneb = Deneb(both["uniform"], Deneb.Hparams())
    evaluated = both["uniform"].train.subset(torch.arange(EVALUATED))
    return {
        "uniform": epoch(slices["uniform"]),
        "weighted": epoch(slices["weighted"]),
        "draw": slices["weighted"].draw,
        "filter": deneb.kept_samples,
        "evaluation": lambda: over_split(deneb.eval().predict, evaluated, deneb.task.device),
    }


def plain_parts(both: dict[str, Task], steps: int, file: Path) -> dict[str, Run]:
    """The mixture and the reading are whole, the others slices of `steps` batches."""
    losses = np.random.default_rng(0).exponential(size=EPOCH_SIZE)

    def read() -> None:
        stored = torch.load(file, weights_only=True)
        PerItem(replace(both["uniform"].train, images=stored["images"], labels=stored["labels"]), None)

    return {
        "uniform": typical(both["uniform"], steps),
        "weighted": typical(both["weighted"], steps),
        "scoring": typical_scoring(both["uniform"], steps),
        "mixture": lambda: clean_probability(losses),
        "read": read,
    }


def whole(warm_up: float, filtering: float, final: float, evaluation: float, kept: float) -> Parts:
    """Seconds of each kind of epoch, its evaluation included, and of the whole command."""
    kinds = {
        "warm-up epoch": warm_up + evaluation,
        "filtered epoch": filtering + kept * warm_up + evaluation,
        "final epoch": final + evaluation,
    }
    counts = (WARM_UP, EPOCHS - WARM_UP, EPOCHS)
    return {**kinds, "command": sum(count * kinds[kind] for count, kind in zip(counts, kinds, strict=True))}


def compare(argv: list[str]) -> None:
    parser = Parser(prog=f"python {PROGRAM}", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=number(int, 1), help="computing threads (default: two at most)")
    parser.add_argument("--repeats", type=number(int, 1), default=5, help="turns of every part")
    parser.add_argument("--steps", type=number(int, 1), default=30, help="batches in a slice")
    arguments = parser.parse_all(argv)
    about = machine(prepare(arguments.threads))
    settings = {"repeats": arguments.repeats, "steps": arguments.steps}
    before = last("mission", about, settings)
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    train = synthetic(EPOCH_SIZE)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.pt"
        torch.save({"images": train.images, "labels": train.labels}, file)
        parts = {"plain": plain_parts(tasks(train, "CONV"), arguments.steps, file)}
        parts |= {f"ours, amp {amp}": our_parts(tasks(train, "CONV", amp), arguments.steps) for amp in PRECISIONS}
        flat = {f"{who}: {part}": run for who, runs in parts.items() for part, run in runs.items()}
        turns = race(flat, arguments.repeats, clock=work_clock())
    times = {name: statistics.median(values) for name, values in turns.items()}
    task = tasks(train, "CONV")["uniform"]
    deneb = Deneb(task, Deneb.Hparams())
    epoch(deneb, 0)()
    kept = len(deneb.kept_samples()) / len(train)
    batches = EPOCH_SIZE // BATCH
    scale, evaluated = batches / arguments.steps, EVALUATED / (arguments.steps * BATCH)
    scoring = times["plain: scoring"]
    results = {
        "plain": whole(
            scale * times["plain: uniform"],
            times["plain: read"] + scale * scoring + times["plain: mixture"],
            scale * times["plain: weighted"],
            evaluated * scoring,
            kept,
        )
    }
    for amp in PRECISIONS:
        mine = {part: times[f"ours, amp {amp}: {part}"] for part in parts[f"ours, amp {amp}"]}
        results[f"ours, amp {amp}"] = whole(
            scale * mine["uniform"],
            mine["filter"],
            scale * mine["weighted"] + mine["draw"],
            mine["evaluation"],
            kept,
        )
    print(f"seconds; {kept:.0%} of the images are kept by the filter\n{'':<16}"
          + "".join(f"{kind:>16}" for kind in results["plain"]) + f"{'plain / this':>16}{'before':>10}")  # fmt: skip
    for who, row in results.items():
        was = f"{before['results']['plain']['command'] / before['results'][who]['command']:.2f}" if before else "-"
        print(f"{who:<16}" + "".join(f"{value:>16.1f}" for value in row.values())
              + f"{results['plain']['command'] / row['command']:>16.2f}{was:>10}")  # fmt: skip
    remember("mission", about, settings, {**results, "parts": times})
    print(f"appended to {HISTORY}")


def main(argv: list[str]) -> int:
    return run_script(lambda: compare(argv), PROGRAM, argv, kept="nothing is kept")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
