"""Results come first: whatever images and classes are called, and whatever figure or table cannot be made."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from algorithms.training.run import run
from utils.audit.samples import read_samples
from utils.results import plots

CLASSES = ("under_$5", "$x^{2", "caf\udce9", "=1+1", "two\nlines", "犬", "\\frac{", "🐕", "x" * 200)


def photographs(root, classes):
    """Four images of 8x8 pixels for every class, whose files are named after it."""
    draws = np.random.default_rng(0)
    for label, name in enumerate(classes):
        place = os.path.join(os.fsencode(root), b"train", os.fsencode(name))
        os.makedirs(place)
        for number in range(4):
            pixels = draws.integers(20 * label, 20 * label + 60, (8, 8, 3), dtype=np.uint8)
            with open(os.path.join(place, os.fsencode(name) + b"%d.png" % number), "wb") as file:
                Image.fromarray(pixels).save(file, format="PNG")


@pytest.fixture
def train(tmp_path):
    def call(*flags, classes=("cat", "dog")):
        if not (tmp_path / "photos").exists():
            photographs(tmp_path / "photos", classes)
        words = ["--dataset", "folder", "--data_dir", str(tmp_path / "photos"), "--log_dir", str(tmp_path / "log"),
                 "--model", "MLP", "--epochs", "1", "--batch_size", "8", "--gpu", "cpu"]  # fmt: skip
        config = resolve(parse_arguments([*words, *flags], ""))
        return run(config), config.folder

    return call


def test_any_name_trains_and_is_drawn_and_listed(train, caplog):
    _, folder = train("--alg", "deneb_vanilla", classes=CLASSES)
    assert not [record for record in caplog.records if "missing" in record.message]
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert figures >= {"learning_curves.png", "samples.png", "score_by_group.png"}
    samples = read_samples(folder)
    assert set(samples["given_label"]) == set(CLASSES)
    root = os.fsencode(folder.parents[4] / "photos")
    assert all(os.path.exists(os.path.join(root, os.fsencode(str(name)))) for name in samples["file"])


def test_a_figure_or_table_that_cannot_be_made_costs_a_warning(train, tmp_path, monkeypatch, caplog):
    def fails(figure, path):
        raise ValueError("no such glyph")

    monkeypatch.setattr(plots, "_save", fails)
    (tmp_path / "csv").write_text("a file where a folder should be")
    result, folder = train("--alg", "deneb_vanilla", "--result_dir", str(tmp_path / "csv"))
    assert json.loads((folder / "result.json").read_text())["end"] == result["end"]
    assert (folder / "samples.csv").is_file()
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert sum(message == "a figure is missing: no such glyph" for message in warnings) >= 3
    assert sum("the run is not in" in message for message in warnings) == 1


def test_a_finished_run_is_put_into_a_result_file_that_lacks_it(train, tmp_path):
    flags = ("--alg", "vanilla", "--best_by", "valid_accuracy", "--no_figures", "--result_dir", str(tmp_path / "csv"))
    train(*flags)
    [path] = (tmp_path / "csv").rglob("result.csv")
    rows = path.read_text()
    assert rows.startswith("0_End,")
    path.unlink()
    train(*flags)
    assert path.read_text() == rows


def test_hyper_parameters_that_are_no_defaults_are_noted(train):
    result, _ = train("--alg", "deneb_gce", "--tau", "0.5", "--no_figures")
    assert [stage["changed"] for stage in result["stages"]] == [["tau"], []]
