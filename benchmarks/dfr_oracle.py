"""DFR, an oracle: the last layer anew on held-out images whose true classes and cues are known.

python -m benchmarks.dfr_oracle --dataset framed_cifar --bratio 0.05 --frozen --clean_valid --seeds 0,1,2

Kirichenko et al., "Last Layer Re-Training is Sufficient for Robustness to Spurious Correlations", ICLR 2023,
arXiv:2204.02937: L1 logistic regression on standardised features of validation images, as many of each group (class
and value of the cue), its strength chosen by the worst group of one half after training on the other, then the mean of
twenty fits on different balanced subsets. It looks at annotations that no method of this suite may see, so it is none
of them: its rows say what group labels would be worth. With --clean_valid the held-out images are half of the test
images, where groups are of like size, and accuracies are those of the other half. Label noise does not concern it.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in train_mix.py; read when torch starts

import sys

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from data.load import load_dataset
from data.split import Split
from utils.cli import Parser, number, run_script, show_log
from utils.cpu import use_threads
from utils.errors import RunError, UsageError
from utils.metrics import group_accuracies
from utils.results.tables import mean_and_deviation
from utils.seeds import numpy_generator

PROGRAM = "-m benchmarks.dfr_oracle"
STRENGTHS = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)
"""Inverse strengths of the L1 penalty, those of the paper."""
REFITS = 20
PENALTY = {"penalty": "l1"} if getattr(LogisticRegression(), "penalty", "") == "l2" else {"l1_ratio": 1}
SHOWN = ("accuracy", "aligned", "conflicting", "worst_group")

Features = np.ndarray
"""Standardised features, float32 [N, D]."""


def balanced(groups: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Positions of as many images of every group (int [N]) as the smallest has."""
    members = [generator.permutation(np.flatnonzero(groups == group)) for group in np.unique(groups)]
    return np.concatenate([some[: min(map(len, members))] for some in members])


def refit(
    features: Features, classes: np.ndarray, groups: np.ndarray, strength: float, generator: np.random.Generator
) -> OneVsRestClassifier:
    """A classifier of a balanced subset."""
    rows = balanced(groups, generator)
    regression = LogisticRegression(solver="liblinear", C=strength, random_state=0, **PENALTY)
    return OneVsRestClassifier(regression).fit(features[rows], classes[rows])


def chosen_strength(
    features: Features, classes: np.ndarray, groups: np.ndarray, generator: np.random.Generator
) -> float:
    """The strength whose classifier of one half of the images has the best worst group on the other half."""
    half = np.zeros(len(classes), bool)
    half[generator.permutation(len(classes))[::2]] = True

    def worst(strength: float) -> float:
        fitted = refit(features[half], classes[half], groups[half], strength, generator)
        right = fitted.predict(features[~half]) == classes[~half]
        return min(right[groups[~half] == group].mean() for group in np.unique(groups[~half]))

    return max(STRENGTHS, key=worst)


def dfr(
    features: Features, classes: np.ndarray, groups: np.ndarray, unseen: Features, generator: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Predicted classes of the `unseen` images, and the strength that was chosen on the others, `features`."""
    strength = chosen_strength(features, classes, groups, generator)
    fits = [refit(features, classes, groups, strength, generator) for _ in range(REFITS)]
    score = np.mean([fit.decision_function(unseen) for fit in fits], 0)
    return fits[0].classes_[score.argmax(1) if score.ndim == 2 else (score > 0).astype(int)], strength


def features_of(split: Split) -> Features:
    return split.transform.for_scoring(torch.as_tensor(split.images)).numpy()


def compare(argv: list[str]) -> None:
    show_log()
    arguments = parse_arguments(["--alg", "vanilla", *argv], f"python {PROGRAM}", _add_flags)
    if not arguments.frozen:
        raise UsageError("--frozen is needed: DFR is about the last layer on features of a network.")
    use_threads(arguments.threads)
    config = resolve(arguments)
    dataset = load_dataset(config.data)
    held, tested = dataset.annotations["valid"], dataset.annotations["test"]
    known = ((held.true_labels >= 0) & (held.groups_by >= 0)).numpy()
    if not known.any():
        raise RunError(f"{config.data.dataset}: true classes and cues of held-out images are not known.")
    classes = held.true_labels.numpy()[known]
    groups = classes * (1 + int(held.groups_by.max())) + held.groups_by.numpy()[known]
    features, unseen = features_of(dataset.valid)[known], features_of(dataset.test)
    found: dict[str, list[float | None]] = {name: [] for name in SHOWN}
    for seed in arguments.seeds:
        predicted, strength = dfr(features, classes, groups, unseen, numpy_generator(seed, "dfr"))
        print(f"seed {seed}: C {strength:g}", flush=True)
        accuracies = group_accuracies(
            torch.from_numpy(predicted), tested.true_labels, tested.bias_labels, dataset.num_classes, tested.groups_by
        )
        for name in SHOWN:
            found[name].append(accuracies[name])
    smallest = np.unique(groups, return_counts=True)[1].min()
    print(
        f"\n{config.dataset_name}, bratio {config.data.bratio}; {config.stages[-1].settings.model}; {len(classes)} "
        f"held-out images in {len(np.unique(groups))} groups, the smallest of {smallest}\n"
    )
    print(f"| | n | {' | '.join(name.replace('_', ' ') for name in SHOWN)} |\n|{'---|' * (2 + len(SHOWN))}")
    cells = " | ".join(mean_and_deviation(found[name]) for name in SHOWN)
    print(f"| DFR (oracle) | {len(arguments.seeds)} | {cells} |")


def _add_flags(parser: Parser) -> None:
    parser.add_argument("--seeds", type=_seeds, default=[0], help="seeds of the subsets, such as 0,1,2 (default: 0)")


def _seeds(text: str) -> list[int]:
    return [number(int, low=0)(part) for part in text.split(",")]


def main(argv: list[str]) -> int:
    return run_script(lambda: compare(argv), PROGRAM, argv, kept="nothing is written")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
