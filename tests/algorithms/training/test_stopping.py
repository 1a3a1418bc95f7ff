"""Label Wave: the rule by hand, the model that it keeps, resuming to the bit, and for which stages it can be asked."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from algorithms.training import stages
from algorithms.training.run import run
from algorithms.training.stopping import LabelWave
from utils.errors import UsageError


def predictions_of(*epochs):
    """A method whose predictions for the training images, after each epoch, are these."""
    outputs = iter(torch.nn.functional.one_hot(torch.tensor(classes), 3) for classes in epochs)
    task = SimpleNamespace(over_train=lambda predict: next(outputs))
    return SimpleNamespace(task=task, predict=None, eval=lambda: None, train=lambda: None)


def test_the_first_rise_by_hand():
    """From epoch to epoch 3, 1, 1, 0 and 2 of the four predictions change."""
    method = predictions_of([0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 2, 0], [1, 2, 2, 0], [1, 2, 2, 0], [1, 2, 0, 1])
    wave, told = LabelWave(), []
    for _ in range(6):
        told.append((wave.rises(method), wave.changed))
    assert told == [(False, None), (False, 3), (False, 1), (False, 1), (False, 0), (True, 2)]


@pytest.fixture
def rising(monkeypatch):
    """The rule finds a rise when it is asked the fourth time, whatever is predicted."""

    def rises(wave, method):
        wave.changed = (wave.changed or 0) + 1
        return wave.changed == 4

    monkeypatch.setattr(LabelWave, "rises", rises)


@pytest.fixture
def fresh(make, settings):
    def build(name="vanilla", stop="label_wave"):
        return make(name, {"settings": replace(settings, epochs=6, stop=stop)})

    return build


def state(method):
    return {name: value.clone() for name, value in method.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def untimed(records):
    return [{**record, "seconds": 0} for record in records]


def test_the_epoch_before_the_rise_is_kept(fresh, train, rising, tmp_path):
    states, plain = [], fresh(stop="off")
    all_records = train(plain, tmp_path / "plain.pt", on_epoch=lambda history: states.append(state(plain)))
    method = fresh()
    records = train(method, tmp_path / "checkpoint.pt")
    assert len(all_records) == 6
    assert [record.pop("changed_predictions") for record in records] == [1, 2, 3]
    assert untimed(records) == untimed(all_records[:3])
    assert same(states[2], state(method))


@pytest.mark.parametrize("name", ["afr", "deneb", "dividemix", "vanilla"])
@pytest.mark.parametrize("seen", [2, 3, 4])
def test_resuming_changes_no_bit(name, seen, fresh, train, rising, tmp_path):
    """It is interrupted when told of this many epochs, the last time of the stop itself."""
    whole = fresh(name)
    records = train(whole, tmp_path / "whole.pt")
    told = []

    def interrupt(history):
        told.append(len(history))
        if len(told) == seen:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(fresh(name), tmp_path / "part.pt", on_epoch=interrupt)
    resumed = fresh(name)
    assert untimed(train(resumed, tmp_path / "part.pt")) == untimed(records)
    assert len(records) == 3
    assert same(state(whole), state(resumed))


def test_what_comes_after_the_last_epoch_comes_after_the_kept_one(fresh, train, rising, tmp_path):
    method, states = fresh("afr"), []
    train(method, tmp_path / "checkpoint.pt", on_epoch=lambda history: states.append(state(method)))
    changed = {name for name, value in states[-1].items() if not torch.equal(value, states[-2][name])}
    assert changed == {"network.fc.weight", "network.fc.bias"}


FLAGS = ("--model", "MLP", "--epochs", "5", "--no_figures", "--best_by", "valid_loss", "--cross_validate", "0")


def config(*flags):
    return resolve(parse_arguments([*FLAGS, *flags], ""))


def test_a_stage_alone_can_be_stopped(rising, tmp_path, monkeypatch):
    fitted = []
    original = stages.fit
    monkeypatch.setattr(stages, "fit", lambda *a: fitted.append(original(*a)) or fitted[-1])
    flags = ("--alg", "deneb_vanilla", "--first.stop", "label_wave", "--log_dir", str(tmp_path))
    first, second = run(config(*flags))["stages"]
    assert [len(each.history) for each in fitted] == [3, 5]
    assert first["stop_epoch"] == 3
    assert first["settings"]["stop"] == "label_wave"
    assert "stop_epoch" not in second
    again = run(config(*flags, "--run_name", "again"))["stages"][0]
    assert (again["reused"], again["stop_epoch"]) == (True, 3)


def test_networks_that_judge_others_are_trained_to_the_end():
    asked = config("--stop", "label_wave", "--best_by", "debiased_valid_accuracy", "--cross_validate", "3")
    assert {stage.settings.stop for stage in asked.stages} == {"label_wave"}
    assert (asked.referee.settings.stop, asked.cross_validation.settings.stop) == ("off", "off")


def test_a_run_without_the_rule_is_the_one_it_was():
    assert "first.stop" not in config().arguments()
    assert config("--second.stop", "label_wave").arguments()["second.stop"] == "label_wave"


def test_stages_of_given_length_are_not_stopped():
    with pytest.raises(UsageError, match="--stop: denetdm has two stages of its own"):
        config("--alg", "aum_denetdm", "--stop", "label_wave")
    assert config("--alg", "aum_denetdm", "--first.stop", "label_wave")
