"""`samples.csv` by hand: what is written is read, and what is not ours is one line."""

import re

import numpy as np
import pytest
import torch

from utils.audit.__main__ import main
from utils.audit.samples import COLUMNS, OLDER, names, numbers, read_samples, write_samples
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
        "clean_aligned_probability,entropy,predicted_label,given_label_confidence,times_seen,wrong_events,"
        "training_confidence,out_of_sample_label,out_of_sample_confidence,cross_validated_confidence,expected_precision,"
        "mislabelled_probability,conflicting_probability"
    )
    assert lines[1] == "0,train/0.png,cat,dog,,aligned-noisy,,0.1,,,,dog,0.02,,,,,,,,,"
    assert len(lines) == 7
    samples = read_samples(folder)
    assert samples["index"].tolist() == [0, 1, 2, 3, 4, 5]
    assert samples["file"][5] == 'train/"a", b.png'
    assert np.isnan(samples["entropy"]).all()
    np.testing.assert_equal(samples["sampling_probability"], [0.1, 0.6, 0.25, 0.05, np.nan, np.nan])


def test_a_file_without_the_later_columns_is_read(folder):
    path = folder / "samples.csv"
    rows = [line.split(",")[: len(OLDER)] for line in path.read_text().replace('"train/""a"", b.png"', "").splitlines()]
    path.write_text("".join(",".join(row) + "\n" for row in rows))
    samples = read_samples(folder)
    assert set(samples) == set(COLUMNS)
    assert np.isnan(samples["wrong_events"]).all()
    assert samples["out_of_sample_label"].tolist() == [""] * 6


@pytest.mark.parametrize(
    "content",
    [None, b"", b"index,file\n0,a\n", b"\xff\xfe", b"only one line", ",".join(COLUMNS).encode() + b"\n0,a\n",
     ",".join(COLUMNS).encode() + b"\n", ",".join(COLUMNS).encode() + b"\nx,,a,a,a,,,,,,,a,0.5\n",
     ",".join(COLUMNS).encode() + b"\n0,,a,a,a,,much,,,,,a,0.5\n", ",".join(COLUMNS).encode() + b'\n0,"a\n'],
)  # fmt: skip
def test_a_missing_or_foreign_file_is_one_line(tmp_path, content, capsys):
    if content is not None:
        (tmp_path / "samples.csv").write_bytes(content)
    assert main([str(tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert "samples.csv" in errors
    assert errors.count("\n") == 1


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="--overwrite"):
        read_samples(tmp_path / "run")
