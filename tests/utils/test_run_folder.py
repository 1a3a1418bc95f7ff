"""A run folder belongs to one run and one process, and gives up nothing that is not its own."""

import json
import shutil
import subprocess
import sys
import threading

import pytest

from utils import run_folder
from utils.errors import DamagedFile, MachineError, RunError
from utils.files import write_json
from utils.run_folder import OURS, RunFolder

ARGUMENTS = {"alg": "deneb_gce", "lr": 0.1, "seed": 0, "hparams": (1, 2)}


@pytest.fixture
def folder(tmp_path):
    """A folder in which a run with `ARGUMENTS` has begun."""
    folder = RunFolder(tmp_path / "run")
    write_json(folder / "config.json", {"arguments": ARGUMENTS})
    return folder


def test_a_new_folder_has_nothing_to_return(tmp_path):
    assert RunFolder(tmp_path / "new").start(ARGUMENTS, overwrite=False) is None
    assert RunFolder(tmp_path / "new").result() is None


def test_an_interrupted_run_goes_on_and_a_finished_one_returns_its_result(folder):
    assert folder.start(ARGUMENTS, overwrite=False) == {"arguments": json.loads(json.dumps(ARGUMENTS))}
    assert folder.result() is None
    folder.checkpoint.write_bytes(b"state")
    folder.finish({"accuracy": 0.5})
    assert not folder.checkpoint.exists()
    assert folder.start(ARGUMENTS, overwrite=False) is not None
    assert folder.result() == {"accuracy": 0.5}


def test_other_arguments_are_refused_by_name(folder):
    other = {"alg": "vanilla", "seed": 0, "hparams": (1, 2), "tau": None}
    with pytest.raises(RunError) as error:
        folder.start(other, overwrite=False)
    message = str(error.value)
    assert message.startswith("--alg deneb_gce there, vanilla now; ")
    assert "--lr 0.1 there, not set now" in message
    assert "--tau not set there, null now" in message
    assert "seed" not in message
    assert "\n" not in message
    assert "--run_name" in message
    assert "--overwrite" in message


def test_overwriting_starts_from_nothing(folder):
    folder.finish({"accuracy": 0.5})
    assert folder.start({"alg": "vanilla"}, overwrite=True) is None
    assert not (folder / "config.json").exists()


def test_clear_removes_what_runs_write_and_nothing_else(folder):
    (folder / "figures").mkdir()
    (folder / "tensorboard").mkdir()
    for name in (*OURS, "figures/a.png", "tensorboard/events.out.tfevents.1.here.2.0"):
        (folder / name).write_text("ours")
    for name in ("notes.txt", "figures/notes.txt", "config.json.bak"):
        (folder / name).write_text("foreign")
    folder.clear()
    left = {str(path.relative_to(folder.path)) for path in folder.path.rglob("*") if path.is_file()}
    assert left == {"notes.txt", "figures/notes.txt", "config.json.bak"}
    folder.clear()


def test_the_result_is_the_first_that_is_removed():
    """So that a folder being cleared never looks finished."""
    assert OURS[-1] == "result.json"


def test_clearing_removes_in_that_order(folder, monkeypatch):
    removed = []
    monkeypatch.setattr("pathlib.Path.unlink", lambda path, missing_ok=False: removed.append(path.name))
    folder.clear()
    assert removed == list(reversed(OURS))


@pytest.mark.parametrize("name", ["config.json", "result.json"])
@pytest.mark.parametrize("content", ["", '{"arguments": '])
def test_a_damaged_file_is_named(folder, name, content):
    (folder / name).write_text(content)
    with pytest.raises(DamagedFile, match=f"cannot read {folder / name}"):
        (folder.start(ARGUMENTS, overwrite=False), folder.result())
    assert folder.start(ARGUMENTS, overwrite=True) is None


WRONG_CONFIGS = ["[]", "null", "7", "{}", '{"arguments": []}', '{"arguments": {}, "data": {}}', "[" * 100_000]


@pytest.mark.parametrize("content", WRONG_CONFIGS, ids=lambda text: text[:30])
def test_a_configuration_of_another_shape_is_one_line(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(DamagedFile) as error:
        folder.start(ARGUMENTS, overwrite=False)
    assert str(folder / "config.json") in str(error.value)
    assert "--overwrite" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", ["[]", "null", "{}", '{"accuracy": 0.5}', '{"accuracy": 0.6, "checksum": "%s"}', "[" * 100_000]
)
def test_a_result_that_is_not_what_was_written_is_refused(folder, content):
    folder.finish({"accuracy": 0.5})
    path = folder / "result.json"
    path.write_text(content.replace("%s", json.loads(path.read_text())["checksum"]))
    with pytest.raises(DamagedFile, match=f"{path} .*--overwrite|{path}: .*--overwrite"):
        folder.result()


def test_a_result_without_its_configuration_is_not_replaced(folder):
    folder.finish({"accuracy": 0.5})
    (folder / "config.json").unlink()
    with pytest.raises(DamagedFile, match=r"without the config\.json"):
        folder.start(ARGUMENTS, overwrite=False)


def test_metrics_are_one_strict_json_object_per_line(folder):
    records = [{"epoch": 1, "test_aligned": None}, {"epoch": 2, "test_aligned": 0.5}]
    folder.write_metrics(records)
    assert [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] == records
    with pytest.raises(ValueError, match="JSON compliant"):
        folder.write_metrics([{"loss": float("nan")}])
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2


def enter(folder):
    with folder.locked(wait=False):
        pass


@pytest.fixture
def other_process(tmp_path):
    """A process that holds the lock of `tmp_path / "run"` until it is killed."""
    holder = (
        "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); "
        "print('held', flush=True); sys.stdin.read()"
    )
    (tmp_path / "run").mkdir(exist_ok=True)
    command = [sys.executable, "-c", holder, str(tmp_path / "run" / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_folder_is_locked_while_another_process_trains_in_it(tmp_path, other_process):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(RunError, match=r"another process is training in .*run\. .*--run_name"):
        enter(folder)
    other_process.kill()  # as kill -9: it releases nothing itself
    other_process.wait()
    enter(folder)


def test_waiting_ends_when_the_other_process_does(tmp_path, other_process, monkeypatch):
    said = []

    def end_the_other(message, *details):
        said.append(message % details)
        other_process.stdin.close()

    monkeypatch.setattr(run_folder.log, "info", end_the_other)
    rescue = threading.Timer(20, other_process.kill)  # so that a fault fails the test instead of hanging it
    rescue.start()
    with RunFolder(tmp_path / "run").locked(wait=True):
        assert other_process.wait() == 0
    rescue.cancel()
    assert said == [f"waiting for another process that trains {tmp_path / 'run'}"]


def test_the_lock_is_freed_after_an_error(tmp_path):
    folder = RunFolder(tmp_path / "run")

    def fail():
        with folder.locked(wait=False):
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    enter(folder)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"cannot write to .*file/run: .*--log_dir"):
        enter(RunFolder(tmp_path / "file" / "run"))


def test_what_killed_processes_left_is_cleared_away(folder):
    """A half-written file, and the checkpoint of a run that was killed between its result and the removal."""
    (folder / "figures").mkdir()
    left = [folder / ".model.pt.0123456789abcdef.tmp", folder / "figures" / ".a.png.0123456789abcdef.tmp"]
    for path in (*left, folder.checkpoint):
        path.touch()
    enter(folder)
    assert not any(path.exists() for path in left)
    assert folder.checkpoint.exists(), "an unfinished run's"
    (folder / "result.json").write_text("{}")
    enter(folder)
    assert not folder.checkpoint.exists()


@pytest.mark.parametrize("again", [False, True], ids=["removed", "and made anew"])
def test_a_folder_removed_under_a_run_is_noticed(folder, again):
    with folder.locked(wait=False):
        folder.write_metrics([{"epoch": 1}])
        shutil.rmtree(folder.path)
        if again:
            write_json(folder / "config.json", {})
            (folder / ".lock").touch()
        with pytest.raises(MachineError, match=f"{folder.path} was removed"):
            folder.write_metrics([{"epoch": 1}])
        with pytest.raises(MachineError, match=f"{folder.path} was removed"):
            folder.finish({})
    assert not (folder / "result.json").exists()
