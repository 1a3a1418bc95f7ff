"""Methods on a real GPU: `python -m pytest -m cuda`, skipped where there is none.

With CUDA_TESTS_ON=cpu they are rehearsed on the CPU, where nothing that is particular to a GPU can fail.
"""

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from algorithms.base import methods
from algorithms.command.resolve import use_device
from algorithms.task import Task
from algorithms.training.trainer import Evaluator, fit
from models.registry import build_network
from utils.files import load_tensors

ROOT = Path(__file__).parents[2]
DEVICE = torch.device(os.environ.get("CUDA_TESTS_ON", "cuda:0"))
GPU = {"cuda": "0", "cpu": "cpu"}[DEVICE.type]

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it once, at its first use

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(DEVICE.type == "cuda" and not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.fixture
def task(tiny, settings):
    """The tiny data set on the device, its images with it unless told otherwise."""

    def build(images_on_host=False, **changed):
        train = replace(tiny.train, labels=tiny.train.labels.to(DEVICE)) if images_on_host else tiny.train.to(DEVICE)
        cue = torch.nn.functional.one_hot(tiny.train.labels, tiny.num_classes).float()
        plain = Task(train, tiny.num_classes, DEVICE, settings, seed=0, stage="cuda", noise_rate=0.2, cue=cue)
        return replace(plain, settings=replace(settings, **changed))

    return build


@pytest.fixture
def trained(tiny, task, tmp_path):
    """A method, trained for three epochs, and their records."""

    def run(name, checkpoint="checkpoint.pt", on_epoch=lambda history: None, **changed):
        method = methods[name](task(**changed), methods[name].Hparams()).to(DEVICE)
        evaluate = Evaluator(
            tiny.valid.to(DEVICE), tiny.test.to(DEVICE), tiny, DEVICE, tiny.train_groups()
        )  # fmt: skip
        return method, fit(method, evaluate, tmp_path / checkpoint, on_epoch, name).history

    return run


@contextmanager
def repeatable():
    """Only operations that give the same bits every time."""
    use_device(GPU, deterministic=True)
    try:
        yield
    finally:
        use_device(GPU)


def bits(method):
    return {name: tensor.cpu() for name, tensor in method.state_dict().items()}


def assert_same_bits(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("amp", ["off", "bf16", "fp16"] if DEVICE.type == "cuda" else ["off", "bf16"])
@pytest.mark.parametrize("name", methods.names())
def test_every_method_trains_and_selects(trained, name, amp):
    method, history = trained(name, amp=amp)
    assert len(history) == 3
    assert all(0 <= record["test_accuracy"] <= 1 for record in history)
    assert {parameter.device.type for parameter in method.parameters()} == {DEVICE.type}
    if method.emits is not None:
        values, score = method.eval().select()
        assert torch.isfinite(values.double()).all()
        assert score.device.type == "cpu"


@pytest.mark.filterwarnings("default")  # torch.compile warns about its own doings
@pytest.mark.parametrize("name", ["vanilla", "coteaching"])
def test_compiled(trained, name):
    _, history = trained(name, compile=True)
    assert len(history) == 3


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")  # is a prototype, it says
@pytest.mark.parametrize("name", methods.names())
def test_a_step_waits_for_nothing(task, name):
    """Nothing in a step may read a number back from the device."""
    method = methods[name](task(), methods[name].Hparams()).to(DEVICE)
    method.begin_epoch(0)
    batches = list(method.batches(0))
    method.step(batches[0])
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches[1:]:
            method.step(batch)
    finally:
        if DEVICE.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", ["vanilla", "deneb", "lff", "elr+", "dividemix"])
def test_the_same_bits_twice_and_after_an_interruption(trained, name):
    class Interrupted(Exception):
        pass

    def interrupt(history):
        if len(history) == 2:
            raise Interrupted

    with repeatable():
        once, again = (bits(trained(name, f"{turn}.pt")[0]) for turn in range(2))
        with pytest.raises(Interrupted):
            trained(name, "cut.pt", interrupt)
        resumed = bits(trained(name, "cut.pt")[0])
    assert_same_bits(once, again)
    assert_same_bits(once, resumed)


@pytest.mark.parametrize("name", [name for name in methods if methods[name].recordable])
def test_recorded_steps_give_the_same_bits(trained, name):
    with repeatable():
        recorded, plain = (
            trained(name, f"{graphs}.pt", batch_size=8, cuda_graphs=graphs)[0] for graphs in (True, False)
        )
    assert_same_bits(bits(recorded), bits(plain))


@pytest.mark.parametrize("changed", [{"amp": "bf16"}, {"opt": "Adam"}, {"opt": "AdamW"}])
@pytest.mark.parametrize("name", ["vanilla", "elr", "lff"])
def test_recorded_steps_in_other_precisions_and_with_other_optimisers(trained, name, changed):
    with repeatable():
        recorded, plain = (
            trained(name, f"{graphs}.pt", batch_size=8, cuda_graphs=graphs, **changed)[0] for graphs in (True, False)
        )
    assert_same_bits(bits(recorded), bits(plain))


READING = """
import sys
import torch
from algorithms.vanilla import Vanilla
from train_mix import main

plain = Vanilla.losses

def reading(method, logits, batch):
    logits.sum().item()
    return plain(method, logits, batch)

Vanilla.losses = reading
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(DEVICE.type == "cpu", reason="nothing is recorded on a CPU")
@pytest.mark.parametrize("graphs", ["true", "false"])
def test_a_step_that_cannot_be_recorded_says_so(tmp_path, graphs):
    flags = f"--alg vanilla --epochs 1 --no_figures --gpu {GPU} --cuda_graphs {graphs} --log_dir {tmp_path}"
    ended = subprocess.run(
        [sys.executable, "-c", READING, *flags.split()], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == (1 if graphs == "true" else 0)
    assert ("--cuda_graphs false" in ended.stderr) == (graphs == "true")


def test_a_head_on_frozen_features(tmp_path):
    """The whole command, with features that the GPU has computed."""
    weights = tmp_path / "weights.pth"
    torch.save(build_network("ResNet20", (3, 28, 28), 10).state_dict(), weights)
    flags = (
        f"--alg jtt_elr --frozen --model ResNet20 --weights {weights} --epochs 2 --no_figures --threads 1 --gpu {GPU}"
    )
    command = [sys.executable, "train_mix.py", *flags.split(), "--log_dir", str(tmp_path / "log")]
    assert subprocess.run(command, cwd=ROOT, timeout=300).returncode == 0


@pytest.mark.parametrize("name", ["vanilla", "deneb", "coteaching"])
def test_images_that_stay_on_the_host(trained, name):
    with repeatable():
        here, there = (trained(name, f"{host}.pt", images_on_host=host)[0] for host in (False, True))
    assert_same_bits(bits(here), bits(there))


def test_two_runs_at_once_on_one_device(tmp_path):
    """Whole commands with their referee, at the same time; each is as it would be alone."""
    flags = "--alg deneb_gce --epochs 1 --no_figures --deterministic --best_by debiased_valid_accuracy"
    command = [sys.executable, "train_mix.py", *flags.split(), "--gpu", GPU, "--threads", "1", "--log_dir"]
    runs = [subprocess.Popen([*command, str(tmp_path / place)], cwd=ROOT) for place in ("a", "b")]
    assert [run.wait(300) for run in runs] == [0, 0]
    place = "colored_digits/deneb_gce/0.1_0.05/0/model.pt"
    one, other = (load_tensors(tmp_path / name / place) for name in ("a", "b"))
    assert_same_bits(one, other)
