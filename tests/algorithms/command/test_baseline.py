"""The baseline is the user's own command with another method."""

import shlex

import pytest

from algorithms.command import presets
from algorithms.command.arguments import parse_arguments
from algorithms.command.baseline import arguments_for
from algorithms.command.resolve import resolve


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("", "--alg vanilla"),
        ("--alg deneb_gce", "--alg vanilla"),
        ("--alg=lff --seed 3", "--alg vanilla --seed 3"),
        ("--tau 0.5 --q=0.3 --first.tau 2 --second.q 0.1 --alg deneb_gce", "--alg vanilla"),
        ("--first.lr 0.1 --second.epochs=3 --lr 0.2 --epochs 4", "--alg vanilla --lr 0.2 --epochs 4"),
        ("--alg jtt --online=true --bias_epochs 3 --deterministic", "--alg vanilla --deterministic"),
        ("--alg jtt --online true --no_figures", "--alg vanilla --no_figures"),
        ("--resampling false --compile --resampling --gpu cpu", "--alg vanilla --compile --gpu cpu"),
        ("--preset tuned --overwrite --run_name tuned --threads 1", "--alg vanilla --threads 1"),
        ("--run_name x --alg lff", "--alg vanilla --run_name x"),
        ("--preset none --alg jtt --preset=none", "--alg vanilla --preset none --preset=none"),
        (
            "--model MLP --opt Adam --noise_type asym --noise_style exact --clean_valid --augment none --log_dir 'a b' "
            "--threads 1 --indep_run 3 --bratio 0.01 --nratio 0.2 --run_name x --best_by valid_loss --data_dir d",
            "--alg vanilla --model MLP --opt Adam --noise_type asym --noise_style exact --clean_valid --augment none "
            "--log_dir 'a b' --threads 1 --indep_run 3 --bratio 0.01 --nratio 0.2 --run_name x --best_by valid_loss "
            "--data_dir d",
        ),
    ],
)
def test_flags_of_hyper_parameters_and_stages_go_and_all_others_stay(given, wanted):
    arguments = arguments_for("vanilla", shlex.split(given))
    assert arguments == shlex.split(wanted)
    (stage,) = resolve(parse_arguments(arguments, "train_mix.py")).stages
    assert stage.method == "vanilla"


def test_another_method_takes_the_same_flags():
    given = shlex.split("--alg deneb_gce --tau 0.5 --q 0.3 --first.epochs 2 --seed 3 --gpu cpu")
    wanted = ["--alg", "contradicted_sce", "--seed", "3", "--gpu", "cpu"]
    assert arguments_for("contradicted_sce", given) == wanted


def test_tuned_is_compared_with_tuned_where_there_is_a_preset(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "COMMITTED", tmp_path)
    (tmp_path / "colored_digits").mkdir()
    (tmp_path / "colored_digits" / "gce.json").touch()
    given = ["--alg", "jtt_gce", "--preset", "tuned", "--run_name", "tuned"]
    assert arguments_for("gce", given) == ["--alg", "gce", "--preset", "tuned", "--run_name", "tuned"]
    assert arguments_for("vanilla", given) == ["--alg", "vanilla"]
