"""The settings that a data set declares make a complete configuration, and its options are flags."""

import pytest

from algorithms.command.arguments import parse_arguments, remark
from algorithms.command.resolve import resolve
from data.registry import datasets
from utils.errors import UsageError


def resolved(*arguments):
    return resolve(parse_arguments(list(arguments), "test"))


@pytest.mark.parametrize("name", datasets.names())
def test_every_data_set_resolves_without_any_flag(name):
    config = resolved("--dataset", name)
    assert config.data.bratio == datasets[name].defaults.bratio
    assert isinstance(config.data.options, datasets[name].options)


def test_a_set_whose_files_have_the_bias_names_its_folder_so():
    assert resolved("--dataset", "bar").folder.parts[-2] == "0.0_given"
    assert resolved("--dataset", "bar", "--bratio", "0.01").folder.parts[-2] == "0.0_0.01"


def test_the_classes_of_files_cannot_be_told_beforehand():
    with pytest.raises(UsageError, match="--num_classes 3: folder has the classes that its files have"):
        resolved("--dataset", "folder", "--num_classes", "3")


def test_an_option_of_another_set_is_named():
    with pytest.raises(UsageError, match=r"--palette: an option of colored_mnist, which --dataset bar does not have"):
        resolved("--dataset", "bar", "--palette", "pgd")
    owners = "corrupted_cifar, framed_cifar, patched_cifar"
    with pytest.raises(UsageError, match=f"--per_class: an option of {owners}, which --dataset cifar10 does not have"):
        resolved("--dataset", "cifar10", "--per_class", "300")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--opt Adam --momentum 0.5", ["--momentum"]),
        ("--second.opt Adam --momentum 0.5 --lr_decay_opt 9", []),
        ("--lr_decay CosineAnnealingLR --lr_decay_opt 9 --lr_decay_rate 0.5", ["--lr_decay_rate", "--lr_decay_opt"]),
        ("--dataset bar --momentum 0.5", ["--momentum"]),
    ],
)
def test_what_no_stage_of_the_run_uses_is_said(given, said, caplog):
    caplog.set_level("INFO")
    arguments = parse_arguments(given.split(), "train_mix.py")
    remark(arguments, resolve(arguments).stages)
    assert [line.partition(" has no effect: ")[0] for line in caplog.messages] == said


@pytest.mark.parametrize("flags", [("--nratio", "0.1"), ("--noise_type", "asym"), ("--noise_style", "exact")])
def test_a_noise_matrix_decides_alone(tmp_path, flags):
    (tmp_path / "noise.csv").write_text("0.9,0.1\n0.2,0.8\n")
    given = ["--noise_matrix", str(tmp_path / "noise.csv")]
    assert resolved(*given).data.nratio == 0.15
    with pytest.raises(UsageError, match=f"Leave out {flags[0]}"):
        resolved(*given, *flags)
