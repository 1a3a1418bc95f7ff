"""What is shown of a history: ranks, the authors' columns, and the word oracle wherever test data chose."""

import csv
import json

import pytest

from utils.errors import DamagedFile
from utils.hpo.trials import History, Trial, trials_csv, trials_table
from utils.results import plots

METRICS: dict[str, float | None] = {"valid_loss": 0.4, "valid_accuracy": 0.8, "test_accuracy": 0.6}
TRIALS = [
    Trial(0, {"q": 0.5, "tau": 1.0}, "finished", "aa", [0.1, 0.7], METRICS),
    Trial(1, {"q": 0.1, "tau": 1.0}, "failed", "bb", error="the loss is nan"),
    Trial(2, {"q": 0.1, "tau": 5.0}, "finished", "cc", [0.2, 0.8], METRICS),
    Trial(3, {"q": 0.9, "tau": 5.0}, "pruned", "dd", [0.9]),
    Trial(4, {"q": 0.9, "tau": 1.0}, "finished", "ee", [0.2, 0.8], METRICS),
]


@pytest.fixture
def history(tmp_path):
    kept = History(tmp_path / "trials.jsonl")
    for trial in reversed(TRIALS):
        kept.add(trial)
    return History(tmp_path / "trials.jsonl")


def test_a_history_comes_back_as_it_was_and_in_order(history):
    assert history.trials == TRIALS


SPACE = {"q": [0.1, 0.3, 0.5, 0.7, 0.9], "tau": [1.0, 5.0]}
LINE = {"number": 0, "values": {"q": 0.1, "tau": 1.0}, "status": "finished", "curve": [0.5]}
WRONG = [
    "",
    "{",
    "[]",
    "null",
    "[" * 100_000,
    {},
    LINE | {"number": "0"},
    LINE | {"number": 10**30},
    LINE | {"status": "lost"},
    LINE | {"values": None},
    LINE | {"curve": None},
    LINE | {"curve": ["high"]},
    LINE | {"curve": []},
    LINE | {"details": []},
    LINE | {"details": {"test_accuracy": "0.5"}},
    LINE | {"unheard_of": 1},
    LINE | {"values": {"q": 0.1}},
    LINE | {"values": {"q": 0.2, "tau": 1.0}},
    LINE | {"values": {"q": [0.1], "tau": 1.0}},
    json.dumps(LINE).replace("0.5", "NaN"),
    json.dumps(LINE).replace("0.5", "1e999"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
def test_a_line_that_is_no_trial_of_this_search_is_one_line_of_error(tmp_path, wrong):
    path = tmp_path / "trials.jsonl"
    second = wrong if isinstance(wrong, str) else json.dumps({"number": 1, **wrong} if wrong == {} else wrong)
    path.write_text(f"{json.dumps(LINE | {'number': 5})}\n{second}\n")
    with pytest.raises(DamagedFile, match=rf"cannot read {path}: line 2.*--overwrite") as error:
        History(path, SPACE)
    assert "\n" not in str(error.value)


def test_a_number_twice_is_no_history(tmp_path):
    (tmp_path / "trials.jsonl").write_text(f"{json.dumps(LINE)}\n" * 2)
    with pytest.raises(DamagedFile, match="line 2 is no trial of this search"):
        History(tmp_path / "trials.jsonl", SPACE)


def test_the_best_comes_first_and_of_equals_the_earliest(history):
    assert [trial.number for trial in history.ranked(maximise=True)] == [2, 4, 0]
    assert [trial.number for trial in history.ranked(maximise=False)] == [0, 2, 4]


def test_the_csv_has_the_columns_of_the_authors(history):
    rows = list(csv.DictReader(trials_csv(history, "valid_accuracy").splitlines()))
    assert list(rows[0])[:4] == ["loss", "accuracy", "test_accuracy", "uuid"]
    assert list(rows[0])[-2:] == ["config/q", "config/tau"]
    assert [rows[0][key] for key in ("loss", "accuracy", "test_accuracy", "uuid")] == ["0.4", "0.8", "0.6", "aa"]
    assert [(row["status"], row["valid_accuracy"]) for row in rows][1:4] == [
        ("failed", ""), ("finished", "0.8"), ("pruned", "")]  # fmt: skip


def test_the_table_ranks_and_counts(history):
    lines = trials_table(history, "valid_accuracy", maximise=True, rows=2).splitlines()
    assert lines[1].split() == ["1", "2", "0.8000", "0.6000", "0.1", "5.0"]
    assert len(lines) == 4
    assert lines[-1] == "5 trials, of which 1 pruned and 1 failed"


def test_values_of_the_table_have_space_between_them_however_long(tmp_path):
    kept = History(tmp_path / "trials.jsonl")
    values = {"share": 0.7, "weight": "truncated_posterior", "q": 0.123456789}
    kept.add(Trial(number=0, values=values, status="finished", curve=[0.5], uuid="aa", details={}))
    assert trials_table(kept, "valid_accuracy", maximise=True).splitlines()[1].split()[-3:] == [
        "0.7", "truncated_posterior", "0.123456789"]  # fmt: skip


def test_an_oracle_is_called_one(history, tmp_path, monkeypatch):
    oracle = "test_accuracy (oracle)"
    assert "(oracle)" in trials_table(history, oracle, maximise=True).splitlines()[0]
    assert "(oracle)" in trials_csv(history, oracle).splitlines()[0]
    drawn = []
    monkeypatch.setattr(plots, "_save", lambda figure, path: drawn.append(figure))
    plots.search_progress(
        tmp_path / "search.png", history, {"q": [0.1, 0.5, 0.9], "tau": [1.0, 5.0]}, oracle, maximise=True
    )
    assert "(oracle)" in drawn[0].get_suptitle()
    assert [axis.get_xlabel() for axis in drawn[0].axes] == ["trial", "q", "tau"]
    best = next(line for line in drawn[0].axes[0].lines if line.get_label() == "best so far")
    assert list(best.get_ydata()) == [0.7, 0.8, 0.8]
