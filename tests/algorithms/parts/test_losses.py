"""The mathematics on logits: golden numbers, definitions by hand, and the edges of what can be represented."""

import math

import pytest
import torch
import torch.nn.functional as F

from algorithms.parts import losses
from data.batches import as_probabilities
from utils.errors import RunError

DTYPES = [torch.float32, torch.float64]

PER_SAMPLE = {
    "gce q=0": lambda z, y: losses.gradient_scaled_gce(z, y, 0),
    "gce q=0.3": lambda z, y: losses.gradient_scaled_gce(z, y, 0.3),
    "gce q=0.7": lambda z, y: losses.gradient_scaled_gce(z, y, 0.7),
    "gce q=1": lambda z, y: losses.gradient_scaled_gce(z, y, 1),
    "lq q=0": lambda z, y: losses.lq(z, y, 0),
    "lq q=0.7": lambda z, y: losses.lq(z, y, 0.7),
    "lq q=1": lambda z, y: losses.lq(z, y, 1),
    "truncated lq": lambda z, y: losses.truncated_lq(z, y, 0.7, 0.5, torch.ones(len(y), dtype=z.dtype)),
    "sce": lambda z, y: losses.symmetric_cross_entropy(z, y, 0.1, 1.0, 1e-4),
    "elr": lambda z, y: losses.elr_penalty(losses.clipped_softmax(z), losses.clipped_softmax(z).detach() / 2),
    "soft ce": lambda z, y: losses.soft_cross_entropy(z, F.one_hot(y, z.shape[1]).to(z.dtype)),
    "entropy tau=0.5": lambda z, y: losses.prediction_entropy(z, 0.5),
    "entropy tau=20": lambda z, y: losses.prediction_entropy(z, 20),
    "margin": lambda z, y: losses.margins(z, y),
    "gradient norm": lambda z, y: losses.head_gradient_norms(z, y, torch.ones(len(y), 3, dtype=z.dtype)),
}


def logits_of(batch, classes, dtype=torch.float64, seed=0):
    return 3 * torch.randn(batch, classes, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def test_gradient_scaled_gce_golden(golden, close):
    cases = golden("gce_lff_style")
    assert len(cases) == 5
    for case in cases:
        logits = case.given["logits"].requires_grad_()
        loss = losses.gradient_scaled_gce(logits, case.given["labels"], case.hparams["q"])
        close(loss, case.wanted["loss"])
        close(loss.mean(), case.wanted["loss_mean"])
        close(torch.autograd.grad(loss.mean(), logits)[0], case.wanted["grad_logits"])


def test_entropy_golden(golden, close):
    cases = golden("deneb_entropy")
    assert len(cases) == 4
    for case in cases:
        entropy = losses.prediction_entropy(case.given["logits"], case.hparams["tau"])
        close(entropy, case.wanted["entropy"])
        close(as_probabilities(entropy), case.wanted["prob"])


@pytest.mark.parametrize("name", PER_SAMPLE)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_extreme_logits_give_finite_losses_and_gradients(name, dtype, classes):
    """Every pattern of ±300 that matters: the label far above, far below, level with all, and among other winners."""
    logits = torch.full((5, classes), -300.0, dtype=dtype)
    logits[0, 0] = 300
    logits[1, 1] = 300
    logits[2] = 300
    logits[3, ::2] = 300
    logits[4, 1::2] = 300
    logits.requires_grad_()
    loss = PER_SAMPLE[name](logits, torch.zeros(5, dtype=torch.int64))
    assert loss.dtype == dtype
    assert torch.isfinite(loss).all()
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", PER_SAMPLE)
def test_every_sample_counts_for_itself(name):
    """A batch of one gives what the same sample gives among others, for 2 to 100 classes."""
    for classes in (2, 3, 10, 100):
        logits, labels = logits_of(4, classes), torch.arange(4) % classes
        together = PER_SAMPLE[name](logits, labels)
        alone = [PER_SAMPLE[name](logits[i : i + 1], labels[i : i + 1]) for i in range(4)]
        assert together.shape == (4,)
        torch.testing.assert_close(torch.cat(alone), together)


@pytest.mark.parametrize("q", [0.1, 0.7, 1.0])
def test_the_scaled_form_has_the_gradient_of_one_minus_p_to_the_q(q):
    logits, labels = logits_of(6, 5).requires_grad_(), torch.tensor([0, 1, 2, 3, 4, 0])
    probability = logits.softmax(1)[torch.arange(6), labels]
    scaled = losses.gradient_scaled_gce(logits, labels, q)
    torch.testing.assert_close(scaled, q * probability**q * -probability.log())
    wanted = torch.autograd.grad((1 - probability**q).sum(), logits, retain_graph=True)[0]
    torch.testing.assert_close(torch.autograd.grad(scaled.sum(), logits)[0], wanted)


def test_q_zero_is_cross_entropy():
    logits, labels = logits_of(8, 4), torch.arange(8) % 4
    wanted = F.cross_entropy(logits, labels, reduction="none")
    assert torch.equal(losses.gradient_scaled_gce(logits, labels, 0), wanted)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_entropy_lies_between_certainty_and_uniformity(dtype, classes):
    flat, certain = torch.zeros(1, classes, dtype=dtype), torch.zeros(1, classes, dtype=dtype)
    certain[0, 1] = 300
    assert losses.prediction_entropy(flat, 1).item() == pytest.approx(math.log(classes), rel=1e-6)
    assert losses.prediction_entropy(certain, 1).item() == pytest.approx(0, abs=1e-100)
    entropy = losses.prediction_entropy(100 * logits_of(500, classes, dtype), 0.01)
    assert (entropy >= 0).all()
    assert (entropy <= math.log(classes) * (1 + 1e-6)).all()


def test_a_higher_temperature_raises_every_entropy():
    logits = logits_of(50, 10)
    entropies = torch.stack([losses.prediction_entropy(logits, tau) for tau in (0.5, 1, 5, 20)])
    assert (entropies.diff(dim=0) > 0).all()


def test_all_zero_scores_become_uniform():
    assert as_probabilities(torch.zeros(8)).tolist() == [1 / 8] * 8
    certain = torch.full((4, 3), -300.0).index_fill_(1, torch.tensor([2]), 300)
    assert as_probabilities(losses.prediction_entropy(certain, 1)).tolist() == [0.25] * 4


def test_probabilities_are_float64_sum_to_one_and_keep_zeros():
    scores = torch.rand(100_000, generator=torch.Generator().manual_seed(0))
    scores[::7] = 0
    probabilities = as_probabilities(scores)
    assert probabilities.dtype == torch.float64
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-12)
    assert not probabilities[::7].any()
    assert as_probabilities(torch.tensor([0, 1e-300, 0], dtype=torch.float64)).tolist() == [0, 1, 0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_refused(bad):
    with pytest.raises(RunError, match="Lower --lr"):
        as_probabilities(torch.tensor([0.5, bad]))
