"""Benchmarks' own layouts: which files, columns and names are understood, and what is said where one is missing."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.groups import CelebaOptions, MetadataOptions, celeba, metadata, pointed_to
from data.load import DataSettings, load_dataset
from utils.errors import RunError, UsageError
from utils.metrics import adjusted_accuracy, group_accuracies

SMALL = MetadataOptions(image_size=8)


def picture(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((12, 10, 3), level, np.uint8)).save(path)


@pytest.fixture
def waterbirds(tmp_path):
    """As the original: land birds (0) on land (0), water birds (1) on water (1), and a few elsewhere."""
    rows = ["img_id,img_filename,y,split,place,place_filename"]
    for i, (y, split, place) in enumerate(
        [(0, 0, 0)] * 6 + [(0, 0, 1)] + [(1, 0, 1)] * 3 + [(1, 0, 0)]
        + [(y, split, place) for split in (1, 2) for y in (0, 1) for place in (0, 1)]
    ):  # fmt: skip
        name = f"{y:03d}.Black_footed_Albatross/Bird_{i:04d}.jpg"
        picture(tmp_path / name, 10 * i)
        rows.append(f"{i + 1},{name},{y},{split},{place},/o/ocean/{i:08d}.jpg")
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def changed(root, old, new):
    table = root / "metadata.csv"
    table.write_text(table.read_text().replace(old, new))


def test_waterbirds(waterbirds):
    source = metadata(waterbirds, None, SMALL)
    assert source.class_names == ("0", "1")
    assert [len(getattr(source, split).labels) for split in ("train", "valid", "test")] == [11, 4, 4]
    assert source.train.labels.tolist() == [0] * 7 + [1] * 4
    assert source.train.bias_labels.tolist() == [0] * 6 + [1] * 4 + [0]
    assert source.train.images[3].float().mean() == pytest.approx(30, abs=2)
    assert source.train.files[0] == "000.Black_footed_Albatross/Bird_0000.jpg"
    assert "metadata.csv: class y, cue place" in source.origin


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_table_with_the_delimiter_of_another_program(waterbirds, delimiter):
    wanted = metadata(waterbirds, None, SMALL)
    changed(waterbirds, ",", delimiter)
    found = metadata(waterbirds, None, SMALL)
    assert found.train.files == wanted.train.files
    assert torch.equal(found.train.cues, wanted.train.cues)


def test_words_for_splits_and_another_column_with_more_values_than_classes(waterbirds):
    for number, word in enumerate(("train", "val", "test")):
        table = (waterbirds / "metadata.csv").read_text().splitlines()
        cells = [line.split(",") for line in table]
        for row in cells[1:]:
            if row[3] == str(number):
                row[3] = word
        (waterbirds / "metadata.csv").write_text("\n".join(",".join(row) for row in cells))
    changed(waterbirds, "place,place_filename", "background,place_filename")
    lines = (waterbirds / "metadata.csv").read_text().splitlines()
    lines[1] = lines[1].replace("train,0,", "train,bamboo,")
    (waterbirds / "metadata.csv").write_text("\n".join(lines))
    source = metadata(waterbirds, None, SMALL)
    assert "cue background" in source.origin
    assert "bamboo (0)" in source.origin
    assert source.train.cues.unique().tolist() == [0, 1, 2]
    assert source.train.bias_labels.tolist() == [0] * 6 + [1] * 4 + [0]


def test_a_value_points_to_the_class_in_which_it_is_most_frequent_not_to_the_larger_class():
    """As CelebA: nine tenths are dark-haired, among whom the sexes are even; of the blond, few are men."""
    labels = torch.tensor([0] * 90 + [1] * 10)
    men = torch.tensor([1] * 45 + [0] * 45 + [1] + [0] * 9)
    assert pointed_to(labels, men, 2, 2).tolist() == [1, 0]


def test_a_table_may_name_images_that_lie_elsewhere(waterbirds, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere") / "bird.jpg"
    picture(other, 200)
    changed(waterbirds, "000.Black_footed_Albatross/Bird_0000.jpg", str(other))
    train = metadata(waterbirds, None, SMALL).train
    assert train.files[:2] == (other.as_posix(), "000.Black_footed_Albatross/Bird_0001.jpg")
    assert train.images[0].float().mean() == pytest.approx(200, abs=2)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("img_filename", "file", "no column img_filename"),
        (",2,", ",7,", "'7' is no split"),
        ("place,place_filename", "a,b", "--group_column"),
        ("Bird_0003.jpg", "Bird_gone.jpg", "Bird_gone.jpg"),
        ("Bird_0003.jpg", "Bird_0001.jpg", "line 5: 000.* is there a second time"),
        ("Bird_0003.jpg,0", "Bird_0003.jpg, ", "line 5: y, the class, is blank"),
        ("split,place,", "split,place,more,", "cells"),
    ],
)
def test_what_is_wrong_with_a_table_is_told_in_one_line(waterbirds, old, new, words):
    changed(waterbirds, old, new)
    with pytest.raises(RunError, match=words) as error:
        metadata(waterbirds, None, SMALL)
    assert "\n" not in str(error.value)


def test_options_that_cannot_be_meant(waterbirds):
    with pytest.raises(UsageError, match="--group_column sky"):
        metadata(waterbirds, None, MetadataOptions(group_column="sky", image_size=8))
    with pytest.raises(UsageError, match="--bratio"):
        metadata(waterbirds, 0.1, SMALL)
    with pytest.raises(RunError, match=r"cannot read .*metadata"):
        metadata(waterbirds / "elsewhere", None, SMALL)


ATTRIBUTES = ("5_o_Clock_Shadow", "Blond_Hair", "Male")
FACES = [("000001.jpg", (-1, 1, -1), 0), ("000002.jpg", (1, -1, 1), 0), ("000003.jpg", (-1, -1, -1), 0),
         ("000004.jpg", (-1, 1, -1), 1), ("000005.jpg", (1, 1, 1), 2), ("000006.jpg", (-1, -1, 1), 2)]  # fmt: skip


def faces(root: Path, suffix: str):
    for name, _, _ in FACES:
        picture(root / "img_align_celeba" / name, 100)
    if suffix == "txt":
        lines = [str(len(FACES)), " ".join(ATTRIBUTES) + " "]
        lines += [f"{name} {' '.join(f'{value:2d}' for value in values)}" for name, values, _ in FACES]
        parts = [f"{name} {split}" for name, _, split in FACES]
    else:
        lines = [",".join(["image_id", *ATTRIBUTES])] + [",".join([n, *map(str, v)]) for n, v, _ in FACES]
        parts = ["image_id,partition"] + [f"{name},{split}" for name, _, split in FACES]
    (root / f"list_attr_celeba.{suffix}").write_text("\n".join(lines) + "\n")
    (root / f"list_eval_partition.{suffix}").write_text("\n".join(parts) + "\n")
    return root


@pytest.mark.parametrize("suffix", ["txt", "csv"])
def test_celeba(tmp_path, suffix):
    (tmp_path / "celeba").mkdir()
    faces(tmp_path / "celeba", suffix)
    source = celeba(tmp_path, None, CelebaOptions(image_size=8))
    assert source.class_names == ("not Blond_Hair", "Blond_Hair")
    assert source.train.labels.tolist() == [1, 0, 0]
    assert source.train.bias_labels.tolist() == [1, 0, 1]
    assert (source.test.labels.tolist(), source.test.bias_labels.tolist()) == ([1, 0], [0, 0])
    other = celeba(tmp_path, None, CelebaOptions(target="Male", cue="5_o_Clock_Shadow", image_size=8))
    assert other.train.labels.tolist() == [0, 1, 0]


def test_celeba_says_what_is_missing(tmp_path):
    with pytest.raises(RunError, match=r"list_attr_celeba\.txt"):
        celeba(tmp_path, None, CelebaOptions())
    faces(tmp_path, "txt")
    with pytest.raises(UsageError, match=r"--target Hat: CelebA's attributes are 5_o_Clock_Shadow"):
        celeba(tmp_path, None, CelebaOptions(target="Hat"))
    with pytest.raises(UsageError, match="the class too"):
        celeba(tmp_path, None, CelebaOptions(cue="Blond_Hair"))


@pytest.mark.parametrize(
    ("suffix", "file", "change", "words"),
    [
        ("csv", "list_eval_partition", lambda text: re.sub(r",\w+", "", text), "wanted a column of images and others"),
        ("txt", "list_eval_partition", lambda text: "", "list_eval_partition.txt has no rows"),
        ("txt", "list_attr_celeba", lambda text: "\n".join(text.splitlines()[:2]), "list_attr_celeba.txt has no rows"),
        ("csv", "list_attr_celeba", lambda text: text.replace("-1", "no"), "Blond_Hair is no; wanted 1, or -1 or 0"),
    ],
)
def test_celeba_s_tables_of_other_contents_are_told_in_one_line(tmp_path, suffix, file, change, words):
    table = faces(tmp_path, suffix) / f"{file}.{suffix}"
    table.write_text(change(table.read_text()))
    with pytest.raises(RunError, match=words) as error:
        celeba(tmp_path, None, CelebaOptions(image_size=8))
    assert "\n" not in str(error.value)


def test_the_worst_group_and_the_adjusted_accuracy_go_by_the_cue_s_values(waterbirds):
    settings = DataSettings("metadata", str(waterbirds), None, 0, "sym", "reference", False, 0, options=SMALL)
    notes = load_dataset(settings).annotations
    predicted = torch.tensor([0, 1, 1, 1])  # of (0, 0), (0, 1), (1, 0), (1, 1)
    test, train = notes["test"], notes["train"]
    groups = group_accuracies(predicted, test.true_labels, test.bias_labels, 2, test.groups_by)
    assert groups == {"accuracy": 0.75, "aligned": 1, "conflicting": 0.5, "worst_group": 0}
    adjusted = adjusted_accuracy(predicted, test.true_labels, test.groups_by, train.true_labels, train.groups_by)
    assert adjusted == pytest.approx((6 * 1 + 1 * 0 + 3 * 1 + 1 * 1) / 11)
    missing = adjusted_accuracy(
        predicted[:2], test.true_labels[:2], test.groups_by[:2], train.true_labels, train.groups_by
    )
    assert missing is None
