"""`samples.csv` by hand: what is written, what is read, which images are listed, and how good the lists are."""

import re

import numpy as np
import pytest
import torch

from utils.audit import samples as audit
from utils.audit.samples import (
    COLUMNS,
    hidden_minority,
    label_errors,
    names,
    numbers,
    read_samples,
    report,
    write_samples,
)
from utils.errors import RunError
from utils.metrics import GROUPS


@pytest.fixture
def folder(tmp_path):
    """Six images: a label error, a found and a missed conflicting one, an undecided aligned one, two dropped ones."""
    write_samples(
        tmp_path / "samples.csv",
        {
            "index": range(6),
            "file": [f"train/{i}.png" for i in range(5)] + ['train/"a", b.png'],
            "given_label": ["cat", "dog", "dog", "cat", "cat", "dog"],
            "true_label": ["dog", "dog", "dog", "cat", "cat", ""],
            "group": [GROUPS[2], GROUPS[1], GROUPS[1], GROUPS[0], GROUPS[0], ""],
            "sampling_probability": ["0.1", "0.6", "0.25", "0.05", "", ""],
            "predicted_label": ["dog", "dog", "cat", "cat", "cat", "cat"],
            "given_label_confidence": ["0.02", "0.9", "0.3", "0.8", "0.7", "0.01"],
        },
    )
    return tmp_path


def test_cells():
    assert names(torch.tensor([1, -1, 0]), ("cat", "dog, small")) == ["dog, small", "", "cat"]
    values = torch.tensor([1 / 3, 0, torch.nan, 1234567.0, 4.9e-116], dtype=torch.float64)
    assert numbers(values) == ["0.333333", "0", "", "1.23457e+06", "4.9e-116"]


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        "'=1",
        "@SUM(A1)",
        "-cat",
        "caf\udce9",
        "a\nb",
        "a\r\nb",
        'a"b,c',
        "Straße",
        "犬🐕",
        "$x_1^2$",
        "\u202egpj",
        "'",
    ],
)
def test_any_name_is_read_as_it_was_written(tmp_path, name):
    column = {"index": range(1), "file": [f"train/{name}"], "given_label": [name], "predicted_label": [name]}
    write_samples(tmp_path / "samples.csv", column)
    samples = read_samples(tmp_path)
    assert samples["given_label"].tolist() == samples["predicted_label"].tolist() == [name]
    assert samples["file"].tolist() == [f"train/{name}"]
    assert not re.search(rb",[=+@-]", (tmp_path / "samples.csv").read_bytes()), "no cell is a formula"


def test_a_name_that_is_not_utf8_keeps_its_bytes(tmp_path):
    write_samples(tmp_path / "samples.csv", {"index": range(1), "file": ["train/cat/caf\udce9.png"]})
    assert b"train/cat/caf\xe9.png" in (tmp_path / "samples.csv").read_bytes()


def test_what_is_written_is_read(folder):
    lines = (folder / "samples.csv").read_text().splitlines()
    assert lines[0] == (
        "index,file,given_label,true_label,bias_label,group,score,sampling_probability,prejudice_loss,"
        "clean_aligned_probability,entropy,predicted_label,given_label_confidence"
    )
    assert lines[1] == "0,train/0.png,cat,dog,,aligned-noisy,,0.1,,,,dog,0.02"
    assert len(lines) == 7
    samples = read_samples(folder)
    assert samples["index"].tolist() == [0, 1, 2, 3, 4, 5]
    assert samples["file"][5] == 'train/"a", b.png'
    assert np.isnan(samples["entropy"]).all()
    np.testing.assert_equal(samples["sampling_probability"], [0.1, 0.6, 0.25, 0.05, np.nan, np.nan])


def test_lists_by_hand(folder):
    samples = read_samples(folder)
    labels = samples["given_label"], samples["predicted_label"]
    assert label_errors(*labels, samples["given_label_confidence"]).tolist() == [5, 0, 2]
    assert hidden_minority(*labels, samples["sampling_probability"]).tolist() == [1, 3]


def test_the_report_by_hand(folder):
    lines = [line.split() for line in report(read_samples(folder), top=2).splitlines()]
    assert ["0", "train/0.png", "cat", "dog", "0.02"] in lines
    assert ["1", "train/1.png", "dog", "2.4"] in lines  # 0.6 where one of four rated images would have 0.25
    text = report(read_samples(folder), top=2)
    assert "Likeliest label errors, 2 of the 3 images" in text
    assert "wrong: 1 of the 1 listed whose truth is known; AUROC of the ranking, among 5 images, 1.000" in text
    # the other conflicting image is none that the model agrees with
    assert "conflicting and clean: 1 of the 2 listed whose truth is known; AUROC of the ranking, among 2 images" in text


def test_nothing_is_judged_where_nothing_is_known(folder):
    samples = read_samples(folder)
    samples |= {name: np.full(6, "") for name in ("true_label", "group", "file")}
    samples["sampling_probability"] = np.full(6, np.nan)
    text = report(samples, top=20)
    assert "AUROC" not in text
    assert "file" not in text
    assert "No selector rated these images" in text


def test_the_command(folder, capsys):
    assert audit.main([str(folder), "--top", "1"]) == 0
    output = capsys.readouterr().out
    assert 'train/"a", b.png' in output
    assert "train/0.png" not in output
    assert audit.main([str(folder), "--top", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [None, b"", b"index,file\n0,a\n", b"\xff\xfe", b"only one line", ",".join(COLUMNS).encode() + b"\n0,a\n",
     ",".join(COLUMNS).encode() + b"\n", ",".join(COLUMNS).encode() + b"\nx,,a,a,a,,,,,,,a,0.5\n",
     ",".join(COLUMNS).encode() + b"\n0,,a,a,a,,much,,,,,a,0.5\n", ",".join(COLUMNS).encode() + b'\n0,"a\n'],
)  # fmt: skip
def test_a_missing_or_foreign_file_is_one_line(tmp_path, content, capsys):
    if content is not None:
        (tmp_path / "samples.csv").write_bytes(content)
    assert audit.main([str(tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert "samples.csv" in errors
    assert errors.count("\n") == 1


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="--overwrite"):
        read_samples(tmp_path / "run")
