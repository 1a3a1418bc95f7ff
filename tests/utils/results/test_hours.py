"""Hours of finished runs: what was trained, and what each run would take alone."""

import json

from utils.results.collector import main


def test_a_selector_of_another_run_takes_no_time(grid_log, capsys):
    for place in grid_log.glob("toy/jtt_vanilla/*/*/result.json"):
        result = json.loads(place.read_text())
        result["stages"] = [result["stages"][0] | {"seconds": 1800.0, "reused": True}, *result["stages"]]
        place.write_text(json.dumps(result | {"seconds": 5400.0}))
    main([str(grid_log), "--show", "hours", "--methods", "jtt_vanilla"])
    assert capsys.readouterr().out.splitlines()[-1] == "| toy | MLP | 8 | 8.0 | 12.0 |"


def test_runs_without_a_time_of_their_own_have_that_of_their_epochs(grid_log, capsys):
    for place in grid_log.rglob("result.json"):
        result = json.loads(place.read_text())
        result["stages"][0] |= {"seconds": 720.0, "settings": {"model": "CONV" if "gce" in str(place) else "MLP"}}
        place.write_text(json.dumps(result))
    main([str(grid_log), "--show", "hours"])
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "| toy | CONV | 5 | 1.0 | 1.0 |",
        "| toy | MLP | 16 | 3.2 | 3.2 |",
    ]
