"""CIFAR-10: what is read from where, and what is said where it is not there."""

from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from data import cifar10
from data.cifar10 import CLASSES, cifar10_images, hold_out
from data.layouts.pt import pt_files
from data.registry import NoOptions, datasets
from utils.errors import RunError, UsageError


def build(data_dir, bratio=0.0):
    return datasets["cifar10"].build(data_dir, bratio, NoOptions())


class Batches:
    """Stands for torchvision's reader: 100 + 20 images with their label in the red channel."""

    def __init__(self, root, train, download):
        count = 100 if train else 20
        self.targets = [n % 10 for n in range(count)]
        planes = np.zeros((count, 3, 32, 32), np.uint8)
        planes[:, 0] = np.array(self.targets)[:, None, None]
        self.data = planes.transpose(0, 2, 3, 1)


@pytest.fixture
def batches(monkeypatch):
    monkeypatch.setattr(cifar10, "CIFAR10", Batches)


@pytest.fixture
def offline(monkeypatch):
    def fail(*arguments, **settings):
        raise URLError("no network")

    monkeypatch.setattr(cifar10, "CIFAR10", fail)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Image files: two a class for training, one a class for test; the class number is in all channels."""
    monkeypatch.setattr(cifar10, "SIZES", {"train": 20, "test": 10})
    for split, names in (("train", ("1.png", "0.JPG")), ("test", ("0.png",))):
        for label, name in enumerate(CLASSES):
            (tmp_path / "cifar10" / split / name).mkdir(parents=True)
            for file in names:
                Image.new("RGB", (32, 32), (20 * label,) * 3).save(tmp_path / "cifar10" / split / name / file)
    return tmp_path


def test_batches(tmp_path, batches):
    source = build(tmp_path)
    assert source.origin == "CIFAR-10"
    assert source.class_names == CLASSES
    for name, size in (("train", 90), ("valid", 10), ("test", 20)):
        clean = getattr(source, name)
        assert clean.images.shape == (size, 3, 32, 32)
        assert clean.images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(clean.images[:, 0, 5, 7].long(), clean.labels)
        assert not clean.images[:, 1:].any()
        assert (clean.bias_labels == -1).all()
        assert torch.bincount(clean.labels).tolist() == [size // 10] * 10


def test_the_held_out_tenth_is_stratified_always_the_same_and_apart():
    images, labels = np.arange(1000).reshape(-1, 1, 1, 1), np.repeat(np.arange(10), 100)
    (kept, kept_labels), (held_out, held_labels) = hold_out((images, labels))
    np.testing.assert_array_equal(hold_out((images, labels))[1][0], held_out)
    assert sorted([*kept.flat, *held_out.flat]) == list(range(1000))
    assert np.bincount(held_labels).tolist() == [10] * 10
    np.testing.assert_array_equal(held_labels, held_out.ravel() // 100)
    np.testing.assert_array_equal(kept_labels, kept.ravel() // 100)


def test_image_folders_come_before_a_download_and_after_batches(folders, batches):
    train, test, origin = cifar10_images(folders, [])
    assert origin == "CIFAR-10 as image files"
    for (images, labels), each in ((train, 2), (test, 1)):
        assert labels.tolist() == np.repeat(np.arange(10), each).tolist()
        np.testing.assert_allclose(images[:, 3, 4, 1], 20 * labels, atol=2)
    (folders / "cifar-10-batches-py").mkdir()
    assert cifar10_images(folders, [])[2] == "CIFAR-10"


def test_folders_that_lack_an_image_are_refused_with_the_counts(folders):
    (folders / "cifar10" / "train" / "cat" / "1.png").unlink()
    with pytest.raises(RunError, match=r"cifar10/train: expected 2 \.png or \.jpg images a class, .*bird 2, cat 1,"):
        build(folders)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b"no picture"), "cannot read the image .*dog/1.png"),
        (lambda path: Image.new("RGB", (28, 30)).save(path), "dog/1.png has 28x30 pixels"),
    ],
)
def test_a_damaged_image_is_named(folders, damage, message):
    damage(folders / "cifar10" / "train" / "dog" / "1.png")
    with pytest.raises(RunError, match=message):
        build(folders)


def test_nothing_there_and_offline_names_the_places_and_the_way_out(tmp_path, offline):
    with pytest.raises(RunError) as error:
        build(tmp_path)
    message = str(error.value)
    for part in (
        tmp_path / "cifar10" / "cifar10_bias_0.0.pt", tmp_path / "cifar-10-batches-py", tmp_path / "cifar10" / "train",
        "no network", "cifar-10-python.tar.gz", "--data_dir", "--dataset colored_digits",
    ):  # fmt: skip
        assert str(part) in message
    assert "\n" not in message


def test_torchvision_checks_the_batches_before_it_unpickles_them(tmp_path, monkeypatch):
    """A file that is not the known one is never opened as a pickle: torchvision tries to download instead."""

    def no_download(*arguments, **settings):
        raise URLError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", no_download)
    monkeypatch.setattr("pickle.load", lambda *arguments, **settings: pytest.fail("unpickled"))
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
        (folder / name).write_bytes(b"\x80\x04N.")
    with pytest.raises(RunError, match="no network"):
        build(tmp_path)


def test_the_authors_files_are_read_and_other_bias_ratios_need_them(tmp_path, batches):
    with pytest.raises(UsageError, match=r"--bratio 0\.01: cifar10 has no bias"):
        build(tmp_path, 0.01)
    part = {"data": torch.zeros(3, 3, 32, 32), "label": torch.zeros(3).long(), "b_label": torch.ones(3).long()}
    train, test = pt_files(tmp_path / "cifar10", "cifar10", 0.01)
    train.parent.mkdir()
    torch.save({"train": part, "valid": part}, train)
    torch.save(part, test)
    assert build(tmp_path, 0.01).train.bias_labels.tolist() == [1, 1, 1]
    assert build(tmp_path).origin == "CIFAR-10"
