"""Figures are written as PNG files, also where groups or values are missing."""

import numpy as np
import pytest
import torch
from PIL import Image

from utils.results import plots


def assert_png(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert np.ptp(np.asarray(image.convert("L"))) > 100  # not blank
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_learning_curves_of_two_stages_with_missing_groups(tmp_path):
    records = [
        {
            "stage": stage,
            "method": "gce",
            "epoch": epoch,
            **dict.fromkeys(plots.CURVES, 0.1 * epoch),
            "test_aligned": None,
        }
        for stage in (1, 2)
        for epoch in (1, 2, 3)
    ]
    plots.learning_curves(tmp_path, records)
    assert_png(tmp_path / "learning_curves.png")


@pytest.mark.parametrize("group", [[0, 1, 2, 3, -1], [0] * 5])
@pytest.mark.parametrize("score", [[0.0, 1, 2, 3, 4], [0.5] * 5])
def test_score_histogram(tmp_path, group, score):
    plots.score_histogram(tmp_path, np.array(score), np.array(group))
    assert_png(tmp_path / "score_by_group.png")


@pytest.mark.parametrize("count", [3, 60])
def test_sample_sheet_of_few_and_many_images_with_unknown_true_labels(tmp_path, count):
    images = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8)
    given, true = torch.arange(count) % 3, torch.arange(count) % 4 - 1
    shown = {"first": np.arange(count)[: plots.SHEET], "last": np.arange(count)[-plots.SHEET :]}
    plots.sample_sheet(tmp_path / "samples.png", images, shown, given, true, true > given, ("a", "b", "c"))
    assert_png(tmp_path / "samples.png")
