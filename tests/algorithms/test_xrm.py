"""XRM: the flip's probability and the draws by hand, whom each sample trains, and which label is flipped."""

import pytest
import torch

from algorithms.xrm import even_shares, flip_probability
from data.batches import as_probabilities


def test_flip_probability_by_hand(close):
    """(0.7 - 1/4) * 4/3 = 0.6; a uniform prediction never flips, a certain one always does."""
    logits = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25], [1, 0, 0, 0]], dtype=torch.float64).log()
    close(flip_probability(logits), torch.tensor([0.6, 0, 1], dtype=torch.float64))
    close(flip_probability(torch.tensor([[0.75, 0.25]], dtype=torch.float64).log()), torch.tensor([0.5]))


def test_even_shares_by_hand(close):
    shares = even_shares(torch.tensor([3, 0, 3, 3, 5]), 7)
    close(shares, torch.tensor([1 / 9, 1 / 3, 1 / 9, 1 / 9, 1 / 3]), rtol=1e-6)


def test_the_minority_of_a_class_is_drawn_as_often_as_its_majority(make, close):
    method = make("xrm").eval()
    method.network.fc.bias.data[3] += 100
    method.partner.fc.bias.data[3] += 100
    probabilities, minority = method.select()
    labels = method.task.train.labels
    assert torch.equal(minority.bool(), labels != 3)
    present = labels.unique()
    for label in present:
        close(probabilities[labels == label].sum(), 1 / len(present), rtol=1e-6)  # one environment for each label here


def test_a_sample_that_either_twin_gets_wrong_is_of_the_minority(make):
    method = make("xrm").eval()
    method.network.fc.bias.data[3] += 100
    method.partner.fc.bias.data[4] += 100
    assert method.select()[1].all()
    method.partner.fc.bias.data[3] += 200
    probabilities, minority = method.select()
    assert torch.equal(minority.bool(), method.task.train.labels != 3)
    assert torch.equal(probabilities, as_probabilities(even_shares(2 * method.task.train.labels + minority.long(), 20)))


def test_a_twin_learns_from_what_it_holds_in_alone(make):
    method = make("xrm")
    for held, (learns, rests) in ((True, method.networks), (False, reversed(method.networks))):
        method.step(method.task.batch((method.held_by_first == held).nonzero().flatten()))
        assert learns.fc.weight.grad.any()
        assert not rests.fc.weight.grad.any()


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_the_held_out_twins_confident_prediction_overwrites_the_label(flip, make):
    method = make("xrm", flip=flip)
    method.network.fc.bias.data[3] += 100
    method.partner.fc.bias.data[4] += 100
    given, index = method.task.train.labels.clone(), torch.arange(20)
    method.step(method.task.batch(index))
    wanted = torch.where(method.held_by_first[:20], 4, 3) if flip else given[:20]
    assert torch.equal(method.labels[:20], wanted)
    assert torch.equal(method.labels[20:], given[20:])
    assert torch.equal(method.task.train.labels, given)


def test_it_is_trained_on_the_overwritten_labels(make):
    one, other = make("xrm", flip=0.0), make("xrm", flip=0.0)
    other.labels.fill_(3)
    for method in (one, other):
        torch.manual_seed(0)
        method.step(method.task.batch(torch.arange(32)))
    assert not torch.equal(one.network.fc.weight, other.network.fc.weight)
