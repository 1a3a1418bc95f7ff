"""Ranks of methods: which cells count, and textbook values of the tests."""

import math
import shutil

import numpy as np
import pytest

from utils.errors import UsageError
from utils.results.collector import main, parser
from utils.results.ranks import Ranking, ranking
from utils.results.runs import find_runs


def ranked(folder, *flags):
    return ranking(find_runs(folder).runs, parser().parse_all([str(folder), *flags]))


def test_a_cell_counts_that_all_methods_have_by_the_seeds_that_all_have(grid_log):
    found = ranked(grid_log)
    assert found.methods == ["vanilla", "gce", "jtt_vanilla"]
    assert found.left_out == ["left out, no run of gce: toy, nratio 0.4, bratio 0.05, MLP"]
    assert found.values == pytest.approx(np.array([[68, 72.5, 86], [90.5, 90.5, 90.5], [27.5, 68, 65.5]]))
    assert found.mean_ranks.tolist() == [(3 + 2 + 3) / 3, (2 + 2 + 1) / 3, (1 + 2 + 2) / 3]


def test_networks_are_cells_of_their_own(grid_log):
    for path in grid_log.rglob("0.0_0.05/1/result.json"):
        path.write_text(path.read_text().replace('"MLP"', '"CONV"'))
    assert len(ranked(grid_log).values) == 4


def test_methods_can_be_chosen_and_must_meet(grid_log):
    assert len(ranked(grid_log, "--methods", "vanilla,jtt_vanilla").values) == 4
    with pytest.raises(
        UsageError, match=r"^--show ranks needs .*: left out, no run of lff: toy, nratio 0.0, bratio 0.005, MLP"
    ):
        ranked(grid_log, "--methods", "vanilla,lff")
    with pytest.raises(UsageError, match=r"^--show ranks needs two methods or more"):
        ranked(grid_log, "--methods", "vanilla")


def test_friedman_and_nemenyi_as_in_demsar():
    """Four methods on 14 cells: q = 2.569 at 0.05, CD = 1.25; ranks of Friedman's example by hand."""
    values = np.tile([4.0, 3.0, 2.0, 1.0], (14, 1))
    found = Ranking(list("abcd"), values, [])
    assert found.mean_ranks.tolist() == [1, 2, 3, 4]
    assert found.critical_difference == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 14)), abs=1e-3)
    assert found.friedman()[0] == pytest.approx(12 * 14 / (4 * 5) * (1 + 4 + 9 + 16 - 4 * 25 / 4))
    assert all(map(math.isnan, Ranking(list("ab"), values[:, :2], []).friedman()))
    assert all(map(math.isnan, Ranking(list("abcd"), np.ones((3, 4)), []).friedman()))


def test_the_table_is_sorted_and_says_what_was_left_out(grid_log, capsys):
    figure = grid_log / "ranks.png"
    main([str(grid_log), "--show", "ranks", "--figure", str(figure)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "unbiased, end: 3 methods on 3 cells"
    assert lines[4:7] == [
        "| jtt_vanilla | 1.67 | 2 | 80.7 |",
        "| gce | 1.67 | 2 | 77.0 |",
        "| vanilla | 2.67 | 1 | 62.0 |",
    ]
    assert lines[-1] == "left out, no run of gce: toy, nratio 0.4, bratio 0.05, MLP"
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_a_method_is_one_whatever_its_label_says_beside_others(grid_log):
    """The label of a tuned run tells its epochs only in the cell where untuned runs have others."""
    for place in grid_log.glob("toy/*/0.0_*/0"):
        path = shutil.copytree(place, place.with_name("0_tuned")) / "result.json"
        path.write_text(path.read_text().replace('"epochs": 15', '"epochs": 30'))
    for place in grid_log.glob("toy/*/0.0_0.05/[01]"):
        shutil.rmtree(place)
    found = ranked(grid_log, "--methods", "gce (tuned),vanilla (tuned)")
    assert (found.methods, len(found.values)) == (["gce (tuned)", "vanilla (tuned)"], 2)
