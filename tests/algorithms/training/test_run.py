"""A run, a selector and a checkpoint are taken only for what they were made of, to the bit or with a word."""

import gc
import json
import logging
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from algorithms.base import Method
from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from algorithms.training import stages
from algorithms.training.criteria import CRITERIA
from algorithms.training.run import run
from utils.errors import DamagedFile, RunError

FLAGS = ("--dataset", "folder", "--model", "MLP", "--batch_size", "8", "--gpu", "cpu", "--no_figures")


class Stopped(Exception):
    pass


@pytest.fixture
def photos(tmp_path):
    """Three classes of ten images of 8x8 pixels, and what is known about some of them."""
    root, draws = tmp_path / "photos", np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog", "owl")):
        (root / "train" / name).mkdir(parents=True)
        for number in range(10):
            pixels = draws.integers(60 * label, 60 * label + 60, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "train" / name / f"{number}.png")
    rows = ["train/cat/0.png,dog,", "train/cat/1.png,cat,owl", "train/dog/0.png,dog,dog"]
    annotate(root, rows)
    return root


def annotate(root, rows):
    (root.parent / "notes.csv").write_text("\n".join(["file,true_label,bias_label", *rows]) + "\n")


@pytest.fixture
def train(tmp_path):
    """Runs with these flags in one log folder; by default one epoch of plain training."""

    def call(root, *flags, watch=lambda records: None):
        notes = ("--annotations", str(root.parent / "notes.csv")) if (root.parent / "notes.csv").exists() else ()
        plain = ("--alg", "vanilla", "--epochs", "1", "--best_by", "valid_accuracy", "--cross_validate", "0")
        words = [*FLAGS, *plain, *notes, "--data_dir", str(root), "--log_dir", str(tmp_path / "log"), *flags]
        config = resolve(parse_arguments(words, ""))
        return run(config, watch), config.folder

    return call


@pytest.fixture
def fits(monkeypatch):
    """The names of the methods that are trained from here on."""
    names, fit = [], stages.fit

    def counting_fit(method, *rest):
        names.append(method.name)
        return fit(method, *rest)

    monkeypatch.setattr(stages, "fit", counting_fit)
    return names


def stop(records):
    raise Stopped


def one_pixel(root):
    path = root / "train" / "owl" / "3.png"
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(path)


def moved(root):
    (root / "train/cat/2.png").rename(root / "train/dog/22.png")


def renamed(root):
    (root / "train/dog/9.png").rename(root / "train/dog/99.png")


CHANGES = {
    "one pixel": (one_pixel, "the images of "),
    "a file in another class": (moved, "the given labels of "),
    "a file removed": (lambda root: (root / "train/owl/0.png").unlink(), "the images of "),
    "a file renamed": (renamed, "the file names of "),
    "a class renamed": (lambda root: (root / "train/owl").rename(root / "train/rat"), "the classes"),
    "a true label": (lambda root: annotate(root, ["train/cat/0.png,cat,"]), "the true labels of "),
    "a bias label": (lambda root: annotate(root, ["train/cat/0.png,dog,cat"]), "the bias labels of "),
}


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_other_data_are_never_answered_with_old_numbers(photos, train, fits, change, finished):
    alter, named = CHANGES[change]
    if finished:
        train(photos)
    else:
        with pytest.raises(Stopped):
            train(photos, "--epochs", "2", watch=stop)
    fits.clear()
    if change == "a class renamed":
        annotate(photos, [])
    alter(photos)
    with pytest.raises(RunError, match=rf"{named}.* changed: .*--run_name.*--overwrite") as error:
        train(photos, *(() if finished else ("--epochs", "2")))
    assert "\n" not in str(error.value)
    assert not fits
    train(photos, "--run_name", "beside")
    train(photos, "--overwrite")
    assert fits == ["vanilla", "vanilla"]


def test_the_same_data_in_another_place_are_the_same_run(photos, train, fits, tmp_path):
    result, _ = train(photos)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(photos, elsewhere)
    assert train(elsewhere)[0]["end"] == result["end"]
    assert fits == ["vanilla"]
    one_pixel(elsewhere)
    with pytest.raises(RunError, match=f"--data_dir {elsewhere}"):
        train(elsewhere)


def test_another_environment_is_told_and_noted(photos, train, monkeypatch, caplog):
    with pytest.raises(Stopped):
        train(photos, "--epochs", "2", watch=stop)
    real = stages.rounding(torch.device("cpu"))
    for module in ("outputs", "stages"):
        monkeypatch.setattr(f"algorithms.training.{module}.rounding", lambda device: real | {"threads": 7})
    monkeypatch.setattr("utils.logbook.rounding", lambda device: real | {"threads": 7})
    _, folder = train(photos, "--epochs", "2")
    (warning,) = [record.getMessage() for record in caplog.records if "elsewhere" in record.getMessage()]
    assert f"threads {real['threads']} there, 7 now" in warning
    config = json.loads((folder / "config.json").read_text())
    assert config["environment"]["threads"] == 7
    assert [each["threads"] for each in config["environments_before"]] == [real["threads"]]
    caplog.clear()
    train(photos, "--epochs", "2")
    assert not [record for record in caplog.records if "elsewhere" in record.getMessage()]


SELECTED = ("--alg", "deneb_vanilla")


@pytest.mark.parametrize(
    "other",
    [{"threads": 7}, {"device_kind": "cuda H100"}, {"torch": "1.0"}, {"processes": 2}, {"deterministic": True}],
    ids=lambda other: next(iter(other)),
)
def test_a_selector_from_another_environment_is_not_taken(photos, train, fits, monkeypatch, other):
    train(photos, *SELECTED)
    real = stages.rounding(torch.device("cpu"))
    monkeypatch.setattr(stages, "rounding", lambda device: real | other)
    train(photos, *SELECTED, "--run_name", "other")
    assert fits == ["deneb", "vanilla"] * 2


def test_a_selector_is_not_taken_for_other_data_or_another_augmentation(photos, train, fits):
    train(photos, *SELECTED)
    train(photos, *SELECTED, "--tau", "2", "--run_name", "same")
    assert fits == ["deneb", "vanilla", "vanilla"]
    fits.clear()
    train(photos, *SELECTED, "--augment", "deneb", "--run_name", "augmented")
    annotate(photos, ["train/cat/0.png,cat,"])
    train(photos, *SELECTED, "--run_name", "annotated")
    one_pixel(photos)
    train(photos, *SELECTED, "--run_name", "changed")
    assert fits == ["deneb", "vanilla"] * 3


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["model.pt", "result.json", "config.json"])
def test_a_damaged_selector_is_trained_anew_with_a_word(photos, train, fits, caplog, tmp_path, name):
    before, _ = train(photos, *SELECTED)
    (selector,) = (tmp_path / "log/folder/selectors").iterdir()
    content = (selector / name).read_bytes()
    for number, damage in enumerate(
        [
            lambda path: flip(path, len(content) // 2),
            lambda path: path.write_bytes(content[:-40]),
            lambda path: path.write_bytes(b""),
            lambda path: path.write_bytes(b"[]"),
        ]
    ):
        fits.clear()
        caplog.clear()
        damage(selector / name)
        after, _ = train(photos, *SELECTED, "--run_name", str(number))
        assert fits == ["deneb", "vanilla"]
        assert after["end"] == before["end"]
        assert sum(str(selector) in record.getMessage() and "trained anew" in record.getMessage()
                   for record in caplog.records) == 1  # fmt: skip


def test_a_damaged_checkpoint_of_a_selector_is_put_aside(photos, train, fits, caplog, tmp_path):
    with pytest.raises(Stopped):
        train(photos, *SELECTED, "--epochs", "2", watch=stop)
    (selector,) = (tmp_path / "log/folder/selectors").iterdir()
    flip(selector / "checkpoint.pt", (selector / "checkpoint.pt").stat().st_size // 2)
    result, _ = train(photos, *SELECTED, "--epochs", "2")
    assert "checkpoint.pt" in next(text for text in caplog.messages if "trained anew" in text)
    assert not result["stages"][0]["reused"]


def interrupted(train, photos, *flags):
    with pytest.raises(Stopped):
        train(photos, "--epochs", "3", *flags, watch=stop)


def test_a_checkpoint_of_another_run_is_refused(photos, train, tmp_path):
    home = tmp_path / "log/folder/vanilla/0.0_given"
    interrupted(train, photos)
    interrupted(train, photos, "--seed", "1")
    interrupted(train, photos, "--lr", "0.02", "--run_name", "lr")
    train(photos, "--run_name", "model", "--epochs", "3")
    for foreign in ("1/checkpoint.pt", "0_lr/checkpoint.pt", "0_model/model.pt", "0/train.log"):
        shutil.copy(home / foreign, home / "0/checkpoint.pt")
        with pytest.raises(DamagedFile, match=rf"{home}/0/checkpoint\.pt .*--overwrite") as error:
            train(photos, "--epochs", "3")
        assert "\n" not in str(error.value)
    assert train(photos, "--epochs", "3", "--overwrite")[0]["end"]["epoch"] == 3


def test_no_flipped_bit_of_a_checkpoint_changes_the_result(photos, train, tmp_path):
    interrupted(train, photos)
    folder = tmp_path / "log/folder/vanilla/0.0_given/0"
    checkpoint = (folder / "checkpoint.pt").read_bytes()
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)
    wanted = train(photos, "--epochs", "3")[0]["end"]
    refused = 0
    for position in np.random.default_rng(0).integers(len(checkpoint), size=12).tolist():
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        flip(folder / "checkpoint.pt", position)
        try:
            result, _ = train(photos, "--epochs", "3")
        except DamagedFile:
            refused += 1
        else:
            assert result["end"] == wanted
    assert refused


def test_a_model_says_whose_it_is_and_stays_an_ordinary_file(photos, train):
    _, folder = train(photos)
    _, other = train(photos, "--seed", "1")
    assert torch.load(folder / "model.pt", weights_only=True).keys()
    assert b'"alg": "vanilla"' in (folder / "model.pt").read_bytes()
    assert b'"seed": 1' in (other / "model.pt").read_bytes()


def test_a_finished_run_with_another_model_or_a_damaged_one_is_refused(photos, train):
    _, folder = train(photos)
    _, other = train(photos, "--seed", "1")
    good = (folder / "model.pt").read_bytes()
    for bad in ((other / "model.pt").read_bytes(), good[: len(good) // 2], b""):
        (folder / "model.pt").write_bytes(bad)
        with pytest.raises(DamagedFile, match=rf"{folder}/model\.pt .*--overwrite"):
            train(photos)
    (folder / "model.pt").unlink()
    assert train(photos)[0]["seed"] == 0


def test_time_counts_all_continuations_and_all_stages(photos, train, monkeypatch):
    real = stages.fit

    def slow_fit(*arguments):
        fitted = real(*arguments)
        return fitted._replace(earlier=fitted.earlier + 1000) if fitted.earlier else fitted

    def stop_late(records):
        if records[0]["stage"] == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train(photos, *SELECTED, "--epochs", "2", watch=stop_late)
    monkeypatch.setattr(stages, "fit", slow_fit)
    result, _ = train(photos, *SELECTED, "--epochs", "2")
    assert result["stages"][0]["reused"]
    assert result["seconds"] > 1000 + sum(stage["seconds"] for stage in result["stages"])


def records_of(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{**line, "seconds": 0} for line in lines]


def test_rarer_evaluation_leaves_gaps_and_no_other_number(photos, train, caplog):
    caplog.set_level(logging.INFO)
    flags = (*SELECTED, "--first.epochs", "2", "--second.epochs", "7", "--overwrite")
    always, folder = train(photos, *flags, "--run_name", "always")
    caplog.clear()
    sometimes, other = train(photos, *flags, "--eval_every", "3", "--run_name", "sometimes")
    gaps = [epoch not in (2,) for epoch in (1, 2)] + [epoch not in (3, 6, 7) for epoch in range(1, 8)]
    for full, record, gap in zip(records_of(folder), records_of(other), gaps, strict=True):
        measured = {key for key in full if "valid_" in key or key.startswith("test_")}
        assert measured
        assert record == {key: value for key, value in full.items() if not gap or key not in measured}
    assert sometimes["end"] == always["end"]
    evaluated = [record for record in records_of(other)[2:] if "valid_accuracy" in record]
    best = max(evaluated, key=lambda record: (record["valid_accuracy"], record["epoch"]))
    assert sometimes["best"] == {key: best[key] for key in sometimes["best"]}
    (line,) = [text for text in caplog.messages if "vanilla epoch 2/7" in text]
    assert "loss" in line
    assert "valid" not in line
    assert "valid" in next(text for text in caplog.messages if "vanilla epoch 3/7" in text)


def test_how_often_it_is_evaluated_is_of_a_run_and_not_of_its_selector(photos, train, fits):
    train(photos, *SELECTED, "--epochs", "2")
    with pytest.raises(RunError, match="--eval_every not set there, 2 now"):
        train(photos, *SELECTED, "--epochs", "2", "--eval_every", "2")
    train(photos, *SELECTED, "--epochs", "2", "--eval_every", "2", "--run_name", "rarely")
    assert fits == ["deneb", "vanilla", "vanilla"]


def test_a_run_that_stops_in_a_gap_goes_on(photos, train):
    flags = ("--epochs", "4", "--eval_every", "3")
    whole, _ = train(photos, *flags, "--run_name", "whole")

    def stop_in_the_second(records):
        if len(records) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train(photos, *flags, watch=stop_in_the_second)
    resumed, folder = train(photos, *flags)
    assert (resumed["end"], resumed["best"]) == (whole["end"], whole["best"])
    assert ["valid_loss" in record for record in records_of(folder)] == [False, False, True, True]


REFEREED = ("--best_by", "debiased_valid_accuracy")


def test_the_referee_is_told_and_its_time_is_its_own(photos, train, fits, caplog):
    caplog.set_level(logging.INFO)
    result, _ = train(photos, *REFEREED)
    assert fits == ["deneb", "vanilla"]
    assert result["referee_seconds"] > 0
    assert {criterion.key for criterion in CRITERIA.values()} <= result["end"].keys()
    (told,) = [text for text in caplog.messages if "a referee" in text]
    assert "--best_by valid_accuracy does without" in told
    other, _ = train(photos, *REFEREED, "--alg", "gce")
    assert fits == ["deneb", "vanilla", "gce"]
    assert other["referee_seconds"] == result["referee_seconds"], "as long as it took when it was trained"
    plain, _ = train(photos, "--run_name", "plain")
    assert plain["referee_seconds"] == 0


def test_the_time_of_a_referee_is_not_the_runs(photos, train, monkeypatch):
    clock, real = [0.0], stages.trained_selector
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def lasting(*arguments, **more):
        method, fitted, reused = real(*arguments, **more)
        clock[0] += 1000
        return method, fitted._replace(now=1000.0), reused

    monkeypatch.setattr(stages, "trained_selector", lasting)
    result, _ = train(photos, *REFEREED)
    assert (result["referee_seconds"], result["seconds"]) == (1000, 0)


def test_a_referee_that_is_a_stage_takes_no_time_of_its_own(photos, train, fits):
    result, folder = train(photos, *REFEREED, "--alg", "deneb_gce")
    assert fits == ["deneb", "gce"]
    assert result["referee_seconds"] == 0
    assert not result["stages"][0]["reused"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [("debiased_valid_accuracy" in line) for line in lines] == [False, True]


def test_nothing_of_the_referee_stays_but_its_judgement(photos, train):
    alive = []

    def count(records):
        gc.collect()
        alive.append(sorted({each.name for each in gc.get_objects() if issubclass(type(each), Method)}))

    train(photos, *REFEREED, "--alg", "vanilla", watch=count)
    assert alive == [["vanilla"]]
