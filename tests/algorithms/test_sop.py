"""SOP's two losses, the steps of its terms, and what SOP+ adds, by hand."""

import math
from dataclasses import replace

import pytest
import torch

from algorithms.parts.noise_terms import START, NoiseTerms, given_label_probabilities, split_terms, squared_errors
from algorithms.sop_plus import divergence, imbalance

LABEL = torch.tensor([0])


def float64(*values):
    return torch.tensor(values, dtype=torch.float64)


LOGITS, U, V = float64([0.5, 0.3, 0.2]).log(), float64(0.4), float64([9, 0.3, 0.6])
"""Predicts 0, of which u is unsure by .16; v takes .09 from class 1 and .36 from class 2."""


def test_terms_stand_at_the_given_label_and_elsewhere(close):
    here, elsewhere = split_terms(LABEL, U, V)
    close(here, float64([0.16, 0, 0]))
    close(elsewhere, float64([0, 0.09, 0.36]))
    here, elsewhere = split_terms(LABEL, float64(-3), float64([0, 2, -2]))
    close(here, float64([1, 0, 0]))
    close(elsewhere, float64([0, 1, 1]))


def test_loss_one_by_hand(close):
    total = 0.66 + 0.21 + 1e-4
    close(
        given_label_probabilities(LOGITS, LABEL, U, V),
        float64([0.66 / total, 0.21 / total, 1e-4 / total]).clamp_min(1e-4),
    )


def test_loss_two_by_hand(close):
    close(squared_errors(LOGITS, LABEL, U, V), float64(0.16**2 + 0.09**2 + 0.36**2))
    wrong = torch.tensor([2])
    close(squared_errors(LOGITS, wrong, U, V), float64((1 - 1) ** 2 + 0.09**2 + (0.16 - 1) ** 2))


def terms(size, u, v, u_lr=0.5, v_lr=0.25):
    made = NoiseTerms(size, 3, torch.Generator().manual_seed(0), u_lr, v_lr).double()
    made.u.copy_(u)
    made.v.copy_(v)
    return made


def test_steps_by_hand(close):
    """The loss is the mean of both samples, so that each has half of its own gradient; V has none of Loss 1."""
    made = terms(3, U, V)
    before_u, before_v = made.u.clone(), made.v.clone()
    made.learn(LOGITS.repeat(2, 1), torch.tensor([0, 0]), torch.tensor([2, 0]))
    kept, rest = 0.66, 0.21 + 1e-4
    along_u = 2 * 0.4 * (-(1 / kept - 1 / (kept + rest)) + 2 * 0.16) / 2
    along_v = float64(0, 4 * 0.09 * 0.3, 4 * 0.36 * 0.6) / 2
    for row in (0, 2):
        close(made.u[row], 0.4 - 0.5 * along_u)
        close(made.v[row], V[0] - 0.25 * along_v)
    assert torch.equal(made.u[1], before_u[1])
    assert torch.equal(made.v[1], before_v[1])


def test_a_sample_drawn_twice_steps_as_one_drawn_once(close):
    once, twice = terms(3, U, V), terms(3, U, V)
    once.learn(LOGITS.repeat(2, 1), torch.tensor([0, 0]), torch.tensor([1, 2]))
    twice.learn(LOGITS.repeat(2, 1), torch.tensor([0, 0]), torch.tensor([1, 1]))
    close(twice.u[1], once.u[1])
    close(twice.v[1], once.v[1])


def test_a_wrong_label_is_taken_up_and_a_right_one_is_not():
    """A network that is sure of class 1, given 0 and 1: u grows from next to nothing for the first only."""
    made = NoiseTerms(2, 3, torch.Generator().manual_seed(0), 10, 10)
    assert float(made.u.abs().max()) < 5 * START
    assert made.u.std() > 0
    for _ in range(200):
        made.learn(torch.tensor([[0.0, 9, 0]]).repeat(2, 1), torch.tensor([0, 1]), torch.tensor([0, 1]))
    assert made.u[0] ** 2 > 0.9
    assert made.v[0, 1] ** 2 > 0.9
    assert float(made.u[1].abs()) < 1e-4
    assert float(made.v[1].abs().max()) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_stay_finite(dtype):
    logits = torch.tensor([[300.0, -300, 0], [-300, 300, 0]], dtype=dtype)
    made = NoiseTerms(2, 3, torch.Generator().manual_seed(0), 10, 10).to(dtype)
    made.learn(logits, torch.tensor([1, 1]), torch.tensor([0, 1]))
    assert made.u.isfinite().all()
    assert made.v.isfinite().all()
    logits.requires_grad_()
    q = made.probabilities(logits, torch.tensor([1, 1]), torch.tensor([0, 1]))
    q.log().sum().backward()
    assert logits.grad.isfinite().all()


def test_at_first_it_is_plain_training(make, close):
    """Weights of an earlier stage scale the network's loss, and the terms do not follow them."""
    plain, sop, none = make("vanilla", {"stage": "sop"}).eval(), make("sop").eval(), make("sop").eval()
    batch = plain.task.batch(torch.arange(32))
    close(sop.step(batch)[0], plain.step(batch)[0], rtol=1e-5)
    assert none.step(replace(batch, weights=torch.zeros(32)))[0] == 0
    assert torch.equal(none.terms.u, sop.terms.u)
    assert torch.equal(none.terms.v, sop.terms.v)


def test_divergence_and_imbalance_by_hand(close):
    """The first view passes no gradient on."""
    first, second = (float64(row).log().requires_grad_() for row in ([0.5, 0.5], [0.8, 0.2]))
    loss = divergence(first, second)
    close(loss, 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2))
    loss.backward()
    assert first.grad is None
    close(second.grad, float64([0.8 - 0.5, 0.2 - 0.5]))
    close(imbalance(float64([0.9, 0.1], [0.1, 0.9])), math.log(2))
    close(imbalance(float64([0.9, 0.1], [0.7, 0.3])), -(math.log(0.8) + math.log(0.2)) / 2)


def test_sop_plus_adds_both_to_the_loss_of_its_first_view(make, close):
    sop, method = make("sop", {"stage": "sop+"}).eval(), make("sop+", consistency=0.5, balance=0.25).eval()
    batch = next(iter(method.batches(0)))
    first, second = method.network(batch.images), method.network(batch.stronger)
    q = method.terms.probabilities(first, batch.labels, batch.index)
    loss, logits = method.step(batch)
    close(logits, first, rtol=1e-4, atol=1e-5)
    close(loss, sop.step(batch)[0] + 0.5 * divergence(first, second) + 0.25 * imbalance(q), rtol=1e-4)
    assert torch.equal(method.terms.u, sop.terms.u)


def test_the_stronger_view_shows_the_same_images_in_another_way_and_in_their_colours(make):
    batch = next(iter(make("sop+").batches(0)))
    assert batch.stronger.shape == batch.images.shape
    assert not torch.equal(batch.stronger, batch.images)
    share = [views.sum((2, 3)) / views.sum((1, 2, 3)).unsqueeze(1) for views in (batch.images, batch.stronger)]
    assert float((share[0] - share[1]).abs().mean()) < 0.05
