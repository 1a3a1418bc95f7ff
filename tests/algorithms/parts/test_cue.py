"""The model of cues and noise: by hand, on data that follow it, and where there is nothing to learn from."""

import pytest
import torch

from algorithms.parts.cue import CueModel, fit_cue_model, noise_matrix, symmetric_noise


def float64(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_symmetric_noise_by_hand(close):
    close(symmetric_noise(0.2, 3), float64([0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]))


def test_the_noise_matrix_is_counted_and_shrunk(close):
    true, given = torch.tensor([0] * 100 + [1] * 300), torch.tensor([0] * 90 + [1] * 10 + [1] * 300)
    wanted = float64([(90 + 95) / 200, (10 + 5) / 200], [5 / 400, (300 + 95) / 400])
    close(noise_matrix(true, given, 0.05, 2), wanted)
    close(noise_matrix(true[:0], given[:0], 0.05, 2), symmetric_noise(0.05, 2))


def test_prior_and_posterior_by_hand(close):
    """Cue 0 throughout: surely aligned, surely conflicting, and half and half."""
    model = CueModel(torch.tensor([0, 0, 0]), float64(0, 1, 0.5), symmetric_noise(0.2, 3))
    close(model.true_label_prior(), float64([1, 0, 0], [0, 0.5, 0.5], [0.5, 0.25, 0.25]))
    close(model.right_label_probability(torch.tensor([0, 0, 0])), float64(1, 0, 0.4 / (0.4 + 0.05)))
    close(model.right_label_probability(torch.tensor([1, 1, 1])), float64(0, 0.4 / 0.45, 0.2 / (0.2 + 0.025 + 0.05)))


def test_a_label_that_noise_cannot_give_is_right(close):
    model = CueModel(torch.tensor([0, 0]), float64(0, 0.1), torch.eye(3, dtype=torch.float64))
    close(model.right_label_probability(torch.tensor([1, 1])), float64(1, 1))


@pytest.mark.parametrize("kind", ["sym", "asym"])
def test_it_finds_the_noise_and_the_conflicting_images_of_data_that_follow_it(kind):
    """A model that is sure of aligned images, less so of every other class's; a tenth of the images conflict."""
    random, size, classes = torch.Generator().manual_seed(0), 20000, 4
    noise = symmetric_noise(0.1, classes)
    if kind == "asym":
        noise = torch.eye(classes, dtype=torch.float64)
        noise[0] = float64(0.7, 0.3, 0, 0)
    true = torch.randint(classes, (size,), generator=random)
    conflicts = torch.rand(size, generator=random) < 0.1
    cue = torch.where(conflicts, (true + torch.randint(1, classes, (size,), generator=random)) % classes, true)
    given = torch.multinomial(noise[true], 1, generator=random).squeeze(1)
    sure = 4 + 2 * (cue % 2) - 3 * conflicts + torch.randn(size, generator=random, dtype=torch.float64).clamp(-2, 2)
    logits = torch.zeros(size, classes, dtype=torch.float64).scatter(1, cue[:, None], 3 + sure[:, None])
    model = fit_cue_model(logits, given)
    assert torch.equal(model.cue, cue)
    assert (model.noise - noise).abs().max() < 0.02
    assert float(model.conflicting.sum()) == pytest.approx(int(conflicts.sum()), rel=0.1)
    contradicted = given != cue
    right = model.right_label_probability(given)[contradicted]
    assert float(right.sum()) == pytest.approx(int((given == true)[contradicted].sum()), rel=0.1)
    assert right[(given == true)[contradicted]].mean() > 2 * right[(given != true)[contradicted]].mean()


@pytest.mark.parametrize("logits", [torch.zeros(6, 3), torch.tensor([[1e4, 0, 0]]).repeat(6, 1)])
def test_constant_outputs_still_give_probabilities(logits):
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    model = fit_cue_model(logits.double(), labels)
    prior, right = model.true_label_prior(), model.right_label_probability(labels)
    torch.testing.assert_close(prior.sum(1), torch.ones(6, dtype=torch.float64))
    assert ((right >= 0) & (right <= 1)).all()
