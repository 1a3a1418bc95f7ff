"""The figure of accuracies: which runs are its dots."""

import json

import pytest

from benchmarks.accuracies import accuracies, main
from utils.results.runs import find_runs
from utils.results.tables import ACCURACIES


def test_dots_are_the_last_epochs_of_the_methods_asked_for(tmp_path):
    for alg, ratios, seed, accuracy in (
        ("gce", "0.1_given", 0, 0.5), ("gce", "0.1_given", 1, 0.7), ("gce", "0.2_given", 0, 0.4),
        ("vanilla", "0.1_given", 0, 0.3), ("lff", "0.1_given", 0, 0.9),
    ):  # fmt: skip
        folder = tmp_path / "toy" / alg / ratios / str(seed)
        folder.mkdir(parents=True)
        scores = dict.fromkeys(ACCURACIES, accuracy)
        result = {"end": scores, "best": dict.fromkeys(ACCURACIES, 1.0), "best_by": "valid_loss", "presets": []}
        result |= {"stages": [{"method": alg, "hparams": {}, "settings": {}, "seconds": 1.0}], "peak_memory_bytes": 1}
        (folder / "result.json").write_text(json.dumps(result))
    found = accuracies(find_runs(tmp_path).runs, ["vanilla", "gce"])
    assert list(found) == ["toy"]
    assert found["toy"]["nratio 0.1, bratio given"] == {
        "vanilla": [pytest.approx(30)], "gce": [pytest.approx(50), pytest.approx(70)]
    }  # fmt: skip
    assert found["toy"]["nratio 0.2, bratio given"] == {"gce": [pytest.approx(40)]}
    assert main([str(tmp_path), str(tmp_path / "figure.png"), "vanilla", "gce"]) == 0
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
