"""The tables of a run, and the authors' CSV."""

import subprocess
import sys
from pathlib import Path

import pytest

from utils.results.tables import (
    ACCURACIES,
    mass_table,
    mean_and_deviation,
    percent,
    record_csv,
    result_table,
    seeds_table,
)

ROOT = Path(__file__).parents[3]


def result_of(accuracy, seed=0, **changed):
    best_by = changed.pop("best_by", "valid_accuracy")
    scores = dict.fromkeys(ACCURACIES, accuracy) | changed
    return {
        "seed": seed,
        "end": scores | {"epoch": 100},
        "best": {key: None if value is None else value / 2 for key, value in scores.items()} | {"epoch": 7},
        "best_by": best_by,
        "presets": [],
        "stages": [{"seconds": 30.4}, {"seconds": 30.4}],
        "peak_memory_bytes": 2e8,
    }


def cells(line):
    return line.split()


@pytest.mark.parametrize(("value", "text"), [(None, "n/a"), (0.0, "0.0"), (1.0, "100.0"), (0.12345, "12.3")])
def test_percent(value, text):
    assert percent(value) == text


def test_the_table_of_a_run():
    head, end, best, criterion = result_table(result_of(0.5, test_aligned=None)).splitlines()
    assert criterion.strip() == "best: the epoch with the best valid_accuracy"
    assert head.index("unbiased") < head.index("aligned") < head.index("conflicting") < head.index("worst group")
    assert cells(end) == ["end", "50.0", "n/a", "50.0", "50.0", "50.0", "100"]
    assert cells(best) == ["best", "25.0", "n/a", "25.0", "25.0", "25.0", "7"]
    assert len({len(line) for line in (head, end, best)}) == 1


def test_an_oracle_is_called_one():
    assert result_table(result_of(0.5, best_by="test_accuracy")).endswith("best test_accuracy (oracle)")


def test_mean_and_deviation_over_seeds():
    assert mean_and_deviation([0.5, 0.6, 0.7]) == "60.0 ± 10.0"
    assert mean_and_deviation([0.5, None]) == "50.0"
    assert mean_and_deviation([0.5, None, 0.7]) == "60.0 ± 14.1"
    assert mean_and_deviation([None, None]) == "n/a"


def test_the_table_over_seeds():
    head, end, best = seeds_table([result_of(0.5), result_of(0.7, test_aligned=None)]).splitlines()
    assert "n = 2" in head
    assert cells(end)[1:5] == ["60.0", "±", "14.1", "50.0"]
    assert cells(best)[1:5] == ["30.0", "±", "7.1", "25.0"]


def test_the_table_of_a_selection():
    stage = {"method": "deneb", "share": {"a": 0.9, "b": 0.1}, "mass": {"a": 0.25, "b": 0.75}}
    head, images, draws = mass_table(stage).splitlines()
    assert cells(head) == ["deneb", "a", "b"]
    assert cells(images) == ["images", "90.00", "10.00"]
    assert cells(draws) == ["draws", "25.00", "75.00"]
    *_, worth = mass_table(stage | {"effective": {"a": 12.4, "b": None}}).splitlines()
    assert cells(worth) == ["worth", "12", "images", "n/a"]


def read_rows(path):
    return [line.split(",") for line in path.read_text().splitlines()]


def test_csv_has_the_authors_six_rows(tmp_path):
    path = tmp_path / "deep" / "result.csv"
    record_csv(path, result_of(0.5, seed=3, test_aligned=1 / 3))
    assert read_rows(path) == [
        ["3_End", "50"], ["3_Best", "25"], ["3_End_major", "33.3333"], ["3_Best_major", "16.6667"],
        ["3_End_minor", "50"], ["3_Best_minor", "25"],
    ]  # fmt: skip


def test_csv_rows_of_the_same_seed_are_replaced_and_others_stay(tmp_path):
    path = tmp_path / "result.csv"
    for seed, accuracy in ((1, 0.1), (11, 0.2), (2, 0.3), (1, 0.4)):
        record_csv(path, result_of(accuracy, seed))
    rows = read_rows(path)
    assert len(rows) == len({key for key, _ in rows}) == 18
    assert [value for key, value in rows if key.endswith("_End")] == ["40", "20", "30"]


def test_csv_leaves_a_missing_group_blank(tmp_path):
    path = tmp_path / "result.csv"
    for _ in range(2):  # and reads its own blanks
        record_csv(path, result_of(0.5, test_conflicting=None))
    assert dict(read_rows(path))["0_End_minor"] == dict(read_rows(path))["0_Best_minor"] == ""


def test_runs_that_end_at_the_same_time_lose_no_row(tmp_path):
    path = tmp_path / "result.csv"
    code = (
        "import sys\nfrom pathlib import Path\nfrom utils.results.tables import ACCURACIES, record_csv\n"
        "scores = dict.fromkeys(ACCURACIES, 0.5)\n"
        "for seed in range(int(sys.argv[2]), int(sys.argv[2]) + 20):\n"
        "    record_csv(Path(sys.argv[1]), {'seed': seed, 'end': scores, 'best': scores})\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    running = [subprocess.Popen([*command, str(20 * number)], cwd=ROOT) for number in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert len({key for key, _ in read_rows(path)}) == len(read_rows(path)) == 3 * 20 * 6


@pytest.mark.parametrize("content", [b"\xff\xfe", b"seed;accuracy\n0;1\n", b"0_End,50,60\n", b"\x00", b"=1+1\n", b"{}"])
def test_a_file_that_is_not_ours_costs_a_warning(tmp_path, caplog, content):
    path = tmp_path / "result.csv"
    path.write_bytes(content)
    record_csv(path, result_of(0.5))
    assert path.read_bytes() == content
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(path) in caplog.text


@pytest.mark.parametrize("hindrance", ["folder", "file"])
def test_a_place_that_cannot_be_written_costs_a_warning(tmp_path, caplog, hindrance):
    path = tmp_path / "deep" / "result.csv"
    if hindrance == "folder":
        path.mkdir(parents=True)
    else:
        path.parent.write_text("")
    record_csv(path, result_of(0.5))
    assert str(path) in caplog.text
