"""ELR+'s targets and losses against the authors' code; its teachers' and students' bookkeeping."""

import pytest
import torch

from algorithms.elr_plus import elr_plus_losses
from algorithms.parts.mixing import mix, sigmoid_rampup, update_history


def test_golden(golden, close):
    for case in golden("elr_plus"):
        given, wanted, hparams = case.given, case.wanted, case.hparams
        history = torch.zeros(hparams["num_examp"], hparams["num_classes"], dtype=torch.float64)
        last = hparams["steps"] - 1
        for step in range(hparams["steps"]):
            logits = given[f"logits{step}"].requires_grad_()
            spoken = given[f"ema_teacher_logits{step}"].softmax(1)
            current = update_history(history, given[f"index{step}"], spoken, hparams["beta"])
            q = mix(current, given[f"mix_index{step}"], float(given[f"mixup_lambda{step}"]))
            cross_entropy, penalty = elr_plus_losses(logits, given[f"soft_labels{step}"], q)
            strength = hparams["lambda"] * sigmoid_rampup(int(given[f"iteration{step}"]), hparams["coef_step"])
            loss = cross_entropy.mean() + strength * penalty.mean()
            close(history, wanted[f"pred_hist{step}"])
            close(q, wanted[f"q{step}"])
            close(loss, wanted[f"loss{step}"])
            close(torch.autograd.grad(loss, logits, retain_graph=True)[0], wanted[f"grad_logits{step}"])
            if step == last:
                weighted = (given["weight_last"] * cross_entropy).mean() + strength * penalty.mean()
                close(weighted, wanted["deneb_weighted_loss_last"])
                close(torch.autograd.grad(weighted, logits)[0], wanted["deneb_weighted_grad_last"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_hundred_classes_sharpen_the_labels(close, dtype):
    """The label's own share of y * q is kept; a target that contradicts the history wholly is dropped, not NaN."""
    logits = torch.randn(2, 100, dtype=dtype, generator=torch.Generator().manual_seed(0))
    targets = torch.zeros(2, 100, dtype=dtype)
    targets[:, 0], targets[:, 1] = 0.75, 0.25
    history = torch.zeros(2, 100, dtype=dtype)
    history[0, 0], history[0, 1], history[1, 5] = 0.2, 0.6, 1
    cross_entropy, penalty = elr_plus_losses(logits, targets, history)
    close(cross_entropy[0], -logits[0].log_softmax(0)[:2].mean(), rtol=1e-5)
    assert cross_entropy[1] == 0
    assert torch.isfinite(penalty).all()


def test_extreme_logits():
    logits = torch.tensor([[300.0, -300], [-300, 300]], requires_grad=True)
    cross_entropy, penalty = elr_plus_losses(logits, torch.tensor([[1.0, 0], [1, 0]]), torch.eye(2))
    assert cross_entropy.tolist() == [0, 600]
    assert torch.isfinite(penalty).all()
    assert torch.isfinite(torch.autograd.grad((cross_entropy + penalty).sum(), logits)[0]).all()


@pytest.fixture
def elr_plus(make):
    return make("elr+", warmup=0, ema_step=0, ema_alpha=0.9, mixup_alpha=0)


def test_each_student_hears_the_others_teacher(elr_plus):
    method, batch = elr_plus, elr_plus.task.batch(torch.arange(16))
    method.begin_epoch(0)
    for module in method.modules():
        if "Dropout" in type(module).__name__:
            module.eval()
    first, second = (teacher(batch.images).softmax(1) for teacher in method.teachers)
    method.step(batch)
    beta = method.hparams.beta
    torch.testing.assert_close(method.histories[0, :16], (1 - beta) * second)
    torch.testing.assert_close(method.histories[1, :16], (1 - beta) * first)
    assert not method.histories[:, 16:].any()


def test_teachers_average_parameters_and_keep_their_own_statistics(elr_plus):
    method = elr_plus
    method.begin_epoch(0)
    before = [parameter.clone() for parameter in method.teachers[1].parameters()]
    method.step(method.task.batch(torch.arange(16)))
    for old, average, parameter in zip(
        before, method.teachers[1].parameters(), method.partner.parameters(), strict=True
    ):
        torch.testing.assert_close(average, 0.9 * old + 0.1 * parameter)
        assert not average.requires_grad
    statistics = [name for name, _ in method.teachers.named_buffers() if "running_mean" in name]
    assert statistics
    assert all(method.teachers.get_buffer(name).any() for name in statistics)


def test_warm_up_is_cross_entropy_without_mixup(make):
    method = make("elr+", warmup=1)
    method.begin_epoch(0)
    state = method.mixing.get_state()
    method.step(method.task.batch(torch.arange(16)))
    assert torch.equal(method.mixing.get_state(), state)
    assert method.histories[:, :16].sum(2).allclose(torch.tensor(1 - method.hparams.beta))


def test_an_earlier_stage_s_weights_scale_the_cross_entropy_only(make):
    method = make("elr+", warmup=0, weights=torch.zeros(96))
    method.begin_epoch(0)
    loss, _ = method.step(method.task.batch(torch.arange(16)))
    assert loss < 0  # the penalty is left


def test_updates_are_counted_from_the_start_of_training(make):
    method = make("elr+")
    method.begin_epoch(2)
    assert method.updates == 6  # 96 samples in batches of 32
