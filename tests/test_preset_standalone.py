"""The search command: what it leaves, how it goes on after being stopped or killed, and what it refuses."""

import csv
import itertools
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import preset_standalone
import train_mix
from algorithms.training import stages
from data import colored_digits
from utils.results.collector import tables_text

ROOT = Path(__file__).parent.parent
HOME = "log/colored_digits/gce/0.1_0.05"
TINY = ("--alg", "gce", "--model", "MLP", "--epochs", "1", "--threads", "1", "--best_by", "valid_accuracy")


@pytest.fixture(autouse=True)
def _small_data(fewer_digits):
    fewer_digits(300, 60, 20)


@pytest.fixture
def command(tmp_path, capfd):
    """Runs the search in this process, in its own log folder; returns (exit code, output, errors)."""

    def run(*flags, script=preset_standalone, figures=False):
        more = ["--log_dir", str(tmp_path / "log"), *([] if figures else ["--no_figures"])]
        code = script.main([*TINY, *map(str, flags), *more])
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def trained(monkeypatch):
    """The hyper-parameters of every model that is trained from here on."""
    fits, fit = [], stages.fit

    def counting_fit(method, *rest):
        fits.append(method.hparams)
        return fit(method, *rest)

    monkeypatch.setattr(stages, "fit", counting_fit)
    return fits


def trials(folder):
    lines = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    for line in lines:
        del line["seconds"]
    return lines


def test_a_search_leaves_its_history_a_csv_a_preset_and_a_figure(command, tmp_path):
    code, output, _ = command("--search_trial", 3, "--hyperopt", figures=True)
    folder = tmp_path / HOME / "preset"
    assert code == 0
    assert {path.name for path in folder.iterdir()} == {
        ".lock", "best.json", "conf.log", "config.json", "search.png", "trials.jsonl",
    }  # fmt: skip
    kept = trials(folder)
    assert [trial["number"] for trial in kept] == [0, 1, 2]
    best = max(kept, key=lambda trial: trial["curve"][-1])
    preset = json.loads((folder / "best.json").read_text())
    assert preset["stages"][0]["hparams"]["q"] == best["values"]["q"]
    assert preset["value"] == best["curve"][-1]
    assert preset["command"].startswith("python preset_standalone.py --alg gce")
    for trial in kept:
        result = json.loads((tmp_path / HOME / "trials" / trial["uuid"] / "result.json").read_text())
        assert result["end"]["valid_accuracy"] == trial["curve"][-1]
        assert result["stages"][0]["hparams"]["q"] == trial["values"]["q"]
    rows = list(csv.DictReader((folder / "conf.log").read_text().splitlines()))
    assert [float(row["accuracy"]) for row in rows] == [trial["curve"][-1] for trial in kept]
    assert "3 trials, of which 0 pruned and 0 failed" in output
    assert output.count("trial ") >= 3


def test_a_search_goes_on_extends_and_shares_trials_with_other_searches(command, tmp_path, trained):
    command("--search_trial", 2)
    command("--search_trial", 4)
    assert len(trained) == 4
    command("--search_trial", 4, "--run_name", "again")
    assert len(trained) == 4
    assert trials(tmp_path / HOME / "preset") == trials(tmp_path / HOME / "preset_again")
    _, output, _ = command("--search_trial", 30)
    assert len(trained) == len(trials(tmp_path / HOME / "preset")) == 5, "the space has no more"
    assert "5 trials" in output
    code, *_ = command("--search_trial", 2, "--overwrite", "--search_seed", 1)
    assert code == 0
    assert len(trials(tmp_path / HOME / "preset")) == 2
    assert len(trained) == 5, "finished trials are kept"


def test_what_a_search_says_of_its_trials_is_that_of_its_history(command, tmp_path):
    """A kill may come between the two; and what replaces a search does not leave the former one's preset."""
    command("--search_trial", 2)
    folder = tmp_path / HOME / "preset"
    said = {name: (folder / name).read_text() for name in ("best.json", "conf.log")}
    (folder / "best.json").unlink()
    (folder / "conf.log").write_text("of the first trial")
    command("--search_trial", 2)
    assert {name: (folder / name).read_text() for name in said} == said
    code, *_ = command("--search_trial", 2, "--overwrite", "--lr", 1e30)
    assert code == 1
    assert not (folder / "best.json").exists()
    assert "failed" in (folder / "conf.log").read_text()


def test_trials_share_a_trained_selector(command, trained):
    command("--alg", "jtt", "--bias_epochs", 0, "--search_trial", 3)
    assert [type(hparams).__qualname__ for hparams in trained].count("Jtt.Hparams") == 1
    assert len(trained) == 4


def test_one_referee_judges_all_trials(command, trained, tmp_path):
    command("--search_metric", "balanced_valid_accuracy", "--set", "lr=0.05,0.1", "--search_trial", 4)
    assert [type(hparams).__qualname__ for hparams in trained].count("Deneb.Hparams") == 1
    assert len(trained) == 5
    assert json.loads((tmp_path / HOME / "preset/best.json").read_text())["criterion"] == "balanced_valid_accuracy"


def test_another_search_in_the_same_folder_is_refused_by_name(command):
    command("--search_trial", 1)
    for flags, named in [
        (["--set", "q=0.2,0.4"], "--space of q [0.1, 0.3, 0.5, 0.7, 0.9] there, [0.2, 0.4] now"),
        (["--search_metric", "valid_loss"], "--best_by valid_accuracy there, valid_loss now"),
        (["--hyperopt"], "--hyperopt false there, true now"),
        (["--search_seed", 3], "--search_seed 0 there, 3 now"),
        (["--lr", 0.1], "--lr 0.05 there, 0.1 now"),
    ]:
        code, _, errors = command("--search_trial", 1, *flags)
        assert code == 1
        assert named in errors
        assert "--run_name" in errors


def test_changed_data_under_a_search_are_noticed(command, tmp_path, trained, monkeypatch):
    command("--search_trial", 2)
    monkeypatch.setattr(colored_digits, "COLOR_JITTER", 0.3)
    code, _, errors = command("--search_trial", 3)
    assert code == 1
    assert errors.startswith("error: the images of train, the images of valid, the images of test have changed: ")
    assert len(trained) == 2
    command("--search_trial", 2, "--run_name", "again")
    assert len(trained) == 4, "no trial on other data is taken over"
    _, output, _ = command(script=train_mix)
    assert "is left aside: it was found for another run (other training images)" in output


def test_failing_trials_are_recorded_and_the_search_goes_on(command, tmp_path):
    code, output, _ = command("--search_trial", 4, "--set", "lr=0.05,1e30", "--set", "q=0.5,0.7")
    kept = trials(tmp_path / HOME / "preset")
    assert code == 0
    assert {trial["status"] for trial in kept} == {"finished", "failed"}
    assert all("Lower --lr" in trial["error"] for trial in kept if trial["status"] == "failed")
    assert "2 failed" in output


def test_if_all_fail_it_says_why(command):
    code, _, errors = command("--search_trial", 2, "--lr", 1e30)
    assert code == 1
    assert "not one of 2 trials was finished" in errors
    assert "Lower --lr" in errors


def test_an_oracle_is_called_one_everywhere_and_not_picked_up(command, tmp_path, capfd):
    _, output, _ = command("--search_trial", 2, "--search_metric", "test_accuracy")
    folder = tmp_path / HOME / "preset"
    assert "test_accuracy (oracle)" in output
    assert "test_accuracy (oracle)" in (folder / "conf.log").read_text()
    assert json.loads((folder / "best.json").read_text())["oracle"]
    _, output, _ = command(script=train_mix)
    assert "chosen on test data (oracle)" in output
    command("--preset", folder / "best.json", "--run_name", "oracle", script=train_mix)
    table = tables_text([str(tmp_path / "log")])
    assert "gce (oracle)" not in table
    assert "left out, chosen on test data (oracle)" in capfd.readouterr().err
    assert len([line for line in table.splitlines() if line.startswith("| gce | 1 |")]) == 1, "nor do trials count"


def test_train_mix_takes_the_preset_and_says_so(command, tmp_path):
    command("--search_trial", 2)
    file = tmp_path / HOME / "preset/best.json"
    found = json.loads(file.read_text())["stages"][0]["hparams"]
    _, output, _ = command(script=train_mix)
    assert f"preset for gce: q={found['q']}" in output
    assert str(file) in output
    result = json.loads((tmp_path / HOME / "0/result.json").read_text())
    assert result["stages"][0]["hparams"] == found
    assert result["presets"][0]["file"] == str(file)


def test_pruned_trials_are_recorded_and_go_on_from_their_checkpoint_elsewhere(command, tmp_path):
    rates = "lr=0.001,0.002,0.003,0.004,0.005,1e-9,0.006,0.007,0.008"
    flags = ["--epochs", 4, "--q", 0.5, "--opt", "Adam", "--batch_size", 16, "--set", rates, "--search_trial", 9]
    command(*flags, "--prune")
    kept = trials(tmp_path / HOME / "preset")
    pruned = [trial for trial in kept if trial["status"] == "pruned"]
    assert pruned
    assert all(trial["number"] >= 5 for trial in pruned)
    assert 1e-9 in [trial["values"]["lr"] for trial in pruned]
    uuid, epochs = pruned[0]["uuid"], len(pruned[0]["curve"])
    assert (tmp_path / HOME / "trials" / uuid / "checkpoint.pt").exists()
    command(*flags, "--run_name", "all")
    log = (tmp_path / HOME / "trials" / uuid / "train.log").read_text()
    assert f"continuing after epoch {epochs} of 4" in log
    assert {trial["status"] for trial in trials(tmp_path / HOME / "preset_all")} == {"finished"}


def test_trials_that_are_evaluated_rarely_are_pruned_by_what_there_is(command, tmp_path):
    rates = "lr=0.001,0.002,0.003,0.004,0.005,1e-9,0.006,0.007,0.008"
    flags = ["--epochs", 5, "--eval_every", 2, "--q", 0.5, "--opt", "Adam", "--batch_size", 16, "--set", rates]
    code, _, errors = command(*flags, "--search_trial", 9, "--prune")
    assert code == 0, errors
    kept = trials(tmp_path / HOME / "preset")
    assert {len(trial["curve"]) for trial in kept if trial["status"] == "finished"} == {3}
    pruned = [trial for trial in kept if trial["status"] == "pruned"]
    assert 1e-9 in [trial["values"]["lr"] for trial in pruned]
    assert all(1 <= len(trial["curve"]) < 3 for trial in pruned)


def test_missing_ray_is_explained(command, monkeypatch):
    monkeypatch.delitem(sys.modules, "utils.hpo.ray_engine", raising=False)
    monkeypatch.delattr("utils.hpo.ray_engine", raising=False)  # the package keeps what was imported before
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, errors = command("--search_trial", 1, "--engine", "ray")
    assert code == 1
    assert "pip install 'ray[tune]'" in errors


def test_independent_runs_are_refused(command):
    code, _, errors = command("--indep_run", 3)
    assert code == 2
    assert "--indep_run" in errors


def test_interrupted_it_says_how_to_go_on(command, tmp_path, monkeypatch):
    command("--search_trial", 3, "--run_name", "whole")
    shutil.rmtree(tmp_path / HOME / "trials")
    fit, calls = stages.fit, itertools.count()

    def interrupted_fit(*arguments):
        if next(calls) == 1:
            raise KeyboardInterrupt
        return fit(*arguments)

    monkeypatch.setattr(stages, "fit", interrupted_fit)
    code, _, errors = command("--search_trial", 3)
    assert code == 130
    assert "To continue: python preset_standalone.py --alg gce" in errors
    assert len(trials(tmp_path / HOME / "preset")) == 1
    assert command("--search_trial", 3)[0] == 0
    assert trials(tmp_path / HOME / "preset") == trials(tmp_path / HOME / "preset_whole")


SMALL_DATA = """
import sys
import preset_standalone
from data import colored_digits
colored_digits.TRAIN_IMAGES, colored_digits.VALID_IMAGES, colored_digits.TEST_DIGITS = 300, 60, 20
sys.exit(preset_standalone.main(sys.argv[1:]))
"""


def test_killed_and_started_again_it_ends_with_the_same_history(command, tmp_path):
    flags = ["--epochs", "4", "--search_trial", "5", "--hyperopt"]
    command(*flags)
    search = [sys.executable, "-c", SMALL_DATA, *TINY, *flags, "--no_figures", "--log_dir", str(tmp_path / "killed")]
    folder = tmp_path / "killed" / HOME.removeprefix("log/")
    process = subprocess.Popen(search, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 120
    while len(list(folder.glob("trials/*/checkpoint.pt"))) < 1 or len(list(folder.glob("trials/*"))) < 3:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "the search never came that far"
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert len(trials(folder / "preset")) < 5
    again = subprocess.run(search, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert trials(folder / "preset") == trials(tmp_path / HOME / "preset")
