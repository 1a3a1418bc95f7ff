"""The machine gives out or is taken away in the middle of a run: memory, open files, folders, readers, patience."""

import os
import resource
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from harness import RUN, TRAIN, at_write, command, outcome, sampled


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """What an undisturbed run leaves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("undisturbed"))
        ended = command(TRAIN)
        assert ended.code == 0, ended.errors
        return outcome(Path("log"))


def goes_on(wanted):
    ended = command(TRAIN)
    assert ended.code == 0, ended
    assert outcome(Path("log")) == wanted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_ends_with_the_command_to_continue(wanted, number):
    for moment in sampled(list(range(100)), 3):
        ended = command(TRAIN, at_write(moment, lambda path: os.kill(os.getpid(), number)))
        assert ended.code == 130, (moment, ended)
        assert ended.errors.endswith(f"To continue: python {' '.join(TRAIN)}\n")
        assert "Traceback" not in ended.errors
        goes_on(wanted)
        shutil.rmtree("log")


@pytest.mark.parametrize("streams", [(1,), (1, 2)], ids=["the output", "output and errors"])
def test_whoever_reads_may_leave_and_the_run_goes_on(wanted, streams):
    """As with `| head`."""

    def leave():
        end, start = os.pipe()
        os.close(end)
        for number in streams:
            os.dup2(start, number)

    ended = command(TRAIN, leave)
    assert (ended.code, ended.errors) == (0, "")
    assert outcome(Path("log")) == wanted


def test_a_run_needs_no_standard_streams(wanted):
    def close():
        sys.stdout = sys.stderr = None

    command(TRAIN, close)
    assert outcome(Path("log")) == wanted


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_told(wanted):
    command(TRAIN, lambda: os.dup2(os.open("/dev/full", os.O_WRONLY), 1)).assert_told()
    goes_on(wanted)


@pytest.mark.parametrize("allocate", [torch.empty, np.empty, bytearray], ids=["torch", "numpy", "Python"])
def test_too_little_memory_is_told(wanted, allocate):
    for moment in sampled(list(range(100)), 2):
        ended = command(TRAIN, at_write(moment, lambda path: allocate(1 << 55)))
        ended.assert_told()
        assert "not enough memory" in ended.errors
        goes_on(wanted)
        shutil.rmtree("log")


def test_too_few_open_files_are_told(wanted):
    def allow_no_more() -> None:
        free = os.dup(0)  # the limit is on the numbers of open files, and this is the lowest free one
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, free))

    ended = command(TRAIN, allow_no_more)
    ended.assert_told()
    assert "ulimit -n" in ended.errors
    goes_on(wanted)


@pytest.mark.parametrize("what", ["a file", "a link to nowhere", "a link to itself"])
def test_what_is_in_the_place_of_a_folder_is_told(what):
    if what == "a file":
        Path("log").write_text("")
    else:
        Path("log").symlink_to("log" if what == "a link to itself" else "/nowhere/at/all")
    ended = command(TRAIN)
    ended.assert_told()
    assert "log" in ended.errors


def test_a_folder_removed_in_the_middle_is_told(wanted):
    def remove(path):
        if ".metrics.jsonl" in path:
            shutil.rmtree("log", ignore_errors=True)

    ended = command(TRAIN, at_write(0, remove, lasting=True))
    ended.assert_told()
    shutil.rmtree("log", ignore_errors=True)
    goes_on(wanted)


def test_a_log_removed_in_the_middle_is_made_anew():
    def remove(path):
        if ".metrics.jsonl" in path:
            (RUN / "train.log").unlink(missing_ok=True)

    assert command(TRAIN, at_write(0, remove, lasting=True)).code == 0
    assert (RUN / "train.log").exists()
