"""Every benchmark ends in one line where its command line, or what it is to read, is wrong."""

from importlib import import_module

import pytest

USAGE = {
    "accuracies": ["", "nowhere nowhere.png gce", "--foo"],
    "criteria": ["", "nowhere.jsonl", "empty"],
    "dfr_oracle": ["--foo"],
    "effective": ["nowhere", "nowhere nowhere.png"],
    "epoch": ["--foo", "--threads none"],
    "label_errors": ["--foo"],
    "many_photographs": [""],
    "methods": ["--methods nothing", "--gpu x"],
    "mission": ["--repeats 0"],
    "oracle_draws": ["--foo"],
    "stored": ["", "--folder"],
}


@pytest.mark.parametrize(("name", "flags"), [(name, flags) for name, lines in USAGE.items() for flags in lines])
def test_a_wrong_command_line_is_told_in_one_line(name, flags, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert import_module(f"benchmarks.{name}").main(flags.split()) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1


def test_damaged_rows_are_told_in_one_line(tmp_path, capsys):
    (rows := tmp_path / "rows.jsonl").write_text('{"alg": \n')
    assert import_module("benchmarks.criteria").main([str(rows)]) == 1
    assert capsys.readouterr().err.startswith(f"error: cannot read {rows}: line 1: ")
