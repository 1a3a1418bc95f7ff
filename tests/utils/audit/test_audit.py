"""The audit by hand: what labels are ranked by, how far the list can be believed, corrections, and the page."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from utils.audit.__main__ import hidden_minority, main, report
from utils.audit.corrections import corrections
from utils.audit.ranking import belief, ranking
from utils.audit.samples import read_samples, write_samples
from utils.audit.suspects import Suspects, read_suspects
from utils.errors import RunError
from utils.metrics import GROUPS

FILES = [f"train/{i}.png" for i in range(5)] + ['train/"a", b.png']
BY_HAND = {
    "index": range(6),
    "file": FILES,
    "given_label": ["cat", "dog", "dog", "cat", "cat", "dog"],
    "true_label": ["dog", "dog", "dog", "cat", "cat", ""],
    "group": [GROUPS[2], GROUPS[1], GROUPS[1], GROUPS[0], GROUPS[0], ""],
    "sampling_probability": ["0.1", "0.6", "0.25", "0.05", "", ""],
    "predicted_label": ["dog", "dog", "cat", "cat", "cat", "cat"],
    "given_label_confidence": ["0.02", "0.9", "0.3", "0.8", "0.7", "0.01"],
}
COUNTED = {
    "times_seen": [4, 4, 4, 4, 0, 4],
    "wrong_events": [3, 0, 1, 3, 0, 4],
    "training_confidence": ["0.3", "0.9", "0.6", "0.2", "", "0.1"],
}
CROSS_VALIDATED = {
    "out_of_sample_label": ["dog", "dog", "dog", "cat", "", "cat"],
    "out_of_sample_confidence": ["0.4", "0.9", "0.5", "0.8", "", "0.3"],
    "cross_validated_confidence": ["0.05", "0.9", "0.4", "0.8", "", "0.3"],
    "expected_precision": ["0.9", "0.2", "0.3", "0.25", "", "0.8"],
}
PICTURE = np.zeros((1, 2, 2, 3), np.uint8)
ARGUMENTS = {"arguments": {"dataset": "folder"}, "environment": {"command": "train_mix.py --alg vanilla"}}


@pytest.fixture
def folder(tmp_path):
    """Writes a run's folder with the columns by hand and more; returns it."""

    def write(*more, config=ARGUMENTS, warnings=()):
        columns = {key: value for part in (BY_HAND, *more) for key, value in part.items()}
        write_samples(tmp_path / "run" / "samples.csv", columns)
        (tmp_path / "run" / "config.json").write_text(json.dumps(config))
        (tmp_path / "run" / "result.json").write_text(json.dumps({"warnings": list(warnings)}))
        return tmp_path / "run"

    return write


def ranked(folder):
    samples = read_samples(folder)
    return samples, ranking(samples)


def test_without_anything_better_the_final_model_ranks(folder):
    samples, found = ranked(folder())
    assert found.errors.tolist() == [5, 0, 2]
    assert found.other.tolist() == ["dog", "", "cat", "", "", "cat"]
    assert not found.out_of_sample
    assert any("not judged out of sample" in line for line in belief(samples, found, []))
    assert found.likely(otherwise=2).tolist() == [5, 0]


def test_the_epochs_rank_also_what_the_final_model_has_learned_by_heart(folder):
    _, found = ranked(folder(COUNTED))
    assert found.errors.tolist() == [5, 3, 0, 2], "image 3 was wrong in most epochs; image 4 was never seen"
    assert found.other[3] == "", "nothing is suggested for it"


def test_out_of_sample_networks_rank_before_all_else(folder):
    samples, found = ranked(folder(COUNTED, CROSS_VALIDATED))
    assert found.errors.tolist() == [0, 5]
    assert found.out_of_sample
    assert found.likely(otherwise=1).tolist() == [0, 5], "as many as are expected to be wrong at three quarters"
    lines = "\n".join(belief(samples, found, ["the filter has dropped 'cat'"]))
    assert "cat 3, dog 3" in lines
    assert "the filter has dropped 'cat'" in lines
    assert "confirm 60 % of the labels; about 20 % (1) are wrong, or fewer" in lines
    assert "of the 2 most suspicious about 80 %" in lines
    assert "know the classes badly" not in lines


def test_networks_that_know_little_correct_little(folder):
    labels = ["dog", "dog", "cat", "cat", "", "cat"]
    poor = {"out_of_sample_label": labels, "expected_precision": ["1", "0.9", "0.9", "0.9", "", "1"]}
    samples, found = ranked(folder(CROSS_VALIDATED | poor))
    assert found.errors.tolist() == [0, 5, 2]
    assert found.likely(otherwise=1).tolist() == [0]
    assert "know the classes badly" in "\n".join(belief(samples, found, []))


def test_lists_by_hand(folder):
    samples, found = ranked(folder())
    assert hidden_minority(samples).tolist() == [1, 3]
    text = report(samples, found, top=2)
    lines = [line.split() for line in text.splitlines()]
    assert ["0", "train/0.png", "cat", "dog", "0.02"] in lines
    assert ["1", "train/1.png", "dog", "2.4"] in lines  # 0.6 where one of four rated images would have 0.25
    assert "Likeliest label errors, 2 of the 3 images whose label is contradicted" in text
    assert "wrong: 1 of the 1 listed whose truth is known; AUROC of the ranking, among 5 images, 1.000" in text
    # the other conflicting image is none that the model agrees with
    assert "conflicting and clean: 1 of the 2 listed whose truth is known; AUROC of the ranking, among 2 images" in text


def test_nothing_is_judged_where_nothing_is_known(folder):
    samples = read_samples(folder())
    samples |= {name: np.full(6, "") for name in ("true_label", "group", "file")}
    samples["sampling_probability"] = np.full(6, np.nan)
    text = report(samples, ranking(samples), top=20)
    assert "AUROC" not in text
    assert "file" not in text
    assert "No selector rated these images" in text


def test_the_command(folder, capsys):
    run = folder()
    assert main([str(run), "--top", "1"]) == 0
    output = capsys.readouterr().out
    assert 'train/"a", b.png' in output
    assert "train/0.png" not in output
    assert f"train_mix.py --alg vanilla --annotations {run / 'corrections.csv'} --run_name corrected" in output
    assert (run / "corrections.csv").read_text() == 'file,given_label\n"train/""a"", b.png",cat\n'
    assert main([str(run), "--top", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err


def test_corrections_keep_what_the_annotations_said(folder, tmp_path):
    notes = tmp_path / "notes.csv"
    notes.write_bytes(b"File;split;given_label\r\ntrain\\0.png;test;\r\ntrain/caf\xe9.png;;dog\r\n")
    samples, found = ranked(folder(CROSS_VALIDATED))
    text = corrections(samples, found, np.array([0, 5]), notes)
    assert text.splitlines() == [
        "file,split,given_label", r"train\0.png,test,dog", "train/caf\udce9.png,,dog", '"train/""a"", b.png",,cat',
    ]  # fmt: skip


def test_a_corrected_class_is_no_formula_to_a_spreadsheet(folder):
    samples, found = ranked(folder(CROSS_VALIDATED))
    text = corrections(samples, replace(found, other=np.array(["=1+1"] * len(found.other))), np.array([0]), None)
    assert text.splitlines()[1:] == ["train/0.png,'=1+1"]


def test_what_a_user_edited_is_not_overwritten(folder, tmp_path, capsys):
    run = folder(CROSS_VALIDATED)
    assert main([str(run)]) == main([str(run)]) == 0, "the same again is no change"
    edited = run / "corrections.csv"
    edited.write_text("file,given_label\n")
    capsys.readouterr()
    assert main([str(run)]) == 0
    assert "left as it is" in capsys.readouterr().out
    assert edited.read_text() == "file,given_label\n"
    assert main([str(run), "-o", str(edited)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert edited.read_text() == "file,given_label\n"
    assert main([str(run), "--overwrite"]) == 0
    assert len(edited.read_text().splitlines()) == 3
    assert main([str(run), "-o", str(tmp_path / "mine.csv")]) == 0
    assert (tmp_path / "mine.csv").read_text() == edited.read_text()


def test_sets_that_take_no_corrections(folder, tmp_path, capsys):
    run = folder(config={"arguments": {"dataset": "bar"}})
    assert main([str(run)]) == 0
    assert not (run / "corrections.csv").exists()
    assert main([str(run), "-o", str(tmp_path / "mine.csv")]) == 2
    assert "--dataset folder" in capsys.readouterr().err


def suspects_of(run):
    pictures = np.zeros((4, 2, 3, 3), np.uint8)
    Suspects(np.array([5, 0]), np.array([[0, 1], [5, 3]]), np.array([0, 1, 3, 5]), pictures).save(run / "suspects.npz")


def test_the_page_shows_suspicious_images_and_what_looks_alike(folder, tmp_path, capsys):
    run = folder({"given_label": ["<cat>", "dog", "dog", "<cat>", "<cat>", "caf\udce9"]}, warnings=["<b>few</b>"])
    suspects_of(run)
    html = tmp_path / "page.html"
    assert main([str(run), "--page", str(html)]) == 0
    text = html.read_text(encoding="utf-8")
    assert len(re.findall("data:image/png;base64,[A-Za-z0-9]", text)) == 2 * 3
    assert "<b>few" not in text
    assert "&lt;cat&gt;" in text
    assert r"caf\udce9" in text
    assert "train/&#34;a&#34;, b.png" in text
    assert not re.search(r"(src|href)=\"https?:", text), "it needs no network"
    html.write_text("mine")
    assert main([str(run), "--page", str(html)]) == 2
    assert html.read_text() == "mine"


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"PK"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-200]),
        lambda path: np.savez(path, index=np.array([0])),
        lambda path: Suspects(np.array([9]), np.array([[9]]), np.array([9]), PICTURE).save(path),
        lambda path: Suspects(np.array([0]), np.array([[1]]), np.array([0]), PICTURE).save(path),
        lambda path: Suspects(np.array([0]), np.array([[0]]), np.array([0]), PICTURE[0]).save(path),
    ],
)  # fmt: skip
def test_pictures_that_are_missing_or_foreign_are_one_line(folder, change, capsys, tmp_path):
    run = folder()
    suspects_of(run)
    change(run / "suspects.npz")
    with pytest.raises(RunError, match=r"suspects\.npz"):
        read_suspects(run, 6)
    assert main([str(run), "--page", str(tmp_path / "page.html")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert (run / "corrections.csv").exists(), "they need no pictures"
