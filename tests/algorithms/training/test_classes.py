"""Class by class, by hand: counts, accuracies and the confusion matrix; and what a run is warned of."""

from dataclasses import replace

import pytest
import torch

from algorithms.training.classes import by_class, confusion, warnings
from data.split import Annotations
from utils.results.tables import class_table

NAMES = ["cat", "dog", "owl"]
FINE = {
    "names": NAMES,
    "train": [100, 90, 110],
    "valid": [10, 10, 10],
    "test": [10, 10, 10],
    "train_predicted": [90, 100, 110],
}


def said(stages=(), train=0.8, valid=0.75, **changed):
    return warnings(FINE | changed, list(stages), train, valid)


def test_confusion_by_hand():
    matrix = confusion(torch.tensor([0, 0, 1, -1, 2]), torch.tensor([0, 1, 1, 1, 0]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_by_class_counts_given_labels_but_true_ones_of_the_test_split(tiny):
    truth = tiny.annotations["test"].true_labels.clone()
    truth[:3] = -1
    notes = {**tiny.annotations, "test": Annotations(truth, tiny.annotations["test"].bias_labels)}
    dataset = replace(tiny, annotations=notes, class_names=tuple(map(str, range(10))))
    predicted = {name: torch.zeros(len(getattr(tiny, name)), dtype=torch.long) for name in ("train", "valid", "test")}
    found = by_class(dataset, predicted)
    about = found["per_class"]
    assert about["train"] == torch.bincount(tiny.train.labels, minlength=10).tolist()
    assert sum(about["test"]) == len(truth) - 3
    assert [row[0] for row in found["confusion"]] == about["test"]
    assert about["train_predicted"] == [96] + [0] * 9
    assert about["test_accuracy"][0] in (1.0, None)
    assert set(about["test_accuracy"][1:]) <= {0.0, None}


def test_nothing_is_said_of_a_sound_run():
    assert said([{"method": "deneb", "kept_by_class": [60, 50, 70], "draws_by_class": [0.3, 0.3, 0.4]}]) == []


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("fewer than 20 training images: 'owl'", {"train": [100, 90, 19]}),
        ("fewer than 5 validation images: 'cat', 'dog'", {"valid": [4, 0, 5]}),
        ("largest class has 400 training images, the smallest 39", {"train": [400, 39, 100]}),
        ("filter has dropped (nearly) all training images of 'dog'", {"kept_by_class": [80, 4, 90]}),
        ("kept (nearly) no training images but those of 'cat'", {"kept_by_class": [99, 1, 1]}),
        ("the next stage hardly ever sees the class 'owl'", {"draws_by_class": [0.5, 0.49, 0.01]}),
        ("never predicts 'dog'", {"train_predicted": [150, 4, 146]}),
        ("by heart", {"train": 0.99, "valid": 0.8}),
    ],
)  # fmt: skip
def test_what_is_said(words, changed):
    counts = changed.pop("train") if isinstance(changed.get("train"), list) else FINE["train"]
    valid = changed.pop("valid") if isinstance(changed.get("valid"), list) else FINE["valid"]
    about = FINE | {"train": counts, "valid": valid}
    about |= {key: value for key, value in changed.items() if key == "train_predicted"}
    stages = [{"method": "deneb"} | {key: value for key, value in changed.items() if key.endswith("by_class")}]
    lines = warnings(about, stages, changed.get("train", 0.8), changed.get("valid", 0.75))
    assert any(words in line for line in lines), lines


def test_of_many_classes_only_some_are_named():
    many = {"names": [f"class {c}" for c in range(50)], **{key: [12] * 50 for key in FINE if key != "names"}}
    (line,) = warnings(many, [], 0.8, 0.75)
    assert "'class 19', and 30 more" in line
    assert "class 20" not in line


def test_a_model_that_is_right_has_not_learned_by_heart():
    assert said(train=0.99, valid=0.95) == []


def test_the_table_numbers_classes_for_the_confusion_matrix():
    about = FINE | {"valid_accuracy": [0.5, 1.0, None], "test_accuracy": [0.1, 0.2, 0.3]}
    lines = class_table({"per_class": about, "confusion": [[1, 4, 5], [0, 2, 8], [7, 0, 3]]}).splitlines()
    assert lines[0].split() == [
        "class",
        "train",
        "valid",
        "test",
        "valid",
        "%",
        "test",
        "%",
        "taken",
        "for",
        "1",
        "2",
        "3",
    ]
    assert lines[2].split() == ["2", "dog", "90", "10", "10", "100.0", "20.0", "0", "2", "8"]
    assert lines[3].split()[-5:] == ["n/a", "30.0", "7", "0", "3"]
    many = {"per_class": about | {"names": ["x"] * 21}, "confusion": [[0] * 21] * 21}
    assert class_table(many) == ""
