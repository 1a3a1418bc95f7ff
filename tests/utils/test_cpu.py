"""What systems other than Linux do not tell."""

import os
from pathlib import Path

import pytest
import torch

from utils import cpu, logbook


@pytest.fixture(autouse=True)
def _no_proc(monkeypatch):
    """Neither macOS nor Windows has files below /proc."""

    def missing(path, *rest, **more):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)


def test_on_macos_half_of_all_memory_counts_as_available(monkeypatch):
    pages = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}

    def sysconf(name):
        if name not in pages:
            raise ValueError("unrecognized configuration name")
        return pages[name]

    monkeypatch.setattr(os, "sysconf", sysconf)
    assert cpu.available_memory() == 500 * 4096


def test_on_windows_four_gigabytes_count_as_available(monkeypatch):
    monkeypatch.delattr(os, "sysconf")
    assert cpu.available_memory() == 4 << 30


@pytest.mark.parametrize(
    ("group", "limits", "left"),
    [
        ("0::/", {"memory.max": "500", "memory.current": "100"}, 400),
        ("0::/slurm/job_1/step_0", {"slurm/job_1/memory.max": "500", "slurm/job_1/memory.current": "100",
                                    "slurm/job_1/step_0/memory.max": "max"}, 400),
        ("0::/elsewhere", {"memory.max": "500", "memory.current": "100"}, 400),
        ("4:memory:/job\n0::/", {"memory/job/memory.limit_in_bytes": "300", "memory/job/memory.usage_in_bytes": "50",
                                 "memory/memory.limit_in_bytes": "9223372036854771712"}, 250),
        ("4:memory:/\n1:cpu:/", {"memory/memory.limit_in_bytes": "9223372036854771712",
                                 "memory/memory.usage_in_bytes": "7"}, 1024 * 1000),
        ("0::/", {"memory.max": "max", "memory.current": "100"}, 1024 * 1000),
    ],
)  # fmt: skip
def test_a_limit_on_the_control_group_or_one_around_it_counts(monkeypatch, group, limits, left):
    files = {f"/sys/fs/cgroup/{name}": text for name, text in limits.items()}
    files |= {"/proc/meminfo": "MemTotal: 2000 kB\nMemAvailable: 1000 kB\n", "/proc/self/cgroup": group + "\n"}

    def read(path, *rest, **more):
        if path.as_posix() not in files:
            raise FileNotFoundError(path)
        return files[path.as_posix()]

    monkeypatch.setattr(Path, "read_text", read)
    assert cpu.available_memory() == left


def test_on_windows_nothing_is_said_of_the_peak_of_memory(monkeypatch):
    assert (logbook.peak_memory(torch.device("cpu")) or 0) > 1 << 20
    monkeypatch.setattr(logbook, "resource", None)
    assert logbook.peak_memory(torch.device("cpu")) is None


def test_threads_are_no_more_than_the_cores_that_a_batch_job_may_use(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    try:
        assert cpu.use_threads(None) == 1
        monkeypatch.delattr(os, "sched_getaffinity")
        assert cpu.use_threads(None) == 2
    finally:
        cpu.use_threads(before)
