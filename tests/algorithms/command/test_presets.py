"""Where presets are looked for, that flags win over them, and what is refused."""

import json
import shlex
from types import SimpleNamespace

import pytest

from algorithms.command import presets
from algorithms.command.arguments import parse_arguments
from algorithms.command.presets import with_presets
from algorithms.command.resolve import data_settings, resolve
from algorithms.command.tuning import add_search_flags
from data.load import load_dataset
from utils.errors import RunError, UsageError

COMMITTED = sorted(presets.COMMITTED.glob("*/*.json"))


def preset(**stages):
    return {
        "alg": "_".join(stages), "dataset": "colored_digits", "bratio": 0.05, "nratio": 0.1, "seed": 0,
        "criterion": "valid_accuracy", "oracle": False, "value": 0.9, "trials": 30, "command": "python ...",
        "stages": [{"method": name, "hparams": values, "settings": {}} for name, values in stages.items()],
    }  # fmt: skip


def found(preset, *flags, images="these"):
    """The preset as a search with these flags would leave it."""
    prefixes = ("first.", "second.") if len(preset["stages"]) > 1 else ("",)
    values = [
        f"--{prefix}{name}={value}"
        for prefix, stage in zip(prefixes, preset["stages"], strict=True)
        for name, value in (stage["hparams"] | stage["settings"]).items()
    ]
    arguments = parse_arguments(["--alg", preset["alg"], "--gpu", "cpu", *values, *flags], "")
    return preset | {"found_for": presets.found_for(resolve(arguments)), "images": images}


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "COMMITTED", tmp_path / "presets")
    data = SimpleNamespace(contents={"train": {"images": "these"}})
    monkeypatch.setattr(presets, "load_dataset", lambda settings: data)

    def save(path, content):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return save


@pytest.fixture
def resolved(tmp_path):
    def of(*flags):
        arguments = parse_arguments([*flags, "--gpu", "cpu", "--log_dir", str(tmp_path / "log")], "train_mix.py")
        completed, used, lines = with_presets(arguments)
        return [stage.hparams for stage in resolve(completed).stages], used, lines

    return of


LOG = "log/colored_digits/{}/0.1_0.05/preset/best.json"
PAIR = preset(deneb={"tau": 5, "warmup": 2}, gce={"q": 0.3})


def test_without_any_there_are_the_defaults(write, resolved):
    hparams, used, lines = resolved("--alg", "deneb_gce")
    assert (hparams[0].tau, hparams[1].q) == (1.0, 0.7)
    assert not used
    assert not lines


def test_what_a_search_in_this_log_folder_found_for_this_run_is_taken(write, resolved):
    write("presets/colored_digits/deneb_gce.json", found(preset(deneb={"tau": 10}, gce={"q": 0.1})))
    assert resolved("--alg", "deneb_gce")[0][0].tau == 1, "what comes with the code is taken by name only"
    write(LOG.format("deneb_gce"), found(PAIR))
    hparams, used, lines = resolved("--alg", "deneb")
    assert (hparams[0].tau, hparams[1].q) == (5, 0.3)
    assert [one["method"] for one in used] == ["deneb", "gce"]
    assert all("best.json" in line and "30 trials by valid_accuracy" in line for line in lines)
    assert resolved("--alg", "deneb_gce", "--seed", "3", "--best_by", "valid_loss")[0][0].tau == 5
    assert resolved("--alg", "deneb_gce", "--eval_every", "5")[0][0].tau == 5
    assert resolved("--alg", "deneb_gce", "--cross_validate", "3")[0][0].tau == 5, "trials do without"
    assert resolved("--alg", "deneb_gce", "--preset", "none")[0][0].tau == 1
    assert resolved("--alg", "deneb_sce")[0][0].tau == 1, "another pair"


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--noise_type", "asym"], "--noise_type sym there, asym now"),
        (["--noise_style", "exact"], "--noise_style reference there, exact now"),
        (["--model", "MLP"], "--model CONV there, MLP now"),
        (["--epochs", "3"], "--second.epochs 20 there, 3 now"),
        (["--second.lr", "0.01"], "--second.lr 0.05 there, 0.01 now"),
        (["--augment", "none"], "--augment deneb there, none now"),
        (["--resampling", "false"], "--resampling true there, false now"),
        (["--batch_size", "32"], "--batch_size 64 there, 32 now"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_was_found_for_another_run_is_left_aside(write, resolved, flags, named):
    file = write(LOG.format("deneb_gce"), found(PAIR))
    hparams, used, lines = resolved("--alg", "deneb_gce", *flags)
    assert (hparams[0].tau, used) == (1, ())
    (line,) = lines
    assert named in line
    assert f"--preset {file} takes it" in line
    hparams, used, lines = resolved("--alg", "deneb_gce", *flags, "--preset", file)
    assert (hparams[0].tau, len(used)) == (5, 2)
    assert f"{file} was found for another run" in lines[-1]
    assert named in lines[-1]


def test_the_folder_of_a_preset_may_have_any_name(write):
    file = write("log {0}'s/" + LOG.format("deneb_gce"), found(PAIR))
    folder = file.removesuffix("/" + LOG.format("deneb_gce"))
    arguments = parse_arguments(
        ["--alg", "deneb_gce", "--epochs", "3", "--gpu", "cpu", "--log_dir", f"{folder}/log"], "train_mix.py"
    )
    (line,) = with_presets(arguments)[2]
    assert f"--preset {shlex.quote(file)} takes it." in line


@pytest.mark.parametrize("flags", [["--bratio", "0.01"], ["--nratio", "0.2"], ["--clean_valid"]], ids=str)
def test_other_ratios_and_splits_have_other_searches(write, resolved, flags):
    write(LOG.format("deneb_gce"), found(PAIR))
    assert resolved("--alg", "deneb_gce", *flags) == resolved("--alg", "deneb_gce", *flags, "--preset", "none")


def test_a_search_on_other_images_or_one_that_does_not_say_is_left_aside(write, resolved):
    for content, why in ((found(PAIR, images="those"), "other training images"), (PAIR, "which one it does not say")):
        write(LOG.format("deneb_gce"), content)
        hparams, used, lines = resolved("--alg", "deneb_gce")
        assert (hparams[0].tau, used) == (1, ())
        assert why in lines[0]


def test_the_tuned_preset_is_taken_by_name_and_says_what_it_was_found_for(write, resolved):
    write("presets/colored_digits/deneb_gce.json", found(preset(deneb={"tau": 10}, gce={"q": 0.1})))
    hparams, used, lines = resolved("--alg", "deneb", "--preset", "tuned")
    assert (hparams[0].tau, len(used), len(lines)) == (10, 2, 3)
    assert {one["file"] for one in used} == {"presets/colored_digits/deneb_gce.json"}  # wherever the project lies
    assert lines[-1].endswith("deneb_gce.json was found for just such a run")
    hparams, used, lines = resolved("--alg", "deneb", "--preset", "tuned", "--model", "MLP")
    assert hparams[0].tau == 10
    assert "--model CONV there, MLP now" in lines[-1]
    with pytest.raises(UsageError, match=r"none for gce on colored_digits, only: deneb_gce on colored_digits\."):
        resolved("--alg", "gce", "--preset", "tuned")


def test_a_named_file_reaches_every_stage_whose_method_it_knows(write, resolved):
    file = write("mine.json", found(PAIR))
    hparams, used, _ = resolved("--alg", "deneb_sce", "--preset", file)
    assert hparams[0].tau == 5
    assert [one["method"] for one in used] == ["deneb"]


def test_a_flag_wins(write, resolved):
    write(LOG.format("deneb_gce"), found(PAIR))
    hparams, _, lines = resolved("--alg", "deneb_gce", "--first.tau", "2", "--q", "0.9")
    assert (hparams[0].tau, hparams[0].warmup, hparams[1].q) == (2, 2, 0.9)
    assert len(lines) == 1
    assert "tau" not in lines[0]


@pytest.mark.parametrize("flag", ["--epochs", "--first.epochs"])
def test_a_flag_wins_over_a_hyper_parameter_that_would_change_its_setting(write, tmp_path, flag):
    file = write("mine.json", found(preset(jtt={"bias_epochs": 8, "lbd_up": 5}, gce={"q": 0.3})))
    arguments = parse_arguments(["--alg", "jtt_gce", "--preset", file, flag, "1"], "")
    completed, _, lines = with_presets(arguments)
    first = resolve(completed).stages[0]
    assert (first.settings.epochs, first.hparams.bias_epochs, first.hparams.lbd_up) == (1, 0, 5)
    assert f"bias_epochs of {file} is left out, for {flag} is given" in lines[0]
    arguments = parse_arguments(["--alg", "jtt_gce", "--preset", file, "--second.epochs", "1"], "")
    assert [stage.settings.epochs for stage in resolve(with_presets(arguments)[0]).stages] == [8, 1]
    arguments = parse_arguments(["--alg", "jtt_gce", "--preset", file, flag, "1", "--bias_epochs", "2"], "")
    completed, _, lines = with_presets(arguments)
    assert resolve(completed).stages[0].settings.epochs == 2
    assert not any("is left out" in line for line in lines), "it is --bias_epochs that wins"


def test_what_was_found_beside_the_same_flags_is_taken_beside_them(write, tmp_path):
    content = found(preset(jtt={"bias_epochs": 8, "lbd_up": 5}, gce={"q": 0.3}), "--epochs", "15")
    write(f"{tmp_path}/log/colored_digits/jtt_gce/0.1_0.05/preset/best.json", content)
    for epochs, lengths in ((15, [8, 15]), (14, [14, 14])):
        arguments = parse_arguments(["--alg", "jtt_gce", "--epochs", str(epochs), "--log_dir", f"{tmp_path}/log"], "")
        assert [stage.settings.epochs for stage in resolve(with_presets(arguments)[0]).stages] == lengths
    file = write("mine.json", content)
    arguments = parse_arguments(["--alg", "jtt_gce", "--epochs", "15", "--nratio", "0.4", "--preset", file], "")
    assert [stage.settings.epochs for stage in resolve(with_presets(arguments)[0]).stages] == [8, 15], "on other data"


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
    oracle = found(preset(gce={"q": 0.3})) | {"criterion": "test_accuracy", "oracle": True}
    file = write(LOG.format("gce"), oracle)
    hparams, used, lines = resolved("--alg", "gce")
    assert hparams[0].q == 0.7
    assert not used
    assert "oracle" in lines[0]
    hparams, used, lines = resolved("--alg", "gce", "--preset", file)
    assert hparams[0].q == 0.3
    assert used[0]["oracle"]
    assert "oracle" in lines[0]


GCE = preset(gce={"q": 0.3})
REFUSED = [
    (preset(gce={"p": 0.3}), UsageError, "gce has no 'p'"),
    (preset(gce={"q": 3}), UsageError, "at most 1"),
    (preset(gce={"q": True}), UsageError, "'True' is not a number"),
    (preset(sce={"alpha": 0.5}), UsageError, "sets sce"),
    (preset(gce={"q": None}), RunError, r"stages\[0\].hparams.q: wanted .*, found null"),
    (preset(gce={"q": [0.3]}), RunError, r"stages\[0\].hparams.q: wanted .*, found a list"),
    ({"q": 0.3}, RunError, "it lacks alg"),
    ([], RunError, "wanted an object, found a list"),
    ("null", RunError, "wanted an object, found null"),
    ("{", RunError, "cannot read"),
    ('{"a":' * 20_000, RunError, "nested too deeply"),
    ("[" * 100_000, RunError, "nested too deeply"),
    (json.dumps(GCE).replace("0.9", "1e999"), RunError, "no finite number"),
    (json.dumps(GCE).replace("0.9", "NaN"), RunError, "no finite number"),
    (GCE | {"criterion": None}, RunError, "criterion: wanted a text, found null"),
    (GCE | {"criterion": ["valid"]}, RunError, "criterion: wanted a text, found a list"),
    (GCE | {"oracle": "no"}, RunError, 'oracle: wanted true or false, found "no"'),
    (GCE | {"trials": 1.5}, RunError, "trials: wanted a whole number, found 1.5"),
    (GCE | {"trials": 10**30}, RunError, "too large"),
    (GCE | {"stages": None}, RunError, "stages: wanted a list, found null"),
    (GCE | {"stages": [None]}, RunError, r"stages\[0\]: wanted an object, found null"),
    (GCE | {"stages": [{"method": "gce"}]}, RunError, r"stages\[0\]: it lacks hparams, settings"),
    (GCE | {"stages": [{"method": 1, "hparams": {}, "settings": {}}]}, RunError, "method: wanted a text, found 1"),
    (GCE | {"stages": [{"method": "gce", "hparams": None, "settings": {}}]}, RunError, "hparams: wanted an object"),
    (GCE | {"stages": [{"method": "gce", "hparams": {}, "settings": []}]}, RunError, "settings: wanted an object"),
    (GCE | {"found_for": []}, RunError, "found_for: wanted an object, found a list"),
]


@pytest.mark.parametrize(("content", "error", "message"), REFUSED, ids=range(len(REFUSED)))
@pytest.mark.parametrize("named", [True, False])
def test_what_is_no_preset_for_this_run_is_refused(write, resolved, content, error, message, named):
    file = write("mine.json" if named else LOG.format("gce"), content)
    if not named and error is UsageError and "sets" in message:
        return  # left aside
    with pytest.raises(error, match=message) as told:
        resolved("--alg", "gce", *(["--preset", file] if named else []))
    assert file in str(told.value)
    assert "\n" not in str(told.value)


def test_a_missing_file(resolved):
    with pytest.raises(UsageError, match="no such file"):
        resolved("--alg", "gce", "--preset", "nowhere.json")


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_committed_presets_are_what_their_command_found(path, request):
    content = presets.load(path)
    assert (content["dataset"], content["alg"]) == (path.parent.name, path.stem)
    assert not content["oracle"]
    program, script, *flags = shlex.split(content["command"])
    assert (program, script) == ("python", "preset_standalone.py")
    arguments = parse_arguments([*flags, "--preset", str(path)], script, add_search_flags)
    _, used, lines = with_presets(arguments)
    assert used
    assert not [line for line in lines if "another run" in line]
    if content["dataset"] == "colored_mnist":
        arguments.data_dir = str(request.getfixturevalue("mnist_dir"))
    data = load_dataset(data_settings(arguments))
    assert content["images"] == data.contents["train"]["images"]
