"""The loops behind the tables: their commands resolve, shards share the work, a small loop really runs."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from algorithms.command.tuning import add_search_flags, space_of
from algorithms.training.pairs import valid_pairs

ROOT = Path(__file__).parent.parent
TABLES = sorted(path.name for path in (ROOT / "scripts").glob("table_*.sh"))
OTHERS = ["choose_contradicted.sh", "choose_defaults.sh", "compare_criteria.sh", "tune_grid.sh"]


def loop(script, *flags, **variables):
    """Runs a script of the folder; returns its exit code, output and errors."""
    values = os.environ | {name: str(value) for name, value in variables.items()}
    command = ["bash", f"scripts/{script}", *map(str, flags)]
    ended = subprocess.run(command, cwd=ROOT, env=values, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout, ended.stderr


def commands(script, *flags, **variables):
    code, output, errors = loop(script, *flags, DRY_RUN=1, **variables)
    assert (code, errors) == (0, "")
    return output.splitlines()


def test_there_is_a_loop_for_every_table():
    assert len(TABLES) == 10


@pytest.mark.parametrize("script", TABLES)
def test_every_loop_says_what_to_expect_and_how_long_it_takes(script):
    header = (ROOT / "scripts" / script).read_text(encoding="utf-8").partition("\n:")[0]
    assert "# Expect" in header
    [runs] = re.findall(r"Time:\s+(?:# )?([\d,]+) runs", header.replace("\n# ", " "))
    assert int(runs.replace(",", "")) == len(commands(script))


@pytest.mark.parametrize("script", TABLES)
def test_every_command_resolves_to_a_run_of_its_own(script, monkeypatch):
    monkeypatch.chdir(ROOT)
    lines = commands(script, SEEDS="3")
    configs = [resolve(parse_arguments(shlex.split(line)[2:], "train_mix.py")) for line in lines]
    assert len({config.folder for config in configs}) == len(configs) >= 9
    assert {config.data.seed for config in configs} == {3}


def test_the_rows_are_those_of_the_paper():
    rows = {line.split("--alg ")[1] for line in commands("table_colored_digits.sh", SEEDS="0")}
    assert {"vanilla", "gce", "sce", "elr+", "aum", "coteaching", "coteaching+", "dividemix", "fdividemix"} < rows
    assert {"lff", "jtt", "disen", "aum_lff", "dividemix_jtt", "lff_gce", "disen_dividemix", "deneb_aum"} < rows
    pairs = {tuple(row.split("_")) for row in rows if "_" in row}
    assert pairs <= set(valid_pairs())
    assert len(pairs) == 15 + 24 + 9


def test_printed_commands_are_quoted_and_a_star_is_no_file():
    odd = ["--data_dir", "/my photos/it's", "--run_name", "a*b"]
    lines = commands("table_colored_digits.sh", *odd, METHODS="* gce", SEEDS="0")
    words = [shlex.split(line) for line in lines]
    assert all(line[-4:] == odd for line in words)
    assert [line[line.index("--alg") + 1] for line in words] == ["*", "gce"]


def test_quick_is_the_same_loop_with_one_seed_one_ratio_and_one_epoch():
    full, quick = commands("table_colored_mnist.sh"), commands("table_colored_mnist.sh", "--quick", "--gpu", "cpu")
    assert len(full) == 5 * 4 * 2 * len(quick)
    assert all(
        line.endswith("--epochs 1 --gpu cpu") and "--bratio 0.005 --nratio 0.1 --seed 0" in line for line in quick
    )


def test_shards_share_the_work():
    parts = [commands("table_bar.sh", SHARD=f"{shard}/7") for shard in range(7)]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert sorted(line for part in parts for line in part) == sorted(commands("table_bar.sh"))


def test_each_method_is_tuned_with_the_same_budget():
    lines = [shlex.split(line) for line in commands("tune_grid.sh", TRIALS="7")]
    grid = {line.split("--alg ")[1].split()[0] for line in commands("table_grid.sh")}
    assert {line[line.index("--alg") + 1] for line in lines} == grid
    assert len(lines) == len(grid)
    for line in lines:
        assert line[1] == "preset_standalone.py"
        assert line[line.index("--search_trial") + 1] == "7"
        assert space_of(parse_arguments(line[2:], "preset_standalone.py", add_search_flags))["lr"] == [0.01, 0.03, 0.1]


def test_jobs_run_side_by_side(tmp_path):
    """Of each shard; a run that fails is named, and the table has all others."""
    variables = {"SEEDS": "0", "LOG_DIR": tmp_path, "PYTHON": sys.executable, "METHODS": "vanilla gce gce_sce"}
    flags = ("--quick", "--model", "MLP", "--no_figures", "--threads", "1", "--best_by", "valid_accuracy")
    code, output, errors = loop("table_colored_digits.sh", *flags, JOBS=2, GPUS="cpu", **variables)
    assert code == 1
    assert errors.count("failed: ") == 1
    assert "--alg gce_sce" in errors
    assert "| vanilla | 1 |" in output
    assert "| gce | 1 |" in output


@pytest.mark.parametrize("script", OTHERS)
def test_other_loops_share_their_work_and_wait_for_it(script, tmp_path):
    lines = commands(script, SEEDS="0", METHODS="lff_gce", LOG_DIR=tmp_path)
    assert lines
    (python := tmp_path / "python").write_text(f'#!/bin/sh\nsleep 0.2\necho "python $*" >>{tmp_path}/ran\n')
    python.chmod(0o755)
    code, *_ = loop(script, SEEDS="0", METHODS="lff_gce", LOG_DIR=tmp_path, PYTHON=python, JOBS=4)
    assert code == 0
    ran = [line for line in (tmp_path / "ran").read_text().splitlines() if ".py " in line]
    assert sorted(ran) == sorted(lines)
    python.write_text("#!/bin/sh\nexit 1\n")
    code, _, errors = loop(script, SEEDS="0", METHODS="lff_gce", LOG_DIR=tmp_path, PYTHON=python)
    assert code == 1
    assert errors.count("failed: ") == len(lines)


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_ends_a_loop_ends_all_that_it_started(jobs, tmp_path):
    python, started = tmp_path / "python", tmp_path / "started"
    python.write_text(f"#!/bin/sh\necho $$ >>{started}\nexec sleep 60\n")
    python.chmod(0o755)
    started.touch()
    variables = os.environ | {"JOBS": str(jobs), "SEEDS": "0", "LOG_DIR": str(tmp_path), "PYTHON": str(python)}
    script = subprocess.Popen(["bash", "scripts/table_bar.sh"], cwd=ROOT, env=variables, start_new_session=True)
    try:
        while len(started.read_text().splitlines()) < jobs:
            time.sleep(0.02)
        script.terminate()
        assert script.wait(timeout=20) == 130
        pids = [int(line) for line in started.read_text().splitlines()]
        assert len(pids) == jobs, "none begins after it"
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(script.pid, signal.SIGKILL)


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_a_number_of_jobs_that_is_none_is_refused(jobs):
    code, _, errors = loop("table_bar.sh", JOBS=jobs)
    assert code == 2
    assert errors == f"error: JOBS={jobs} is not a number of runs, 1 or more.\n"


@pytest.mark.parametrize("shard", ["4/4", "1", "-1/4", "1/0", "a/b"])
def test_a_shard_that_is_none_is_refused(shard):
    code, _, errors = loop("table_bar.sh", SHARD=shard)
    assert code == 2
    assert errors == f"error: SHARD={shard} is not i/n with i from 0 to n-1, such as 0/4.\n"


def test_a_slurm_task_takes_its_shard():
    task = {"SLURM_ARRAY_TASK_ID": 9, "SLURM_ARRAY_TASK_MIN": 1, "SLURM_ARRAY_TASK_COUNT": 16}
    lines = commands("slurm.sh", "scripts/table_bffhq.sh", "--tensorboard", **task)
    assert lines == [f"{line} --tensorboard --gpu 0" for line in commands("table_bffhq.sh", SHARD="8/16")]


def test_a_slurm_task_that_runs_out_of_time_stops_and_is_queued_again(tmp_path):
    started, queued = tmp_path / "started", tmp_path / "queued"
    for name, text in {"python": f"echo $$ >{started}\nexec sleep 60", "scontrol": f"echo $* >{queued}"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    task = {
        "SLURM_JOB_ID": "17",
        "SLURM_ARRAY_TASK_ID": "0",
        "SLURM_ARRAY_TASK_MIN": "0",
        "SLURM_ARRAY_TASK_COUNT": "4",
    }
    variables = (
        os.environ | task | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG_DIR": str(tmp_path), "PYTHON": "python"}
    )
    command = ["bash", "scripts/slurm.sh", "scripts/table_bar.sh"]
    script = subprocess.Popen(command, cwd=ROOT, env=variables, start_new_session=True)
    try:
        while not started.exists() or not started.read_text():
            time.sleep(0.02)
        script.send_signal(signal.SIGUSR1)
        assert script.wait(timeout=20) == 0
        assert queued.read_text() == "requeue 17\n"
        with pytest.raises(ProcessLookupError):
            os.kill(int(started.read_text()), 0)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(script.pid, signal.SIGKILL)


def test_a_loop_runs_skips_what_is_done_and_names_what_failed(tmp_path):
    variables = {"SEEDS": "0", "LOG_DIR": tmp_path, "PYTHON": sys.executable}
    flags = ("--quick", "--model", "MLP", "--no_figures", "--threads", "1", "--best_by", "valid_accuracy")
    code, output, errors = loop("table_colored_digits.sh", *flags, METHODS="vanilla gce_vanilla", **variables)
    assert code == 1
    assert errors.count("\nfailed: ") == 1
    assert "--alg gce_vanilla" in errors.split("\nfailed: ")[1]
    assert "| vanilla | 1 |" in output
    code, output, errors = loop("table_colored_digits.sh", *flags, METHODS="vanilla", **variables)
    assert code == 0
    assert "already finished" in output
