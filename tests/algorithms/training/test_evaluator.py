"""The evaluator against the authors' validation loop, epoch by epoch."""

import torch

from algorithms.training.criteria import best_epoch
from algorithms.training.trainer import Evaluator
from data.split import Annotations, Dataset, Split


class Oracle:
    """A method whose logits are given in advance; an image's only pixel says which row is its."""

    def __init__(self, valid, test):
        self.logits, self.training = torch.cat([valid, test]), True

    def eval(self):
        self.training = False

    def train(self):
        self.training = True

    def predict(self, images):
        assert not self.training
        return self.logits[(images.flatten() * 255).round().long()]


def test_golden(golden, close):
    (case,) = golden("metrics")
    given, wanted = case.given, case.wanted
    valid_labels, test_labels = given["valid_labels"], given["test_labels"]
    rows = torch.arange(len(valid_labels) + len(test_labels), dtype=torch.uint8).reshape(-1, 1, 1, 1)
    valid, test = Split(rows[: len(valid_labels)], valid_labels), Split(rows[len(valid_labels) :], test_labels)
    notes = {"test": Annotations(test_labels, given["test_bias_labels"])}
    dataset = Dataset(valid, valid, test, notes, tuple("abcde"), "golden")
    evaluate = Evaluator(valid, test, dataset, torch.device("cpu"), torch.zeros(0))
    history = []
    for epoch in range(case.hparams["epochs"]):
        record = evaluate(Oracle(given["valid_logits"][epoch], given["test_logits"][epoch]))
        close(record["valid_accuracy"], wanted["valid_acc"][epoch])
        close(record["valid_loss"], wanted["valid_loss"][epoch])
        close(record["test_accuracy"], wanted["test_acc"][epoch])
        close(record["test_aligned"], wanted["test_major"][epoch])
        close(record["test_conflicting"], wanted["test_minor"][epoch])
        history.append(record["valid_accuracy"])
        assert best_epoch(history) == wanted["best_epoch_after_each_epoch"][epoch]
    assert history[2] == history[3]  # a tie, which the later epoch wins
