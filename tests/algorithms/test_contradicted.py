"""Draws from contradicted images: probabilities by hand, what flattens them, and the training that is DENEB's."""

import pytest
import torch

from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from algorithms.contradicted import higher_component, shared_draws
from algorithms.parts.cue import fit_cue_model
from algorithms.parts.losses import prediction_entropy
from algorithms.training.run import run

CONTRADICTED = torch.tensor([True, True, False, True, False])


def float64(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_draws_by_hand(close):
    close(shared_draws(CONTRADICTED, 0.7, float64(1, 4, 3)), float64(0.0875, 0.35, 0.15, 0.2625, 0.15))
    close(shared_draws(CONTRADICTED, 0.7, float64(0, 0, 0)), float64(0.7 / 3, 0.7 / 3, 0.15, 0.7 / 3, 0.15))


@pytest.mark.parametrize("one_kind", [torch.zeros(4).bool(), torch.ones(4).bool()])
def test_one_kind_alone_is_drawn_evenly(one_kind, close):
    close(shared_draws(one_kind, 0.7, torch.arange(int(one_kind.sum()))), float64(0.25, 0.25, 0.25, 0.25))


def test_constant_entropies_tell_nothing(close):
    close(higher_component(torch.zeros(3).double()), float64(1, 1, 1))


def test_the_higher_component_is_of_the_logarithm_and_has_a_floor(close):
    low, high = torch.linspace(1e-6, 3e-6, 50).double(), torch.linspace(0.1, 0.3, 20).double()
    weights = higher_component(torch.cat([low, high, float64(0)]))
    close(weights[:50], torch.full((50,), 0.1, dtype=torch.float64))
    assert (weights[50:70] > 0.99).all()
    assert weights[70] == 0.1


@pytest.mark.parametrize("weight", ["posterior", "root", "mixture", "even"])
def test_it_selects_by_the_models_predictions_and_the_given_labels(weight, make, close):
    method = make("contradicted", share=0.6, tau=2.0, weight=weight).eval()
    method.network.fc.bias.data[3] += 2
    logits = method.task.over_train(method.predict).double()
    contradicted = logits.argmax(1) != method.task.train.labels
    assert 2 < contradicted.sum() < len(contradicted) - 2
    probabilities, score = method.select()
    close(score, prediction_entropy(logits, 2.0))
    close(probabilities[contradicted].sum(), 0.6)
    close(probabilities[~contradicted] * (~contradicted).sum(), torch.full_like(score, 0.4)[~contradicted])
    if weight == "root":
        close(probabilities[contradicted], 0.6 * score[contradicted].sqrt() / score[contradicted].sqrt().sum())


def test_its_columns_are_those_of_the_model_of_cues(make):
    method = make("contradicted").eval()
    told, labels = method.diagnostics(), method.task.train.labels
    cues = fit_cue_model(method.task.over_train(method.predict).double(), labels)
    assert torch.equal(told["mislabelled_probability"], 1 - cues.right_label_probability(labels))
    assert torch.equal(told["conflicting_probability"], cues.conflicting)
    assert {"entropy", "prejudice_loss"} < set(told)


def test_it_takes_denebs_trained_model(tmp_path):
    flags = ["--epochs", "1", "--model", "MLP", "--log_dir", str(tmp_path), "--no_figures", "--best_by", "valid_loss"]
    reused = [
        run(resolve(parse_arguments([*flags, "--alg", alg], "test")))["stages"][0]["reused"]
        for alg in ("deneb_vanilla", "contradicted_vanilla")
    ]
    assert reused == [False, True]
    assert len(list((tmp_path / "colored_digits" / "selectors").iterdir())) == 1
