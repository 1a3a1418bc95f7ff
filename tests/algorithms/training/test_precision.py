"""Training in reduced precision, its scaler, and what `--amp auto` means."""

from dataclasses import replace

import pytest
import torch

from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from utils.errors import UsageError

CASES = [
    ("vanilla", "fp16"), ("coteaching", "fp16"), ("sop", "fp16"), ("lc", "fp16"),
    ("disen", "bf16"), ("elr+", "bf16"), ("dividemix", "bf16"),
]  # fmt: skip


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


@pytest.mark.parametrize(("native", "wanted"), [(True, "bf16"), (False, "fp16")])
def test_auto_is_bf16_where_a_gpu_has_it_and_else_fp16(config, monkeypatch, native, wanted):
    monkeypatch.setattr("algorithms.command.resolve.pick_device", lambda gpu: torch.device("cuda:0"))
    monkeypatch.setattr("algorithms.command.resolve.set_up_gpu", lambda device, deterministic: None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation)
    found = config("--alg", "deneb_gce", "--amp", "auto", "--second.amp", "off")
    assert [stage.settings.amp for stage in found.stages] == [wanted, "off"]
    assert found.referee is None or found.referee.settings.amp == "off"


def test_auto_is_float32_on_a_cpu(config):
    auto = config("--alg", "deneb_gce", "--amp", "auto", "--second.amp", "bf16")
    assert [stage.settings.amp for stage in auto.stages] == ["off", "bf16"]
    assert config("--amp", "auto").arguments() == config().arguments()


def test_on_a_gpu_float32_is_float32(config, second_gpu):
    config("--alg", "vanilla")
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert not torch.backends.cudnn.allow_tf32
    assert second_gpu == [torch.device("cuda:1")], "what asks for bf16 without naming a device asks this one"


def test_defaults_leave_no_trace_in_what_names_a_run(config):
    names = config("--alg", "vanilla").arguments().keys()
    assert not {"amp", "compile"} & names
    assert {"amp": "bf16", "compile": True}.items() <= config(
        "--alg", "vanilla", "--amp", "bf16", "--compile"
    ).arguments().items()


def test_a_first_step_that_overflows_leaves_no_trace_in_fp16(settings, monkeypatch):
    """torch would allocate momentum at this step and, as it is skipped, never set it."""
    unset = torch.empty_like
    monkeypatch.setattr(torch, "empty_like", lambda *args, **kwargs: unset(*args, **kwargs).fill_(torch.nan))
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = replace(settings, amp="fp16", lr=0.5, momentum=0.5, weight_decay=0.0).optimizer([parameter])
    scaler = torch.amp.GradScaler("cpu")
    for factor in (torch.inf, 1.0, 1.0):
        optimizer.zero_grad()
        scaler.scale((factor * parameter).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert parameter.tolist() == [1 - 0.5 - 0.75] * 3


def test_what_torch_cannot_repeat_is_said_in_one_line(make, train, tmp_path, monkeypatch):
    method = make("vanilla")
    place = torch.zeros(1, dtype=torch.int64)
    monkeypatch.setattr(method, "losses", lambda logits, batch: logits.sum(1).put(place, torch.ones(1)))
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(UsageError, match=r"--deterministic: torch has no repeatable put_.*Leave the flag out"):
            train(method, tmp_path / "checkpoint.pt")
    finally:
        torch.use_deterministic_algorithms(False)
