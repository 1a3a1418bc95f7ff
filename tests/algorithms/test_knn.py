"""kNN label spreading: neighbours and majorities by hand, the choice of k, and what is kept."""

import pytest
import torch

from algorithms.knn import chosen_k, majority_shares, neighbours
from algorithms.task import Task


def test_neighbours_are_the_most_similar_others_by_their_cosine():
    features = torch.tensor([[1.0, 0.0], [10.0, 1.0], [0.0, 2.0], [-1.0, 5.0]])
    near, similar = neighbours(features, 2)
    assert near.tolist() == [[1, 2], [0, 2], [3, 1], [2, 1]]
    assert similar[0].tolist() == pytest.approx([10 / 101**0.5, 0.0], abs=1e-6)


def test_more_rows_than_are_compared_at_a_time(monkeypatch):
    features = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    wanted, _ = neighbours(features, 7)
    monkeypatch.setattr("algorithms.knn.ROWS", 8)
    found, _ = neighbours(features, 7)
    assert torch.equal(found, wanted)
    assert (found != torch.arange(50)[:, None]).all()


def test_majorities_are_weighted_and_negative_cosines_count_nothing():
    labels = torch.tensor([0, 1, 2])
    near = torch.tensor([[1, 2], [0, 2], [0, 1]])
    similar = torch.tensor([[0.6, 0.2], [0.5, -0.5], [0.1, 0.3]], dtype=torch.float64)
    shares = majority_shares(labels, near, similar, 3)
    wanted = torch.tensor([[0, 0.75, 0.25], [1, 0, 0], [0.25, 0.75, 0]], dtype=torch.float64)
    torch.testing.assert_close(shares, wanted, atol=1e-9, rtol=0)


def test_noise_asks_for_more_neighbours():
    generator = torch.Generator().manual_seed(0)
    true = torch.arange(3000) % 2
    features = torch.randn(3000, 8, generator=generator) * 0.3 + torch.eye(8)[true]
    wrong = torch.rand(3000, generator=generator) < 0.4
    near, similar = neighbours(features, 50)
    assert chosen_k(torch.where(wrong, 1 - true, true), near, similar, 2) > 5


def test_wrong_labels_are_left_out(make, tiny, monkeypatch):
    """On features that are the true class, with a fifth of the labels wrong."""
    method = make("knn")
    true = tiny.annotations["train"].true_labels
    features = torch.eye(10)[true] + 0.05 * torch.randn(96, 10, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(Task, "over_train", lambda task, function: features)
    kept, against = method.eval().select()
    wrong = tiny.train.labels != true
    assert wrong[kept].double().mean() < 0.3 * wrong.double().mean()
    assert len(kept) > 0.6 * len(true)
    assert against[wrong].mean() > against[~wrong].mean()
