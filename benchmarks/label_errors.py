"""Who finds wrong labels: cleanlab, as it is recommended, plain training, or what `utils.audit` makes of a run.

A second table asks the same rankings for conflicting images, whose class is not that of their cue.

python -m benchmarks.label_errors --dataset colored_digits --seeds 0,1,2 --cross_validate 3
python -m benchmarks.label_errors --rows docs/label_errors.jsonl --only_table     # the tables of docs/audit.md again

cleanlab gets out-of-sample probabilities: the same network, trained plainly with the same schedule on all folds but
one, judges the images of that fold. All other flags are those of train_mix.py; `--alg` is whose `samples.csv` competes.
True labels and cues serve to judge the competitors, which do not see them.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in train_mix.py; read when torch starts

import argparse
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

from algorithms.base import Method, methods
from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from algorithms.task import Task, over_split
from algorithms.training.config import RunConfig, StageConfig
from algorithms.training.run import run
from algorithms.training.trainer import train_epoch
from benchmarks.rows import Row, add_flags, read_rows, with_row, write_rows
from data.load import load_dataset
from data.split import Dataset, Split
from utils.audit.samples import read_samples
from utils.cli import Parser, number, run_script, show_log
from utils.cpu import keep_freed_memory, use_threads
from utils.errors import RunError
from utils.metrics import GROUPS, auroc
from utils.results.tables import mean_and_deviation

PROGRAM = "-m benchmarks.label_errors"
AMONG = {"all": (0, 1, 2, 3), "conflicting": (1, 3), "aligned": (0, 2)}
"""Positions in `GROUPS` of the images among which wrong labels are to be found."""


def label_quality() -> Callable[..., np.ndarray]:
    """cleanlab's score of labels (int [N]) by probabilities (float [N, C]): [N], small where a label looks wrong."""
    try:
        from cleanlab.rank import get_label_quality_scores
    except ImportError as error:
        raise RunError("the comparison needs an extra package: pip install cleanlab") from error
    return get_label_quality_scores


def trained(
    config: RunConfig,
    stage: StageConfig,
    train: Split,
    classes: int,
    name: str,
    after: Callable[[Method], None] = lambda method: None,
    **given: Any,
) -> Method:
    """The method of `stage`, trained on `train` with what earlier stages have `given` to its task.

    `name` names its random streams; `after` is called with it after every epoch.
    """
    task = Task(train, classes, config.device, stage.settings, config.data.seed, name, **given)
    method = methods[stage.method](task, stage.hparams).to(config.device)
    schedulers = method.schedulers()
    for epoch in range(stage.settings.epochs):
        train_epoch(method, epoch)
        for scheduler in schedulers:
            scheduler.step()
        after(method)
    return method.eval()


def out_of_sample(config: RunConfig, dataset: Dataset, folds: int) -> np.ndarray:
    """Class probabilities, float64 [N, C], of every training image by a network that was not trained on it."""
    train = dataset.train
    probabilities = np.empty((len(train), dataset.num_classes))
    divided = StratifiedKFold(folds, shuffle=True, random_state=config.data.seed).split(train.labels, train.labels)
    for fold, (inside, outside) in enumerate(divided):
        others = train.subset(torch.from_numpy(inside))
        method = trained(config, config.stages[-1], others, dataset.num_classes, f"fold {fold}")
        judged = over_split(method.predict, train.subset(torch.from_numpy(outside)), config.device)
        probabilities[outside] = judged.double().softmax(1).numpy()
    return probabilities


def plainly(config: RunConfig, dataset: Dataset) -> dict[str, np.ndarray]:
    """Suspicion of every label by plain training, [N], by what is looked at."""
    confidences: list[np.ndarray] = []

    def note(method: Method) -> None:
        confidences.append(method.dynamics.columns()["training_confidence"].nan_to_num(nan=1.0).numpy())

    labels = dataset.train.labels
    method = trained(config, config.stages[-1], dataset.train, dataset.num_classes, "vanilla", note)
    final = over_split(method.predict, dataset.train, config.device).double().softmax(1)
    dynamics = method.dynamics
    return {
        "vanilla: confidence, in-sample": -final.gather(1, labels[:, None]).squeeze(1).numpy(),
        "vanilla: first quarter of the epochs": -confidences[max(len(confidences) // 4, 1) - 1],
        "vanilla: first half of the epochs": -confidences[max(len(confidences) // 2, 1) - 1],
        "vanilla: all epochs": -confidences[-1],
        "vanilla: wrong events": (dynamics.wrong_events / dynamics.times_seen.clamp(min=1)).numpy(),
    }


def suspicions(arguments: argparse.Namespace, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Suspicion of every training image by each competitor, [N], by its name.

    Also whether each label is wrong (1, 0 or -1 for unknown), and the images' groups, [N] each.
    """
    quality = label_quality()

    def of(alg: str) -> RunConfig:
        config = resolve(argparse.Namespace(**{**vars(arguments), "alg": alg}))
        return replace(config, data=replace(config.data, seed=seed))

    debiased, plain = of(arguments.alg), of("vanilla")
    dataset = load_dataset(plain.data)
    labels, notes = dataset.train.labels.numpy(), dataset.annotations["train"]
    wrong = torch.where(notes.true_labels < 0, -1, notes.wrong(dataset.train.labels).long()).numpy()
    if not (wrong == 1).any() or not (wrong == 0).any():
        raise RunError("nothing to compare: true labels, and right and wrong labels among them, are needed.")
    run(debiased)
    ours = read_samples(debiased.folder)
    probabilities = out_of_sample(plain, dataset, arguments.folds)
    found = {
        f"cleanlab, {kind}": -quality(labels, probabilities, method=kind)
        for kind in ("self_confidence", "normalized_margin")
    }
    found |= plainly(plain, dataset)
    found |= {
        f"{debiased.alg}: {words}": np.nan_to_num(sign * ours[column], nan=-1.0)  # never seen: nothing is suspected
        for words, column, sign in (
            ("confidence", "given_label_confidence", -1),
            ("prejudice loss", "prejudice_loss", 1),
            ("utils.audit, out-of-sample alone", "out_of_sample_confidence", -1),
            ("utils.audit", "cross_validated_confidence", -1),
            ("prejudice entropy", "entropy", 1),
            ("mislabelled_probability", "mislabelled_probability", 1),
            ("conflicting_probability", "conflicting_probability", 1),
        )
        if np.isfinite(ours[column]).any()
    }
    return found, wrong, dataset.train_groups().numpy()


def judged(suspicion: np.ndarray, wrong: np.ndarray, groups: np.ndarray) -> Row:
    """Quality of `suspicion` (float [N]) at finding labels that are wrong (1 or 0, -1 is left out).

    Args:
        groups: positions in `GROUPS`, -1 where unknown.

    Returns:
        AUROC and average precision among `AMONG`; the share of wrong labels among the 10 and the 50 most suspicious
        images, and among as many as labels are wrong: what share of these is wrong, what share is conflicting and clean
        (a false alarm that bias causes), and what share of all conflicting-clean images these are. Also AUROC, and the
        shares among the 10, the 50, and as many as there are, for conflicting images in place of wrong labels.
    """
    known = wrong >= 0
    suspicion, wrong, groups = suspicion[known], wrong[known] == 1, groups[known]
    row: Row = {}
    for name, members in AMONG.items():
        among = np.isin(groups, members) | (name == "all")
        row[f"auroc_{name}"] = auroc(suspicion, wrong, among)
        some = (wrong & among).any()
        row[f"precision_{name}"] = float(average_precision_score(wrong[among], suspicion[among])) if some else None
    order = np.argsort(-suspicion, kind="stable")
    row |= {f"precision_at_{count}": float(wrong[order[:count]].mean()) for count in (10, 50)}
    flagged = order[: wrong.sum()]
    row["flagged_wrong"] = float(wrong[flagged].mean())
    rare = groups == GROUPS.index("conflicting-clean")
    row["flagged_conflicting_clean"] = float(rare[flagged].mean()) if (groups >= 0).any() else None
    row["conflicting_clean_flagged"] = float(rare[flagged].sum() / rare.sum()) if rare.any() else None
    conflicting = np.isin(groups, AMONG["conflicting"])
    row["found_conflicting"] = auroc(suspicion, conflicting, groups >= 0)
    for name, count in (("10", 10), ("50", 50), ("all", conflicting.sum())):
        row[f"found_conflicting_of_{name}"] = float(conflicting[order[:count]].mean()) if conflicting.any() else None
    return row


TITLES = {
    "auroc_all": "AUROC", "precision_all": "average precision", "precision_at_10": "wrong of 10",
    "precision_at_50": "of 50", "flagged_wrong": "of all", "auroc_conflicting": "AUROC, conflicting",
    "precision_conflicting": "AP, conflicting", "auroc_aligned": "AUROC, aligned",
    "flagged_conflicting_clean": "flagged: conflicting-clean",
    "conflicting_clean_flagged": "conflicting-clean: flagged",
}  # fmt: skip
CONFLICTING = {
    "found_conflicting": "AUROC", "found_conflicting_of_10": "conflicting of 10", "found_conflicting_of_50": "of 50",
    "found_conflicting_of_all": "of all",
}  # fmt: skip


def table(rows: list[Row], columns: dict[str, str]) -> str:
    """A Markdown table for each data set and schedule: percent, mean and standard deviation over seeds.

    columns: titles by key; those of which nothing is known are left out, and rows and tables that have no other.
    """
    rows = [row for row in rows if any(row.get(key) is not None for key in columns)]
    settings: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        settings[setting(row)][row["who"]].append(row)
    lines = []
    for name, competitors in settings.items():
        everything = [row for mine in competitors.values() for row in mine]
        titles = {key: title for key, title in columns.items() if any(row.get(key) is not None for row in everything)}
        seeds = sorted({row["seed"] for row in everything})
        lines += [f"\n{name}; seeds {', '.join(map(str, seeds))}\n", f"| ranked by | {' | '.join(titles.values())} |"]
        lines.append("|---" * (1 + len(titles)) + "|")
        for who, mine in competitors.items():
            cells = [mean_and_deviation([row.get(key) for row in mine]) for key in titles]
            lines.append(f"| {who} | {' | '.join(cells)} |")
    return "\n".join(lines)


def setting(row: Row) -> str:
    model = f", {row['model']}" if "model" in row else ""
    return f"{row['dataset']}, bratio {row['bratio']}, nratio {row['nratio']}{model}, {row['epochs']} epochs"


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
        name = config.dataset_name if config.data.dataset != "folder" else f"folder {Path(config.data.data_dir).name}"
        about = {"dataset": name, "bratio": config.data.bratio, "nratio": config.data.nratio}
        about |= {"model": config.stages[-1].settings.model, "epochs": config.stages[-1].settings.epochs}
        for seed in arguments.seeds:
            found, wrong, groups = suspicions(arguments, seed)
            for who, suspicion in found.items():
                new = {**about, "seed": seed, "who": who, "folds": arguments.folds, **judged(suspicion, wrong, groups)}
                rows = with_row(rows, new, ("seed", "who", *about))
            write_rows(arguments.rows, rows)
    print(table(rows, TITLES), "\nConflicting images", table(rows, CONFLICTING), sep="\n")


def _add_flags(parser: Parser) -> None:
    group = parser.add_argument_group("comparison")
    add_flags(group, Path("log/label_errors.jsonl"))
    group.add_argument("--folds", type=number(int, low=2), default=5, help="of cleanlab's cross-validation")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
