"""DPR: its draws, the weights that the final model goes on from, and the biased model that is PGD's."""

import pytest
import torch

from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from algorithms.parts.scores import SCORES, sampling_score
from algorithms.training import stages
from algorithms.training.run import run
from utils.errors import UsageError

SHORT = ("--epochs", "1", "--model", "MLP", "--no_figures", "--best_by", "valid_loss", "--cross_validate", "0")


def config(*flags):
    return resolve(parse_arguments([*SHORT, *flags], "test"))


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Runs with these flags; returns the stages, the biased model, and the state that the final one started from."""

    def run_with(*flags):
        states = []

        def fit(method, *arguments):
            states.append({name: value.clone() for name, value in method.network.state_dict().items()})
            fitted = original(method, *arguments)
            states.append({name: value.clone() for name, value in method.network.state_dict().items()})
            return fitted

        original = stages.fit
        monkeypatch.setattr(stages, "fit", fit)
        result = run(config("--log_dir", str(tmp_path), *flags))
        monkeypatch.setattr(stages, "fit", original)
        return result["stages"], states

    return run_with


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("score", SCORES)
def test_probabilities_are_proportional_to_the_score(score, make, close):
    method = make("dpr", score=score, tau=2.0).eval()
    logits = method.task.over_train(method.predict).double()
    probabilities, rated = method.select()
    close(rated, sampling_score(score, logits, method.task.train.labels, 2.0))
    close(probabilities, rated / rated.sum())


def test_the_final_model_starts_from_the_biased_one_unless_told_otherwise(started):
    _, (_, trained, start, _) = started("--alg", "dpr")
    assert same(trained, start)
    _, (afresh, _) = started("--alg", "dpr", "--warm_start", "false", "--run_name", "cold")  # the selector is reused
    assert not same(trained, afresh)


def test_the_weights_outlast_a_stage_between(started):
    told, (_, trained, *_, start, _) = started("--alg", "dpr_aum")
    assert [stage["method"] for stage in told] == ["dpr", "aum", "vanilla"]
    assert same(trained, start)


def test_a_second_network_starts_afresh(make):
    biased = make("dpr")
    biased.network.fc.bias.data += 1
    follower = make("coteaching", {"start": biased.start()})
    assert same(biased.network.state_dict(), follower.network.state_dict())
    assert not torch.equal(follower.partner.fc.weight, follower.network.fc.weight)


def test_its_biased_model_is_pgds(tmp_path):
    reused = [
        run(config("--log_dir", str(tmp_path), "--alg", alg))["stages"][0]["reused"] for alg in ("pgd", "dpr_gce")
    ]
    assert reused == [False, True]


def test_two_networks_cannot_start_from_the_same_weights():
    with pytest.raises(UsageError, match=r"starts from the weights of dpr.* one --model"):
        config("--alg", "dpr", "--first.model", "CONV")
    assert config("--alg", "dpr", "--first.model", "CONV", "--warm_start", "false")
