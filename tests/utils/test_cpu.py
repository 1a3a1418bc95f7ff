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


def test_on_windows_nothing_is_said_of_the_peak_of_memory(monkeypatch):
    assert (logbook.peak_memory(torch.device("cpu")) or 0) > 1 << 20
    monkeypatch.setattr(logbook, "resource", None)
    assert logbook.peak_memory(torch.device("cpu")) is None
