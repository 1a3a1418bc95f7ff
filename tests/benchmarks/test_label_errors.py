"""The comparison of label-error finders by hand, and the whole command on a few digits."""

import json
import sys

import numpy as np
import pytest
import torch

from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from benchmarks import label_errors
from data import colored_digits
from data.load import load_dataset


@pytest.fixture
def _few_images(fewer_digits):
    fewer_digits(200, 40, 10)


def test_judged_by_hand():
    """Two wrong labels, an aligned and a conflicting one; a conflicting clean image is more suspicious than this."""
    groups = np.array([0, 0, 1, 1, 2, 3, -1])
    wrong = np.array([0, 0, 0, 0, 1, 1, -1])
    row = label_errors.judged(np.array([0.1, 0.2, 0.8, 0.3, 0.9, 0.7, 1.0]), wrong, groups)
    assert row["auroc_all"] == pytest.approx(7 / 8)
    assert row["precision_all"] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert row["auroc_conflicting"] == pytest.approx(1 / 2)
    assert row["precision_conflicting"] == pytest.approx(1 / 2)
    assert row["auroc_aligned"] == 1
    assert (row["flagged_wrong"], row["flagged_conflicting_clean"]) == (0.5, 0.5)
    assert row["conflicting_clean_flagged"] == 0.5
    assert row["precision_at_10"] == pytest.approx(2 / 6), "there are but six"
    assert row["found_conflicting"] == pytest.approx(6 / 9)
    assert row["found_conflicting_of_10"] == pytest.approx(3 / 6)
    assert row["found_conflicting_of_all"] == pytest.approx(2 / 3)


def test_nothing_is_said_about_groups_that_are_not_there():
    row = label_errors.judged(np.array([0.1, 0.9]), np.array([0, 1]), np.array([-1, -1]))
    assert row["auroc_all"] == row["precision_all"] == row["flagged_wrong"] == 1
    assert row["auroc_conflicting"] is row["precision_conflicting"] is row["conflicting_clean_flagged"] is None
    about = {"dataset": "d", "bratio": 0, "nratio": 1, "epochs": 2, "seed": 3, "who": "w"}
    rows = [{**row, **about}, {**row, **about, "seed": 4, "auroc_all": 0.5}, {**row, **about, "model": "M"}]
    assert label_errors.table(rows, label_errors.CONFLICTING) == ""
    text = label_errors.table(rows, label_errors.TITLES)
    assert "d, bratio 0, nratio 1, 2 epochs; seeds 3, 4" in text
    assert "d, bratio 0, nratio 1, M, 2 epochs; seeds 3" in text
    assert "| ranked by | AUROC | average precision | wrong of 10 | of 50 | of all |" in text
    assert "| w | 75.0 ± 35.4 | 100.0 ± 0.0 | 50.0 ± 0.0 | 50.0 ± 0.0 | 100.0 ± 0.0 |" in text


def test_rows_of_before_say_what_they_know():
    old = {"dataset": "d", "bratio": 0, "nratio": 1, "epochs": 2, "seed": 3, "who": "w", "auroc_all": 0.9}
    assert "| ranked by | AUROC |" in label_errors.table([old], label_errors.TITLES)


@pytest.mark.usefixtures("_few_images")
def test_every_image_is_judged_by_a_network_that_did_not_see_it(monkeypatch):
    """A "network" that remembers the images of its training set gives them away."""
    config = resolve(parse_arguments(["--alg", "vanilla", "--epochs", "1", "--gpu", "cpu"], ""))
    dataset = load_dataset(config.data)
    seen: list[set[bytes]] = []

    def train_epoch(method, *rest):
        known = {image.numpy().tobytes() for image in method.task.train.images}
        seen.append(known)

        def predict(images):
            pixels = (images * 255).round().to(torch.uint8)
            inside = torch.tensor([image.contiguous().numpy().tobytes() in known for image in pixels])
            return torch.where(inside[:, None], torch.tensor([9.0] + [0] * 9), torch.zeros(10))

        method.predict = predict
        method.optimizers[0].step()  # as the schedule expects

    monkeypatch.setattr(label_errors, "train_epoch", train_epoch)
    probabilities = label_errors.out_of_sample(config, dataset, folds=5)
    assert [len(known) for known in seen] == [160] * 5
    np.testing.assert_allclose(probabilities, 0.1)


@pytest.mark.usefixtures("_few_images")
def test_the_command_keeps_rows_and_prints_their_table(tmp_path, capfd):
    pytest.importorskip("cleanlab", reason="cleanlab, an optional package, is not here")
    rows = tmp_path / "rows.jsonl"
    flags = ["--epochs", "1", "--seeds", "0,1", "--folds", "2", "--rows", str(rows), "--cross_validate", "2"]
    flags += ["--log_dir", str(tmp_path / "log"), "--threads", "1", "--no_figures"]
    for _ in range(2):  # the second time in place of the first
        assert label_errors.main(flags) == 0
    written = [json.loads(line) for line in rows.read_text().splitlines()]
    assert [(row["seed"], row["who"]) for row in written] == [
        (seed, who)
        for seed in (0, 1)
        for who in ("cleanlab, self_confidence", "cleanlab, normalized_margin", "vanilla: confidence, in-sample",
                    "vanilla: first quarter of the epochs", "vanilla: first half of the epochs", "vanilla: all epochs",
                    "vanilla: wrong events", "deneb_gce: confidence", "deneb_gce: prejudice loss",
                    "deneb_gce: utils.audit, out-of-sample alone", "deneb_gce: utils.audit",
                    "deneb_gce: prejudice entropy")
    ]  # fmt: skip
    capfd.readouterr()
    assert label_errors.main(["--rows", str(rows), "--only_table"]) == 0
    assert capfd.readouterr().out.count("| deneb_gce: prejudice loss | ") == 2


def test_a_missing_cleanlab_is_explained(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cleanlab.rank", None)
    assert label_errors.main(["--epochs", "1"]) == 1
    assert "pip install cleanlab" in capsys.readouterr().err


def test_no_label_noise_is_nothing_to_compare(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(label_errors, "label_quality", lambda: None)
    monkeypatch.setattr(colored_digits, "TRAIN_IMAGES", 200)
    flags = ["--nratio", "0", "--alg", "vanilla", "--epochs", "1", "--threads", "1", "--log_dir", str(tmp_path)]
    assert label_errors.main(flags) == 1
    assert "nothing to compare" in capsys.readouterr().err
