"""DivideMix and f-DivideMix: who trains with whose division, what a step sees, and divisions without two sides."""

import pytest
import torch
import torch.nn.functional as F

from algorithms.parts.alignment import aligned_probability, alignment
from algorithms.parts.codivide import SemiBatch
from algorithms.parts.mixture import clean_probability

BOTH = pytest.mark.parametrize("name", ["dividemix", "fdividemix"])


def with_division(make, first, second, **more):
    """A method in its first epoch of mixing, with the probabilities that its networks are made to give."""
    method = make("dividemix", warmup=0, **more)
    method.divide = lambda network: (first if network is method.network else second).double()
    method.begin_epoch(0)
    return method


def share_clean(count):
    """Probability 1 for the first `count` of 96 samples, 0 for the others."""
    return (torch.arange(96) < count).float()


def test_the_divisions(make):
    method = make("dividemix").eval()
    task = method.task
    losses = F.cross_entropy(task.over_train(method.network), task.train.labels, reduction="none")
    assert torch.equal(method.divide(method.network), torch.from_numpy(clean_probability(losses.numpy())))
    scores = alignment(task.over_train(method.network.extract), task.train.labels)
    aligned = aligned_probability(scores, task.train.labels)
    assert torch.equal(make("fdividemix").eval().divide(method.network), aligned)


@BOTH
def test_warms_up_both_networks_with_twice_the_batch_size(make, name):
    method = make(name, warmup=1)
    before = [network.fc.weight.clone() for network in method.networks]
    method.begin_epoch(0)
    batches = list(method.batches(0))
    assert [len(batch.labels) for batch in batches] == [64]
    loss, logits = method.step(batches[0])
    assert loss.isfinite()
    assert logits.shape == (64, 10)
    for network, weight in zip(method.networks, before, strict=True):
        assert not torch.equal(network.fc.weight, weight)


def test_the_warm_up_penalty_prefers_unsure_predictions(make):
    losses = []
    for penalty in (0.0, 1.0):
        method = make("dividemix", warmup_penalty=penalty)
        torch.manual_seed(0)
        losses.append(method.step(method.task.batch(torch.arange(32)))[0])
    assert losses[1] < losses[0]


def test_each_network_trains_with_the_other_one_s_division(make):
    method = with_division(make, share_clean(64), share_clean(32))
    assert method.training_subset.tolist() == list(range(32))
    batches = list(method.batches(0))
    assert [batch.learner for batch in batches] == [0, 1, 1]
    for batch in batches:
        labelled = 64 if batch.learner else 32
        assert (batch.index < labelled).all()
        assert (batch.unlabelled.index >= labelled).all()
        assert (batch.clean == 1).all()
        for views in (batch, batch.unlabelled):
            assert len(views.index) == len(views.images) == 64
            assert torch.equal(views.index[:32], views.index[32:])
    assert len(torch.cat([batch.index[:32] for batch in batches[1:]]).unique()) == 64
    assert [batch.unlabelled_factor for batch in batches] == [0, 0, 25 / 16 / 2]


def test_a_step_trains_one_network_and_leaves_the_partner_alone(make):
    method = with_division(make, share_clean(64), share_clean(32))
    for batch in method.batches(0):
        method.train()
        before = [{key: value.clone() for key, value in each.state_dict().items()} for each in method.networks]
        loss, logits = method.step(batch)
        assert loss.isfinite()
        assert logits.shape == (64, 10)
        own, partner = method.networks[batch.learner], method.networks[1 - batch.learner]
        assert not torch.equal(own.fc.weight, before[batch.learner]["fc.weight"])
        for key, value in partner.state_dict().items():
            assert torch.equal(value, before[1 - batch.learner][key])


@pytest.mark.parametrize(
    ("clean", "labelled"), [(share_clean(96), 96), (share_clean(0), 96), (share_clean(1), 96), (share_clean(95), 95)]
)
def test_divisions_without_two_sides(make, clean, labelled):
    """All clean, none clean, one clean, all but one clean."""
    method = with_division(make, clean, clean)
    batches = list(method.batches(0))
    assert len(batches) == 2 * (labelled // 32)
    for batch in batches:
        assert isinstance(batch, SemiBatch)
        assert (batch.unlabelled is None) == (labelled == 96)
        if batch.unlabelled is not None:
            assert batch.unlabelled.index.tolist() == [95] * 64
        assert method.step(batch)[0].isfinite()


def test_fewer_labelled_samples_than_a_batch(make):
    method = with_division(make, share_clean(2), share_clean(2))
    batches = list(method.batches(0))
    assert [len(batch.labels) for batch in batches] == [4, 4]
    assert all(method.step(batch)[0].isfinite() for batch in batches)


def test_earlier_probabilities_choose_within_either_side(make):
    likely = torch.full((96,), 1e-9, dtype=torch.float64)
    likely[[3, 50]] = 0.5
    method = with_division(make, share_clean(48), share_clean(48), probabilities=likely / likely.sum())
    for batch in method.batches(0):
        assert batch.index.unique().tolist() == [3]
        assert batch.unlabelled.index.unique().tolist() == [50]


def test_a_side_without_probability_is_drawn_evenly(make):
    probabilities = share_clean(48).double() / 48
    method = with_division(make, share_clean(48), share_clean(48), probabilities=probabilities)
    batch = next(iter(method.batches(0)))
    assert (batch.unlabelled.index >= 48).all()
    assert len(batch.unlabelled.index.unique()) > 10


def test_earlier_weights_multiply_rows(make):
    losses = []
    for weight in (1.0, 0.0):
        method = with_division(make, share_clean(48), share_clean(48), weights=torch.full((96,), weight))
        torch.manual_seed(0)
        losses.append(method.step(next(iter(method.batches(0))))[0])
    assert losses[0] > losses[1] >= 0  # without weight, only the penalty against imbalance is left


@BOTH
def test_keeps_what_both_networks_on_average_hold_for_clean(make, name):
    method = make(name, p_threshold=0.3).eval()
    average = torch.stack([method.divide(network) for network in method.networks]).double().mean(0)
    kept, score = method.select()
    assert torch.equal(score, average)
    assert kept.tolist() == (average > 0.3).nonzero().flatten().tolist()
    assert not method.training
