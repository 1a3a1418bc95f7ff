"""CIFAR-10 with a frame or a patch in the colour of the bias label."""

import numpy as np
import pytest
import torch

from data import marked_cifar
from data.marked_cifar import COLORS, FRAME, PATCH, Options
from data.registry import datasets


@pytest.fixture
def photographs(monkeypatch):
    """Stands for CIFAR-10: 40 training and 10 test images of each class, white but for their number in a corner."""
    parts = []
    for count in (400, 100):
        images = np.full((count, 32, 32, 3), 255, np.uint8)
        images[:, 16, 16, 0] = np.arange(count) % 256
        parts.append((images, np.arange(count) % 10))
    monkeypatch.setattr(marked_cifar, "cifar10_images", lambda data_dir, tried: (*parts, "CIFAR-10"))
    monkeypatch.setattr(marked_cifar, "raw_files", lambda data_dir: [])
    return parts


def build(name, data_dir, bratio=0.2, per_class=20):
    return datasets[name].build(data_dir, bratio, Options(per_class=per_class))


def test_the_frame_wears_the_colour_of_the_bias_label_and_leaves_the_rest(tmp_path, photographs):
    source = build("framed_cifar", tmp_path)
    for clean in (source.train, source.valid, source.test):
        color = torch.from_numpy(COLORS[clean.bias_labels.numpy()])[:, :, None, None]
        inner = clean.images[:, :, FRAME:-FRAME, FRAME:-FRAME]
        assert (clean.images[:, :, :FRAME] == color).all()
        assert (clean.images[:, :, :, -FRAME:] == color).all()
        assert (inner[:, :, 0] == 255).all()


def test_the_patch_lies_inside_and_moves(tmp_path, photographs):
    images, bias = (lambda clean: (clean.images, clean.bias_labels))(build("patched_cifar", tmp_path).train)
    color = torch.from_numpy(COLORS[bias.numpy()])[:, :, None, None]
    painted = (images == color).all(1)
    assert (painted.sum((1, 2)) == PATCH**2).all()
    rows = {int(each.any(1).nonzero()[0]) for each in painted}
    assert len(rows) > 5
    assert min(rows) >= FRAME


@pytest.mark.parametrize("name", ["framed_cifar", "patched_cifar"])
def test_sizes_classes_and_ratios(tmp_path, photographs, name):
    source = build(name, tmp_path, 0.5, per_class=40)
    for clean, size in ((source.train, 360), (source.valid, 40), (source.test, 80)):
        assert torch.bincount(clean.labels).tolist() == [size // 10] * 10
    conflicting = (source.train.labels != source.train.bias_labels).double().mean().item()
    assert conflicting == pytest.approx(0.5, abs=4 * (0.25 / 360) ** 0.5)
    assert (source.test.labels != source.test.bias_labels).double().mean() > 0.75


def test_the_cache_gives_the_same_and_test_images_do_not_depend_on_the_ratio(tmp_path, photographs, monkeypatch):
    first, other = build("framed_cifar", tmp_path), build("framed_cifar", tmp_path, 0.1)
    assert torch.equal(first.test.images, other.test.images)
    assert not torch.equal(first.train.bias_labels, other.train.bias_labels)
    monkeypatch.setattr(marked_cifar, "cifar10_images", None)
    again = build("framed_cifar", tmp_path)
    assert torch.equal(again.train.images, first.train.images)
    assert (again.origin, again.variant) == (first.origin, "_per_class20")
