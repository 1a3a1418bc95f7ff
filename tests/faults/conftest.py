"""Where the fault tests work."""

import shutil

import pytest
import torch


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Each test works in a folder of its own; nothing that was trained is left behind, for there would be much."""
    torch.set_num_threads(1)  # a forked child must not wait for threads that stayed behind
    monkeypatch.chdir(tmp_path)
    yield
    shutil.rmtree(tmp_path, ignore_errors=True)
