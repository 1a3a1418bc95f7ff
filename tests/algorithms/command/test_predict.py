"""The final model of a run on new image files: the same probabilities as in the run, whatever was trained."""

import csv
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import train_mix
from algorithms.command import predict
from models.registry import build_network
from utils.audit.samples import read_samples


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Two classes of twelve images of 30 x 30 pixels, of which some are named as no CSV would like."""
    root, generator = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for name, level in (("dark, or so", 80), ("light", 170)):
        for i in range(12):
            path = root / "train" / name / f"{i}, a.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(level - 80, level + 80, (30, 30, 3), dtype=np.uint8)).save(path)
    return root


@pytest.fixture
def conv(save_conv):
    return save_conv((3, 30, 30), 2)


def trained(photographs, tmp_path, alg, *flags):
    code = train_mix.main(
        ["--dataset", "folder", "--data_dir", str(photographs), "--alg", alg, "--epochs", "2", "--threads", "1",
         "--gpu", "cpu", "--no_figures", "--best_by", "valid_accuracy", "--batch_size", "8",
         "--log_dir", str(tmp_path / "log"),
         *map(str, flags)]
    )  # fmt: skip
    assert code == 0
    return next(path.parent for path in (tmp_path / "log" / "folder").glob("*/*/*/samples.csv"))


def predicted(folder, out, *arguments):
    assert predict.main([str(folder), *map(str, arguments), "-o", str(out), "--gpu", "cpu", "--threads", "1"]) == 0
    with open(out, newline="") as file:
        return list(csv.DictReader(file))


def same_as_in_the_run(folder, photographs, rows):
    samples = read_samples(folder)
    given = {row["file"]: row for row in rows}
    columns = ("file", "predicted_label", "given_label", "given_label_confidence")
    for file, label, name, confidence in zip(*(samples[column] for column in columns), strict=True):
        row = given[str(photographs / file)]
        assert row["predicted_label"] == label
        assert float(row[f"probability of {name}"]) == pytest.approx(confidence, abs=1e-3)


@pytest.mark.parametrize("alg", ["vanilla", "deneb_elr+", "lff", "disen", "dividemix", "la", "afr", "self"])
def test_every_kind_of_model(alg, photographs, tmp_path):
    folder = trained(photographs, tmp_path, alg)
    rows = predicted(folder, tmp_path / "out.csv", photographs)
    assert len(rows) == 24
    same_as_in_the_run(folder, photographs, rows)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_a_head_on_a_frozen_network(head, photographs, tmp_path, conv):
    flags = ["--frozen", "--model", "CONV", "--weights", conv, "--head", head, "--views", "1"]
    folder = trained(photographs, tmp_path, "deneb_gce", *flags)
    same_as_in_the_run(folder, photographs, predicted(folder, tmp_path / "out.csv", photographs))


def test_a_frozen_network_with_a_preprocessing_of_its_own(photographs, tmp_path):
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "vit.pth")
    folder = trained(
        photographs, tmp_path, "gce", "--frozen", "--model", "timm:test_vit", "--weights", tmp_path / "vit.pth"
    )
    same_as_in_the_run(folder, photographs, predicted(folder, tmp_path / "out.csv", photographs))


def test_weights_that_have_moved_or_are_others(photographs, tmp_path, conv, capsys):
    folder = trained(photographs, tmp_path, "vanilla", "--frozen", "--model", "CONV", "--weights", conv)
    (image, *_) = (photographs / "train" / "light").iterdir()
    conv.rename(tmp_path / "moved.pt")
    asked = [str(folder), str(image), "-o", str(tmp_path / "out.csv"), "--gpu", "cpu"]
    assert predict.main(asked) == 1
    assert "--weights FILE" in capsys.readouterr().err
    assert predict.main([*asked, "--weights", str(tmp_path / "moved.pt")]) == 0
    torch.save(build_network("CONV", (3, 30, 30), 2).state_dict(), tmp_path / "other.pt")
    assert predict.main([*asked, "--overwrite", "--weights", str(tmp_path / "other.pt")]) == 1
    assert "holds other weights" in capsys.readouterr().err


def test_images_of_other_sizes_are_squashed_as_in_training(photographs, tmp_path):
    folder = trained(photographs, tmp_path, "vanilla")
    Image.fromarray(np.full((57, 43, 4), 200, np.uint8)).save(tmp_path / "large.webp", lossless=True)
    (row,) = predicted(folder, tmp_path / "out.csv", tmp_path / "large.webp")
    total = sum(float(value) for name, value in row.items() if name.startswith("probability"))
    assert total == pytest.approx(1, abs=1e-4)


def test_names_that_are_no_text_or_look_like_formulas(photographs, tmp_path, monkeypatch):
    folder, (image, *_) = trained(photographs, tmp_path, "vanilla"), (photographs / "train" / "light").iterdir()
    names = [os.fsdecode(b"caf\xe9.png"), "=1+1.png"]
    for name in names:
        shutil.copy(image, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert predict.main([str(folder), *names, "-o", "out.csv", "--gpu", "cpu", "--threads", "1"]) == 0
    with open("out.csv", encoding="utf-8", errors="surrogateescape", newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [names[0], "'=1+1.png"]


def test_all_images_that_cannot_be_read_are_named_at_once_or_left_out(photographs, tmp_path, capsys):
    folder = trained(photographs, tmp_path, "vanilla")
    new = shutil.copytree(photographs / "train" / "light", tmp_path / "new")
    for name in ("a.png", "z.jpg"):
        (new / name).write_text("no image")
    asked = [str(folder), str(new), "-o", str(tmp_path / "out.csv"), "--gpu", "cpu", "--threads", "1"]
    capsys.readouterr()
    assert predict.main(asked) == 1
    errors = capsys.readouterr().err
    assert "a.png" in errors
    assert "z.jpg" in errors
    assert errors.count("error: ") == 1
    assert not (tmp_path / "out.csv").exists()
    assert predict.main([*asked, "--skip_damaged"]) == 0
    assert "12 images in" in (output := capsys.readouterr().out)
    assert "2 that cannot be read are left out" in output
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 13


def test_what_is_missing_is_told_in_one_line(photographs, tmp_path, capsys):
    assert predict.main([str(tmp_path), str(photographs), "-o", str(tmp_path / "out.csv")]) == 1
    assert "model.json is missing" in capsys.readouterr().err
    folder = trained(photographs, tmp_path, "vanilla")
    assert predict.main([str(folder), str(tmp_path / "none.png"), "-o", str(tmp_path / "out.csv"), "--gpu", "cpu"]) == 2
    errors = capsys.readouterr().err
    assert "none.png" in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "out.csv").exists()
    (tmp_path / "out.csv").write_text("mine")
    assert predict.main([str(folder), str(photographs), "-o", str(tmp_path / "out.csv"), "--gpu", "cpu"]) == 2
    assert (tmp_path / "out.csv").read_text() == "mine"


def test_on_a_gpu_float32_is_float32(tmp_path, second_gpu):
    """As in the run: with TensorFloat-32, cuDNN's default, probabilities would be others."""
    (image := tmp_path / "image.png").touch()
    assert predict.main([str(tmp_path), str(image), "-o", str(tmp_path / "out.csv")]) == 1  # there is no model
    assert not torch.backends.cudnn.allow_tf32
    assert second_gpu == [torch.device("cuda:1")]


def test_a_path_that_is_not_there_is_told_and_unknown_groups_are_no_table(photographs, tmp_path, capsys):
    folder = trained(photographs, tmp_path, "deneb_vanilla", "--model", "CONV", "--cross_validate", "0")
    assert "share of each group" not in capsys.readouterr().out
    wanted = [str(photographs / "train"), str(tmp_path / "nowhere"), "--skip_damaged", "-o", str(tmp_path / "out.csv")]
    assert predict.main([str(folder), *wanted]) == 2
    assert capsys.readouterr().err == f"error: there is no image or folder {tmp_path / 'nowhere'}.\n"
    assert not (tmp_path / "out.csv").exists()
