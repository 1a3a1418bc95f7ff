"""Where presets are looked for, that flags win over them, and what is refused."""

import json

import pytest

from algorithms.command import presets
from algorithms.command.arguments import parse_arguments, resolve
from algorithms.command.presets import with_presets
from utils.errors import RunError, UsageError

COMMITTED = sorted(presets.COMMITTED.glob("*/*.json"))


def preset(**stages):
    return {
        "alg": "_".join(stages), "dataset": "colored_digits", "bratio": 0.05, "nratio": 0.1, "seed": 0,
        "criterion": "valid_accuracy", "oracle": False, "value": 0.9, "trials": 30, "command": "python ...",
        "stages": [{"method": name, "hparams": values, "settings": {}} for name, values in stages.items()],
    }  # fmt: skip


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "COMMITTED", tmp_path / "presets")

    def save(path, content):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        return str(path)

    return save


@pytest.fixture
def resolved(tmp_path):
    def of(*flags):
        arguments = parse_arguments([*flags, "--log_dir", str(tmp_path / "log")], "train_mix.py")
        completed, used, lines = with_presets(arguments)
        return [stage.hparams for stage in resolve(completed).stages], used, lines

    return of


LOG = "log/colored_digits/{}/0.1_0.05/preset/best.json"


def test_without_any_there_are_the_defaults(write, resolved):
    hparams, used, lines = resolved("--alg", "deneb_gce")
    assert (hparams[0].tau, hparams[1].q) == (1.0, 0.7)
    assert not used
    assert not lines


def test_the_search_of_this_log_folder_comes_first_then_the_committed_one(write, resolved):
    write("presets/colored_digits/deneb_gce.json", preset(deneb={"tau": 10}, gce={"q": 0.1}))
    assert resolved("--alg", "deneb_gce")[0][0].tau == 10
    write(LOG.format("deneb_gce"), preset(deneb={"tau": 5}, gce={"q": 0.3}))
    hparams, used, lines = resolved("--alg", "deneb")
    assert (hparams[0].tau, hparams[1].q) == (5, 0.3)
    assert [one["method"] for one in used] == ["deneb", "gce"]
    assert all("best.json" in line and "30 trials by valid_accuracy" in line for line in lines)
    assert resolved("--alg", "deneb_gce", "--bratio", "0.01")[0][0].tau == 10, "other ratios, other searches"
    assert resolved("--alg", "deneb_gce", "--preset", "none")[0][0].tau == 1


def test_a_stage_takes_what_was_found_for_its_method_alone(write, resolved):
    write(LOG.format("deneb_gce"), preset(deneb={"tau": 5}, gce={"q": 0.3}))
    write(LOG.format("sce"), preset(sce={"alpha": 0.5}))
    hparams, used, _ = resolved("--alg", "deneb_sce")
    assert (hparams[0].tau, hparams[1].alpha) == (5, 0.5)
    assert [one["method"] for one in used] == ["deneb", "sce"]
    hparams, *_ = resolved("--alg", "gce")
    assert hparams[0].q == 0.7, "gce after deneb is not gce alone"


def test_a_flag_wins(write, resolved):
    write(LOG.format("deneb_gce"), preset(deneb={"tau": 5, "warmup": 0}, gce={"q": 0.3}))
    hparams, _, lines = resolved("--alg", "deneb_gce", "--first.tau", "2", "--q", "0.9")
    assert (hparams[0].tau, hparams[0].warmup, hparams[1].q) == (2, 0, 0.9)
    assert len(lines) == 1
    assert "tau" not in lines[0]


def test_a_clashing_name_reaches_its_own_stage(write, resolved):
    file = write("mine.json", preset(deneb={"warmup": 2}, dividemix={"warmup": 3}))
    hparams, *_ = resolved("--alg", "deneb_dividemix", "--preset", file)
    assert [stage.warmup for stage in hparams] == [2, 3]


def test_training_settings_that_were_searched_reach_their_stage(write, tmp_path):
    content = preset(deneb={}, gce={"q": 0.3})
    content["stages"][1]["settings"] = {"lr": 0.2}
    file = write("mine.json", content)
    arguments = parse_arguments(["--alg", "deneb_gce", "--preset", file], "train_mix.py")
    assert [stage.settings.lr for stage in resolve(with_presets(arguments)[0]).stages] == [0.05, 0.2]
    arguments = parse_arguments(["--alg", "deneb_gce", "--preset", file, "--lr", "0.1"], "train_mix.py")
    assert [stage.settings.lr for stage in resolve(with_presets(arguments)[0]).stages] == [0.1, 0.1]


def test_an_oracle_is_left_aside_unless_it_is_named(write, resolved):
    oracle = preset(gce={"q": 0.3}) | {"criterion": "test_accuracy", "oracle": True}
    file = write(LOG.format("gce"), oracle)
    hparams, used, lines = resolved("--alg", "gce")
    assert hparams[0].q == 0.7
    assert not used
    assert "oracle" in lines[0]
    hparams, used, lines = resolved("--alg", "gce", "--preset", file)
    assert hparams[0].q == 0.3
    assert used[0]["oracle"]
    assert "oracle" in lines[0]


REFUSED = [
    (preset(gce={"p": 0.3}), UsageError, "gce has no 'p'"),
    (preset(gce={"q": 3}), UsageError, "at most 1"),
    (preset(sce={"alpha": 0.5}), UsageError, "sets sce"),
    ({"q": 0.3}, RunError, "is not a preset: it lacks alg"),
    ([], RunError, "is not a preset"),
    (preset() | {"stages": [{"method": "gce"}]}, RunError, "needs method, hparams and settings"),
]


@pytest.mark.parametrize(("content", "error", "message"), REFUSED, ids=lambda value: str(value)[:30])
def test_what_is_no_preset_for_this_run_is_refused(write, resolved, content, error, message):
    with pytest.raises(error, match=message):
        resolved("--alg", "gce", "--preset", write("mine.json", content))


def test_a_missing_file(resolved):
    with pytest.raises(RunError, match="no such file"):
        resolved("--alg", "gce", "--preset", "nowhere.json")


def test_committed_presets_are_for_what_is_there():
    for path in COMMITTED:
        content = presets.load(path)
        assert (content["dataset"], content["alg"]) == (path.parent.name, path.stem)
        assert content["command"].startswith("python preset_standalone.py ")
        assert not content["oracle"]
        flags = ["--alg", content["alg"], "--dataset", content["dataset"], "--preset", str(path)]
        assert with_presets(parse_arguments(flags, "train_mix.py"))[1]
