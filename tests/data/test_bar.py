"""BAR from the original's flat files, from BiasEnsemble's folders and from the authors' file."""

import logging
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.bar import CLASSES, Options, _class_of
from data.layouts.pt import pt_files
from data.registry import datasets
from utils.errors import RunError

REAL = Path(__file__).parents[3] / "shared" / "data" / "BAR.tar"


def build(data_dir, bratio=None, image_size=8):
    return datasets["bar"].build(Path(data_dir), bratio, Options(image_size))


def draw(path, size=(6, 4), **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(list(path.name.encode())).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path, **settings)
    return pixels


@pytest.fixture
def original(tmp_path):
    for name in CLASSES:
        for i in range(20):
            draw(tmp_path / "BAR" / "train" / f"{name}_{i}.jpg", size=(6 + i, 9))
        for i in range(2):
            draw(tmp_path / "BAR" / "test" / f"{name}_{i}.jpg", size=(9, 6 + i))
    return tmp_path


@pytest.fixture
def resplit(tmp_path):
    for name in (
        "train/align/0/a_0_3.png", "train/align/4/b_4_4.png", "train/conflict/1pct/5/c_5_1.png",
        "train/conflict/5pct/2/d_2_2.png", "valid/3/e_3_3.png", "test/1/f_1_0.png", "test/0/g_0_0.png",
    ):  # fmt: skip
        draw(tmp_path / "bar" / name)
    return tmp_path


def put_pt(data_dir, size=3):
    files = pt_files(data_dir / "bar", "bar", None)
    files[0].parent.mkdir(parents=True, exist_ok=True)
    part = {"data": torch.rand(size, 3, 8, 8), "label": torch.arange(size), "b_label": {}}
    torch.save({"train": part, "valid": part}, files[0])
    torch.save(part, files[1])


def test_the_original_has_classes_in_names_and_no_bias_labels(original, caplog):
    source = build(original)
    assert source.class_names == CLASSES == tuple(sorted(CLASSES))
    assert torch.bincount(source.train.labels).tolist() == [18] * 6
    assert torch.bincount(source.valid.labels).tolist() == [2] * 6
    assert source.test.labels.tolist() == [label for label in range(6) for _ in range(2)]
    for clean in (source.train, source.valid, source.test):
        assert clean.bias_labels.unique().tolist() == [-1]
        assert clean.images.shape[1:] == (3, 8, 8)
        assert torch.equal(clean.truth, clean.labels)
        assert [CLASSES.index(Path(file).stem.rsplit("_")[0]) for file in clean.files] == clean.labels.tolist()
    assert source.test.files[:3] == ("BAR/test/climbing_0.jpg", "BAR/test/climbing_1.jpg", "BAR/test/diving_0.jpg")
    assert "validation is a stratified tenth of its training images" in source.origin
    assert "holds 120 images; the original BAR has 1941" in caplog.text


def test_pngs_called_jpg_and_palette_images_are_read(original):
    path = original / "BAR/test/climbing_0.jpg"
    pixels = draw(path, size=(8, 8), format="PNG")
    Image.new("RGB", (8, 8), (9, 8, 7)).convert("P", palette=Image.Palette.ADAPTIVE).save(
        original / "BAR/test/pole vaulting_1.jpg", format="PNG"
    )
    test = build(original).test
    assert torch.equal(test.images[0].permute(1, 2, 0), torch.from_numpy(pixels))
    assert test.images[7, :, 0, 0].tolist() == [9, 8, 7]
    assert test.labels[7] == CLASSES.index("pole vaulting")


def test_the_original_may_lie_in_bar_too(original):
    wanted = build(original)
    (original / "BAR").rename(original / "renamed")
    (original / "renamed").rename(original / "bar")
    assert torch.equal(build(original).train.images, wanted.train.images)


def test_a_name_without_a_class_is_named(original):
    draw(original / "BAR/train/vaulting_1.jpg")
    with pytest.raises(RunError, match=r"vaulting_1\.jpg: the name must be <class>_<number>, with a class of climbing"):
        build(original)


def test_the_resplit_takes_bias_from_folders_in_training_only(resplit):
    source = build(resplit, 0.01)
    assert source.train.labels.tolist() == [0, 4, 5]
    assert all(
        file.startswith(f"bar/train/{'conflict' if at == 2 else 'align'}/")
        for at, file in enumerate(source.train.files)
    )
    assert source.train.bias_labels.tolist() == [0, 4, 0]
    assert (source.valid.labels.tolist(), source.valid.bias_labels.tolist()) == ([3], [3])
    assert (source.test.labels.tolist(), source.test.bias_labels.tolist()) == ([1, 0], [0, 0])
    assert "bias labels tell aligned from conflicting only" in source.origin
    assert build(resplit, 0.05).train.labels.tolist() == [0, 4, 2]
    assert build(resplit, 0.05).train.bias_labels.tolist() == [0, 4, 3]
    assert source.train.images.is_contiguous(memory_format=torch.channels_last)


def test_a_ratio_chooses_folders_and_nothing_else(resplit, original):
    with pytest.raises(RunError, match=r"--bratio 0.02: .*no folder 2pct .*\(found: 1pct, 5pct\)\. Leave --bratio out"):
        build(resplit, 0.02)
    assert "original" in build(resplit).origin
    put_pt(original)
    assert "BiasEnsemble" in build(original, 0.01).origin


def test_several_ratios_and_nothing_else_need_a_choice(resplit):
    with pytest.raises(RunError, match=r"bar: choose one of the ratios that are there with --bratio: 0\.01, 0\.05"):
        build(resplit)


def test_the_only_ratio_needs_no_choice(resplit):
    (resplit / "bar/train/conflict/5pct").rename(resplit / "bar/elsewhere")
    assert build(resplit).train.labels.tolist() == [0, 4, 5]


def test_the_authors_file_comes_first_and_the_log_says_what_is_not_used(original, caplog):
    put_pt(original)
    with caplog.at_level(logging.INFO):
        source = build(original)
    assert source.origin == "authors' layout: bar.pt"
    assert source.train.bias_labels.tolist() == [-1] * 3
    assert re.search(r"BAR/train is not used: .*bar\.pt comes first", caplog.text)


def test_the_authors_file_is_squashed_and_says_so(tmp_path):
    put_pt(tmp_path)
    source = build(tmp_path, image_size=4)
    assert source.test.images.shape == (3, 3, 4, 4)
    assert "squashed from 8x8 to 4x4 pixels" in source.origin
    wanted = Image.fromarray(build(tmp_path).test.images[1].permute(1, 2, 0).numpy()).resize(
        (4, 4), Image.Resampling.BILINEAR
    )
    assert np.array_equal(source.test.images[1].permute(1, 2, 0).numpy(), np.asarray(wanted))
    assert build(tmp_path, image_size=0).test.images.shape == (3, 3, 8, 8)


def test_nothing_there_names_all_places(tmp_path):
    with pytest.raises(RunError, match=r"no bar: looked at .*bar\.pt; .*<ratio>pct; .*BAR/train; .*--data_dir"):
        build(tmp_path)


@pytest.mark.skipif(not REAL.is_file(), reason=f"the real BAR is not here: {REAL} is missing")
def test_names_of_the_real_files():
    """Counts of each class as published, from the names in the archive."""

    with tarfile.open(REAL) as archive:
        paths = [Path(name) for name in archive.getnames() if name.endswith(".jpg")]
    counts = {
        split: np.bincount([_class_of(path) for path in paths if path.parent.name == split]).tolist()
        for split in ("train", "test")
    }
    assert counts == {"train": [326, 520, 163, 279, 336, 317], "test": [105, 159, 42, 131, 132, 85]}
