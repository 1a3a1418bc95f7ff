"""Tables and heat maps of one method over the ratios of bias and noise."""

import pytest

from utils.errors import UsageError
from utils.results.collector import filled, main, tables_text


def test_a_table_of_bias_by_noise_says_how_many_seeds_and_what_is_missing(grid_log):
    text = tables_text([str(grid_log), "--show", "grid", "--methods", "gce"])
    assert text.splitlines() == [
        "toy, gce, unbiased, end (number of seeds); model MLP, epochs 15",
        "",
        "| bratio | nratio 0.0 | nratio 0.4 |",
        "| --- | --- | --- |",
        "| 0.005 | 72.5 ± 0.7 (2) | 68.0 (1 of 2) |",
        "| 0.05 | 90.5 ± 0.7 (2) | missing |",
    ]


def test_ratios_can_be_a_pattern(grid_log):
    text = tables_text([str(grid_log), "--show", "ratios", "--ratios", "0.4_*"])
    assert text.splitlines()[2] == "| method | nratio 0.4, bratio 0.005 | nratio 0.4, bratio 0.05 |"


def test_figures_are_drawn_where_they_are_asked_for_and_not_by_a_comparison(grid_log, capsys):
    figure, page = grid_log / "maps.png", grid_log / "page.md"
    page.write_text(f"<!-- python -m utils.results {grid_log} --show grid --figure {figure} -->\n<!-- end -->\n")
    filled(page.read_text())
    assert not figure.exists()
    main(["--fill", str(page), str(page)])
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert page.read_text().count("| bratio |") == 3
    again = [str(grid_log), "--show", "grid", "--figure", str(figure)]
    figure.write_text("a user's own")
    with pytest.raises(UsageError, match=r"maps\.png is already there\. --overwrite replaces it\.$"):
        main(again)
    main([*again, "--overwrite"])
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_the_winner_of_a_cell_is_among_the_methods_with_the_most_seeds(grid_log):
    text = tables_text([str(grid_log), "--show", "winners"])
    assert text.splitlines() == [
        "toy, unbiased, end: the best of 3 methods (number of seeds)",
        "",
        "| bratio | nratio 0.0 | nratio 0.4 |",
        "| --- | --- | --- |",
        "| 0.005 | jtt_vanilla 86.0 ± 0.7 (2), 13.5 above gce | jtt_vanilla 66.0 ± 0.7 (2), 38.0 above vanilla |",
        "| 0.05 | vanilla 90.5 ± 0.7 (2), 0.0 above gce | jtt_vanilla 70.5 ± 0.7 (2), 20.0 above vanilla |",
    ]
    alone = tables_text([str(grid_log), "--show", "winners", "--methods", "gce", "--ratios", "*_0.05"])
    assert alone.splitlines()[4:] == ["| 0.05 | gce 90.5 ± 0.7 (2) | missing |"]
