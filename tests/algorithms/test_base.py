"""What every method keeps of each sample: training dynamics, counted by hand and as the trainer counts them."""

import pytest
import torch

from algorithms.base import Dynamics


def logits_of(*classes):
    return torch.nn.functional.one_hot(torch.tensor(classes), 3) * 100.0


def test_dynamics_by_hand():
    dynamics = Dynamics(4)
    labels = torch.tensor([0, 1, 2, 0])

    def serve(index, logits):
        index = torch.tensor(index)
        dynamics.observe(index, labels[index], logits)

    serve([0, 1], logits_of(0, 2))
    serve([1, 1, 2], logits_of(1, 0, 2))  # a sample that a weighted draw served twice
    columns = dynamics.columns()
    assert columns["times_seen"].tolist() == [1, 3, 1, 0]
    assert columns["wrong_events"].tolist() == [0, 2, 0, 0]
    torch.testing.assert_close(columns["training_confidence"][:3], torch.tensor([1, 1 / 3, 1], dtype=torch.float64))
    assert columns["training_confidence"][3].isnan()


def test_the_trainer_counts_every_epoch(make, train, settings, tmp_path):
    """All samples but those of a dropped last batch are seen once an epoch, and accuracies agree with the counts."""
    method = make("vanilla")
    records = train(method, tmp_path / "checkpoint.pt")
    columns = method.dynamics.columns()
    assert columns["times_seen"].tolist() == [settings.epochs] * 96
    right = sum(record["train_accuracy"] for record in records) * 96
    assert int((columns["times_seen"] - columns["wrong_events"]).sum()) == pytest.approx(right)
    assert ((columns["training_confidence"] > 0) & (columns["training_confidence"] < 1)).all()


def test_weighted_draws_leave_some_samples_unseen(make, train, tmp_path):
    rare = torch.zeros(96, dtype=torch.float64)
    rare[:8] = 1 / 8
    method = make("vanilla", probabilities=rare)
    train(method, tmp_path / "checkpoint.pt")
    seen = method.dynamics.columns()["times_seen"]
    assert (seen[:8] > 3).all()
    assert (seen[8:] == 0).all()
