"""Training in reduced precision, its scaler, and what `--amp auto` decides."""

import json
from dataclasses import replace

import pytest
import torch

from algorithms.command.arguments import parse_arguments, resolve
from algorithms.training import precision

CASES = [("vanilla", "fp16"), ("coteaching", "fp16"), ("disen", "bf16"), ("elr+", "bf16"), ("dividemix", "bf16")]


@pytest.fixture
def make_in(make, settings):
    return lambda name, amp: make(name, {"settings": replace(settings, amp=amp)})


@pytest.mark.parametrize(("name", "amp"), CASES)
def test_resuming_changes_no_bit(name, amp, make_in, train, tmp_path):
    """Of parameters, nor of the scaler, which halves its scale at a step whose gradients are not finite."""

    def interrupt(history):
        if len(history) == 2:
            raise KeyboardInterrupt

    def overflowing(name):
        method = make_in(name, amp)
        method.scaler.load_state_dict({**method.scaler.state_dict(), "scale": 2.0**40} if amp == "fp16" else {})
        return method

    whole = overflowing(name)
    train(whole, tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        train(overflowing(name), tmp_path / "checkpoint.pt", on_epoch=interrupt)
    resumed = make_in(name, amp)
    train(resumed, tmp_path / "checkpoint.pt")
    state, other = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(state[key], other[key]) for key in state)
    assert whole.scaler.state_dict() == resumed.scaler.state_dict()
    if amp == "fp16":
        assert whole.scaler.get_scale() < 2.0**40


def test_a_step_whose_gradients_overflow_is_left_out(make_in):
    method = make_in("vanilla", "fp16")
    before = [parameter.clone() for parameter in method.parameters()]

    def finite():
        return torch.stack([parameter.sum() for parameter in method.parameters()]).sum()

    method.update(method.optimizers[0], torch.inf * finite())
    assert all(torch.equal(one, other) for one, other in zip(before, method.parameters(), strict=True))
    method.update(method.optimizers[0], finite())
    assert not any(torch.equal(one, other) for one, other in zip(before, method.parameters(), strict=True))


@pytest.fixture
def config(tmp_path):
    def build(*flags):
        return resolve(parse_arguments([*flags, "--gpu", "cpu", "--log_dir", str(tmp_path)], "test"))

    return build


def test_auto_measures_once_and_then_remembers(config, tmp_path, monkeypatch):
    asked = []

    def race(config, settings):
        asked.append(settings.model)
        return {"off": 2.0, "bf16": 1.0 if settings.model == "CONV" else 1.95}

    monkeypatch.setattr(precision, "race", race)
    wanted = config("--alg", "deneb_gce", "--amp", "auto", "--second.model", "MLP")
    for _ in range(2):
        settled = precision.settle(wanted)
        assert [stage.settings.amp for stage in settled.stages] == ["bf16", "off"]
    assert asked == ["CONV", "MLP"]
    assert len(json.loads((tmp_path / "precision.json").read_text())) == 2
    plain = config("--alg", "deneb_gce", "--amp", "bf16", "--second.model", "MLP", "--second.amp", "off")
    assert settled.arguments() == plain.arguments()


def test_a_race_times_each_precision_and_draws_nothing(config):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    wanted = config("--alg", "vanilla", "--model", "MLP", "--batch_size", "8")
    seconds = precision.race(wanted, wanted.stages[0].settings)
    assert seconds.keys() == {"off", "bf16"}
    assert min(seconds.values()) > 0
    assert torch.equal(torch.get_rng_state(), state)


def test_defaults_leave_no_trace_in_what_names_a_run(config):
    names = config("--alg", "vanilla").arguments().keys()
    assert not {"amp", "compile"} & names
    assert {"amp": "bf16", "compile": True}.items() <= config(
        "--alg", "vanilla", "--amp", "bf16", "--compile"
    ).arguments().items()
