"""Before the libraries are there: an old Python, a signal, a library that cannot be loaded; one line each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from utils import startup

ROOT = Path(__file__).parents[2]
SCRIPTS = ["train_mix.py", "preset_standalone.py", "-m data.prepare", "-m utils.results", "-m utils.report",
           "-m utils.audit"]  # fmt: skip


@pytest.fixture
def start(tmp_path):
    """Starts a script where importing torch does something else; returns its exit code and errors."""

    def run(script, torch):
        (tmp_path / "torch.py").write_text(torch)
        variables = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
        ended = subprocess.run(
            [sys.executable, *script.split(), "x"], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
        )
        return ended.returncode, ended.stderr

    return run


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_signal_while_libraries_load_ends_quietly(start, script, number):
    assert start(script, f"import os, signal\nos.kill(os.getpid(), signal.{number})\n") == (130, "interrupted\n")


@pytest.mark.parametrize(
    ("torch", "told"),
    [
        ("raise MemoryError", "there is not enough memory"),
        ("raise ImportError('libtorch.so: failed to map segment')", "libtorch.so: failed to map segment"),
        ("raise OSError(24, 'Too many open files')", "Too many open files"),
        ("import no_such_package", "the package no_such_package is missing: pip install -r requirements.txt"),
    ],
)
def test_a_library_that_cannot_be_loaded_is_told_in_one_line(start, torch, told):
    code, errors = start("train_mix.py", torch)
    assert code == 1
    assert errors.startswith("error: ")
    assert told in errors
    assert errors.count("\n") == 1


def test_a_fault_of_our_own_keeps_its_traceback(start):
    code, errors = start("train_mix.py", "import utils.no_such_module")
    assert code == 1
    assert "Traceback" in errors


def test_an_old_python_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or later, and was started with Python 3\.10\.$"):
        startup.begin()


def test_an_old_python_can_read_what_it_has_to_read():
    """The scripts parse in any Python 3.8 or later; there is no older one to try here."""
    import ast

    for path in (ROOT / "train_mix.py", ROOT / "preset_standalone.py", ROOT / "utils" / "startup.py"):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
