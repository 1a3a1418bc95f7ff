"""Every write of every command fails, or is the last before a kill: one line, nothing lost, and then it goes on."""

import errno
import itertools
import shutil
import signal
from pathlib import Path

import pytest
from harness import PREPARE, SEARCH, TRAIN, at_write, command, fail, file_size, kill, outcome, sampled

COMMANDS = {"a run": TRAIN, "a search": SEARCH, "a data set": PREPARE}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """By command: what it leaves when nothing goes wrong, and how many writes that took."""
    found = {}
    for name, words in COMMANDS.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path_factory.mktemp(name))
            count = Path("count")

            def note(path, count=count):
                with open(count, "a") as file:
                    file.write("x")

            ended = command(words, at_write(0, note, lasting=True))
            assert ended.code == 0, ended.errors
            found[name] = outcome(Path("log")), count.stat().st_size
    return found


def goes_on(words, wanted):
    """The same command without the fault ends as if there had been none, and leaves nothing half written."""
    ended = command(words)
    assert ended.code == 0, ended
    assert outcome(Path("log")) == wanted
    shutil.rmtree("log")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_goes_on(undisturbed, name):
    wanted, writes = undisturbed[name]
    for number in sampled(list(range(writes)), 6):
        ended = command(COMMANDS[name], at_write(number, kill))
        assert ended.code in (-signal.SIGKILL, 0), (number, ended)
        goes_on(COMMANDS[name], wanted)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_write_that_fails_is_told_and_the_command_goes_on(undisturbed, name):
    wanted, writes = undisturbed[name]
    faults = itertools.product(range(writes), (errno.ENOSPC, errno.EACCES, errno.EIO, errno.EMFILE))
    for number, reason in sampled(list(faults), 8):
        ended = command(COMMANDS[name], at_write(number, fail(reason), lasting=number % 2 == 0))
        if ended.code != 0:  # a leftover that cannot be removed is no reason to fail
            ended.assert_told()
        goes_on(COMMANDS[name], wanted)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_limit_on_the_size_of_files_is_told_and_the_command_goes_on(undisturbed, name):
    wanted, _ = undisturbed[name]
    for limit in sampled([0, 10, 100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000, 500_000], 4):
        ended = command(COMMANDS[name], file_size(limit))
        ended.assert_told()
        assert "ulimit -f" in ended.errors
        goes_on(COMMANDS[name], wanted)
