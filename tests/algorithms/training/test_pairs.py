"""Which methods can follow each other and why others cannot."""

import pytest

from algorithms.base import methods
from algorithms.training.pairs import objection, stages_of, valid_pairs
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
