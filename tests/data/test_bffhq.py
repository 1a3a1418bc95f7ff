"""BFFHQ from the Disen authors' folders, with validation and test images beside those of a ratio, and from a file."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from data.bffhq import Options
from data.registry import datasets
from utils.errors import RunError

NAMES = {
    "0.5pct/align/0/12_0_0.png": 0, "0.5pct/align/1/7_1_1.png": 1, "0.5pct/conflict/1/99_1_0.png": 2,
    "valid/3_0_0.png": 3, "valid/4_1_0.png": 4, "test/5_0_1.png": 5, "test/6_1_1.png": 6,
}  # fmt: skip


def build(data_dir, bratio=None, image_size=128):
    return datasets["bffhq"].build(Path(data_dir), bratio, Options(image_size))


@pytest.fixture
def tree(tmp_path):
    for name, value in NAMES.items():
        path = tmp_path / "bffhq" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (128, 128), (value, 0, 0)).save(path)
    return tmp_path


@pytest.mark.parametrize("bratio", [None, 0.005])
def test_validation_and_test_lie_beside_and_flat(tree, bratio):
    source = build(tree, bratio)
    assert source.class_names == ("young", "old")
    for clean, rows in (
        (source.train, [(0, 0, 0), (1, 1, 1), (2, 1, 0)]),
        (source.valid, [(3, 0, 0), (4, 1, 0)]),
        (source.test, [(5, 0, 1), (6, 1, 1)]),
    ):
        assert clean.images.shape[1:] == (3, 128, 128)
        found = zip(clean.images[:, 0, 0, 0].tolist(), clean.labels.tolist(), clean.bias_labels.tolist(), strict=True)
        assert sorted(found) == rows


def test_aligned_test_images_are_kept(tree):
    test = build(tree).test
    assert (test.labels == test.bias_labels).tolist() == [False, True]


def test_several_ratios_share_validation_and_test(tree):
    (tree / "bffhq/0.5pct").rename(tree / "bffhq/1pct")
    for name in ("align/0/1_0_0.png", "conflict/1/2_1_0.png"):
        path = tree / "bffhq/2pct" / name
        path.parent.mkdir(parents=True)
        Image.new("RGB", (128, 128)).save(path)
    assert len(build(tree, 0.01).train.labels) == 3
    assert len(build(tree, 0.02).train.labels) == 2
    assert torch.equal(build(tree, 0.01).test.images, build(tree, 0.02).test.images)
    with pytest.raises(RunError, match=r"choose one of the ratios that are there with --bratio: 0\.01, 0\.02"):
        build(tree)


def test_images_of_another_size_are_squashed(tree):
    Image.new("RGB", (100, 120), (50, 0, 0)).save(tree / "bffhq/valid/3_0_0.png")
    assert build(tree).valid.images.shape == (2, 3, 128, 128)
    with pytest.raises(RunError, match=r"differ in size.*--image_size"):
        build(tree, image_size=0)


def test_it_cannot_be_generated(tmp_path):
    with pytest.raises(
        RunError, match=r"no bffhq: looked at .*bffhq\.pt; .*bffhq/<ratio>pct\. It cannot be downloaded"
    ):
        build(tmp_path)
