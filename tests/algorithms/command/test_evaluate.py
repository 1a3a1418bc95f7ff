"""A network that was trained elsewhere gets the accuracies and the samples.csv of the run that trained it."""

import json

import numpy as np
import pytest
import torch

import train_mix
from algorithms.command import evaluate
from models.preprocessing import Preprocessing
from models.registry import build_network, networks
from utils.audit.samples import read_samples


@pytest.fixture(autouse=True)
def _small_data(fewer_digits):
    fewer_digits(200, 60, 20)


COMMON = ["--gpu", "cpu", "--threads", "1"]


def test_the_same_as_in_the_run(tmp_path):
    flags = ["--alg", "vanilla", "--epochs", "3", "--no_figures", "--best_by", "valid_accuracy"]
    assert train_mix.main([*flags, *COMMON, "--log_dir", str(tmp_path / "log")]) == 0
    folder = tmp_path / "log" / "colored_digits" / "vanilla" / "0.1_0.05" / "0"
    out = tmp_path / "out"
    assert evaluate.main([*COMMON, "--weights", str(folder / "model.pt"), "--out", str(out)]) == 0
    there, here = (json.loads((place / "result.json").read_text()) for place in (folder, out))
    for key, value in here["end"].items():
        assert there["end"][key] == pytest.approx(value, abs=1e-6)
    one, other = read_samples(folder), read_samples(out)
    assert (one["predicted_label"] == other["predicted_label"]).all()
    assert evaluate.main([*COMMON, "--weights", str(folder / "model.pt"), "--out", str(out)]) == 2


def test_images_that_a_run_did_not_have_are_refused(tmp_path, monkeypatch, capsys):
    """A network with published weights, trained from scratch: given weights stand for the publisher's images."""
    published = Preprocessing(28, 0, "bilinear", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    monkeypatch.setattr(networks["CONV"], "preprocessing", published)
    flags = ["--alg", "vanilla", "--epochs", "1", "--no_figures", "--best_by", "valid_accuracy"]
    assert train_mix.main([*flags, *COMMON, "--log_dir", str(tmp_path)]) == 0
    weights = ["--weights", str(tmp_path / "colored_digits/vanilla/0.1_0.05/0/model.pt")]
    capsys.readouterr()
    assert evaluate.main([*COMMON, *weights]) == 2
    assert "its run had images of [3, 28, 28] with mean []" in (told := capsys.readouterr().err)
    assert told.endswith("Say --augment deneb, or --augment and --image_size as it did.\n")
    assert evaluate.main([*COMMON, *weights, "--augment", "deneb"]) == 0


def test_kept_predictions_give_the_run_s_accuracies_and_criteria_again(tmp_path, capsys):
    flags = ["--alg", "vanilla", "--epochs", "2", "--no_figures", "--keep_predictions"]
    assert train_mix.main([*flags, *COMMON, "--log_dir", str(tmp_path / "log")]) == 0
    folder, out = tmp_path / "log" / "colored_digits" / "vanilla" / "0.1_0.05" / "0", tmp_path / "out"
    kept = folder / "predictions.npz"
    with np.load(kept, allow_pickle=False) as file:
        shapes = {name: (file[name].shape, str(file[name].dtype)) for name in ("valid", "test", "referee")}
        assert (file["test"].max(1) == 0).all()
    images = {"valid": 60, "test": len(np.load(kept)["test"]), "referee": 60}
    assert shapes == {name: ((count, 10), "float16") for name, count in images.items()}
    capsys.readouterr()
    assert evaluate.main([*COMMON, "--predictions", str(kept), "--out", str(out)]) == 0
    assert "\ndebiased_valid_accuracy " in capsys.readouterr().out
    there, here = (json.loads((place / "result.json").read_text())["end"] for place in (folder, out))
    assert here == pytest.approx({key: value for key, value in there.items() if key != "epoch"}, abs=2e-3)
    assert [here[key] for key in ("valid_accuracy", "test_accuracy")] == [
        there[key] for key in ("valid_accuracy", "test_accuracy")
    ]
    assert evaluate.main([*COMMON, "--predictions", str(kept), "--seed", "1"]) == 1
    assert "is about other data" in capsys.readouterr().err
    assert evaluate.main([*COMMON, "--predictions", str(kept), "--weights", str(kept)]) == 2
    kept.unlink()
    assert train_mix.main([*flags, *COMMON, "--log_dir", str(tmp_path / "log")]) == 0
    assert "trained without --keep_predictions" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\x80\x04."])
def test_predictions_that_are_none_are_named(tmp_path, capsys, content):
    (tmp_path / "predictions.npz").write_bytes(content)
    assert evaluate.main([*COMMON, "--predictions", str(tmp_path / "predictions.npz")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: cannot read {tmp_path / 'predictions.npz'}: ")


def test_a_file_without_the_last_layer_or_with_other_classes_is_refused(tmp_path, capsys):
    torch.save(build_network("CONV", (3, 28, 28), 7).state_dict(), tmp_path / "seven.pt")
    assert evaluate.main([*COMMON, "--weights", str(tmp_path / "seven.pt")]) == 2
    assert "is not the whole of this --model" in capsys.readouterr().err
    assert evaluate.main(COMMON) == 2
    assert "--weights FILE is needed" in capsys.readouterr().err
