"""GCE in its three forms: the authors' numbers, the definition, extreme logits, and pruning."""

import math

import pytest
import torch
import torch.nn.functional as F

from algorithms.gce import likelier
from algorithms.parts.losses import gradient_scaled_gce, lq, truncated_lq


def loss_and_gradient(function, logits):
    logits = logits.clone().requires_grad_()
    loss = function(logits)
    (gradient,) = torch.autograd.grad(loss.mean(), logits)
    return loss.detach(), gradient


def test_scaled_form_is_the_authors(golden, close):
    for case in golden("gce_lff_style"):
        labels, q = case.given["labels"], case.hparams["q"]
        loss, gradient = loss_and_gradient(lambda z, y=labels, q=q: gradient_scaled_gce(z, y, q), case.given["logits"])
        close(loss, case.wanted["loss"])
        close(loss.mean(), case.wanted["loss_mean"])
        close(gradient, case.wanted["grad_logits"])


def test_truncated_form_is_the_reimplementations(golden, close):
    for case in golden("truncated_lq"):
        given, q, k = case.given, case.hparams["q"], case.hparams["k"]
        labels, index = given["labels"], given["index"]
        table = torch.ones(case.hparams["trainset_size"], dtype=torch.float64)
        for when in ("before", "after"):
            kept = table[index]
            loss, gradient = loss_and_gradient(
                lambda z, y=labels, w=kept, q=q, k=k: truncated_lq(z, y, q, k, w), given["logits"]
            )
            close(loss.mean(), case.wanted[f"loss_{when}_prune"])
            close(gradient, case.wanted[f"grad_{when}_prune"])
            table[index] = likelier(given["prune_logits"], labels, k)
        close(table, case.wanted["weight_table"])


@pytest.mark.parametrize("q", [0.1, 0.5, 1.0])
def test_lq_is_its_definition_and_the_scaled_form_has_q_times_its_gradient(q):
    logits, labels = torch.randn(6, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0, 0])
    chosen = logits.softmax(1)[torch.arange(6), labels]
    loss, gradient = loss_and_gradient(lambda z: lq(z, labels, q), logits)
    torch.testing.assert_close(loss, (1 - chosen**q) / q)
    scaled = loss_and_gradient(lambda z: gradient_scaled_gce(z, labels, q), logits)[1]
    torch.testing.assert_close(scaled, q * gradient)


def test_lq_tends_to_cross_entropy():
    logits, labels = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    cross_entropy = F.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(lq(logits, labels, 1e-9), cross_entropy)
    assert torch.equal(lq(logits, labels, 0), cross_entropy)
    half = truncated_lq(logits, labels, 0, 0.5, torch.ones(5))
    torch.testing.assert_close(half, cross_entropy - math.log(2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("q", [0, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("batch", [1, 4])
def test_extreme_logits_give_finite_losses_and_gradients(dtype, q, classes, batch):
    labels = torch.zeros(batch, dtype=torch.int64)  # the other classes are absent
    for own in (300.0, -300.0, 0.0):
        logits = torch.full((batch, classes), -own, dtype=dtype)
        logits[:, 0] = own
        for function in (
            lambda z: gradient_scaled_gce(z, labels, q),
            lambda z: lq(z, labels, q),
            lambda z: truncated_lq(z, labels, q, 0.5, torch.ones(batch, dtype=dtype)),
        ):
            loss, gradient = loss_and_gradient(function, logits)
            assert loss.shape == (batch,)
            assert loss.dtype == dtype
            assert torch.isfinite(loss).all()
            assert torch.isfinite(gradient).all()


def test_pruning_that_would_leave_nothing_keeps_everything():
    logits = torch.zeros(4, 10)
    assert likelier(logits, torch.tensor([0, 1, 2, 3]), 0.5).tolist() == [1, 1, 1, 1]
    logits[0, 0] = 9
    assert likelier(logits, torch.tensor([0, 1, 2, 3]), 0.5).tolist() == [1, 0, 0, 0]


def test_a_pruned_sample_pulls_no_more(make):
    method = make("gce", form="truncated_lq")
    method.kept[:4] = 0
    batch = method.task.batch(torch.arange(8))
    losses = method.losses(method.predict(batch.images), batch)
    assert (losses != 0).tolist() == [False] * 4 + [True] * 4


def test_prunes_on_schedule(make):
    method = make("gce", form="truncated_lq", prune_start=0.34, prune_every=2)  # from the second of three epochs on
    labels = method.task.train.labels
    method.network.fc.bias.data[3] += 5  # now class 3 is likely everywhere, and nothing else is
    pruned = []
    for epoch in range(6):
        method.kept.fill_(1)
        method.begin_epoch(epoch)
        pruned.append(torch.equal(method.kept, (labels == 3).float()))
    assert pruned == [False, True, False, True, False, True]
    assert method.training


@pytest.mark.parametrize("form", ["lq", "truncated_lq"])
def test_each_form_trains(form, make):
    method = make("gce", form=form, prune_start=1)
    batch = method.task.batch(torch.arange(32))
    first, *_, last = [method.step(batch)[0] for _ in range(20)]
    assert last < first
