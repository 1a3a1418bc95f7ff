"""`--frozen`: every method on features that are computed once, and what is refused in one line."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import train_mix
from algorithms.base import methods
from algorithms.training import stages
from algorithms.training.pairs import stages_of
from data import features
from utils.audit.samples import read_samples


@pytest.fixture(autouse=True)
def _small_data(fewer_digits):
    fewer_digits(200, 60, 20)


@pytest.fixture
def train(tmp_path, capfd, conv_weights):
    """Runs the command with features of CONV for two epochs; returns (exit code, output, errors)."""

    def command(*arguments, frozen=True):
        flags = ["--log_dir", str(tmp_path / "log"), "--threads", "1", "--epochs", "2", "--gpu", "cpu"]
        flags += ["--frozen", "--model", "CONV", "--weights", str(conv_weights)] if frozen else []
        code = train_mix.main([*flags, *map(str, arguments)])
        return code, *capfd.readouterr()

    return command


def result(tmp_path, alg, dataset="colored_digits", ratios="0.1_0.05"):
    return json.loads((tmp_path / "log" / dataset / alg / ratios / "0" / "result.json").read_text())


ALONE = [name for name in methods if stages_of(name) == [name] and name != "denetdm"]
"""Methods that train a head; DeNetDM needs networks of two depths."""


@pytest.mark.parametrize(
    ("alg", "head"),
    [*((name, "linear") for name in (*ALONE, "deneb_gce", "fine_vanilla")), ("deneb_gce", "mlp"), ("disen", "mlp")],
)
def test_methods_and_pairs_train_a_head(alg, head, train, tmp_path):
    code, _, errors = train("--alg", alg, "--head", head, "--no_figures")
    assert (code, errors) == (0, "")
    state = torch.load(tmp_path / "log" / "colored_digits" / alg / "0.1_0.05" / "0" / "model.pt", weights_only=True)
    assert any(name.endswith("fc.weight") for name in state)
    assert not any(tensor.dim() == 4 for tensor in state.values())
    stage = result(tmp_path, alg)["stages"][-1]["settings"]
    assert stage["head"] == head
    assert len(stage["weights"]) == 12


def test_the_features_are_shared_by_all_runs_and_a_finished_run_is_shown(train, tmp_path, monkeypatch):
    assert train("--alg", "vanilla", "--no_figures")[0] == 0

    def never(*arguments):
        raise AssertionError("features were computed again")

    monkeypatch.setattr(features, "_write", never)
    assert train("--alg", "gce", "--no_figures", "--nratio", "0.3")[0] == 0
    assert train("--alg", "gce", "--no_figures")[0] == 0
    monkeypatch.setattr(stages, "fit", never)
    assert train("--alg", "gce", "--no_figures")[0] == 0


def photographs(folder):
    generator = np.random.default_rng(0)
    for name, level in (("dark", 60), ("light", 190)):
        for i in range(12):
            path = folder / "train" / name / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            size = (50 + 3 * i, 90 - 4 * i, 3)
            Image.fromarray(generator.integers(level - 50, level + 50, size, dtype=np.uint8)).save(path)
    return folder


@pytest.fixture
def small_vit(tmp_path):
    """The flags of a network of timm for photographs of 160 x 160 pixels."""
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "vit.pth")
    return ["--model", "timm:test_vit", "--weights", tmp_path / "vit.pth"]


def test_photographs_of_any_size_are_never_brought_to_one(train, tmp_path, small_vit):
    asked = ["--frozen", *small_vit, "--dataset", "folder", "--alg", "deneb_gce"]
    code, output, errors = train(*asked, "--data_dir", photographs(tmp_path / "mine"), "--views", "1", frozen=False)
    assert (code, errors) == (0, "")
    assert "resize=168" in output
    assert "--frozen" in output.splitlines()[-1]
    folder = tmp_path / "log" / "folder" / "deneb_gce" / "0.0_given" / "0"
    assert (folder / "figures" / "samples.png").is_file()
    assert read_samples(folder)["file"][0].startswith("train/")
    written = sum(path.stat().st_size for path in (tmp_path / "log" / "features").glob("*.float16"))
    assert written == 24 * 64 * 2 * 2 + 3 * features.CHECKSUM
    arguments = json.loads((folder / "config.json").read_text())["arguments"]
    assert arguments["views"] == 1
    assert arguments["preprocessing"]["size"] == 160


def test_damaged_photographs_are_named_all_at_once_or_left_out(train, tmp_path, small_vit):
    folder = photographs(tmp_path / "mine")
    for name in ("1.jpg", "2.jpg"):
        next(folder.rglob(name)).write_bytes(b"")
    asked = ["--frozen", *small_vit, "--dataset", "folder", "--alg", "vanilla", "--data_dir", folder, "--no_figures"]
    code, _, errors = train(*asked, frozen=False)
    assert code == 1
    assert "cannot read 2 images: " in errors
    assert errors.count("the file is empty") == 2
    code, output, _ = train(*asked, "--skip_damaged", frozen=False)
    assert code == 0
    assert "Left out: 2 images that cannot be read." in output


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--head", "mlp"], "--head belongs to --frozen"),
        (["--views", "2"], "--views belongs to --frozen"),
        (["--frozen", "--model", "CONV"], "random weights"),
        (["--frozen", "--first.model", "MLP", "--alg", "deneb_gce"], "--first.model"),
        (["--frozen", "--head", "deep"], "--head"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(flags, words, train):
    code, _, errors = train(*flags, frozen=False)
    assert code == 2
    assert words in errors
    assert errors.count("\n") == 1


def test_a_pretrained_network_s_figures_are_the_default_and_the_data_set_s_stay_by_name(train, tmp_path, small_vit):
    flags = [*small_vit, "--dataset", "folder", "--alg", "vanilla", "--epochs", "1"]
    flags += ["--data_dir", photographs(tmp_path / "mine"), "--no_figures", "--batch_size", "8"]
    flags += ["--best_by", "valid_accuracy"]
    assert train(*flags, frozen=False)[0] == 0
    folder = tmp_path / "log" / "folder" / "vanilla" / "0.0_given"
    own = json.loads((folder / "0" / "config.json").read_text())["arguments"]
    assert own["image_size"] == 160
    assert own["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    assert train(*flags, "--augment", "deneb", "--image_size", "160", "--run_name", "paper", frozen=False)[0] == 0
    paper = json.loads((folder / "0_paper" / "config.json").read_text())["arguments"]
    assert "preprocessing" not in paper
    assert paper["augment"] == "deneb"
