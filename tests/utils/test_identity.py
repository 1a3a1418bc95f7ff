"""What tells runs apart: arguments are named as flags, data by the part that differs."""

import pytest

from utils.identity import changed_parts, differences, digest

ONE = {"alg": "gce", "lr": 0.1, "seed": 0, "opt": "SGD", "matrix": (1, 2)}
FOLDS = {"cross_validation": {"method": "confident", "hparams": {"folds": 3}, "settings": {"lr": 0.1}}}
TWO = {"first.lr": 0.1, "second.lr": 0.1, "second.q": 0.7, "seed": 0}


@pytest.mark.parametrize(
    ("before", "now", "wanted"),
    [
        (ONE, ONE | {"matrix": [1, 2]}, []),
        (ONE, ONE | {"lr": 0.05}, ["--lr 0.1 there, 0.05 now"]),
        (ONE, {**ONE, "tau": None}, ["--tau not set there, null now"]),
        ({**ONE, "tau": None}, ONE, ["--tau null there, not set now"]),
        (ONE, ONE | {"opt": "Adam", "seed": 1}, ["--seed 0 there, 1 now", "--opt SGD there, Adam now"]),
        (ONE, ONE | {"lr": True}, ["--lr 0.1 there, true now"]),
        (ONE | {"seed": 1}, ONE | {"seed": True}, ["--seed 1 there, true now"]),
        (TWO, TWO | {"first.lr": 0.2, "second.lr": 0.2}, ["--lr 0.1 there, 0.2 now"]),
        (TWO, TWO | {"second.lr": 0.2}, ["--second.lr 0.1 there, 0.2 now"]),
        (ONE | {"referee": {"a": {"lr": 1}}}, ONE | {"referee": {"a": {"lr": 2}}}, ["--referee.a.lr 1 there, 2 now"]),
        (ONE | {"referee": {"lr": 1}}, ONE | {"referee": {"lr": 2}, "lr": 2}, ["--lr 0.1 there, 2 now"]),
        (ONE | FOLDS, ONE, ["--cross_validate 3 there, 0 now"]),
        (ONE | FOLDS, ONE | {"lr": 0.2}, ["--lr 0.1 there, 0.2 now", "--cross_validate 3 there, 0 now"]),
        (ONE, ONE | {"matrix": list(range(100))}, [f"--matrix [1, 2] there, {str(list(range(100)))[:57]}... now"]),
    ],
)  # fmt: skip
def test_differing_arguments_are_named_as_flags(before, now, wanted):
    assert sorted(differences(before, now)) == sorted(wanted)


def test_a_digest_depends_on_content_not_on_order():
    assert digest({"a": 1, "b": [2, 3]}) == digest({"b": (2, 3), "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})
    assert len(digest(None)) == 12


def test_data_that_differ_are_named_by_their_part():
    part = {"images": "a", "given labels": "b", "true labels": "c"}
    before = {"classes": ["x", "y"], **{name: {"contents": part} for name in ("train", "valid", "test")}}
    assert changed_parts(before, before) == []
    other = before | {"test": {"contents": part | {"true labels": "d"}}, "classes": ["x", "z"]}
    assert changed_parts(before, other) == ["the classes", "the true labels of test"]
    assert changed_parts(before | {"valid": {}}, before) == [f"the {kind} of valid" for kind in part]
