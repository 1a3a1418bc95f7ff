"""A network that was trained elsewhere gets the accuracies and the samples.csv of the run that trained it."""

import json

import pytest
import torch

import train_mix
from algorithms.command import evaluate
from data import colored_digits
from models.registry import build_network
from utils.audit.samples import read_samples


@pytest.fixture(autouse=True)
def _small_data(monkeypatch):
    monkeypatch.setattr(colored_digits, "TRAIN_IMAGES", 200)
    monkeypatch.setattr(colored_digits, "VALID_IMAGES", 60)
    monkeypatch.setattr(colored_digits, "TEST_DIGITS", 20)


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


def test_a_file_without_the_last_layer_or_with_other_classes_is_refused(tmp_path, capsys):
    torch.save(build_network("CONV", (3, 28, 28), 7).state_dict(), tmp_path / "seven.pt")
    assert evaluate.main([*COMMON, "--weights", str(tmp_path / "seven.pt")]) == 2
    assert "is not the whole of this --model" in capsys.readouterr().err
    assert evaluate.main(COMMON) == 2
    assert "--weights FILE is needed" in capsys.readouterr().err
