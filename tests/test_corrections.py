"""Audit, look, apply, train again: labels that were planted wrong become right, and the model becomes better."""

import csv
import shlex

import numpy as np
import pytest
from PIL import Image

import train_mix
from utils.audit.__main__ import main as audit
from utils.audit.samples import read_samples
from utils.files import read_json

COLORS = {"blau": (40, 60, 200), "grün": (40, 160, 60), "rot": (200, 50, 40)}


@pytest.fixture
def photos(tmp_path):
    """Three classes of noisy pictures, told by colour; every sixth training image is in a wrong folder."""
    generator = np.random.default_rng(0)
    names, true = list(COLORS), {}
    for split, count in (("train", 60), ("valid", 10), ("test", 20)):
        for label, (name, color) in enumerate(COLORS.items()):
            for number in range(count):
                wrong = split == "train" and number % 6 == 0
                given = names[(label + 1 + number // 6 % 2) % 3] if wrong else name
                pixels = np.array(color) + generator.normal(0, 60, (28, 28, 3))
                path = tmp_path / "photos" / split / given / f"{name}_{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
                true[path.relative_to(tmp_path / "photos").as_posix()] = name
    return tmp_path / "photos", true


def test_three_commands_correct_planted_errors(photos, tmp_path, capfd):
    folder, true = photos
    flags = ["--dataset", "folder", "--data_dir", str(folder), "--alg", "vanilla", "--model", "MLP", "--epochs", "8"]
    flags += ["--lr", "0.02", "--batch_size", "32", "--best_by", "valid_accuracy", "--threads", "1", "--gpu", "cpu"]
    flags += ["--log_dir", str(tmp_path / "my log"), "--no_figures"]
    assert train_mix.main(flags) == 0
    run = tmp_path / "my log/folder/vanilla/0.0_given/0"
    assert f"python -m utils.audit {shlex.quote(str(run))};" in capfd.readouterr().out
    assert audit([str(run)]) == 0
    corrections = run / "corrections.csv"
    assert f"--annotations {shlex.quote(str(corrections))}" in capfd.readouterr().out
    with open(corrections, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 15, "of thirty planted errors"
    again = [*flags, "--annotations", str(corrections), "--run_name", "corrected"]
    assert train_mix.main(again) == 0
    before, after = (read_samples(run.with_name(name)) for name in ("0", "0_corrected"))
    right = [
        sum(true[file] == label for file, label in zip(samples["file"], samples["given_label"], strict=True))
        for samples in (before, after)
    ]
    assert right[0] == 150
    assert right[1] >= 165
    results = [read_json(run.with_name(name) / "result.json") for name in ("0", "0_corrected")]
    for result in results:
        assert sum(result["per_class"]["train"]) == 180
    assert results[1]["end"]["test_accuracy"] >= results[0]["end"]["test_accuracy"]
    assert audit([str(run.with_name("0_corrected")), "-o", str(tmp_path / "second.csv")]) == 0
    with open(tmp_path / "second.csv", encoding="utf-8") as file:
        second = {row["file"]: row["given_label"] for row in csv.DictReader(file)}
    assert second.keys() >= {row["file"] for row in rows}, "a second round keeps the corrections of the first"
