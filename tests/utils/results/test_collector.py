"""The collector: which runs it takes, what it makes of their seeds, and how it writes tables."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from utils import escape
from utils.errors import RunError, UsageError
from utils.escape import from_csv_cell
from utils.results.collector import filled, main, names, tables_text
from utils.results.comparisons import Estimate, Table, interval, with_best
from utils.results.formats import latex
from utils.results.runs import find_runs

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def result_of(accuracy, *, epochs=20, conflicting=0.1, best_by="valid_accuracy", presets=()):
    end = {
        "test_accuracy": accuracy,
        "test_aligned": 1.0,
        "test_conflicting": conflicting,
        "test_worst_group": 0.0,
        "valid_accuracy": 0.9,
    }
    stage = {"method": "gce", "hparams": {"q": 0.7}, "settings": {"model": "MLP", "epochs": epochs}, "seconds": 30.4}
    return {
        "end": end,
        "best": end | {"test_accuracy": accuracy / 2},
        "best_by": best_by,
        "presets": list(presets),
        "stages": [stage, stage],
        "peak_memory_bytes": 2e8,
    }


@pytest.fixture
def log_dir(tmp_path):
    """Two methods on two ratios, one of them with a run name and with a seed that has not ended; and what is no run."""
    runs = {
        "toy/vanilla/0.1_0.05/0": result_of(0.5),
        "toy/vanilla/0.1_0.05/1": result_of(0.6),
        "toy/vanilla/0.1_0.05/2": result_of(0.7),
        "toy/gce/0.1_0.05/0_long_run": result_of(0.9),
        "toy/gce/0.1_0.05/1_long_run": result_of(0.8),
        "toy/gce/0.0_given/0": result_of(0.3, conflicting=None),
        "toy/gce/0.1_0.05/trials/0123456789ab": result_of(1.0),
        "toy/gce/0.1_0.05/trials/123456789012": result_of(1.0),
        "toy/selectors/deneb-0123456789ab": {"history": []},
    }
    for name, result in runs.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "result.json").write_text(json.dumps(result))
    (tmp_path / "toy/gce/0.1_0.05/2_long_run").mkdir()
    (tmp_path / "toy/gce/0.1_0.05/2_long_run/config.json").write_text("{}")
    return tmp_path


def table(log_dir, *flags):
    """The rows of the only Markdown table, as lists of cells."""
    lines = [line for line in tables_text([str(log_dir), *flags]).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_runs_and_nothing_else_are_found(log_dir):
    found = {(run.alg, run.ratios, run.seed, run.name, run.result is not None) for run in find_runs(log_dir).runs}
    assert found == {
        *(("vanilla", "0.1_0.05", seed, "", True) for seed in range(3)),
        *(("gce", "0.1_0.05", seed, "long_run", seed < 2) for seed in range(3)),
        ("gce", "0.0_given", 0, "", True),
    }


@pytest.mark.parametrize("inside", ["toy", "toy/gce/0.1_0.05", "toy/gce/0.1_0.05/0_long_run"])
def test_it_can_be_called_from_any_folder_of_the_log(log_dir, monkeypatch, inside):
    monkeypatch.chdir(log_dir / inside)
    assert "| gce (long_run) |" in tables_text(["."])


def test_a_table_of_methods(log_dir):
    head, _, vanilla, gce = table(log_dir, "--ratios", "0.1_0.05")
    assert head[:6] == ["method", "n", "unbiased, end", "aligned, end", "conflicting, end", "unbiased, best"]
    assert vanilla == ["vanilla", "3", "**60.0 ± 10.0**", "**100.0 ± 0.0**", "**10.0 ± 0.0**", "**30.0 ± 5.0**",
                       "**100.0 ± 0.0**", "**10.0 ± 0.0**", "61", "200"]  # fmt: skip
    assert gce[:3] == ["gce (long_run)", "2 of 3, 1 unfinished", "85.0 ± 7.1"], "partial: marked, and not called best"


def test_a_group_that_the_data_do_not_have_is_not_a_number(log_dir):
    assert table(log_dir, "--ratios", "0.0_given")[2][2:5] == ["30.0", "100.0", "n/a"]


def test_what_was_asked_for_and_is_not_there_is_missing(log_dir):
    rows = table(log_dir, "--ratios", "0.1_0.05", "--methods", "deneb_gce, vanilla")[2:]
    assert [row[:3] for row in rows] == [
        ["deneb_gce", "0 of 3", "missing"],
        ["vanilla", "3", "**60.0 ± 10.0**"],
    ]


def test_a_table_of_ratios(log_dir):
    head, _, *rows = table(log_dir, "--show", "ratios", "--when", "best")
    assert head == ["method", "nratio 0.0, bratio given", "nratio 0.1, bratio 0.05"]
    assert rows == [
        ["vanilla", "missing", "**30.0 ± 5.0 (3)**"],
        ["gce", "**15.0 (1)**", "missing"],
        ["gce (long_run)", "missing", "42.5 ± 3.5 (2 of 3)"],
    ]


def test_differences_are_taken_on_the_same_seeds(log_dir):
    flags = ("--show", "differences", "--ratios", "0.1_0.05")
    assert table(log_dir, *flags)[2:] == [["gce (long_run)", "2", "+30.0", "-97.1 to +157.1"]]
    assert table(log_dir, *flags, "--metric", "debiased_valid")[2:] == [["gce (long_run)", "0", "n/a", "n/a"]]
    with pytest.raises(UsageError, match="no finished run of sce on toy"):
        table(log_dir, *flags, "--against", "sce")


def test_gains_are_over_the_same_method_without_a_run_name(log_dir):
    for seed, value in ((0, 0.6), (1, 0.7)):
        place = log_dir / f"toy/gce/0.1_0.05/{seed}"
        place.mkdir()
        (place / "result.json").write_text(json.dumps(result_of(value)))
    head, _, *rows = table(log_dir, "--show", "gains")
    assert head == ["method", "nratio 0.1, bratio 0.05"], "the only data with a run of that name"
    assert rows == [["gce (long_run)", "+20.0, -107.1 to +147.1 (2)"]]
    assert table(log_dir, "--show", "gains", "--methods", "gce (long_run)")[2:] == rows
    with pytest.raises(UsageError, match="no method has runs with a run name"):
        table(log_dir, "--show", "gains", "--methods", "vanilla")
    (log_dir / "toy/gce/0.1_0.05/1/result.json").write_text(json.dumps(result_of(0.7, epochs=40)))
    with pytest.raises(UsageError, match=r"over gce or gce \(epochs=40\) on toy"):
        table(log_dir, "--show", "gains")


def test_gains_mind_settings_and_seeds_of_the_compared_alone(log_dir):
    """Other methods may have several settings, and a seed is there once for each data."""
    values = {"gce/0.1_0.05/0": 0.6, "gce/0.0_given/0_long_run": 0.5, "vanilla/0.0_given/0": 0.5}
    for place, value in values.items():
        (log_dir / "toy" / place).mkdir(parents=True, exist_ok=True)
        epochs = 40 if "vanilla" in place else 20
        (log_dir / "toy" / place / "result.json").write_text(json.dumps(result_of(value, epochs=epochs)))
    text = tables_text([str(log_dir), "--show", "gains"])
    assert text.endswith("| gce (long_run) | +20.0 (1) | +30.0 (1) |")
    text = tables_text([str(log_dir), "--show", "gains", "--metric", "debiased_valid"])
    assert text.endswith("| gce (long_run) | n/a | n/a |"), "both were run, without a referee"


def test_gains_at_the_last_epoch_do_not_mind_what_names_the_best_one(log_dir):
    for seed, criterion in ((0, "valid_accuracy"), (1, "valid_loss")):
        place = log_dir / f"toy/gce/0.1_0.05/{seed}"
        place.mkdir()
        (place / "result.json").write_text(json.dumps(result_of(0.6) | {"best_by": criterion}))
    assert table(log_dir, "--show", "gains")[2][1].endswith("(2)")
    with pytest.raises(UsageError, match=r"over gce.*best_by=valid_loss.* on toy"):
        table(log_dir, "--show", "gains", "--when", "best")


def test_an_interval_is_student_s():
    assert interval([1.0, 2.0, 3.0]) == "-0.5 to +4.5", "2 -+ 4.303 / sqrt(3)"
    assert interval([2.0, 2.0]) == "+2.0 to +2.0"
    assert interval([2.0]) == "n/a"


def test_the_best_of_equals_are_all_marked_and_fewer_seeds_never():
    column = [[Estimate((1.0, 3.0))], [Estimate((2.0, 2.0))], [Estimate((9.0,))], ["missing"]]
    cells = [row[0] for row in with_best(column)]
    assert [isinstance(cell, Estimate) and cell.best for cell in cells] == [True, True, False, False]


def test_seeds_with_different_settings_are_no_seeds_of_one_row(log_dir):
    (log_dir / "toy/vanilla/0.1_0.05/1/result.json").write_text(json.dumps(result_of(0.6, epochs=40)))
    text = tables_text([str(log_dir), "--ratios", "0.1_0.05"])
    assert text.startswith("toy, nratio 0.1, bratio 0.05; model MLP, epochs 20 / 40\n")
    assert "| vanilla | 2 | 60.0 ± 14.1 |" in text
    assert "| vanilla (epochs=40) | 1 of 2 | 60.0 |" in text


def test_a_setting_that_older_code_did_not_have_is_not_taken_for_its_default(log_dir):
    newer = result_of(0.6)
    newer["stages"][0]["hparams"]["score"] = "entropy"
    (log_dir / "toy/vanilla/0.1_0.05/1/result.json").write_text(json.dumps(newer))
    assert "seeds differ in gce.score (not recorded, entropy): vanilla" in tables_text([str(log_dir)])


@pytest.mark.parametrize(
    "oracle",
    [result_of(1.0, best_by="test_accuracy"), result_of(1.0, presets=[{"oracle": False}, {"oracle": True}])],
    ids=["best epoch", "preset"],
)
def test_an_oracle_is_left_out_and_named(log_dir, capsys, oracle):
    path = log_dir / "toy/gce/0.1_0.05/2_long_run"
    (path / "result.json").write_text(json.dumps(oracle))
    assert table(log_dir, "--ratios", "0.1_0.05")[3][1] == "2 of 3"
    assert capsys.readouterr().err == f"left out, chosen on test data (oracle): {path}\n"


def test_latex(log_dir):
    text = tables_text([str(log_dir), "--ratios", "0.1_0.05", "--format", "latex"])
    assert text.startswith(
        "% toy, nratio 0.1, bratio 0.05; model MLP, epochs 20\n\\begin{tabular}{lrrrrrrrrr}\n\\toprule"
    )
    assert r"vanilla & 3 & \textbf{60.0 $\pm$ 10.0} & " in text
    assert r"gce (long\_run) & 2 of 3, 1 unfinished & 85.0 $\pm$ 7.1 & " in text
    assert text.endswith("\\\\\n\\bottomrule\n\\end{tabular}")


def test_special_characters_of_latex():
    row = Table("", ["50 % of a_b", "&"], [], [])
    assert r"50 \% of a\_b & \& \\" in latex(row)


def test_csv_has_means_deviations_and_counts(log_dir):
    text = tables_text([str(log_dir), "--show", "ratios", "--format", "csv"])
    head, vanilla, gce, *_ = [line.rsplit(",", 7) for line in text.splitlines()]
    assert vanilla[1:] == ["vanilla", "missing", "", "0", "60", "10", "3"]
    assert gce[1:] == ["gce", "30", "", "1", "missing", "", "0"]
    assert len(head) == len(vanilla)


def test_a_page_is_filled_between_its_markers(log_dir):
    page = f"before\n<!-- python -m utils.results {log_dir} --ratios 0.0_given -->\nold\n<!-- end -->\nafter\n"
    once = filled(page)
    assert once.startswith("before\n<!-- python")
    assert once.endswith("\n<!-- end -->\nafter\n")
    assert "| gce | 1 | 30.0 |" in once
    assert "old" not in once
    assert filled(once) == once


@pytest.mark.parametrize("words", ["'no end", "nowhere", "nowhere --nope"])
def test_a_marker_that_cannot_be_filled_is_named(words):
    with pytest.raises(RunError, match=rf"^<!-- python -m utils\.results {words} -->: .+"):
        filled(f"<!-- python -m utils.results {words} -->\n<!-- end -->")


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "<!-- python -m utils.results" in page.read_text()], ids=lambda page: page.name
)
def test_the_tables_in_our_pages_are_what_their_results_say(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, f"run: python -m utils.results --fill {page.relative_to(ROOT)}"


def test_what_it_refuses(log_dir, tmp_path):
    with pytest.raises(UsageError, match="must be a folder"):
        tables_text([str(tmp_path / "nowhere")])
    with pytest.raises(RunError, match=r"no runs below .* on these data"):
        tables_text([str(log_dir), "--dataset", "bar"])
    with pytest.raises(UsageError, match="invalid choice: 'xml'"):
        tables_text([str(log_dir), "--format", "xml"])


@pytest.mark.parametrize(
    ("flags", "flag", "asked"),
    [
        ("log --metric aligned", "--metric", "--show methods"),
        ("log --figure a.png", "--figure", "--show methods"),
        ("log --show ratios --against gce", "--against", "--show ratios"),
        ("log --show hours --when best", "--when", "--show hours"),
        ("log --show ratios --figure a.png", "--figure", "--show ratios"),
        ("log --claims claims.json --show grid", "--show", "--claims"),
        ("log --claims claims.json --methods gce", "--methods", "--claims"),
        ("log --fill page.md", "log", "--fill"),
        ("--fill page.md --dataset toy", "--dataset", "--fill"),
    ],
)
def test_flags_that_would_change_nothing_are_refused(flags, flag, asked):
    with pytest.raises(UsageError, match=f"^{flag}: {asked} makes no use of it. Leave it out.$"):
        main(flags.split())


def test_a_damaged_result_is_named_and_tables_of_the_others_are_printed(log_dir):
    path = log_dir / "toy/vanilla/0.1_0.05/1/result.json"
    path.write_text("{")
    command = [sys.executable, "-m", "utils.results", str(log_dir)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: cannot read {path}")
    assert ended.stderr.count("\n") == 1
    assert "| vanilla | 2 | 60.0 ± 14.1 |" in ended.stdout
    page = log_dir / "page.md"
    page.write_text(f"<!-- python -m utils.results {log_dir} -->\nold\n<!-- end -->\n")
    with pytest.raises(RunError, match=r"cannot read .*result\.json"):
        filled(page.read_text())


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("config", "[]"), ("config", "null"), ("config", "{"), ("config", '{"arguments": []}'),
        ("config", '{"data": 1}'), ("config", "\x00"), ("result", "[]"), ("result", "{}"), ("result", "null"),
        ("result", '"text"'), ("result", "NaN"), ("result", "9" * 5000), ("result", "[" * 100_000),
    ],
)  # fmt: skip
@pytest.mark.parametrize("alone", [True, False])
def test_a_file_of_other_content_is_named_in_one_line(tmp_path, log_dir, capsys, kind, content, alone):
    log_dir = tmp_path / "alone" if alone else log_dir
    path = log_dir / "toy/sce/0.1_0.05/0" / f"{kind}.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(RunError) as error:
        main([str(log_dir)])
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert ("| vanilla | 3 |" in capsys.readouterr().out) != alone


@pytest.mark.parametrize(
    "change",
    [
        lambda result: result.pop("stages"),
        lambda result: result.update(stages=[]),
        lambda result: result.update(stages=[{"method": "gce"}]),
        lambda result: result["stages"][0].update(hparams=None),
        lambda result: result["stages"][0].update(seconds=None),
        lambda result: result["end"].update(test_accuracy="high"),
        lambda result: result["end"].update(test_accuracy=float("nan")),
        lambda result: result["end"].update(test_accuracy=50.0),
        lambda result: result["end"].pop("test_aligned"),
        lambda result: result.update(best=None),
        lambda result: result.update(presets=None),
        lambda result: result.update(presets=[None]),
        lambda result: result.update(presets=[{}]),
        lambda result: result.update(best_by=3),
        lambda result: result.update(peak_memory_bytes="much"),
        lambda result: result.update(data=[]),
        lambda result: result.update(data={"train": None}),
    ],
)
@pytest.mark.parametrize("show", ["methods", "ratios", "differences"])
def test_a_result_that_lacks_a_part_counts_nowhere(log_dir, capsys, change, show):
    path = log_dir / "toy/vanilla/0.1_0.05/2/result.json"
    result = json.loads(path.read_text())
    change(result)
    path.write_text(json.dumps(result))
    with pytest.raises(RunError, match=re.escape(str(path))):
        main([str(log_dir), "--ratios", "0.1_0.05", "--show", show])
    assert "vanilla" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["x", "a/b/c/d", "toy/gce/ratios/0", "toy/gce/0.1/0", "toy/gce/0.1_0.05/a/b", "0"])
@pytest.mark.parametrize("content", ["{}", "[]", '{"model_type": "bert"}', "not JSON"])
def test_the_configuration_of_something_else_is_left_out(log_dir, tmp_path_factory, capsys, place, content):
    before = tables_text([str(log_dir)])
    foreign = log_dir / place
    foreign.mkdir(parents=True)
    (foreign / "config.json").write_text(content)
    capsys.readouterr()
    assert tables_text([str(log_dir)]) == before
    assert capsys.readouterr().err == f"left out, not the folder of a run: {foreign}\n"
    alone = tmp_path_factory.mktemp("alone") / place
    alone.mkdir(parents=True)
    (alone / "config.json").write_text(content)
    with pytest.raises(RunError, match=r"^there are no runs below .* is not the folder of a run\.$"):
        tables_text([str(alone)])


def test_a_page_that_is_no_text_is_named(log_dir, tmp_path):
    page = tmp_path / "page.md"
    page.write_bytes(b"\xff\xfe\x00")
    for place in (page, tmp_path, tmp_path / "nowhere.md"):
        with pytest.raises(RunError, match=r"^cannot read --fill .*\. Name a Markdown page\.$"):
            main(["--fill", str(place)])
    assert page.read_bytes() == b"\xff\xfe\x00"


def test_names_of_methods_may_hold_commas():
    assert names("a, b (tau=0.5, q=0.3),c") == ["a", "b (tau=0.5, q=0.3)", "c"]


HOSTILE = (
    r"\^~$%&#_{}", "a|b", "<b>*x*", "=1+1", "+a", "-a", "@a", "caf\udce9", "two\nlines", "犬", "🐕", "كلب", "\u202e",
    "`a`", "' \"",
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("style", ["md", "latex", "csv"])
def test_any_run_name_is_written_in_every_format(tmp_path, name, style):
    folder = tmp_path / f"toy/{name}/0.1_0.05/0_{name}"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result_of(0.5)))
    (tmp_path / "toy/vanilla/0.1_0.05/0").mkdir(parents=True)
    (tmp_path / "toy/vanilla/0.1_0.05/0/result.json").write_text(json.dumps(result_of(0.4)))
    text = tables_text([str(tmp_path), "--format", style])
    text.encode("utf-8", "surrogateescape")
    label = f"{name} ({name})"
    if style == "csv":
        rows = list(csv.reader(io.StringIO(text)))
        assert from_csv_cell(rows[2][1]) == label
        assert rows[2][1][0] not in "=+-@"
        assert len({len(row) for row in rows}) == 1
    if style == "md":
        [line] = [line for line in text.splitlines() if "50.0" in line]
        assert line.startswith(f"| {escape.markdown(label)} | 1 |")
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 11
    if style == "latex":
        [line] = [line for line in text.splitlines() if "50.0" in line]
        assert line.startswith(f"{escape.latex(label)} & 1 & ")
