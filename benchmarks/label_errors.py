"""Who finds wrong labels on biased images: cleanlab, as it is recommended, or a run's `samples.csv`.

python -m benchmarks.label_errors --dataset colored_digits --seeds 0,1,2
python -m benchmarks.label_errors --rows docs/label_errors.jsonl --only_table     # the table of docs/audit.md again

cleanlab gets out-of-sample probabilities: the same network, trained plainly with the same schedule on all folds but
one, judges the images of that fold. All other flags are those of train_mix.py; `--alg` is whose `samples.csv` competes.
True labels serve to judge the competitors, which do not see them.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in train_mix.py; read when torch starts

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold

from algorithms.base import methods
from algorithms.command.arguments import parse_arguments, resolve
from algorithms.task import Task, over_split
from algorithms.training.config import RunConfig
from algorithms.training.run import run
from algorithms.training.trainer import train_epoch
from data.load import load_dataset
from data.split import Dataset
from utils.audit.samples import Samples, read_samples
from utils.cli import Parser, number, run_script, show_log
from utils.cpu import keep_freed_memory, use_threads
from utils.errors import RunError
from utils.files import write_text
from utils.metrics import GROUPS, auroc
from utils.results.tables import mean_and_deviation

PROGRAM = "-m benchmarks.label_errors"
AMONG = {"all": (0, 1, 2, 3), "conflicting": (1, 3), "aligned": (0, 2)}
"""Positions in `GROUPS` of the images among which wrong labels are to be found."""

Row = dict[str, Any]


def label_quality() -> Callable[..., np.ndarray]:
    """cleanlab's score of labels (int [N]) by probabilities (float [N, C]): [N], small where a label looks wrong."""
    try:
        from cleanlab.rank import get_label_quality_scores
    except ImportError as error:
        raise RunError("the comparison needs an extra package: pip install cleanlab") from error
    return get_label_quality_scores


def out_of_sample(config: RunConfig, dataset: Dataset, folds: int) -> np.ndarray:
    """Class probabilities, float64 [N, C], of every training image by a network that was not trained on it."""
    stage, train, seed = config.stages[-1], dataset.train, config.data.seed
    probabilities = np.empty((len(train), dataset.num_classes))
    divided = StratifiedKFold(folds, shuffle=True, random_state=seed).split(train.labels, train.labels)
    for fold, (inside, outside) in enumerate(divided):
        others = train.subset(torch.from_numpy(inside))
        task = Task(others, dataset.num_classes, config.device, stage.settings, seed, f"fold {fold}")
        method = methods[stage.method](task, stage.hparams).to(config.device)
        schedulers = [stage.settings.scheduler(optimizer) for optimizer in method.optimizers]
        for epoch in range(stage.settings.epochs):
            train_epoch(method, epoch)
            for scheduler in schedulers:
                scheduler.step()
        judged = over_split(method.eval().predict, train.subset(torch.from_numpy(outside)), config.device)
        probabilities[outside] = judged.double().softmax(1).numpy()
    return probabilities


def suspicions(arguments: argparse.Namespace, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """How suspicious each competitor finds every training image, [N], by its name; and the images' groups, [N]."""
    quality = label_quality()

    def samples_of(alg: str) -> tuple[RunConfig, Samples]:
        config = resolve(argparse.Namespace(**{**vars(arguments), "alg": alg}))
        config = replace(config, data=replace(config.data, seed=seed))
        run(config)
        return config, read_samples(config.folder)

    debiased, ours = samples_of(arguments.alg)
    plain, vanilla = samples_of("vanilla")
    dataset = load_dataset(plain.data)
    groups = dataset.train_groups().numpy()
    if not (groups >= 2).any() or not (groups[groups >= 0] < 2).any():
        raise RunError("nothing to compare: known groups, and right and wrong labels among them, are needed.")
    probabilities, labels = out_of_sample(plain, dataset, arguments.folds), dataset.train.labels.numpy()
    found = {
        f"cleanlab, {kind}": -quality(labels, probabilities, method=kind)
        for kind in ("self_confidence", "normalized_margin")
    }
    found["vanilla: confidence, in-sample"] = -vanilla["given_label_confidence"]
    found[f"{debiased.alg}: confidence"] = -ours["given_label_confidence"]
    if np.isfinite(ours["prejudice_loss"]).all():
        found[f"{debiased.alg}: prejudice loss"] = ours["prejudice_loss"]
    return found, groups


def judged(suspicion: np.ndarray, groups: np.ndarray) -> Row:
    """How well `suspicion` (float [N]) finds wrong labels; `groups` are positions in `GROUPS`, -1 is left out.

    Returns:
        AUROC and average precision among `AMONG`; and of as many most suspicious images as labels are wrong, the share
        that is wrong (precision), the share that is conflicting and clean (a false alarm that bias causes), and what
        share of all conflicting-clean images these are.
    """
    known, wrong = groups >= 0, groups >= 2
    row: Row = {}
    for name, members in AMONG.items():
        among = np.isin(groups, members)
        row[f"auroc_{name}"] = auroc(suspicion, wrong, among)
        some = (wrong & among).any()
        row[f"precision_{name}"] = float(average_precision_score(wrong[among], suspicion[among])) if some else None
    order = np.argsort(-suspicion[known], kind="stable")
    flagged = groups[known][order[: wrong.sum()]]
    rare = (groups == GROUPS.index("conflicting-clean")).sum()
    row["flagged_wrong"] = float((flagged >= 2).mean())
    row["flagged_conflicting_clean"] = float((flagged == 1).mean())
    row["conflicting_clean_flagged"] = float((flagged == 1).sum() / rare) if rare else None
    return row


TITLES = {
    "auroc_all": "AUROC", "precision_all": "average precision", "auroc_conflicting": "AUROC, conflicting",
    "precision_conflicting": "AP, conflicting", "auroc_aligned": "AUROC, aligned",
    "flagged_wrong": "flagged: wrong", "flagged_conflicting_clean": "flagged: conflicting-clean",
    "conflicting_clean_flagged": "conflicting-clean: flagged",
}  # fmt: skip


def table(rows: list[Row]) -> str:
    """A Markdown table for each data set and schedule: percent, mean and standard deviation over seeds."""
    settings: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        settings[setting(row)][row["who"]].append(row)
    lines = []
    for name, competitors in settings.items():
        seeds = sorted({row["seed"] for rows in competitors.values() for row in rows})
        lines += [f"\n{name}; seeds {', '.join(map(str, seeds))}\n", f"| ranked by | {' | '.join(TITLES.values())} |"]
        lines.append("|---" * (1 + len(TITLES)) + "|")
        for who, mine in competitors.items():
            cells = [mean_and_deviation([row[key] for row in mine]) for key in TITLES]
            lines.append(f"| {who} | {' | '.join(cells)} |")
    return "\n".join(lines)


def setting(row: Row) -> str:
    return f"{row['dataset']}, bratio {row['bratio']}, nratio {row['nratio']}, {row['epochs']} epochs"


def main(argv: list[str]) -> int:
    show_log()
    return run_script(lambda: compare(argv), PROGRAM, argv)


def compare(argv: list[str]) -> None:
    """Adds the rows of this command's seeds to `--rows`, in place of those with the same settings, and prints all."""
    arguments = parse_arguments(argv, f"python {PROGRAM}", _add_flags)
    lines = arguments.rows.read_text(encoding="utf-8").splitlines() if arguments.rows.is_file() else []
    rows = list(map(json.loads, lines))
    if not arguments.only_table:
        use_threads(arguments.threads)
        keep_freed_memory()
        config = resolve(arguments)
        about = {"dataset": config.dataset_name, "bratio": config.data.bratio, "nratio": config.data.nratio}
        about["epochs"] = config.stages[-1].settings.epochs
        for seed in arguments.seeds:
            found, groups = suspicions(arguments, seed)
            for who, suspicion in found.items():
                new = {**about, "seed": seed, "who": who, "folds": arguments.folds, **judged(suspicion, groups)}
                same = ("seed", "who", *about)
                rows = [*(row for row in rows if any(row[key] != new[key] for key in same)), new]
            write_text(arguments.rows, "".join(json.dumps(row) + "\n" for row in rows))
    print(table(rows))


def _add_flags(parser: Parser) -> None:
    group = parser.add_argument_group("comparison")
    group.add_argument("--seeds", type=_seeds, default=[0], help="seeds to compare with, such as 0,1,2 (default: 0)")
    group.add_argument("--folds", type=number(int, low=2), default=5, help="of cleanlab's cross-validation")
    group.add_argument("--rows", type=Path, default=Path("log/label_errors.jsonl"), help="where outcomes are kept")
    group.add_argument("--only_table", action="store_true", help="train nothing, print the table of --rows")


def _seeds(text: str) -> list[int]:
    return [number(int, low=0)(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
