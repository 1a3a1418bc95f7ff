"""What is noted about a run."""

import shlex

import torch

from utils.logbook import environment


def test_the_command_can_be_pasted_into_a_shell(monkeypatch):
    typed = ["train_mix.py", "--run_name", "two words"]
    monkeypatch.setattr("sys.argv", typed)
    command = environment(torch.device("cpu"))["command"]
    assert shlex.split(command) == ["python", *typed]
