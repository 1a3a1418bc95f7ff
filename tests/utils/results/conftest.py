"""Results of a small grid of bias by noise: accuracies that a formula gives."""

import json

import pytest


def accuracy(method, nratio, bratio, seed):
    """Noise hurts "gce" the least and bias "jtt_vanilla"; "vanilla" is the worst in every cell."""
    slope = {"vanilla": (1.0, 5.0), "gce": (0.1, 4.0), "jtt_vanilla": (0.5, 1.0)}[method]
    return 0.9 - slope[0] * nratio - slope[1] * (0.05 - bratio) + 0.01 * seed


def save_result(folder, value, model="MLP"):
    end = {
        "test_accuracy": value, "test_aligned": 1.0, "test_conflicting": value, "test_worst_group": 0.0,
        "valid_accuracy": 0.9,
    }  # fmt: skip
    stage = {"method": "any", "hparams": {}, "settings": {"model": model, "epochs": 15}, "seconds": 3.0}
    result = {
        "end": end, "best": end | {"test_accuracy": value / 2}, "best_by": "valid_accuracy", "presets": [],
        "stages": [stage], "peak_memory_bytes": 1e8,
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result))


@pytest.fixture
def grid_log(tmp_path):
    """Three methods, two seeds, 2 x 2 ratios; "gce" lacks one cell, and one seed of another."""
    for method in ("vanilla", "gce", "jtt_vanilla"):
        for nratio in ("0.0", "0.4"):
            for bratio in ("0.005", "0.05"):
                for seed in (0, 1):
                    place = tmp_path / f"toy/{method}/{nratio}_{bratio}/{seed}"
                    if method == "gce" and (nratio == "0.4" and (bratio == "0.05" or seed == 1)):
                        continue
                    save_result(place, accuracy(method, float(nratio), float(bratio), seed))
    return tmp_path
