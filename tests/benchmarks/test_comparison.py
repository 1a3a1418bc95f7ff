"""The comparison of criteria by hand: ranks, what a choice loses, ties, and the choice of an epoch."""

import json
from pathlib import Path

import pytest

from benchmarks.criteria import KEYS, LEAK_FREE, epochs_table, judged, report, rows_of_runs


def row(test_accuracy, **values):
    return dict.fromkeys(KEYS, 0.5) | values | {"test_accuracy": test_accuracy}


def test_ranks_and_losses():
    rows = [
        row(test / 10, valid_accuracy=test, valid_loss=test, contradicted_valid_accuracy=-test) for test in range(9)
    ]
    outcome = judged(rows)
    assert outcome["valid_accuracy"] == pytest.approx((1, 0))
    assert outcome["valid_loss"] == pytest.approx((-1, 0.8)), "the smallest loss is the best"
    assert outcome["contradicted_valid_accuracy"] == pytest.approx((-1, 0.8))
    assert outcome["debiased_valid_accuracy"] == pytest.approx((0, 0.4)), "all alike: any may be chosen"


def test_a_criterion_is_compared_where_it_was_measured():
    about = {"dataset": "toy", "model": "MLP", "bratio": 0.1, "nratio": 0.1, "alg": "gce"}
    new = [row(test / 10, cell_valid_accuracy=test) | about | {"seed": 1} for test in range(8)]
    old = [{key: value for key, value in one.items() if key != "cell_valid_accuracy"} | {"seed": 0} for one in new]
    only_old, both = report(old), report(old + new)
    assert "cell_valid_accuracy" not in only_old
    assert "With every criterion" not in only_old
    together, complete = both.split("All 2 groups together")[1].split("With every criterion: 1 groups together")
    assert "cell_valid_accuracy" not in together
    assert "| cell_valid_accuracy | 1.00 | 1.00 | 0.0 | 0.0 |" in complete


def test_the_oracle_is_not_among_the_compared():
    assert "test_accuracy" not in LEAK_FREE
    assert "clean_valid" not in LEAK_FREE


def test_an_epoch_is_compared_with_the_last_one():
    epochs = [row(0.7, valid_accuracy=0.9), row(0.4, valid_accuracy=0.1)]
    (line,) = [line for line in epochs_table([epochs]) if line.startswith("| valid_accuracy ")]
    assert line == "| valid_accuracy | +30.00 | 30.0 |"


def test_small_groups_are_left_out():
    about = {"dataset": "toy", "model": "MLP", "bratio": 0.1, "nratio": 0.1, "alg": "gce", "seed": 0}
    many = [row(test / 10, valid_accuracy=test) | about for test in range(8)]
    few = [row(0.5) | about | {"seed": 1}] * 7
    assert "; 8 configurations, best 70.0 %" in report(many + few)


def test_rows_are_the_finished_runs_with_the_epochs_of_their_final_stage(tmp_path):
    stages = [{"method": name, "hparams": {"q": 0.5}, "settings": {"model": "MLP"}} for name in ("jtt", "gce")]
    result = {"alg": "jtt_gce", "seed": 3, "stages": stages, "end": row(0.7)}
    arguments = {"dataset": "toy", "bratio": 0.1, "nratio": 0.2, "data_dir": "somewhere"}
    lines = [json.dumps(row(test / 10) | {"stage": stage}) for stage, test in ((1, 3), (2, 5), (2, 7))]
    run, selector = tmp_path / "trials" / "abc", tmp_path / "selectors" / "jtt"
    for folder in (run, selector):
        folder.mkdir(parents=True)
    (run / "result.json").write_text(json.dumps(result))
    (run / "config.json").write_text(json.dumps({"arguments": arguments}))
    (run / "metrics.jsonl").write_text("\n".join(lines))
    (selector / "result.json").write_text(json.dumps({"selector": True}))
    (only,) = rows_of_runs(tmp_path)
    about = {"dataset": "toy", "model": "MLP", "bratio": 0.1, "nratio": 0.2, "alg": "jtt_gce", "seed": 3}
    assert about.items() <= only.items()
    assert only["hparams"] == {"jtt": {"q": 0.5}, "gce": {"q": 0.5}}
    assert [epoch["test_accuracy"] for epoch in only["epochs"]] == [0.5, 0.7]


@pytest.mark.parametrize(("file", "blocks"), [("selection", slice(None)), ("selection_grid", slice(-3, -2))])
def test_the_page_shows_the_committed_rows(file, blocks):
    docs = Path(__file__).parents[2] / "docs"
    rows = [json.loads(line) for line in (docs / f"{file}.jsonl").read_text(encoding="utf-8").splitlines()]
    page = (docs / "selection.md").read_text(encoding="utf-8")
    shown = report(rows).strip().split("\n\n")[blocks]
    assert shown
    missing = [block for block in shown if block not in page]
    assert not missing, f"make the tables anew: python -m benchmarks.criteria docs/{file}.jsonl"
