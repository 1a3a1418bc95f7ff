"""LA's likelihood by hand, its prior, its draws, and what is left of it without noise: logit adjustment."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from algorithms.la import cell_prior, draws_by_label, given_label_losses
from algorithms.parts.cue import CueModel, fit_cue_model, symmetric_noise
from algorithms.training.run import run
from utils.audit.samples import read_samples


def float64(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_the_likelihood_by_hand(close):
    """Content says 0 with odds 3 to 1, cue 1 with odds 4 to 1; a fifth of labels flip; 1s are drawn twice as often."""
    logits, prior = float64([math.log(3), 0]), float64([0.2, 0.8])
    true = float64(3 * 0.2, 1 * 0.8) / (0.6 + 0.8)
    given = float64(true[0] * 0.8 + true[1] * 0.2, true[0] * 0.2 + true[1] * 0.8) * float64(1, 2)
    for label in (0, 1):
        loss = given_label_losses(
            logits, torch.tensor([label]), prior.log(), symmetric_noise(0.2, 2).log(), float64([0, math.log(2)])
        )
        close(loss, -(given[label] / given.sum()).log().view(1))


def test_without_noise_and_draws_it_is_logit_adjustment(close):
    logits, log_prior = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64).log_softmax(1)
    labels = torch.tensor([0, 1, 2, 3, 0])
    noise = torch.eye(4, dtype=torch.float64).clamp_min(1e-300).log()
    losses = given_label_losses(logits, labels, log_prior, noise, torch.zeros(5, 4))
    close(losses, F.cross_entropy(logits + log_prior, labels, reduction="none"))


def test_the_likelihood_is_finite_and_has_a_gradient_at_extremes():
    logits = torch.tensor([[1e4, 0], [-1e4, 0]], requires_grad=True)
    log_noise = torch.eye(2).clamp_min(1e-12).log()
    losses = given_label_losses(logits, torch.tensor([1, 0]), torch.zeros(2, 2), log_noise, torch.zeros(2, 2))
    assert losses.isfinite().all()
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert gradient.isfinite().all()


def test_the_cell_prior_takes_the_noise_out(close):
    """Cue 0 with true labels 0, 1, 2 in shares .7, .2, .1, of which a fifth flips evenly; the others as many."""
    noise = symmetric_noise(0.2, 3)
    shares = float64([0.7, 0.2, 0.1]) @ noise
    labels = torch.repeat_interleave(torch.arange(3), (1000 * shares[0]).round().long())
    prior = cell_prior(F.one_hot(torch.zeros_like(labels), 3).double(), labels, noise)
    close(prior, float64([0.7, 0.2, 0.1]).expand(1000, 3), rtol=1e-3)


def test_the_cell_prior_has_no_negative_share():
    labels = torch.zeros(50, dtype=torch.int64)  # fewer wrong labels than there should be
    prior = cell_prior(torch.full((50, 3), 1 / 3, dtype=torch.float64), labels, symmetric_noise(0.3, 3))
    assert (prior >= 0).all()
    torch.testing.assert_close(prior.sum(1), torch.ones(50, dtype=torch.float64))
    assert (prior[:, 0] > 0.99).all()


def test_draws_by_hand(close):
    cues = CueModel(torch.tensor([0, 0, 1]), float64(0, 0.5, 1), symmetric_noise(0.2, 3))
    labels = torch.tensor([0, 1, 2])
    close(draws_by_label(cues, labels, "once", 0.6), torch.ones(3, 3))
    close(draws_by_label(cues, labels, "even", 0.6), float64([0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.3, 0.4, 0.3]))
    right = cues.right_label_probabilities()
    total = right[1, 1] + right[2, 2]
    drawn = draws_by_label(cues, labels, "posterior", 0.6)
    close(drawn[1, 1], 0.6 * right[1, 1] / total)
    close(drawn[0], float64(0.4, 0, 0))


def test_draws_follow_the_table(make):
    method = make("la", draws="even", share=0.9)
    labels, cue = method.task.train.labels, method.task.cue.argmax(1)
    served = torch.cat([batch.index for epoch in range(20) for batch in method.batches(epoch)])
    assert (cue != labels)[served].double().mean() == pytest.approx(0.9, abs=0.03)
    assert sorted(torch.cat([batch.index for batch in make("la", draws="once").batches(0)])) == list(range(96))


def test_a_known_rate_and_an_estimated_matrix(make, close):
    close(make("la", noise="known").log_noise.exp(), symmetric_noise(0.2, 10), rtol=1e-5)
    method = make("la")
    estimated = fit_cue_model(method.task.cue.double(), method.task.train.labels).noise
    close(method.log_noise.exp(), estimated, rtol=1e-5)


@pytest.mark.parametrize("prior", ["image", "cell"])
def test_posteriors_are_columns(prior, make):
    method = make("la", prior=prior).eval()
    told = method.diagnostics()
    assert set(told) == {"mislabelled_probability", "conflicting_probability"}
    assert all(column.shape == (96,) and ((column >= 0) & (column <= 1)).all() for column in told.values())
    agrees = method.task.cue.argmax(1) == method.task.train.labels
    torch.testing.assert_close(told["mislabelled_probability"][agrees], told["conflicting_probability"][agrees])


def test_the_posteriors_of_the_final_model_are_in_samples_csv(tmp_path):
    flags = ["--epochs", "1", "--model", "MLP", "--log_dir", str(tmp_path), "--best_by", "valid_loss", "--no_figures"]
    config = resolve(parse_arguments([*flags, "--alg", "la"], "test"))
    run(config)
    samples = read_samples(config.folder)
    for name in ("mislabelled_probability", "conflicting_probability", "entropy"):
        assert np.isfinite(samples[name]).all()
    assert np.ptp(samples["mislabelled_probability"]) > 0.5
