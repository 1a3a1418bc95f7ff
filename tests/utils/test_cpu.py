"""Threads of all that computes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import torch
from threadpoolctl import threadpool_info
{early}
from utils.cpu import use_threads
assert use_threads(1) == 1
{late}
assert torch.get_num_threads() == 1
print({{pool["num_threads"] for pool in threadpool_info()}}, len(threadpool_info()))
"""


@pytest.mark.parametrize("loaded", ["early", "late"])
def test_every_library_gets_the_threads_that_are_asked_for(loaded):
    """Whether it was there before or is loaded later; in a process of its own, for they stay loaded."""
    parts = {"early": "", "late": "", loaded: "import sklearn.mixture"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(**parts)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
        env={name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")},
    )  # fmt: skip
    pools, number = done.stdout.rsplit(maxsplit=1)
    assert pools == "{1}"
    assert int(number) > 1
