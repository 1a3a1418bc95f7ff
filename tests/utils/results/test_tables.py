"""The tables of a run, and the authors' CSV."""

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
