"""Draws of oracles by hand, and the whole command on a few digits."""

import json

import pytest
import torch

from benchmarks import oracle_draws
from utils.metrics import GROUPS


def float64(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_shares_are_spread_evenly_by_hand(close):
    spread = oracle_draws.evenly_within(float64(0.1, 0.2, 0.3, 0.4), torch.tensor([1, 0, 1, 3]))
    close(spread, float64(0.2, 0.2, 0.2, 0.4))


def test_what_oracles_know(close):
    """Three classes; the model says 0 throughout. The second label is wrong, the third and fourth images conflict."""
    logits = torch.log(float64([8, 1, 1], [8, 1, 1], [2, 1, 1], [3, 1, 1], [8, 1, 1]))
    labels, groups = torch.tensor([0, 1, 1, 2, 0]), torch.tensor([0, 2, 1, 1, 0])
    drawn = oracle_draws.draws(logits, labels, groups, 1.0)
    for probabilities in drawn.values():
        close(probabilities.sum(), float64(1)[0])
    deneb, even, rare_even, jtt, right_jtt, _, right_ours = drawn.values()
    assert deneb[2] > deneb[3] > deneb[0]
    close(even, float64(deneb[0], deneb[1], *[deneb[2:4].mean()] * 2, deneb[0]))
    close(rare_even, even)
    close(jtt, float64(1, 31, 31, 31, 1) / 95)
    close(right_jtt, float64(1, 1, 31, 31, 1) / 65)
    close(right_ours, float64(0.15, 0, 0.35, 0.35, 0.15))


def test_the_command_keeps_rows_and_prints_their_table(tmp_path, fewer_digits, capfd):
    fewer_digits(200, 40, 10)
    rows = tmp_path / "rows.jsonl"
    flags = ["--epochs", "1", "--model", "MLP", "--seeds", "0,1", "--rows", str(rows), "--threads", "1"]
    assert oracle_draws.main(flags) == 0
    assert (
        oracle_draws.main([*flags[:-4], *flags[-2:], "--rows", str(rows), "--seeds", "1"]) == 0
    )  # in place of the first
    written = [json.loads(line) for line in rows.read_text().splitlines()]
    assert [row["seed"] for row in written] == [0] * 7 + [1] * 7
    assert all(set(row["mass"]) == set(GROUPS) and 0 <= row["accuracy"] <= 1 for row in written)
    capfd.readouterr()
    assert oracle_draws.main(["--rows", str(rows), "--only_table"]) == 0
    printed = capfd.readouterr().out
    assert "colored_digits, bratio 0.05, nratio 0.1, MLP, 1 epochs, then gce; seeds 0, 1" in printed
    assert printed.count("*oracle:*") == 4


@pytest.mark.parametrize("flags", [["--alg", "jtt_vanilla"], ["--alg", "gce"], ["--tau", "auto"]])
def test_without_denebs_draws_there_is_nothing_to_compare(flags, capsys):
    assert oracle_draws.main([*flags, "--threads", "1"]) == 2
    assert "deneb_vanilla" in capsys.readouterr().err
