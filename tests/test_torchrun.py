"""The main command under torchrun: two processes on this machine, one run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import train_mix
from algorithms.command.resolve import pick_device
from utils import distributed
from utils.audit.samples import read_samples
from utils.errors import UsageError

ROOT = Path(__file__).parent.parent
ARGUMENTS = (
    "--alg",
    "deneb_gce",
    "--model",
    "MLP",
    "--epochs",
    "3",
    "--batch_size",
    "255",
    "--no_figures",
    "--gpu",
    "cpu",
)
FOLDER = Path("colored_digits/deneb_gce/0.1_0.05/0")


def start(log_dir):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "train_mix.py"]
    return subprocess.Popen(
        [*launcher, *ARGUMENTS, "--log_dir", str(log_dir), "--threads", "1"],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def metrics(folder):
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_terminated_and_continued_by_one_process_it_is_the_run_of_one_process(tmp_path, capfd):
    folder = tmp_path / "two" / FOLDER
    process = start(tmp_path / "two")
    deadline = time.monotonic() + 120
    while len(metrics(folder)) < 4:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "the run never came that far"
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert output.count("To continue: torchrun --nproc_per_node=2 train_mix.py --alg deneb_gce") == 1
    assert output.count("deneb epoch 1/3") == 1
    assert output.count("lost another process") == 0
    assert not (folder / "result.json").exists()

    for name in ("two", "one"):
        assert train_mix.main([*ARGUMENTS, "--log_dir", str(tmp_path / name), "--threads", "1"]) == 0
    output = capfd.readouterr().out
    assert output.count("this run was started elsewhere (processes 2 there, 1 now)") == 1
    assert output.count("continuing after epoch") == 1
    states = [torch.load(tmp_path / name / FOLDER / "model.pt", weights_only=True) for name in ("one", "two")]
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=1e-3, atol=1e-5)
    for one, two in zip(metrics(tmp_path / "one" / FOLDER), metrics(folder), strict=True):
        assert two["train_loss"] == pytest.approx(one["train_loss"], rel=1e-4)
        assert two.get("kept") == one.get("kept")
    one, two = (read_samples(tmp_path / name / FOLDER) for name in ("one", "two"))
    assert (one["given_label"] == two["given_label"]).all()
    np.testing.assert_allclose(one["prejudice_loss"], two["prejudice_loss"], rtol=1e-2, atol=1e-4)


@pytest.fixture
def as_if_launched(monkeypatch):
    """The environment that torchrun makes for the third of four processes on a machine."""
    made = {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4", "RANK": "2", "LOCAL_RANK": "2"}
    for name, value in made.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("as_if_launched")
def test_devices(monkeypatch):
    assert pick_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert pick_device(None) == torch.device("cuda:2")
    with pytest.raises(UsageError, match="takes the GPU of its own number"):
        pick_device("0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="--nproc_per_node=2"):
        pick_device(None)


@pytest.mark.usefixtures("as_if_launched")
def test_a_program_for_one_process_refuses_several():
    with pytest.raises(UsageError, match="not with torchrun"):
        distributed.single_process_only("the search")
