"""Which methods can follow each other and why others cannot; and that every pair trains from end to end."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from algorithms.base import methods
from algorithms.command.arguments import parse_arguments, resolve
from algorithms.training.pairs import objection, stages_of, valid_pairs
from algorithms.training.run import run
from data import colored_digits
from data.registry import datasets
from utils.errors import UsageError

DEBIASING = {"contradicted", "deneb", "jtt", "pgd", "lff", "disen", "xrm", "dpr"}
FINAL = {"vanilla", "gce", "sce", "elr", "elr+", "sop", "sop+"}
TELLING = {"deneb", "vanilla", "gce", "xrm"}
"""What `la` can follow."""
KEEPING = {"aum", "confident", "coteaching", "coteaching+", "dividemix", "fdividemix", "fine", "knn"}
ALONE = {"afr", "denetdm", "lc", "self"}
"""They debias in one stage, and pass nothing on."""


def test_every_method_is_in_the_matrix():
    assert set(methods) == DEBIASING | FINAL | KEEPING | ALONE | {"la"}


def test_the_whole_matrix():
    """Debias, then denoise; or keep what looks clean, then anything else."""
    denoising = FINAL | KEEPING
    wanted = {(first, second) for first in DEBIASING for second in denoising}
    wanted |= {(first, second) for first in KEEPING for second in DEBIASING | ALONE | denoising if first != second}
    wanted |= {(first, "la") for first in TELLING}
    assert set(valid_pairs()) == wanted


@pytest.mark.parametrize(
    ("alg", "stages"),
    [
        ("vanilla", ["vanilla"]),
        ("gce", ["gce"]),
        ("deneb", ["deneb", "gce"]),
        ("jtt", ["jtt", "vanilla"]),
        ("aum", ["aum", "vanilla"]),
        ("deneb_gce", ["deneb", "gce"]),
        ("aum_vanilla", ["aum", "vanilla"]),
        ("aum_gce", ["aum", "gce"]),
        ("aum_deneb", ["aum", "deneb", "gce"]),
        ("aum_jtt", ["aum", "jtt", "vanilla"]),
        ("deneb_aum", ["deneb", "aum", "vanilla"]),
        ("la", ["deneb", "la"]),
        ("vanilla_la", ["vanilla", "la"]),
    ],
)
def test_what_a_name_runs(alg, stages):
    assert stages_of(alg) == stages


@pytest.mark.parametrize(
    ("alg", "reason"),
    [
        ("deneb_deneb", "deneb after itself is not a pair"),
        ("aum_aum", "aum after itself is not a pair"),
        ("gce_deneb", "gce trains a final model and passes nothing on"),
        ("vanilla_gce", "vanilla trains a final model and passes nothing on"),
        ("deneb_jtt", "both act against bias"),
        ("jtt_pgd", "both act against bias"),
        ("gce_gce_gce", "has 3 parts"),
        ("jtt_la", "la has to be told the cue of every image, and jtt does not tell it"),
        ("dpr_la", "la has to be told the cue of every image, and dpr does not tell it"),
        ("deneb_denetdm", "both act against bias"),
        ("contradicted_la", "contradicted tells la no more than deneb does, and la has draws of its own"),
        ("la_gce", "la trains a final model and passes nothing on"),
        ("lc_gce", "lc trains a final model and passes nothing on"),
        ("deneb_lc", "deneb and lc both act against bias"),
        ("deneb_", "unknown method"),
        ("_gce", "unknown method"),
        ("", "unknown method"),
        ("denb_gce", "deneb"),
        ("deneb_gcee", "gce"),
    ],
)
def test_what_a_name_cannot_mean(alg, reason):
    with pytest.raises(UsageError, match=reason):
        stages_of(alg)


def test_a_refusal_names_pairs_that_work():
    with pytest.raises(UsageError, match="Near it: ") as refusal:
        stages_of("deneb_jtt")
    suggested = str(refusal.value).split("Near it: ")[1].rstrip(".").split(", ")
    assert any("deneb" in pair for pair in suggested)
    assert any("jtt" in pair for pair in suggested)
    assert all(objection(*pair.split("_")) is None for pair in suggested)


@pytest.fixture(scope="module")
def smallest():
    """96 coloured digits to train on, built once, and a log folder whose trained selectors all pairs share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(colored_digits, "TRAIN_IMAGES", 96)
        patch.setattr(colored_digits, "VALID_IMAGES", 20)
        patch.setattr(colored_digits, "TEST_DIGITS", 10)
        recipe = datasets["colored_digits"]
        source = recipe.build(Path(), 0.2, recipe.options())
        patch.setitem(
            datasets._things, "colored_digits", replace(recipe, build=lambda data_dir, bratio, options: source)
        )
        yield


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("log")


@pytest.mark.parametrize(("first", "second"), valid_pairs())
def test_every_pair_trains(first, second, smallest, log_dir):
    alg = f"{first}_{second}"
    flags = ["--epochs", "1", "--batch_size", "32", "--model", "MLP", "--bratio", "0.2", "--nratio", "0.2"]
    result = run(resolve(parse_arguments([*flags, "--alg", alg, "--log_dir", str(log_dir), "--no_figures"], "test")))
    names = stages_of(alg)
    assert [stage["method"] for stage in result["stages"]] == names
    assert result["alg"] == "_".join(names)
    for stage in result["stages"][:-1]:
        assert sum(stage["mass"].values()) == pytest.approx(1)
    assert 0 <= result["end"]["test_accuracy"] <= 1
    model = torch.load(log_dir / "colored_digits" / result["alg"] / "0.2_0.2" / "0" / "model.pt", weights_only=True)
    assert all(value.isfinite().all() for value in model.values())
