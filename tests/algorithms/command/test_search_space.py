"""The declared search spaces are the grids of the DENEB authors and our defaults; what flags and files make of them."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from algorithms.base import methods
from algorithms.command.arguments import parse_arguments
from algorithms.command.tuning import add_search_flags, space_of
from algorithms.training.pairs import valid_pairs
from utils.errors import UsageError

GRIDS = json.loads((Path(__file__).parents[2] / "golden" / "search_space.json").read_text())
SETTINGS = {"lr", "batch_size", "lr_decay_rate", "lr_decay_opt"}
OURS = {"elr": "elr+"}  # the authors' only loss file is that of ELR+
NAMES = {"gce_q": "q"}
VALUES = {"opt": -1.0}  # the noise rate


@pytest.mark.parametrize("dataset", GRIDS)
@pytest.mark.parametrize("alg", GRIDS["colored_mnist"])
def test_every_grid_of_the_authors_is_declared(dataset, alg):
    declared = {f.name: f for f in dataclasses.fields(methods[OURS.get(alg, alg)].Hparams)}
    for name, grid in GRIDS[dataset][alg].items():
        if name not in SETTINGS:
            mine, theirs = declared[NAMES.get(name, name)], {VALUES.get(value, value) for value in grid}
            assert theirs <= {*mine.metadata["search"]} <= theirs | {mine.default}


def space(*flags):
    return space_of(parse_arguments(list(flags), "preset_standalone.py", add_search_flags))


def test_the_space_of_a_pair_is_the_union_of_its_stages():
    assert space("--alg", "deneb_gce") == {
        "p_threshold": [0.1, 0.3, 0.5, 0.7, 0.9],
        "warmup": [0, 5, 10],
        "tau": [0.5, 1.0, 5.0, 10.0, 20.0],
        "q": [0.1, 0.3, 0.5, 0.7, 0.9],
    }
    assert space("--alg", "deneb") == space("--alg", "deneb_gce")


def test_names_that_clash_say_their_stage():
    assert set(space("--alg", "deneb_dividemix")) == {
        "first.p_threshold", "first.warmup", "tau", "second.p_threshold", "second.warmup", "alpha", "lambda_u", "T",
    }  # fmt: skip


def test_every_method_and_pair_has_a_space_of_values_that_its_flags_take():
    for alg in [*methods, *("_".join(pair) for pair in valid_pairs())]:
        if alg == "vanilla":
            continue
        assert all(len(values) == len(set(values)) > 1 for values in space("--alg", alg).values())


def test_a_flag_that_is_given_leaves_the_space():
    assert set(space("--alg", "deneb_gce", "--tau", "1", "--second.q", "0.5")) == {"p_threshold", "warmup"}


def test_set_and_file_change_the_space(tmp_path):
    file = tmp_path / "space.json"
    file.write_text(json.dumps({"q": [0.2, 0.4], "lr_decay_opt": ["5", "5,8"], "first.tau": [2]}))
    got = space("--alg", "deneb_gce", "--space", str(file), "--set", "q=0.6,1", "--set", "second.lr=0.1,0.01")
    assert got["q"] == [0.6, 1.0]
    assert got["lr_decay_opt"] == ["5", "5,8"]
    assert got["tau"] == [2.0]
    assert got["second.lr"] == [0.1, 0.01]
    assert got["warmup"] == [0, 5, 10]


ERRORS = [
    (["--alg", "vanilla"], "no hyper-parameter is left"),
    (["--alg", "gce", "--q", "0.5"], "no hyper-parameter is left"),
    (["--alg", "gce", "--set", "q=0.5"], "no hyper-parameter is left"),
    (["--alg", "gce", "--set", "taw=1,2"], "unknown hyper-parameter 'taw'"),
    (["--alg", "gce", "--set", "seed=1,2"], "unknown hyper-parameter 'seed'"),
    (["--alg", "gce", "--set", "first.lr=1,2"], "unknown hyper-parameter 'first.lr'"),
    (["--alg", "deneb_dividemix", "--set", "warmup=1,2"], "Did you mean"),
    (["--alg", "gce", "--set", "q"], "wanted a name and values"),
    (["--alg", "gce", "--set", "q=0.5,2"], "2 is not a number at least 0 and at most 1"),
    (["--alg", "gce", "--set", "opt=SGD,sgd"], "invalid choice: 'sgd'"),
    (["--alg", "gce", "--q", "0.5", "--set", "q=0.1,0.5"], "--q is given"),
    (["--alg", "gce", "--space", "nowhere.json"], "nowhere.json"),
    (["--alg", "gce", "--search_metric", "accuracy"], "valid_accuracy"),
    (["--alg", "gce", "--search_trial", "0"], "at least 1"),
]


@pytest.mark.parametrize(("flags", "message"), ERRORS, ids=lambda value: " ".join(value)[:40])
def test_a_space_that_cannot_be_meant(flags, message):
    with pytest.raises(UsageError, match=message):
        space(*flags)


@pytest.mark.parametrize("text", ["{", "[1]", '{"q": 0.5}', '{"q": []}'])
def test_a_space_file_that_is_none(tmp_path, text):
    (tmp_path / "space.json").write_text(text)
    with pytest.raises(UsageError, match=r"space\.json"):
        space("--alg", "gce", "--space", str(tmp_path / "space.json"))


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "7", "{}", '{"q": []}', '{"q": 0.1}', '{"q": [null]}', '{"q": [[0.1, 0.3]]}', '{"q": [{}]}',
     '{"q": [NaN, 0.1]}', '{"q": [1e999]}', '{"q": [0.1, 1%s]}' % ("0" * 400), "[" * 100_000, '{"q":' * 20_000],
    ids=range(16),
)  # fmt: skip
def test_a_file_that_holds_no_space_is_one_line_of_error(tmp_path, content):
    path = tmp_path / "space.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=re.escape(str(path))) as error:
        space("--alg", "gce", "--space", str(path))
    assert "\n" not in str(error.value)
