"""What draws are worth: one final model on those of DENEB, JTT and ours, and on those of oracles.

python -m benchmarks.oracle_draws --alg deneb_vanilla --seeds 0,1,2
python -m benchmarks.oracle_draws --rows docs/oracle_draws.jsonl --only_table   # the table of docs/beyond_deneb.md

Every seed has one prejudice model, DENEB's. An *oracle* knows the true group of every training image, which no method
does. All other flags are those of train_mix.py; what learns from the draws is the second of `--alg`'s pair.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in train_mix.py; read when torch starts

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from algorithms.contradicted import shared_draws
from algorithms.jtt import multiplicity
from algorithms.parts.cue import fit_cue_model
from algorithms.parts.losses import prediction_entropy
from algorithms.task import over_split
from algorithms.training.config import RunConfig
from benchmarks.label_errors import trained
from benchmarks.rows import Row, add_flags, read_rows, with_row, write_rows
from data.batches import as_probabilities
from data.load import load_dataset
from utils.cli import Parser, run_script, show_log
from utils.cpu import keep_freed_memory, use_threads
from utils.errors import UsageError
from utils.metrics import GROUPS, group_accuracies, selection_quality
from utils.results.tables import mean_and_deviation

PROGRAM = "-m benchmarks.oracle_draws"
CLEAN_CONFLICTING = GROUPS.index("conflicting-clean")
ACCURACIES = {"unbiased": "accuracy", "aligned": "aligned", "conflicting": "conflicting"}


def draws(logits: Tensor, labels: Tensor, groups: Tensor, tau: float) -> dict[str, Tensor]:
    """Sampling probabilities, float64 [N], by the name of who draws so.

    Args:
        logits: of DENEB's prejudice model, float64 [N, C].
        labels: given labels, int64 [N].
        groups: positions in `GROUPS`, int64 [N]; for the oracles.
        tau: DENEB's temperature.
    """
    contradicted = logits.argmax(1) != labels
    deneb = as_probabilities(prediction_entropy(logits, tau))
    even = evenly_within(deneb, groups)
    right, noisy = fit_cue_model(logits, labels).right_label_probability(labels), groups >= 2
    return {
        f"DENEB, `tau` {tau}": deneb,
        "*oracle:* the same shares, evenly within each group": even,
        "*oracle:* the clean conflicting ones evenly, the rest as it was": torch.where(
            groups == CLEAN_CONFLICTING, even, deneb
        ),
        "as JTT: contradicted images 31 times as often": as_probabilities(multiplicity(contradicted, 30)),
        "*oracle:* the same, wrong labels not enlarged": as_probabilities(multiplicity(contradicted & ~noisy, 30)),
        "`contradicted`": shared_draws(contradicted, 0.7, right[contradicted]),
        "*oracle:* the same, wrong labels left out": shared_draws(contradicted, 0.7, (~noisy)[contradicted].double()),
    }


def evenly_within(probabilities: Tensor, groups: Tensor) -> Tensor:
    """Every group's share of the draws, float64 [N], spread evenly within the group (int64 [N])."""
    shares = torch.zeros(len(GROUPS), dtype=torch.float64).index_add_(0, groups, probabilities)
    return (shares / torch.bincount(groups, minlength=len(GROUPS)).clamp_min(1))[groups]


def rows_of(config: RunConfig, seed: int) -> list[Row]:
    """Accuracies of a final model on each of the draws, and how many images of the groups these are worth."""
    config = replace(config, data=replace(config.data, seed=seed))
    first, second = config.stages
    dataset = load_dataset(config.data)
    groups, notes = dataset.train_groups(), dataset.annotations["test"]
    if (groups < 0).any():
        raise UsageError("an oracle needs the true group of every image.")
    train, classes = dataset.train, dataset.num_classes
    prejudice = trained(config, first, train, classes, "deneb")
    logits = over_split(prejudice.predict, train, config.device).double()
    about = {"dataset": config.dataset_name, "bratio": config.data.bratio, "nratio": config.data.nratio}
    about |= {"model": second.settings.model, "epochs": second.settings.epochs, "second": second.method, "seed": seed}
    rows = []
    for name, probabilities in draws(logits, train.labels, groups, first.hparams.tau).items():
        final = trained(config, second, train, classes, second.method, probabilities=probabilities)
        predicted = over_split(final.predict, dataset.test, config.device).argmax(1)
        reached = group_accuracies(predicted, notes.true_labels, notes.bias_labels, classes, notes.groups_by)
        quality = selection_quality(probabilities.numpy(), probabilities.numpy(), groups.numpy())
        rows.append({**about, "draws": name, **reached, **{key: quality[key] for key in ("mass", "effective")}})
    return rows


def table(rows: list[Row]) -> str:
    """A Markdown table for each data set and schedule: means and standard deviations over seeds."""
    settings: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        name = "{dataset}, bratio {bratio}, nratio {nratio}, {model}, {epochs} epochs, then {second}".format(**row)
        settings[name][row["draws"]].append(row)
    lines = []
    for name, by_draws in settings.items():
        numbers = sorted({row["seed"] for mine in by_draws.values() for row in mine})
        lines += [f"\n{name}; seeds {', '.join(map(str, numbers))}\n"]
        lines += [
            "| draws | on clean conflicting images (worth) | on clean aligned ones (worth) | unbiased | aligned |"
        ]
        lines[-1] += " conflicting |"
        lines += ["|---" * 6 + "|"]
        for who, mine in by_draws.items():
            cells = [who]
            for group in ("conflicting-clean", "aligned-clean"):
                worth = sum(row["effective"][group] for row in mine) / len(mine)
                cells.append(f"{mean_and_deviation([row['mass'][group] for row in mine])} ({worth:.0f})")
            cells += [mean_and_deviation([row[key] for row in mine]) for key in ACCURACIES.values()]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    show_log()
    return run_script(lambda: compare(argv), PROGRAM, argv)


def compare(argv: list[str]) -> None:
    """Adds the rows of this command's seeds to `--rows`, in place of those with the same settings, and prints all."""
    arguments = parse_arguments(argv, f"python {PROGRAM}", _add_flags)
    rows = read_rows(arguments.rows)
    if not arguments.only_table:
        use_threads(arguments.threads)
        keep_freed_memory()
        config = resolve(arguments)
        if [stage.method for stage in config.stages][:-1] != ["deneb"] or config.stages[0].hparams.tau == "auto":
            raise UsageError("--alg has to be deneb and a learner, such as deneb_vanilla, with a number as --tau.")
        for seed in arguments.seeds:
            for new in rows_of(config, seed):
                same = ("dataset", "bratio", "nratio", "model", "epochs", "second", "seed", "draws")
                rows = with_row(rows, new, same)
            write_rows(arguments.rows, rows)
    print(table(rows))


def _add_flags(parser: Parser) -> None:
    add_flags(parser.add_argument_group("comparison"), Path("log/oracle_draws.jsonl"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
