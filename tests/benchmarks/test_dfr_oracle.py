"""DFR with true groups: balanced subsets, what they are worth, and the whole command on a few digits."""

import numpy as np
import pytest

from algorithms.base import methods
from benchmarks import dfr_oracle
from utils.seeds import numpy_generator


def test_it_is_no_method():
    assert not [name for name in methods if "dfr" in name]


def test_subsets_have_as_many_of_every_group():
    groups = np.array([5] * 10 + [2] * 3 + [7] * 4)
    rows = dfr_oracle.balanced(groups, np.random.default_rng(0))
    assert sorted(groups[rows]) == [2] * 3 + [5] * 3 + [7] * 3
    assert len(set(rows)) == 9


def cued(count, conflicting, seed):
    """Two classes: one feature tells the class with noise, another one the cue without; eight say nothing."""
    draws = np.random.default_rng(seed)
    classes = draws.integers(0, 2, count)
    cues = np.where(draws.random(count) < conflicting, 1 - classes, classes)
    features = draws.normal(0, 1, (count, 10))
    features[:, 0] += 3 * classes
    features[:, 1] = 5 * cues + draws.normal(0, 0.1, count)
    return features.astype(np.float32), classes, 2 * classes + cues


def test_groups_are_worth_something_where_the_cue_is_easier_than_the_class():
    train, classes, groups = cued(1000, 0.02, 0)
    unseen, true, unseen_groups = cued(1000, 0.5, 1)
    predicted, strength = dfr_oracle.dfr(train, classes, groups, unseen, numpy_generator(0, "dfr"))
    assert strength in dfr_oracle.STRENGTHS

    def worst(right):
        return min(right[unseen_groups == group].mean() for group in range(4))

    plain = dfr_oracle.refit(train, classes, np.zeros(1000), 1.0, numpy_generator(0, "dfr")).predict(unseen)
    assert worst(predicted == true) > 0.75 > worst(plain == true)


@pytest.fixture
def command(monkeypatch, fewer_digits, conv_weights, tmp_path):
    fewer_digits(100, 200, 60)
    monkeypatch.setattr(dfr_oracle, "REFITS", 2)
    flags = ["--model", "CONV", "--weights", str(conv_weights), "--log_dir", str(tmp_path), "--gpu", "cpu"]
    return lambda *more: dfr_oracle.main([*flags, *more])


def test_command(command, capsys):
    assert command("--frozen", "--clean_valid", "--seeds", "0,1") == 0
    out = capsys.readouterr().out
    assert "| DFR (oracle) | 2 | " in out
    assert "300 held-out images in 100 groups" in out


def test_what_it_needs_is_said(command, capsys):
    assert command() == 2
    assert "--frozen is needed" in capsys.readouterr().err
