"""ELR's targets and loss against the authors' code, and at their edges."""

import pytest
import torch
import torch.nn.functional as F

from algorithms.elr import elr_step


def test_golden(golden, close):
    for case in golden("elr"):
        targets = torch.zeros(case.hparams["num_examp"], case.given["logits0"].shape[1], dtype=torch.float64)
        for step in range(case.hparams["steps"]):
            logits = case.given[f"logits{step}"].requires_grad_()
            penalty = elr_step(logits, targets, case.given[f"index{step}"], case.hparams["beta"])
            loss = F.cross_entropy(logits, case.given[f"labels{step}"]) + case.hparams["lambda"] * penalty.mean()
            close(loss, case.wanted[f"loss{step}"])
            close(torch.autograd.grad(loss, logits)[0], case.wanted[f"grad_logits{step}"])
            close(targets, case.wanted[f"target_table{step}"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [2, 100])
def test_extreme_logits_stay_finite(dtype, classes):
    """Also after many visits by a saturated network, whose targets have almost reached its clipped prediction."""
    targets = torch.zeros(2, classes, dtype=dtype)
    for _ in range(50):
        logits = torch.full((1, classes), -300.0, dtype=dtype).index_fill_(1, torch.tensor([1]), 300).requires_grad_()
        penalty = elr_step(logits, targets, torch.tensor([1]), 0.7)
        assert torch.isfinite(penalty).all()
        assert torch.isfinite(torch.autograd.grad(penalty.sum(), logits)[0]).all()
    assert targets[1].sum() == pytest.approx(1, abs=1e-5)
    assert not targets[0].any()


def test_the_targets_pass_no_gradient(close):
    """At the first visit the gradient is that of log(1 - <t, p>) with t constant."""
    logits = torch.tensor([[1.0, 0, -1]], dtype=torch.float64, requires_grad=True)
    targets = torch.zeros(1, 3, dtype=torch.float64)
    penalty = elr_step(logits, targets, torch.tensor([0]), 0.7)
    p = logits.detach().softmax(1)
    inner = (targets * p).sum()
    close(torch.autograd.grad(penalty.sum(), logits)[0], -p * (targets - inner) / (1 - inner))


def test_an_earlier_stage_s_weights_scale_the_cross_entropy_only(make, close):
    """With weights of zero the penalty is left: at the first visit t = 0.3 p / sum(p)."""
    method = make("elr", weights=torch.zeros(96))
    loss, logits = method.step(method.task.batch(torch.arange(16)))
    p = logits.softmax(1).clamp(1e-4, 1 - 1e-4)
    close(loss, 3 * torch.log(1 - 0.3 * (p * p).sum(1) / p.sum(1)).mean(), rtol=1e-5)
