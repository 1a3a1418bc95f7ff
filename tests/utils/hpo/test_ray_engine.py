"""The search on Ray Tune, several trials at a time: the same draws and files as in one process."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from utils.errors import RunError
from utils.hpo.engine import Outcome, Plan, search
from utils.hpo.trials import History

ray_engine = pytest.importorskip("utils.hpo.ray_engine", reason="the optional package ray[tune] is not installed")

PLAN = Plan({"a": [1, 2, 3, 4], "b": [0, 1]}, maximise=True, tpe=False, seed=0, prune=True, evaluations=3, trials=8)


@pytest.fixture
def evaluate(tmp_path):
    class Evaluate:  # defined here, so that Ray sends it along
        def name(self, values):
            return f"{values['a']}{values['b']}"

        def __call__(self, values, report):
            if not Path("near").exists():
                raise ValueError("a trial does not find files by paths that are relative for the search")
            if values["a"] == 4:
                raise ValueError("four is too many")
            if (full_disk := tmp_path / "full disk").exists():
                raise OSError(errno.ENOSPC, "No space left on device", str(full_disk))
            curve = []
            for epoch in range(3):
                curve.append(float(values["a"] + epoch))
                report(list(curve))
            return Outcome(curve, {"test_accuracy": 0.5})

    return Evaluate()


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_search_goes_on_with_ray_as_in_this_process(tmp_path, monkeypatch, evaluate):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Path("near").touch()
    here, there = History(tmp_path / "here.jsonl"), History(tmp_path / "there.jsonl")
    search(replace(PLAN, prune=False), evaluate, here)
    search(replace(PLAN, trials=2), evaluate, there)
    (tmp_path / "full disk").touch()
    with pytest.raises(RunError, match="full disk: No space left on device"):
        ray_engine.search(PLAN, evaluate, there, tmp_path / "ray", None, {"cpu": 1})
    assert all(trial.status == "failed" for trial in there.trials[2:]), "for their own fault"
    (tmp_path / "full disk").unlink()
    ray_engine.search(PLAN, evaluate, there, tmp_path / "ray", None, {"cpu": 1})
    assert [(t.number, t.values, t.uuid) for t in there.trials] == [(t.number, t.values, t.uuid) for t in here.trials]
    for trial, other in zip(there.trials, here.trials, strict=True):
        if trial.status == "pruned":
            assert trial.curve == other.curve[: len(trial.curve)]
        else:
            assert (trial.status, trial.curve, trial.error) == (other.status, other.curve, other.error)
    assert {trial.status for trial in there.trials[2:]} >= {"finished", "failed"}
    assert History(tmp_path / "there.jsonl").trials == there.trials


@pytest.mark.parametrize(
    ("address", "told"), [(None, "^Ray cannot be started here: The node timed out"), ("auto", "^--ray_address auto: ")]
)
def test_what_keeps_ray_from_starting_is_told_in_one_line(address, told, tmp_path, monkeypatch, evaluate):
    def init(**settings):
        raise Exception("The node timed out\nduring startup")

    monkeypatch.setattr(ray_engine.ray, "init", init)
    with pytest.raises(RunError, match=told) as error:
        ray_engine.search(PLAN, evaluate, History(tmp_path / "trials.jsonl"), tmp_path / "ray", address, {"cpu": 1})
    assert "\n" not in str(error.value)
