"""The main command: what it writes, what it refuses, and that being killed changes nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import train_mix
from algorithms.training import run, stages
from data import colored_digits
from data.load import DataSettings, load_dataset
from data.store import write_store
from models.registry import build_network
from utils.audit.samples import read_samples
from utils.metrics import GROUPS

ROOT = Path(__file__).parent.parent
ACCURACIES = {"valid_accuracy", "test_accuracy", "test_aligned", "test_conflicting", "test_worst_group"}


@pytest.fixture(autouse=True)
def _small_data(fewer_digits):
    fewer_digits(300, 60, 20)


@pytest.fixture
def train(tmp_path, capfd):
    """Runs the command in this process, in its own log folder; returns (exit code, output, errors)."""

    def command(*arguments, figures=False):
        flags = ["--log_dir", str(tmp_path / "log"), "--threads", "1", *([] if figures else ["--no_figures"])]
        code = train_mix.main([*map(str, arguments), *flags])
        return code, *capfd.readouterr()

    return command


@pytest.fixture
def run_folder(tmp_path):
    return lambda alg="deneb_gce", seed="0": tmp_path / "log" / "colored_digits" / alg / "0.1_0.05" / seed


def stored(dataset, folder):
    """The data set with its images in files."""
    splits = {}
    for name in ("train", "valid", "test"):
        split = getattr(dataset, name)
        store = write_store(folder / name, "", tuple(split.images.shape), [split.images])
        splits[name] = replace(split, images=store)
    return replace(dataset, **splits)


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_leaves_a_complete_folder(train, run_folder):
    code, output, _ = train("--alg", "deneb_gce", "--epochs", 2, figures=True)
    folder = run_folder()
    assert code == 0
    assert {path.name for path in folder.iterdir()} == {
        ".lock", "config.json", "figures", "metrics.jsonl", "model.json", "model.pt", "result.json", "samples.csv",
        "selection.npz", "suspects.npz", "train.log",
    }  # fmt: skip
    result = json.loads((folder / "result.json").read_text())
    for when in ("end", "best"):
        assert ACCURACIES | {"epoch", "valid_loss"} <= result[when].keys()
        assert all(0 <= result[when][key] <= 1 for key in ACCURACIES)
    assert [stage["method"] for stage in result["stages"]] == ["deneb", "gce"]
    assert sum(result["stages"][0]["mass"].values()) == pytest.approx(1)
    assert set(result["stages"][0]["mass"]) == set(GROUPS)
    lines = read_lines(folder / "metrics.jsonl")
    assert [(line["stage"], line["epoch"]) for line in lines] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert {"train_loss", "train_accuracy", "lr", "seconds", *ACCURACIES} <= lines[-1].keys()
    assert {path.name for path in (folder / "figures").iterdir()} == {
        "label_errors.png", "learning_curves.png", "samples.png", "score_by_group.png",
    }  # fmt: skip
    with np.load(folder / "selection.npz", allow_pickle=False) as selection:
        assert selection["probability"].sum() == pytest.approx(1)
        assert {len(selection[key]) for key in ("index", "group", "score", "probability")} == {300}
    config = json.loads((folder / "config.json").read_text())
    assert config["arguments"]["second.q"] == 0.7
    assert config["data"]["train"]["groups"].keys() == set(GROUPS)
    assert "conflicting-clean" in output
    assert "--alg vanilla" in output
    assert "--alg contradicted_sce" in output


def test_every_training_image_has_a_row(train, run_folder):
    train("--alg", "deneb_gce", "--epochs", 2, "--tau", 2)
    samples = read_samples(run_folder())
    data = load_dataset(DataSettings("colored_digits", "", 0.05, 0.1, "sym", "reference", clean_valid=False, seed=0))
    notes = data.annotations["train"]
    assert samples["index"].tolist() == list(range(300))
    assert (samples["file"] == "").all()
    for column, labels in (
        ("given_label", data.train.labels), ("true_label", notes.true_labels), ("bias_label", notes.bias_labels)
    ):  # fmt: skip
        assert samples[column].tolist() == [data.class_names[label] for label in labels]
    assert samples["group"].tolist() == [GROUPS[g] for g in data.train_groups()]
    with np.load(run_folder() / "selection.npz", allow_pickle=False) as selection:
        np.testing.assert_allclose(samples["score"], selection["score"], rtol=1e-5)
        np.testing.assert_allclose(samples["sampling_probability"], selection["probability"], rtol=1e-5)
    np.testing.assert_array_equal(samples["entropy"], samples["score"])
    assert (samples["prejudice_loss"] > 0).all()
    clean = samples["clean_aligned_probability"]
    assert 0 <= clean.min() < 0.5 < clean.max() <= 1
    cheap, dear = (samples["prejudice_loss"][side] for side in (clean > 0.5, clean <= 0.5))
    assert cheap.max() < dear.min()
    agreed = samples["predicted_label"] == samples["given_label"]
    assert 0 < agreed.sum() < 300
    assert (samples["given_label_confidence"][agreed] > 0.1).all()
    assert (samples["given_label_confidence"][~agreed] <= 0.5).all()


def test_rows_of_images_that_an_earlier_stage_dropped_and_of_runs_without_a_selector(train, run_folder):
    train("--alg", "aum_deneb", "--epochs", 2)
    samples, described = read_samples(run_folder("aum_deneb_gce")), ("score", "sampling_probability", "entropy")
    with np.load(run_folder("aum_deneb_gce") / "selection.npz", allow_pickle=False) as selection:
        kept = np.isin(np.arange(300), selection["index"])
        np.testing.assert_allclose(samples["score"][kept], selection["score"], rtol=1e-5)
    assert 0 < kept.sum() < 300
    assert all((np.isnan(samples[name]) == ~kept).all() for name in described)
    assert samples["sampling_probability"][kept].sum() == pytest.approx(1, abs=1e-4)
    assert np.isfinite(samples["given_label_confidence"]).all()
    assert (samples["predicted_label"] != "").all()
    train("--alg", "vanilla", "--epochs", 1)
    samples = read_samples(run_folder("vanilla"))
    assert all(np.isnan(samples[name]).all() for name in (*described, "prejudice_loss"))
    assert np.isfinite(samples["given_label_confidence"]).all()


def test_a_finished_run_is_shown_and_not_trained_again(train, monkeypatch):
    _, before, _ = train("--alg", "vanilla", "--epochs", 1)
    monkeypatch.setattr(stages, "fit", None)
    code, after, _ = train("--alg", "vanilla", "--epochs", 1)
    assert code == 0
    assert "already finished" in after
    assert before.splitlines()[-3:] == after.splitlines()[-3:]


def test_another_learner_reuses_the_selection(train, run_folder, monkeypatch):
    train("--alg", "deneb_gce", "--epochs", 2)
    trained, fit = [], stages.fit

    def counting_fit(method, *rest):
        trained.append(method.name)
        return fit(method, *rest)

    monkeypatch.setattr(stages, "fit", counting_fit)
    train("--alg", "deneb_vanilla", "--epochs", 2)
    assert trained == ["vanilla"]
    first, second = (
        json.loads((run_folder(alg) / "result.json").read_text()) for alg in ("deneb_gce", "deneb_vanilla")
    )
    assert second["stages"][0]["reused"]
    assert first["stages"][0]["mass"] == second["stages"][0]["mass"]
    assert len(read_lines(run_folder("deneb_vanilla") / "metrics.jsonl")) == 4
    train("--alg", "deneb_vanilla", "--epochs", 2, "--tau", 2, "--run_name", "tau2")
    assert trained == ["vanilla", "vanilla"], "the temperature matters only after training"
    third = json.loads((run_folder("deneb_vanilla", "0_tau2") / "result.json").read_text())
    assert third["stages"][0]["mass"] != first["stages"][0]["mass"]
    train("--alg", "deneb_vanilla", "--epochs", 2, "--warmup", 0, "--run_name", "warmup0")
    assert trained == ["vanilla", "vanilla", "deneb", "vanilla"]


def test_other_arguments_in_the_same_folder_are_refused_by_name(train, run_folder):
    train("--alg", "gce", "--epochs", 1)
    code, _, errors = train("--alg", "gce", "--epochs", 1, "--q", 0.3)
    assert code == 1
    assert errors.startswith("error: --q 0.7 there, 0.3 now: ")
    assert errors.count("\n") == 1
    note = run_folder("gce") / "my notes.txt"
    note.write_text("keep me")
    assert train("--alg", "gce", "--epochs", 1, "--q", 0.3, "--run_name", "low_q")[0] == 0
    assert json.loads((run_folder("gce") / "config.json").read_text())["arguments"]["q"] == 0.7
    assert train("--alg", "gce", "--epochs", 1, "--q", 0.3, "--overwrite")[0] == 0
    assert json.loads((run_folder("gce") / "config.json").read_text())["arguments"]["q"] == 0.3
    assert note.read_text() == "keep me"


def test_changed_data_under_an_interrupted_run_are_noticed(train, run_folder, monkeypatch):
    train("--alg", "vanilla", "--epochs", 1)
    (run_folder("vanilla") / "result.json").unlink()
    monkeypatch.setattr(colored_digits, "COLOR_JITTER", 0.3)
    code, _, errors = train("--alg", "vanilla", "--epochs", 1)
    assert code == 1
    assert errors.startswith("error: the images of train, the images of valid, the images of test have changed: ")


def test_independent_runs_report_mean_and_deviation(train, run_folder):
    code, output, _ = train("--alg", "vanilla", "--epochs", 1, "--indep_run", 2, "--seed", 5)
    assert code == 0
    assert "seeds 5 to 6" in output
    values = [
        100 * json.loads((run_folder("vanilla", seed) / "result.json").read_text())["end"]["test_accuracy"]
        for seed in ("5", "6")
    ]
    assert f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}" in output


def test_stage_settings_reach_only_their_stage(train, run_folder):
    train("--alg", "deneb_gce", "--epochs", 1, "--first.epochs", 2, "--second.lr", 0.01)
    arguments = json.loads((run_folder() / "config.json").read_text())["arguments"]
    assert (arguments["first.epochs"], arguments["second.epochs"]) == (2, 1)
    assert (arguments["first.lr"], arguments["second.lr"]) == (0.05, 0.01)


def test_probabilities_can_weight_losses_instead_of_draws(train, run_folder):
    train("--alg", "deneb_gce", "--epochs", 1)
    train("--alg", "deneb_gce", "--epochs", 1, "--resampling", "false", "--run_name", "weighted")
    states = [torch.load(run_folder(seed=s) / "model.pt", weights_only=True) for s in ("0", "0_weighted")]
    assert not all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_the_authors_result_csv(train, tmp_path):
    train("--alg", "vanilla", "--epochs", 1, "--result_dir", tmp_path / "results")
    rows = (tmp_path / "results/colored_digits/vanilla/0.1_0.05/result.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == [
        "0_End", "0_Best", "0_End_major", "0_Best_major", "0_End_minor", "0_Best_minor",
    ]  # fmt: skip
    assert all(0 <= float(row.split(",")[1]) <= 100 for row in rows)


def test_clean_validation_comes_out_of_the_test_split(train, tmp_path):
    code, *_ = train("--alg", "vanilla", "--epochs", 1, "--clean_valid")
    folder = tmp_path / "log/colored_digits_clean/vanilla/0.1_0.05/0"
    data = json.loads((folder / "result.json").read_text())["data"]
    assert code == 0
    assert data["valid"]["effective_nratio"] == 0
    assert data["valid"]["size"] + data["test"]["size"] == 200


def test_the_missing_gpu_is_mentioned_once(train):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    _, output, _ = train("--alg", "vanilla", "--epochs", 1, "--gpu", 0, "--num_workers", 4)
    assert output.count("no CUDA device here, running on the CPU") == 1
    assert output.count("--num_workers has no effect") == 1


def test_tensorboard_gets_the_curves(train, run_folder):
    assert train("--alg", "vanilla", "--epochs", 1, "--tensorboard")[0] == 0
    assert list((run_folder("vanilla") / "tensorboard").glob("events.out.tfevents.*"))


def test_missing_tensorboard_is_explained(train, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    code, _, errors = train("--alg", "vanilla", "--epochs", 1, "--tensorboard")
    assert code == 1
    assert "pip install tensorboard" in errors


def test_weights_from_a_file_are_named_by_content(train, run_folder, tmp_path):
    files = [tmp_path / name for name in ("one.pt", "copy.pt", "other.pt")]
    networks = [build_network("CONV", (3, 28, 28), 10) for _ in range(2)]
    for file, network in zip(files, [networks[0], networks[0], networks[1]], strict=True):
        with open(file, "wb") as stream:
            torch.save(network.state_dict(), stream)
    assert train("--alg", "deneb_gce", "--epochs", 1, "--second.weights", files[0])[0] == 0
    arguments = json.loads((run_folder() / "config.json").read_text())["arguments"]
    assert "first.weights" not in arguments
    assert re.fullmatch("[0-9a-f]{12}", arguments["second.weights"])
    _, output, _ = train("--alg", "deneb_gce", "--epochs", 1, "--second.weights", files[1])
    assert "already finished" in output
    code, _, errors = train("--alg", "deneb_gce", "--epochs", 1, "--second.weights", files[2])
    assert code == 1
    assert "--second.weights " in errors
    code, _, errors = train("--alg", "vanilla", "--model", "ResNet20", "--weights", files[0])
    assert code == 2
    assert "does not fit this --model" in errors


def test_profiling_leaves_a_trace_of_every_stage_and_changes_nothing(train, run_folder):
    _, output, _ = train("--alg", "deneb_gce", "--epochs", 2, "--profile")
    assert output.count("on the CPU, of that") == 2
    assert "convolution" in output
    traces = {stage: json.loads((run_folder() / f"trace_{stage}.json").read_text()) for stage in ("deneb", "gce")}
    assert all(trace["traceEvents"] for trace in traces.values())
    profiled = torch.load(run_folder() / "model.pt", weights_only=True)
    train("--alg", "deneb_gce", "--epochs", 2, "--overwrite")
    assert not list(run_folder().glob("trace_*"))
    plain = torch.load(run_folder() / "model.pt", weights_only=True)
    assert all(torch.equal(profiled[key], plain[key]) for key in plain)


@pytest.mark.parametrize("listed", ["deneb_gce", "colored_mnist", "CONV", "--p_threshold"])
def test_list(train, listed):
    code, output, _ = train("--list")
    assert code == 0
    assert listed in output


USAGE_ERRORS = [
    (["--alg", "denb"], "Did you mean 'deneb'?"),
    (["--alg", "gce_deneb"], "passes nothing on"),
    (["--alg", "deneb_gce_vanilla"], "3 parts"),
    (["--alg", ""], "unknown method"),
    (["--dataset", "colored_mnst"], "Did you mean 'colored_mnist'?"),
    (["--model", "CONVV"], "Did you mean 'CONV'?"),
    (["--weights", "nowhere.pth"], "there is no file 'nowhere.pth'"),
    (["--epochz", "3"], "Did you mean --epochs?"),
    (["--epochs", "0"], "at least 1"),
    (["--epochs", "two"], "'two' is not a whole number"),
    (["--lr", "nan"], "--lr"),
    (["--lr", "-1"], "more than 0"),
    (["--bratio", "1.5"], "at most 1"),
    (["--nratio", "-0.1"], "at least 0"),
    (["--batch_size", "1"], "at least 2"),
    (["--seed", "-1"], "at least 0"),
    (["--opt", "sgd"], "SGD"),
    (["--lr_decay_opt", "x"], "an epoch such as 30"),
    (["--lr_decay_opt", "3,5"], "MultiStepLR"),
    (["--tau", "0"], "at least 0.001"),
    (["--q", "2"], "at most 1"),
    (["--alg", "vanilla", "--tau", "1"], "a hyper-parameter of contradicted, deneb, dpr; --alg vanilla has none"),
    (["--alg", "vanilla", "--first.lr", "1"], "has a single stage"),
    (["--alg", "deneb_gce", "--third.lr", "1"], "has 2 stages, and no third one"),
    (["--num_classes", "7"], "has 10 classes"),
    (["--gpu", "first"], "the number of a CUDA device"),
    (["--resampling", "maybe"], "neither true nor false"),
    (["--amp", "fp16", "--gpu", "cpu"], "fp16 needs a GPU"),
    (["--amp", "half"], "bf16"),
    (["--eval_every", "0"], "at least 1"),
    (["--list", "stuff"], "methods"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE_ERRORS, ids=lambda value: " ".join(value)[:40])
def test_a_command_that_cannot_be_meant_is_answered_in_one_line(train, arguments, message):
    code, _, errors = train(*arguments)
    assert code == 2
    assert message in errors
    assert errors.startswith("error: ")
    assert "Traceback" not in errors


def test_divergence_is_reported_with_the_mend(train):
    code, _, errors = train("--alg", "vanilla", "--lr", 1e30, "--epochs", 2)
    assert code == 1
    assert "Lower --lr" in errors


def test_a_folder_that_cannot_be_written(train, tmp_path):
    (tmp_path / "log").write_text("a file where the folder should go")
    code, _, errors = train("--alg", "vanilla", "--epochs", 1)
    assert code == 1
    assert "--log_dir chooses another place" in errors


@pytest.mark.parametrize("name", ["result.json", "config.json"])
def test_damaged_json_in_the_run_folder(train, run_folder, name):
    train("--alg", "vanilla", "--epochs", 1)
    (run_folder("vanilla") / name).write_text("{")
    code, _, errors = train("--alg", "vanilla", "--epochs", 1)
    assert code == 1
    assert name in errors


def test_a_damaged_checkpoint(train, run_folder):
    train("--alg", "vanilla", "--epochs", 1)
    (run_folder("vanilla") / "result.json").unlink()
    (run_folder("vanilla") / "checkpoint.pt").write_bytes(b"half a checkpo")
    code, _, errors = train("--alg", "vanilla", "--epochs", 1)
    assert code == 1
    assert "checkpoint.pt" in errors


def start(log_dir, *arguments):
    command = [sys.executable, "train_mix.py", *arguments, "--log_dir", str(log_dir), "--threads", "1", "--no_figures"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a background job would ignore
    )


def wait_for(condition, process):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "the run never came that far"
        time.sleep(0.005)


def epochs_done(folder, stage):
    metrics = folder / "metrics.jsonl"
    return sum(line["stage"] == stage for line in read_lines(metrics)) if metrics.exists() else 0


ARGUMENTS = (
    "--alg",
    "deneb_gce",
    "--epochs",
    "3",
    "--lr_decay",
    "MultiStepLR",
    "--lr_decay_opt",
    "1,2",
    "--opt",
    "Adam",
)
FOLDER = "colored_digits/deneb_gce/0.1_0.05/0"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    log_dir = tmp_path_factory.mktemp("uninterrupted")
    process = start(log_dir, *ARGUMENTS)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return log_dir / FOLDER


@pytest.mark.parametrize("stage", [1, 2])
def test_kill_9_in_either_stage_changes_nothing(tmp_path, uninterrupted, stage):
    folder = tmp_path / FOLDER
    process = start(tmp_path, *ARGUMENTS)
    wait_for(lambda: epochs_done(folder, stage) >= 1, process)
    process.kill()
    process.communicate()
    assert not (folder / "result.json").exists()
    again = start(tmp_path, *ARGUMENTS)
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    assert "continuing after epoch" in output
    assert epochs_done(folder, stage) == 3
    assert_same_run(folder, uninterrupted)


def assert_same_run(folder, other):
    states = [torch.load(path / "model.pt", weights_only=True) for path in (folder, other)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0].keys() | states[1].keys())
    lines = [read_lines(path / "metrics.jsonl") for path in (folder, other)]
    for line in (*lines[0], *lines[1]):
        del line["seconds"]
    assert lines[0] == lines[1]
    results = [json.loads((path / "result.json").read_text()) for path in (folder, other)]
    assert results[0]["end"] == results[1]["end"]
    assert not (folder / "checkpoint.pt").exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_run_with_the_command_to_continue(tmp_path, sent):
    process = start(tmp_path, "--alg", "vanilla", "--epochs", "500")
    wait_for(lambda: epochs_done(tmp_path / "colored_digits/vanilla/0.1_0.05/0", 1) >= 1, process)
    process.send_signal(sent)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "To continue: python train_mix.py --alg vanilla" in output
    assert "Traceback" not in output


def test_two_processes_cannot_train_in_one_folder(tmp_path):
    process = start(tmp_path, "--alg", "vanilla", "--epochs", "500")
    wait_for(lambda: epochs_done(tmp_path / "colored_digits/vanilla/0.1_0.05/0", 1) >= 1, process)
    try:
        other = start(tmp_path, "--alg", "vanilla", "--epochs", "500")
        output, _ = other.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    assert other.returncode == 1
    assert "another process is training" in output


def test_a_run_from_stored_images_has_the_same_results(train, run_folder, tmp_path, monkeypatch):
    """Through a kept subset, scoring passes and validation."""
    command = ("--alg", "fine_gce", "--epochs", 1, "--augment", "pgd", "--overwrite")
    train(*command)
    monkeypatch.setattr(run, "load_dataset", lambda settings: stored(load_dataset(settings), tmp_path))
    code, _, errors = train(*command, "--run_name", "stored")
    assert (code, errors) == (0, "")
    folders = [run_folder("fine_gce"), run_folder("fine_gce", "0_stored")]
    one, other = (json.loads((folder / "result.json").read_text()) for folder in folders)
    assert (one["data"], one["end"], one["best"]) == (other["data"], other["end"], other["best"])
    weights = [torch.load(folder / "model.pt", weights_only=True) for folder in folders]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_labels_are_cross_validated_once_for_all_runs_on_the_same_data(train, run_folder):
    flags = ("--epochs", 2, "--cross_validate", 2, "--best_by", "valid_accuracy", "--batch_size", 30)
    code, output, _ = train("--alg", "vanilla", *flags, figures=True)
    assert code == 0
    assert "to cross-validate the labels" in output
    samples = read_samples(run_folder("vanilla"))
    assert (samples["out_of_sample_label"] != "").all()
    for column in ("out_of_sample_confidence", "cross_validated_confidence", "expected_precision"):
        assert ((samples[column] >= 0) & (samples[column] <= 1)).all()
    assert (samples["times_seen"] == 2).all()
    assert 0 < samples["wrong_events"].sum() < 600
    assert (run_folder("vanilla") / "suspects.npz").is_file()
    train("--alg", "gce", *flags)
    assert "taking the trained selector" in (run_folder("gce") / "train.log").read_text()
    again = read_samples(run_folder("gce"))
    assert (again["cross_validated_confidence"] == samples["cross_validated_confidence"]).all()


def test_a_fold_is_not_enough(train):
    code, _, errors = train("--alg", "vanilla", "--cross_validate", 1)
    assert code == 2
    assert "2 or more" in errors


def test_a_result_tells_of_every_class(train, run_folder):
    _, output, _ = train("--alg", "deneb_gce", "--epochs", 2)
    result = json.loads((run_folder() / "result.json").read_text())
    about = result["per_class"]
    assert (sum(about["train"]), sum(about["valid"]), sum(about["test"])) == (300, 60, 200)
    right = sum(row[c] for c, row in enumerate(result["confusion"]))
    assert right / 200 == pytest.approx(result["end"]["test_accuracy"])
    assert [len(stage.get("kept_by_class", [])) for stage in result["stages"]] == [10, 0]
    assert sum(result["stages"][0]["draws_by_class"]) == pytest.approx(1)
    assert "taken for" in output
    assert "taken for" in (run_folder() / "train.log").read_text()
    assert any("fewer than 20 training images" in line for line in result["warnings"]) == (min(about["train"]) < 20)
    assert all(f"warning: {line}" in output for line in result["warnings"])
