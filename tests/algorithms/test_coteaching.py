"""Small-loss selection and its exchange against both published implementations; what Co-teaching passes on."""

from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F

from algorithms.parts.small_loss import forget_rate, kept_count, small_loss_weights


def test_golden(golden, close):
    for case in golden("coteaching"):
        labels, rate = case.given["labels"], case.hparams["forget_rate"]
        logits = [case.given[f"logits{n}"].requires_grad_() for n in (1, 2)]
        losses = [F.cross_entropy(each, labels, reduction="none") for each in logits]
        picks = [small_loss_weights(loss, rate) for loss in losses]
        for n, other in ((0, 1), (1, 0)):
            picked = case.wanted[f"selected_by_net{n + 1}"]
            assert picks[n].nonzero().flatten().tolist() == sorted(picked.tolist())
            loss = (picks[other] * losses[n]).sum()
            gradient = torch.autograd.grad(loss, logits[n], retain_graph=True)[0]
            close(losses[n], case.wanted[f"per_sample_ce{n + 1}"])
            close(loss, case.wanted[f"deneb_loss{n + 1}"])
            close(gradient, case.wanted[f"deneb_grad{n + 1}"])
            close(loss / len(picked), case.wanted[f"official_loss{n + 1}"])
            close(gradient / len(picked), case.wanted[f"official_grad{n + 1}"])


def test_forget_schedule_golden(golden, close):
    for case in golden("coteaching_forget_schedule"):
        final, gradual, epochs = (case.hparams[name] for name in ("forget_rate", "num_gradual", "n_epoch"))
        schedule = torch.tensor([forget_rate(epoch, final, gradual) for epoch in range(epochs)], dtype=torch.float64)
        close(schedule, case.wanted["coteaching_rate"])
        close(schedule, case.wanted["coteaching_plus_rate"])


@pytest.mark.parametrize(("gradual", "rates"), [(0, [0.3, 0.3, 0.3]), (1, [0, 0.3, 0.3]), (2, [0, 0.3, 0.3])])
def test_short_ramps(gradual, rates):
    assert [forget_rate(epoch, 0.3, gradual) for epoch in range(3)] == rates


@pytest.mark.parametrize("rate", [0, 0.09, 0.1, 0.2, 0.3, 0.5, 0.7, 0.99, 1])
@pytest.mark.parametrize("count", [1, 2, 10, 64, 256])
def test_the_count_is_python_s(rate, count):
    assert kept_count(torch.ones(count, dtype=torch.bool), rate) == (int((1 - rate) * count) or count)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_small_loss_weights(dtype):
    losses = torch.tensor([5, 1, 1, 0, 9], dtype=dtype, requires_grad=True)
    weights = small_loss_weights(losses, 0.6)
    assert weights.dtype == dtype
    assert weights.tolist() == [0, 0.5, 0, 0.5, 0]  # of equals, the earlier one
    assert not weights.requires_grad
    assert small_loss_weights(losses[:1], 0.9).tolist() == [1]
    assert small_loss_weights(losses, 0.9).unique().tolist() == pytest.approx([0.2])  # none left: all


@pytest.mark.parametrize(("given", "wanted"), [(-1.0, 0.2), (0.0, 0), (0.25, 0.25)])
def test_forget_rate(make, given, wanted):
    """Negative means the noise rate that the task knows."""
    assert make("coteaching", forget_rate=given).final_rate() == pytest.approx(wanted)


def test_each_network_is_trained_on_what_the_other_picks(make):
    method, batch = make("coteaching"), make("coteaching").task.batch(torch.arange(8))
    method.begin_epoch(0)
    mine, other = torch.eye(8)[3], torch.eye(8)[5]
    with patch.object(method, "picks", return_value=[mine, other]):
        loss, logits = method.step(batch)
    torch.testing.assert_close(loss, F.cross_entropy(logits, batch.labels, reduction="none")[5])


def test_predicts_the_mean_of_the_logits(make):
    method = make("coteaching").eval()
    images = method.task.batch(torch.arange(4)).images
    first, second = (network(images) for network in method.networks)
    assert not torch.equal(first, second)
    torch.testing.assert_close(method.predict(images), (first + second) / 2)


def test_keeps_what_both_networks_find_easy(make):
    method = make("coteaching", forget_rate=0.25).eval()
    task, size = method.task, len(method.task.train)
    kept, score = method.select()
    easy = [
        set(F.cross_entropy(task.over_train(network), task.train.labels, reduction="none").argsort()[:72].tolist())
        for network in method.networks
    ]
    assert set(kept.tolist()) == easy[0] & easy[1]
    assert 2 <= len(kept) < 72
    assert set(kept.tolist()) == set((score < 72 / size).nonzero().flatten().tolist())


STEEP = torch.tensor([4.0, 1, 1, 1])
"""Weights of an earlier stage, under which the first of four samples has the largest weighted loss."""


@pytest.mark.parametrize(
    ("rank_by", "picked", "factors"), [("plain", [0, 1], [4.0, 1.0]), ("weighted", [1, 2], [1.0, 1.0])]
)
@pytest.mark.parametrize("name", ["coteaching", "coteaching+"])
def test_weights_scale_the_trained_loss_and_only_by_name_the_ranked_one(make, name, rank_by, picked, factors):
    """Losses of .5, .6, .7, .8 for both networks, of which half are kept: by hand."""
    method = make(name, weights=STEEP.repeat(24), rank_by=rank_by, forget_rate=0.5, num_gradual=0)
    method.begin_epoch(0)
    losses = torch.tensor([0.5, 0.6, 0.7, 0.8])
    likelihood = (-losses).exp()
    labels = method.task.train.labels[:4]
    logits = ((1 - likelihood) / 9).log().unsqueeze(1).repeat(1, 10)
    logits[torch.arange(4), labels] = likelihood.log()
    trained = []
    with (
        patch.object(type(method), "networks", [lambda images: logits] * 2),
        patch.object(method, "update", lambda optimizer, loss: trained.append(loss)),
    ):
        method.step(method.task.batch(torch.arange(4)))
    wanted = sum(factor * float(losses[k]) for k, factor in zip(picked, factors, strict=True)) / 2
    assert [float(loss) for loss in trained] == pytest.approx([wanted, wanted])


def test_without_weights_the_ranking_makes_no_difference(make):
    steps = []
    for rank_by in ("plain", "weighted"):
        method = make("coteaching", rank_by=rank_by, forget_rate=0.5, num_gradual=0)
        method.begin_epoch(0)
        torch.manual_seed(0)
        steps.append(method.step(method.task.batch(torch.arange(32)))[0])
    assert steps[0] == steps[1]
