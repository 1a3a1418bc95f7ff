"""DENEB's scores by hand, what each does to labels, and its columns of `samples.csv`."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from algorithms.deneb import TEMPERATURES, least_informative
from algorithms.parts.cue import label_cue_information
from algorithms.parts.losses import prediction_entropy
from algorithms.parts.mixture import clean_positions
from algorithms.parts.scores import SCORES, sampling_score
from algorithms.training.run import run
from data.batches import as_probabilities


@pytest.mark.parametrize("score", SCORES)
def test_probabilities_are_proportional_to_the_chosen_score(score, make, close):
    method = make("deneb", score=score, tau=2.0).eval()
    logits = method.task.over_train(method.predict).double()
    probabilities, rated = method.select()
    close(rated, sampling_score(score, logits, method.task.train.labels, 2.0))
    close(probabilities, rated / rated.sum())


def test_mutual_information_by_hand(close):
    labels, cue = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    close(label_cue_information(torch.full((4,), 0.25).double(), labels, cue, 2), 0.0)
    close(label_cue_information(torch.tensor([0.5, 0, 0, 0.5]).double(), labels, cue, 3), math.log(2))
    draws = torch.tensor([0.4, 0.1, 0.1, 0.4], dtype=torch.float64)
    close(label_cue_information(draws, labels, cue, 2), 0.8 * math.log(1.6) + 0.2 * math.log(0.4))


def test_tau_auto_is_least_informative_among_what_is_worth_enough_images(make):
    method = make("deneb", tau="auto").eval()
    chosen = method.chosen()
    curve = list(zip(*chosen.curve.values(), strict=True))
    assert [tau for tau, _, _ in curve] == TEMPERATURES
    worth = [row for row in curve if row[2] >= min(100, max(row[2] for row in curve))]
    assert chosen.value == min(worth, key=lambda row: row[1])[0]
    by_hand = make("deneb", tau=chosen.value).eval()
    assert by_hand.chosen() is None
    for mine, wanted in zip(method.select(), by_hand.select(), strict=True):
        assert torch.equal(mine, wanted)
    assert torch.equal(method.diagnostics()["entropy"], by_hand.diagnostics()["entropy"])


def test_tau_auto_finds_where_labels_and_cues_are_unrelated():
    """An eighth of the images conflict; a model that is torn about them sharpens to a draw in which labels are even."""
    labels, cue = torch.arange(800) % 2, torch.arange(800) % 2
    conflicting = torch.arange(800) % 8 < 2
    cue = torch.where(conflicting, 1 - cue, cue)
    gap = torch.where(conflicting, 1.0, 4.0).double()
    logits = torch.zeros(800, 2, dtype=torch.float64).scatter(1, cue[:, None], gap[:, None])
    chosen = least_informative("entropy", logits, labels)
    mass = as_probabilities(prediction_entropy(logits, chosen.value))[conflicting].sum()
    assert 0.4 < mass < 0.6
    information = chosen.curve["mutual_information"]
    assert information[TEMPERATURES.index(chosen.value)] == min(information) < 0.02 < max(information)


def test_diagnostics_are_of_the_given_labels_and_of_the_filter(make, train, tmp_path, close):
    method = make("deneb", score="loss", tau=2.0, p_threshold=0.3)
    train(method, tmp_path / "checkpoint.pt")
    method.eval()
    told = method.diagnostics()
    logits = method.task.over_train(method.predict)
    close(told["prejudice_loss"], F.cross_entropy(logits, method.task.train.labels, reduction="none"))
    close(told["entropy"], prediction_entropy(logits.double(), 2.0))
    kept = method.kept_samples()
    assert 1 < len(kept) < len(method.task.train)
    assert torch.equal(kept, clean_positions(told["clean_aligned_probability"], 0.3))


def test_the_filter_can_count_wrong_predictions(make, monkeypatch):
    """In three passes sample 0 is always predicted wrong, 1 once, the others never: the mixture leaves out 0."""
    method = make("deneb", filter="wrong_events")
    labels, logits = method.task.train.labels, torch.zeros(3, len(method.task.train), 10)
    for told in logits:
        told[torch.arange(len(labels)), labels] = 1
    logits[:, 0] = logits[1, 1] = 0
    logits[:, 0, labels[0] - 1] = logits[1, 1, labels[1] - 1] = 1
    passes = iter(logits)
    monkeypatch.setattr(type(method.task), "over_train", lambda task, function: next(passes))
    kept = [method.kept_samples().tolist() for _ in logits]
    assert method.wrong_passes[:3].tolist() == [3, 1, 0]
    assert kept == 3 * [list(range(1, len(labels)))]


def test_counts_of_wrong_predictions_are_resumed_to_the_bit(make, train, tmp_path, settings):
    longer = replace(settings, epochs=5)

    def stop(history):
        if len(history) == 3:
            raise KeyboardInterrupt

    def fresh():
        return make("deneb", {"settings": longer}, filter="wrong_events")

    whole, resumed = fresh(), fresh()
    train(whole, tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        train(fresh(), tmp_path / "part.pt", on_epoch=stop)
    train(resumed, tmp_path / "part.pt")
    assert 0 < whole.wrong_passes.max() <= 4
    for (name, one), other in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_a_run_keeps_the_temperature_and_its_curve(tmp_path, caplog):
    caplog.set_level("INFO")
    flags = ["--epochs", "1", "--model", "MLP", "--log_dir", str(tmp_path), "--best_by", "valid_loss"]
    config = resolve(parse_arguments([*flags, "--alg", "deneb_vanilla", "--tau", "auto"], "test"))
    chosen = run(config)["stages"][0]["chosen"]
    assert chosen["name"] == "tau"
    assert chosen["value"] in chosen["curve"]["tau"] == TEMPERATURES
    assert (config.folder / "figures" / "chosen_tau.png").stat().st_size > 0
    assert f"tau {chosen['value']:.4g} is chosen" in caplog.text
