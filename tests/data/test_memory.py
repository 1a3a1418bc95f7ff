"""Data sets made in Python: the forms of images and labels that are understood, and a run on them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from data.load import DataSettings, load_dataset
from data.memory import add_dataset
from data.registry import datasets
from train_mix import train_all
from utils.errors import UsageError


@pytest.fixture(autouse=True)
def _only_for_this_test():
    datasets.names()
    before = dict(datasets._things)
    yield
    datasets._things.clear()
    datasets._things.update(before)


def arrays(count=60, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = generator.integers(0, 120, (count, 28, 28, 3)).astype(np.uint8)
    images[np.arange(count), :, :, labels] += 100
    return images, labels


class Pictures(Dataset):
    """Items of (image, label, true label, bias label), as Pillow's images."""

    def __init__(self, count=30):
        self.images, self.labels = arrays(count, 1)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return Image.fromarray(self.images[i]), int(self.labels[i]), int(self.labels[i]), -1 if i % 2 else 0


def loaded(name):
    return load_dataset(DataSettings(name, "", None, 0, "sym", "reference", False, 0))


def test_a_run_in_three_lines(tmp_path):
    add_dataset("mine", train=arrays(), test=Pictures())
    flags = ["--epochs", "1", "--no_figures", "--gpu", "cpu", "--log_dir", str(tmp_path), "--threads", "1"]
    (result,) = train_all(["--dataset", "mine", "--alg", "deneb_gce", *flags])
    folder = tmp_path / "mine" / "deneb_gce" / "0.0_given" / "0"
    assert json.loads((folder / "result.json").read_text())["end"] == result["end"]
    assert (folder / "samples.csv").is_file()
    assert "held out" in result["data"]["origin"]
    assert result["data"]["test"]["size"] == 30


def test_all_forms_of_images_are_the_same_data():
    images, labels = arrays(20)
    forms = [
        (images, labels),
        (images.transpose(0, 3, 1, 2), labels.tolist()),
        (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255, torch.from_numpy(labels)),
        ([Image.fromarray(image) for image in images], labels.astype(float)),
        [(image, label) for image, label in zip(images, labels, strict=True)],
    ]
    prints = set()
    for form in forms:
        add_dataset("mine", train=form, test=form, valid=form, class_names=["a", "b", "c"])
        whole = loaded("mine")
        assert whole.class_names == ("a", "b", "c")
        prints.add(whole.train.fingerprint())
    assert len(prints) == 1
    add_dataset("grey", train=(images[..., 0], labels), test=(images[..., :1], labels))
    assert torch.equal(loaded("grey").test.images[0, 2], torch.from_numpy(images[0, :, :, 0]))


def test_true_labels_and_bias_labels_are_kept_apart():
    images, labels = arrays(30)
    wrong = labels.copy()
    wrong[0] = 2
    add_dataset("mine", train=(images, wrong, labels, labels), test=Pictures(), valid=Pictures())
    whole = loaded("mine")
    assert whole.train.labels[0] == 2
    assert whole.annotations["train"].true_labels[0] == 0
    assert whole.annotations["test"].bias_labels.tolist() == [0, -1] * 15


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ((np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 0]), "4 images have 3 labels"),
        ((np.zeros((4, 8, 8, 5), np.uint8), [0, 1, 0, 1]), "its shape is"),
        ((np.full((4, 8, 8, 3), 300.0), [0, 1, 0, 1]), r"floats in \[0, 1\]"),
        ((np.zeros((4, 8, 8, 3), np.uint8),), "wanted"),
        ((np.zeros((4, 8, 8, 3), np.uint8), [0, -1, 0, 1]), "from 0"),
        ([np.zeros((8, 8, 3), np.uint8)], "every item must be"),
        ((np.zeros((2, 8, 8, 3), np.uint8), ["cat", "dog"]), "labels must be whole numbers"),
        ((np.zeros((2, 8, 8, 3), np.uint8), [0.5, 1]), "labels must be whole numbers"),
        ((np.zeros((2, 8, 8, 3), np.uint8), [0, None]), "labels must be whole numbers"),
        (([np.zeros((8, 8)), np.zeros((8, 9))], [0, 1]), r"differ in size: \(8, 8\), \(8, 9\)"),
        (None, "found NoneType"),
    ],
)
def test_other_things_are_refused_by_name(split, words):
    with pytest.raises(UsageError, match=words):
        add_dataset("mine", train=split)


def test_a_name_that_could_be_no_folder_is_refused():
    with pytest.raises(UsageError, match="cannot be part of a folder's name"):
        add_dataset("a/b", train=arrays())


def test_the_suite_s_own_names_are_taken():
    with pytest.raises(UsageError, match="Take another name"):
        add_dataset("colored_digits", train=arrays())
