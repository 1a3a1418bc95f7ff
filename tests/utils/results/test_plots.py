"""Figures are written as PNG files, also where groups or values are missing."""

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image

from utils.results import plots


def assert_png(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert np.ptp(np.asarray(image.convert("L"))) > 100  # not blank
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_learning_curves_of_two_stages_with_missing_groups_and_epochs(tmp_path):
    records = [
        {
            "stage": stage,
            "method": "gce",
            "epoch": epoch,
            **({} if epoch == 2 else dict.fromkeys(plots.CURVES, 0.1 * epoch) | {"test_aligned": None}),
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


NAMES = (
    "under_$5", "over_$5", "$x^{2}$", r"$\frac{", r"\alpha", "{}%#~&", "a\nb\tc", "caf\udce9", "Straße",
    "犬と猫と鳥と魚と虫", "🐕", "كلب", "x" * 255, "<b>", "", " ",
)  # fmt: skip


def test_any_class_name_is_drawn_without_a_warning(tmp_path):
    images = torch.zeros(len(NAMES), 3, 8, 8, dtype=torch.uint8)
    given, other = torch.arange(len(NAMES)), torch.arange(len(NAMES)).flip(0)
    shown = {"all": np.arange(len(NAMES))}
    plots.sample_sheet(tmp_path / "samples.png", images, shown, given, other, given > 3, NAMES)
    assert_png(tmp_path / "samples.png")
    (tmp_path / "samples.png").unlink()
    rows = [np.zeros((1, 8, 8, 3), np.uint8)] * len(NAMES)
    plots.contact_sheet(tmp_path / "contact.png", {"$_$ aligned": rows}, NAMES, "from $a_$ \udce9 " + "long " * 200)
    assert_png(tmp_path / "contact.png")


def test_names_are_drawn_as_they_are(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(plots, "_save", lambda figure, path: drawn.extend(figure.findobj(Text)))
    names = ("under_$5", "over_$5")
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    labels = torch.arange(2)
    plots.sample_sheet(tmp_path / "x.png", images, {"all": np.arange(2)}, labels, 1 - labels, labels > 0, names)
    titles = {text.get_text(): text for text in drawn}
    assert "under_$5\n(over_$5)" in titles
    assert not any(text.get_parse_math() for text in titles.values())


@pytest.mark.parametrize("count", [3, 60])
def test_sample_sheet_of_few_and_many_images_with_unknown_true_labels(tmp_path, count):
    images = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8)
    given, true = torch.arange(count) % 3, torch.arange(count) % 4 - 1
    shown = {"first": np.arange(count)[: plots.SHEET], "last": np.arange(count)[-plots.SHEET :]}
    plots.sample_sheet(tmp_path / "samples.png", images, shown, given, true, true > given, ("a", "b", "c"))
    assert_png(tmp_path / "samples.png")


@pytest.mark.parametrize("error", [ValueError("two\nlines"), OSError(28, "No space left on device"), MemoryError()])
def test_a_figure_that_cannot_be_made_costs_a_warning(monkeypatch, tmp_path, caplog, error):
    def fails(figure, path):
        raise error

    monkeypatch.setattr(plots, "_save", fails)
    plots.score_histogram(tmp_path, np.array([0.0, 1.0]), np.array([0, 1]))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].startswith("a figure is missing: ")
    assert "\n" not in caplog.messages[0]
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_is_no_missing_figure(monkeypatch, tmp_path):
    def interrupted(figure, path):
        raise KeyboardInterrupt

    monkeypatch.setattr(plots, "_save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        plots.score_histogram(tmp_path, np.array([0.0, 1.0]), np.array([0, 1]))
