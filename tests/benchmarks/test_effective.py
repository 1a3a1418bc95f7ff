"""The figure of effective images: which runs are its points."""

import json

from benchmarks.effective import draw, main, points
from utils.results.runs import find_runs
from utils.results.tables import ACCURACIES


def test_points_are_selections_that_draw(tmp_path):
    stage = {"effective": {"conflicting-clean": 80.0}}
    for alg, stages in {
        "deneb_gce": [stage, {}],
        "deneb_la": [stage, {}],
        "gce": [{}],
        "jtt_vanilla": [{}, {}],
    }.items():
        folder = tmp_path / "toy" / alg / "0.1_0.05" / "0"
        folder.mkdir(parents=True)
        scores = dict.fromkeys(ACCURACIES, 0.5)
        stages = [{"method": "deneb", "hparams": {}, "settings": {}, "seconds": 1.0} | stage for stage in stages]
        result = {"end": scores, "best": scores, "best_by": "valid_loss", "presets": [], "stages": stages}
        result["peak_memory_bytes"] = 1e6
        (folder / "result.json").write_text(json.dumps(result))
    found = points(find_runs(tmp_path).runs)
    assert found == {"toy, 0.1_0.05": {"deneb_gce": [(80.0, 50.0)]}}
    draw(found, tmp_path / "one.png")
    assert main([str(tmp_path), str(tmp_path / "two.png")]) == 0
    assert (tmp_path / "one.png").read_bytes()[:4] == (tmp_path / "two.png").read_bytes()[:4] == b"\x89PNG"
