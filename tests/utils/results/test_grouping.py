"""Tables that never mix: what is a seed of the same row, what a row or a table of its own, and their names."""

import copy
import json

import pytest

from utils.errors import UsageError
from utils.results.collector import tables_text
from utils.results.grouping import by_data, rows_of
from utils.results.runs import find_runs

SETTINGS = {"model": "CONV", "epochs": 20, "batch_size": 64, "opt": "SGD", "lr": 0.05, "lr_decay_opt": "14"}
SELECTOR = {"method": "deneb", "hparams": {"p_threshold": 0.5, "tau": 1.0}, "settings": {**SETTINGS, "epochs": 8}}


def fingerprints(train="a", test="t", size=100):
    return {
        "origin": "here",
        "train": {"size": size, "effective_bratio": 0.05, "fingerprint": train},
        "valid": {"size": 10, "effective_bratio": 0.05, "fingerprint": f"valid {train}"},
        "test": {"size": 20, "effective_bratio": 0.9, "fingerprint": test},
    }


def write(log, alg, seed, accuracy, *, dataset="toy", ratios="0.1_0.05", data=None, arguments=None,
          best_by="valid_loss", first=None, first_hparams=None, hparams=None, noted=True, **settings):  # fmt: skip
    """A finished run's files in a folder named `seed`; what is given changes its data, its selector or its stage."""
    last = {"method": alg.split("_")[-1], "hparams": {"q": 0.7} | (hparams or {}), "settings": SETTINGS | settings}
    stages = [copy.deepcopy(SELECTOR), last] if "_" in alg else [last]
    stages[0]["settings"] |= first or {}
    stages[0]["hparams"] |= first_hparams or {}
    for stage in stages:
        stage["seconds"] = 10.0
        if noted:
            changed = {**(first_hparams or {}), **(hparams or {})}
            stage["changed"] = [name for name in stage["hparams"] if name in changed]
    scores = dict.fromkeys(("test_accuracy", "test_aligned", "test_conflicting", "test_worst_group"), accuracy)
    scores |= {"valid_accuracy": accuracy, "epoch": 3}
    number = int(str(seed).partition("_")[0])
    data = fingerprints(f"train {number}") if data is None else data
    result = {"end": scores, "best": scores, "best_by": best_by, "presets": [], "stages": stages, "seconds": 10.0,
              "peak_memory_bytes": 1e8, "data": data}  # fmt: skip
    folder = log / dataset / alg / ratios / str(seed)
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result))
    if arguments is not None:
        (folder / "config.json").write_text(json.dumps({"arguments": arguments, "data": data}))
    return folder


def labels(log):
    return [row.label for data in by_data(find_runs(log).runs) for row in rows_of(data.runs)]


def lines(log, *flags):
    """The Markdown rows but for heads, as lists of cells."""
    found = [line for line in tables_text([str(log), *flags]).splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in found]
    return [row for row in rows if row[0].strip() not in ("method", "---")]


def test_rows_without_a_run_name_say_what_is_usual(tmp_path):
    write(tmp_path, "gce", 0, 0.5)
    for alg in ("gce", "vanilla"):
        write(tmp_path, alg, "0_tuned", 0.6, lr=0.1)
    assert labels(tmp_path) == ["vanilla (tuned, lr=0.1)", "gce", "gce (tuned, lr=0.1)"]


def test_seeds_of_one_setting_are_one_row(tmp_path):
    for seed, accuracy in enumerate((0.5, 0.6, 0.7)):
        write(tmp_path, "vanilla", seed, accuracy)
    assert [row[:3] for row in lines(tmp_path)] == [["vanilla", "3", "60.0 ± 10.0"]]


def test_the_largest_seed_that_a_run_takes_is_read(tmp_path):
    file = write(tmp_path, "vanilla", 2**63 - 1, 0.5) / "result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "seed": 2**63 - 1}))
    assert [row[:3] for row in lines(tmp_path)] == [["vanilla", "1", "50.0"]]


def test_a_seed_counts_once_and_its_doubles_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "log", "vanilla", 0, 0.5)
    write(tmp_path / "log", "vanilla", 1, 0.7)
    write(tmp_path / "log/tables", "vanilla", 0, 0.9)
    write(tmp_path / "log/tables/copy", "vanilla", 0, 0.9)
    for show in ("methods", "ratios"):
        text = tables_text(["log", "--show", show])
        assert "60.0 ± 14.1" in text
        assert (
            "vanilla: seed 0 is there 3 times; log/toy/vanilla/0.1_0.05/0 counts, not "
            "log/tables/copy/toy/vanilla/0.1_0.05/0, log/tables/toy/vanilla/0.1_0.05/0"
        ) in text


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"model": "MLP", "epochs": 1}, "vanilla (MLP, epochs=1)"),
        ({"epochs": 4}, "vanilla (epochs=4)"),
        ({"lr": 0.01}, "vanilla (lr=0.01)"),
        ({"batch_size": 32}, "vanilla (batch_size=32)"),
        ({"opt": "Adam"}, "vanilla (opt=Adam)"),
        ({"lr_decay_opt": "5,10"}, "vanilla (lr_decay_opt=5,10)"),
        ({"amp": "bf16"}, "vanilla (amp=bf16)"),
        ({"weights": "imagenet"}, "vanilla (weights=imagenet)"),
        ({"hparams": {"q": 0.5}}, "vanilla (q=0.5)"),
        ({"best_by": "valid_accuracy"}, "vanilla (best_by=valid_accuracy)"),
    ],
)
@pytest.mark.parametrize("seed", [0, 3])
def test_another_setting_is_another_row_whose_name_says_so(tmp_path, changes, label, seed):
    for number in range(3):
        write(tmp_path / "a", "vanilla", number, 0.5)
        write(tmp_path / "a", "gce", number, 0.4)
    write(tmp_path / "b", "vanilla", seed, 0.9, **changes)
    assert [row[:3] for row in lines(tmp_path)] == [
        ["vanilla", "3", "**50.0 ± 0.0**"],
        [label, "1 of 3", "90.0"],
        ["gce", "3", "40.0 ± 0.0"],
    ]


def test_where_no_setting_is_the_usual_one_every_row_says_its_own(tmp_path):
    write(tmp_path / "a", "vanilla", 0, 0.5)
    write(tmp_path / "b", "vanilla", 0, 0.9, model="MLP", epochs=1)
    assert labels(tmp_path) == ["vanilla (CONV, epochs=20)", "vanilla (MLP, epochs=1)"]
    title = tables_text([str(tmp_path)]).splitlines()[0]
    assert title == "toy, nratio 0.1, bratio 0.05; model CONV / MLP, opt SGD, lr 0.05, batch_size 64, epochs 20 / 1"


def test_methods_of_different_length_do_not_stand_side_by_side_without_a_word(tmp_path):
    write(tmp_path, "vanilla", 0, 0.5)
    write(tmp_path, "gce", 0, 0.5)
    write(tmp_path, "sce", 0, 0.5, epochs=4)
    assert labels(tmp_path) == ["vanilla", "gce", "sce (epochs=4)"]
    assert "epochs 20 / 4" in tables_text([str(tmp_path)])


def test_a_hyper_parameter_that_is_no_default_is_named_though_nothing_else_is_there(tmp_path):
    write(tmp_path, "deneb_vanilla", 0, 0.5, first_hparams={"tau": 0.5})
    assert labels(tmp_path) == ["deneb_vanilla (tau=0.5)"]
    write(tmp_path, "deneb_gce", 0, 0.5)
    assert labels(tmp_path) == ["deneb_gce", "deneb_vanilla (tau=0.5)"]


def test_older_runs_say_what_most_do_not_have(tmp_path):
    for alg in ("deneb_gce", "deneb_sce"):
        write(tmp_path, alg, 0, 0.5, noted=False)
    write(tmp_path, "deneb_vanilla", 0, 0.5, first_hparams={"tau": 10.0}, noted=False)
    assert labels(tmp_path) == ["deneb_gce", "deneb_sce", "deneb_vanilla (tau=10)"]


def test_settings_of_one_stage_are_named_by_their_flag(tmp_path):
    write(tmp_path, "deneb_vanilla", 0, 0.5)
    write(tmp_path, "deneb_gce", 0, 0.5)
    write(tmp_path, "deneb_gce", "0_longer", 0.5, first={"epochs": 12}, hparams={"q": 0.5})
    write(tmp_path, "deneb_sce", 0, 0.5, first={"epochs": 1}, epochs=1)
    assert labels(tmp_path) == [
        "deneb_gce", "deneb_gce (longer, first.epochs=12, q=0.5)", "deneb_sce (epochs=1)", "deneb_vanilla",
    ]  # fmt: skip


def test_a_run_name_that_says_the_setting_is_not_said_twice(tmp_path):
    write(tmp_path, "deneb_gce", 0, 0.5)
    write(tmp_path, "deneb_gce", "0_tau=0.5", 0.5, first_hparams={"tau": 0.5})
    assert labels(tmp_path) == ["deneb_gce", "deneb_gce (tau=0.5)"]


def test_two_collections_of_photographs_are_two_tables(tmp_path):
    for name, accuracy in (("a", 0.5), ("b", 0.9)):
        data = fingerprints(name, f"test {name}") | {"origin": f"your images in {name}"}
        write(tmp_path / name, "vanilla", int(name == "b"), accuracy, dataset="folder", ratios="0.0_given", data=data)
    text = tables_text([str(tmp_path)])
    assert "50.0 | 50.0" in text
    assert "±" not in text
    titles = [line for line in text.splitlines() if line.startswith("folder")]
    assert [title.split(";")[0] for title in titles] == [
        "folder, nratio 0.0, bratio given, your images in a, training data a, test data test a",
        "folder, nratio 0.0, bratio given, your images in b, training data b, test data test b",
    ]
    head = tables_text([str(tmp_path), "--show", "ratios"]).splitlines()[2]
    assert head.count("your images in") == 2


@pytest.mark.parametrize(
    "other",
    [
        fingerprints("train 1", test="u"),
        fingerprints("train 1", size=101),
        fingerprints("train 1") | {"classes": ["cat", "dog"]},
        fingerprints("train 1") | {"valid": {"size": 11}},
    ],
)
def test_other_data_are_no_seed_of_the_same(tmp_path, other):
    mine = fingerprints("train 0") | {"classes": ["a", "b"]}
    write(tmp_path, "vanilla", 0, 0.5, data=mine)
    write(tmp_path, "vanilla", 1, 0.9, data=other)
    assert sorted(row[2] for row in lines(tmp_path)) == ["50.0", "90.0"]
    assert len({data.title for data in by_data(find_runs(tmp_path).runs)}) == 2


def test_a_corrected_label_makes_other_data(tmp_path):
    write(tmp_path / "before", "vanilla", 0, 0.5, ratios="0.0_given", data=fingerprints("x"))
    write(tmp_path / "after", "vanilla", 1, 0.9, ratios="0.0_given", data=fingerprints("y"))
    assert [row[2] for row in lines(tmp_path)] == ["50.0", "90.0"]


def test_a_seed_with_other_training_labels_is_on_other_data(tmp_path):
    write(tmp_path / "a", "vanilla", 0, 0.5, data=fingerprints("x"))
    write(tmp_path / "b", "gce", 0, 0.9, data=fingerprints("y"))
    assert tables_text([str(tmp_path)]).count("toy, nratio") == 2


@pytest.mark.parametrize("name", ["noise_type", "noise_style", "noise_matrix"])
def test_other_noise_is_other_data(tmp_path, name):
    for seed, kind in enumerate(("sym", "asym")):
        write(tmp_path, "vanilla", seed, 0.5, arguments={name: kind})
    titles = [line for line in tables_text([str(tmp_path)]).splitlines() if line.startswith("toy")]
    assert len(titles) == 2
    assert f"{name} sym" in titles[1]


@pytest.mark.parametrize(("name", "values"), [("augment", ("none", "flip")), ("resampling", (True, False))])
def test_arguments_of_the_whole_run_make_rows(tmp_path, name, values):
    for seed, value in enumerate((values[0], values[0], values[1])):
        write(tmp_path / str(seed), "vanilla", seed, 0.5, arguments={name: value})
    write(tmp_path, "gce", 0, 0.5, arguments={name: values[0]})
    assert labels(tmp_path) == ["vanilla", f"vanilla ({name}={str(values[1]).lower()})", "gce"]


def test_how_often_a_run_was_evaluated_makes_a_row(tmp_path):
    for seed, noted in enumerate(({"lr": 0.1}, {"lr": 0.1}, {"lr": 0.1, "eval_every": 5})):
        write(tmp_path, "vanilla", seed, 0.5, arguments=noted)
    write(tmp_path, "gce", 0, 0.5, arguments={"lr": 0.1})
    assert labels(tmp_path) == ["vanilla", "vanilla (eval_every=5)", "gce"]


def test_what_the_seeds_of_several_rows_did_not_note_is_one_line(tmp_path):
    for alg in ("deneb_gce", "deneb_sce"):
        for seed, known in enumerate(({"score": "entropy"}, {})):
            write(tmp_path, alg, seed, 0.5, first_hparams=known, noted=False)
    notes = [line for line in tables_text([str(tmp_path)]).splitlines() if "seeds differ" in line]
    assert notes == ["seeds differ in deneb.score (entropy, not recorded): deneb_gce, deneb_sce"]


def test_methods_are_compared_without_true_labels(tmp_path):
    for alg, judged in (("vanilla", 0.25), ("gce", None)):
        folder = write(tmp_path, alg, 0, 0.5)
        result = json.loads((folder / "result.json").read_text())
        if judged is not None:
            result["end"]["debiased_valid_accuracy"] = judged
        (folder / "result.json").write_text(json.dumps(result))
    table = tables_text([str(tmp_path), "--show", "ratios", "--metric", "debiased_valid"])
    assert "| vanilla | **25.0 (1)** |" in table
    assert "| gce | n/a |" in table, "a run with another --best_by has no referee"


def test_an_older_run_joins_the_only_row_that_it_fits(tmp_path):
    write(tmp_path / "a", "deneb_gce", 0, 0.5, first_hparams={"score": "entropy"}, noted=False)
    write(tmp_path / "b", "deneb_gce", 1, 0.7, noted=False)
    assert [row[:3] for row in lines(tmp_path)] == [["deneb_gce", "2", "60.0 ± 14.1"]]
    assert "seeds differ in deneb.score (entropy, not recorded): deneb_gce" in tables_text([str(tmp_path)])
    write(tmp_path / "c", "deneb_gce", 2, 0.9, first_hparams={"score": "loss"}, noted=False)
    assert [row[:3] for row in lines(tmp_path)] == [
        ["deneb_gce", "1", "70.0"],
        ["deneb_gce (score=entropy)", "1", "50.0"],
        ["deneb_gce (score=loss)", "1", "**90.0**"],
    ]  # fmt: skip


def test_unfinished_runs_stand_with_those_that_began_like_them(tmp_path):
    for model in ("CONV", "MLP"):
        write(tmp_path / model, "vanilla", 0, 0.5, arguments={"seed": 0, "model": model}, model=model)
    waiting = tmp_path / "toy/vanilla/0.1_0.05/1"
    waiting.mkdir(parents=True)
    (waiting / "config.json").write_text(json.dumps({"arguments": {"seed": 1, "model": "MLP"}}))
    assert [row[:2] for row in lines(tmp_path)] == [["vanilla (CONV)", "1"], ["vanilla (MLP)", "1, 1 unfinished"]]


def test_rows_that_are_asked_for_by_the_name_of_their_method(tmp_path):
    write(tmp_path, "vanilla", 0, 0.5)
    write(tmp_path, "gce", 0, 0.5)
    write(tmp_path, "deneb_gce", 0, 0.5, first_hparams={"tau": 0.5})
    write(tmp_path / "b", "deneb_gce", 0, 0.5, first_hparams={"tau": 2.0})
    rows = lines(tmp_path, "--methods", "deneb_gce,sce,vanilla,deneb_gce (tau=2)")
    assert [row[:2] for row in rows] == [
        ["deneb_gce (tau=0.5)", "1"], ["deneb_gce (tau=2)", "1"], ["sce", "0 of 1"], ["vanilla", "1"],
        ["deneb_gce (tau=2)", "1"],
    ]  # fmt: skip


def test_differences_compare_like_with_like(tmp_path):
    for seed in range(2):
        write(tmp_path / "conv", "vanilla", seed, 0.5)
        write(tmp_path / "conv", "gce", seed, 0.6)
        write(tmp_path / "mlp", "vanilla", seed, 0.1, model="MLP", epochs=1)
        write(tmp_path / "mlp", "gce", seed, 0.3, model="MLP", epochs=1)
        write(tmp_path / "long", "sce", seed, 0.9, epochs=100)
    rows = lines(tmp_path, "--show", "differences")
    assert [row[:3] for row in rows] == [
        ["gce (MLP, epochs=1)", "2", "+20.0"], ["gce (epochs=20)", "2", "+10.0"], ["sce (epochs=100)", "0", "missing"],
    ]  # fmt: skip
    text = tables_text([str(tmp_path), "--show", "differences"])
    assert "sce (epochs=100): no run of vanilla has its network and schedule" in text


def test_a_later_run_does_not_replace_an_earlier_one_in_differences(tmp_path):
    write(tmp_path / "a", "vanilla", 0, 0.5)
    write(tmp_path / "b", "vanilla", 0, 0.1)
    write(tmp_path / "a", "gce", 0, 0.6)
    assert [row[:3] for row in lines(tmp_path, "--show", "differences")] == [["gce", "1", "+10.0"]]
    assert "vanilla: seed 0 is there 2 times" in tables_text([str(tmp_path), "--show", "differences"])


def test_data_without_a_run_to_compare_with_are_named(tmp_path):
    write(tmp_path / "a", "gce", 0, 0.6, data=fingerprints("x", "y"))
    with pytest.raises(UsageError, match="no finished run of vanilla on toy"):
        tables_text([str(tmp_path), "--show", "differences"])
    write(tmp_path / "b", "vanilla", 0, 0.5)
    write(tmp_path / "b", "gce", 0, 0.6)
    text = tables_text([str(tmp_path), "--show", "differences"])
    assert [row[:3] for row in lines(tmp_path, "--show", "differences")] == [["gce", "1", "+10.0"]]
    assert "no finished run of vanilla on toy, nratio 0.1, bratio 0.05, training data x" in text


def test_columns_of_ratios_have_the_rows_of_their_own_setting(tmp_path):
    for ratios in ("0.0_0.05", "0.1_0.05"):
        write(tmp_path / "conv", "vanilla", 0, 0.5, ratios=ratios)
        write(tmp_path / "conv", "gce", 0, 0.5, ratios=ratios)
    write(tmp_path / "mlp", "vanilla", 1, 0.9, ratios="0.1_0.05", model="MLP")
    assert lines(tmp_path, "--show", "ratios")[:2] == [
        ["vanilla", "**50.0 (1)**", "50.0 (1)"],
        ["vanilla (MLP)", "missing", "**90.0 (1)**"],
    ]


def test_rows_do_not_depend_on_the_order_of_folders(tmp_path):
    for place, seed in (("z", 0), ("y", 1), ("x", 2)):
        write(tmp_path / "one" / place, "vanilla", seed, 0.5 + seed / 10, epochs=20 if seed else 4)
    for place, seed in (("x", 0), ("y", 1), ("z", 2)):
        write(tmp_path / "two" / place, "vanilla", seed, 0.5 + seed / 10, epochs=20 if seed else 4)
    assert lines(tmp_path / "one") == lines(tmp_path / "two")
