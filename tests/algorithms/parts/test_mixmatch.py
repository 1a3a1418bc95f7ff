"""Targets and losses of DivideMix's steps against the authors' code, and at their edges."""

import pytest
import torch

from algorithms.parts.losses import prediction_entropy, soft_cross_entropy
from algorithms.parts.mixing import mix
from algorithms.parts.mixmatch import (
    guessed_targets,
    imbalance_penalty,
    refined_targets,
    semi_supervised_loss,
    squared_error,
    unlabelled_factor,
)


def test_losses_golden(golden, close):
    """DENEB's squared error sums over classes: C times the original's."""
    for case in golden("dividemix_semiloss"):
        given, wanted, hparams = case.given, case.wanted, case.hparams
        x, u = given["logits_x"].requires_grad_(), given["logits_u"].requires_grad_()
        labelled = soft_cross_entropy(x, given["targets_x"]).mean()
        unlabelled = squared_error(u, given["targets_u"]).mean()
        for prefix, times in (("", 1), ("deneb_", u.shape[1])):
            close(labelled, wanted[f"{prefix}Lx"])
            close(unlabelled * times, wanted[f"{prefix}Lu"])
            factor = unlabelled_factor(hparams["lambda_u"], hparams["epoch"] - hparams["warm_up"])
            close(factor, wanted["lambda_t"])
            total = labelled + factor * times * unlabelled
            grad_x, grad_u = torch.autograd.grad(total, (x, u), retain_graph=True)
            names = ("grad_x", "grad_u") if prefix else ("grad_logits_x", "grad_logits_u")
            close(grad_x, wanted[prefix + names[0]])
            close(grad_u, wanted[prefix + names[1]])
        negative_entropy = -prediction_entropy(x, 1).mean()
        close(negative_entropy, wanted["neg_entropy_x"])
        close(torch.autograd.grad(negative_entropy, x)[0], wanted["grad_neg_entropy_x"])


def test_step_golden(golden, close):
    for case in golden("dividemix_step"):
        given, wanted, about = case.given, case.wanted, case.hparams
        weight, bias = given["net_W"].requires_grad_(), given["net_b"].requires_grad_()
        x, u = (torch.cat([given[f"inputs_{kind}"], given[f"inputs_{kind}2"]]) for kind in "xu")
        with torch.no_grad():
            targets_x = refined_targets(
                x @ weight + bias, given["labels_x"].repeat(2), given["w_x"].repeat(2), about["T"]
            )
            partner = u @ given["net2_W"] + given["net2_b"]
            targets_u = guessed_targets(u @ weight + bias, partner, about["T"])
        close(targets_x, wanted["targets_x"].repeat(2, 1))
        close(targets_u, wanted["targets_u"].repeat(2, 1))
        share = max(float(given["beta_draw"]), 1 - float(given["beta_draw"]))
        close(share, wanted["l_used"])
        images = mix(torch.cat([x, u]), given["perm"], share)
        targets = mix(torch.cat([targets_x, targets_u]), given["perm"], share)
        close(images, wanted["mixed_input"])
        close(targets, wanted["mixed_target"])
        factor = unlabelled_factor(
            about["lambda_u"], about["epoch"] + about["batch_idx"] / about["num_iter"] - about["warm_up"]
        )
        logits = images @ weight + bias
        close(factor, wanted["lamb"])
        close(imbalance_penalty(logits), wanted["penalty"])
        loss = semi_supervised_loss(logits, targets, len(x), factor)
        close(loss, wanted["loss"])
        for gradient, name in zip(torch.autograd.grad(loss, (weight, bias)), ("W", "b"), strict=True):
            close(gradient, wanted[f"grad_{name}"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [2, 100])
@pytest.mark.parametrize("labelled", [2, 4])
def test_extreme_logits_stay_finite(dtype, classes, labelled):
    """Two views of one labelled and one or no unlabelled image; a class that no row predicts."""
    logits = torch.full((4, classes), -300.0, dtype=dtype)
    logits[:, 0] = 300
    labels, clean = torch.ones(4, dtype=torch.long), torch.tensor([0.0, 1, 0, 1], dtype=dtype)
    refined = refined_targets(logits, labels, clean, 0.1)
    guessed = guessed_targets(logits, logits.flip(1), 0.1)
    for targets in (refined, guessed):
        assert targets.dtype == dtype
        assert targets.sum(1).tolist() == pytest.approx([1] * 4)
    logits.requires_grad_()
    loss = semi_supervised_loss(logits, refined, labelled, 25.0)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_penalty_is_zero_for_balanced_predictions_and_positive_else(classes):
    assert float(imbalance_penalty(50 * torch.eye(classes).double())) == pytest.approx(0, abs=1e-12)
    assert float(imbalance_penalty(torch.eye(classes)[:1])) > 0


def test_a_clean_label_is_the_target_and_a_wrong_one_does_not_matter():
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2]).repeat(2)
    assert torch.equal(refined_targets(logits, labels, torch.ones(6), 0.5), torch.eye(4)[labels])
    one, other = (refined_targets(logits, given, torch.zeros(6), 0.5) for given in (labels, labels + 1))
    torch.testing.assert_close(one, other)


def test_weights_multiply_rows_and_each_part_is_divided_by_its_size(close):
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    targets = targets.softmax(1)
    weights = torch.tensor([0.5, 2, 1, 0, 3], dtype=torch.float64)
    by_hand = (weights[:2] * soft_cross_entropy(logits[:2], targets[:2])).sum() / 2
    by_hand += 7 * (weights[2:] * squared_error(logits[2:], targets[2:])).sum() / 3 + imbalance_penalty(logits)
    close(semi_supervised_loss(logits, targets, 2, 7.0, weights), by_hand)
    equal = semi_supervised_loss(logits, targets, 2, 7.0, torch.ones(5, dtype=torch.float64))
    close(equal, semi_supervised_loss(logits, targets, 2, 7.0))


def test_the_ramp_of_the_unlabelled_loss_golden(golden, close):
    """The fixture's warm-up is ten epochs long."""
    for case in golden("rampups"):
        ramp = [unlabelled_factor(case.hparams["lambda_u"], float(epoch) - 10) for epoch in case.given["epochs"]]
        close(torch.tensor(ramp, dtype=torch.float64), case.wanted["dividemix_lambda_u_warm10"])
