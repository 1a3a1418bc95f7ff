"""Class by class: how many images there are, what becomes of them, and what a run has to be warned of."""

from typing import Any

import torch
from torch import Tensor

from data.split import Dataset

FEW = 20
"""Training images of a class, below which little can be said of it."""
FEW_VALID = 5
"""The same for validation images."""
HARDLY = 0.05
"""Share of a class's images, below which a filter, a sampler or a model has all but lost the class."""
MEMORISED = 0.97
"""Share of the given training labels that a model repeats, from which on it has probably learned them by heart."""
GAP = 0.1
"""By how much validation accuracy then has to be lower."""


def by_class(dataset: Dataset, predicted: dict[str, Tensor]) -> dict[str, Any]:
    """`per_class` and `confusion` of `result.json`, from the predicted classes of each split, int64 [N].

    Training and validation images are counted by their given labels, test images by their true ones where known: rows
    of the confusion matrix, whose columns are predictions. A class without images has no accuracy (None).
    """
    size = dataset.num_classes
    true = dataset.annotations["test"].true_labels
    test = confusion(true, predicted["test"], size)
    valid = confusion(dataset.valid.labels, predicted["valid"], size)
    return {
        "per_class": {
            "names": list(dataset.class_names),
            "train": torch.bincount(dataset.train.labels, minlength=size).tolist(),
            "valid": valid.sum(1).tolist(),
            "test": test.sum(1).tolist(),
            "train_predicted": torch.bincount(predicted["train"], minlength=size).tolist(),
            "valid_accuracy": _accuracies(valid),
            "test_accuracy": _accuracies(test),
        },
        "confusion": test.tolist(),
    }


NAMED = 20
"""So many classes a warning names before it only counts them."""


def confusion(labels: Tensor, predicted: Tensor, size: int) -> Tensor:
    """Counts of images of a label (rows) taken for a class (columns), int64 [C, C]; label -1 counts nowhere."""
    known = labels >= 0
    return torch.bincount(labels[known] * size + predicted[known], minlength=size**2).view(size, size)


def _accuracies(matrix: Tensor) -> list[float | None]:
    return [hits / total if total else None for hits, total in zip(matrix.diag().tolist(), matrix.sum(1).tolist(),
                                                                   strict=True)]  # fmt: skip


def warnings(per_class: dict[str, Any], stages: list[dict[str, Any]], train: float, valid: float | None) -> list[str]:
    """Warnings about a run, a line each.

    Args:
        per_class: as `by_class` gives it.
        stages: as in `result.json`; `kept_by_class` and `draws_by_class`, [C], are looked at where they are there.
        train, valid: shares of the given training and validation labels that the final model predicts.
    """
    names, counts = per_class["names"], per_class["train"]
    said = []

    def listed(chosen: list[bool]) -> str:
        some = [repr(name) for name, wanted in zip(names, chosen, strict=True) if wanted]
        return ", ".join(some if len(some) <= NAMED else [*some[:NAMED], f"and {len(some) - NAMED} more"])

    def say(chosen: list[bool], words: str) -> None:
        if any(chosen):
            said.append(words.format(listed(chosen)))

    say(
        [n < FEW for n in counts], f"fewer than {FEW} training images: {{}}. Little that is said of such a class holds."
    )
    say(
        [n < FEW_VALID for n in per_class["valid"]],
        f"fewer than {FEW_VALID} validation images: {{}}. The best epoch is chosen almost blindly there.",
    )
    if max(counts) > 10 * min(counts):
        said.append(
            f"the largest class has {max(counts)} training images, the smallest {min(counts)}: methods that draw or "
            "filter by loss or entropy take rare classes for biased or mislabelled ones. Train --alg vanilla beside it."
        )
    for stage in stages:
        who, kept, draws = stage["method"], stage.get("kept_by_class"), stage.get("draws_by_class")
        if kept is not None:
            lost = [k < HARDLY * n for k, n in zip(kept, counts, strict=True)]
            say(lost, f"{who}: its filter has dropped (nearly) all training images of {{}}. "
                      "What it says of images of these classes is guesswork.")  # fmt: skip
            share = [k / max(sum(kept), 1) for k in kept]
            alone = [k > 1 - HARDLY and n < 0.9 * sum(counts) for k, n in zip(share, counts, strict=True)]
            say(alone, f"{who}: its filter has kept (nearly) no training images but those of {{}}.")
        if draws is not None:
            lost = [d < HARDLY * n / sum(counts) for d, n in zip(draws, counts, strict=True)]
            say(lost, f"{who}: the next stage hardly ever sees the class {{}}.")
    say(
        [p < HARDLY * n for p, n in zip(per_class["train_predicted"], counts, strict=True)],
        "the final model (almost) never predicts {}, not even on training images: it has collapsed. Do not trust its "
        "accuracies or its lists; try another --lr or --seed, and --alg vanilla if it is not that.",
    )
    if train >= MEMORISED and valid is not None and valid < train - GAP:
        said.append(
            f"the final model repeats {100 * train:.0f} % of the given training labels, but {100 * valid:.0f} % of the "
            "validation labels: it has learned them by heart, wrong ones too. Its predictions on training images "
            "tell nothing about their labels; out-of-sample ones do (--cross_validate 5)."
        )
    return said
