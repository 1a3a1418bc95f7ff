"""The engine on functions that take no time: draws, resuming, failures, the median rule, TPE against random search."""

import errno
import itertools
from dataclasses import replace

import pytest

from utils.errors import RunError, TrainingFailed, UsageError
from utils.hpo.engine import Outcome, Plan, Pruned, hopeless, search, suggest
from utils.hpo.trials import History, Trial

GRID = [0.1, 0.3, 0.5, 0.7, 0.9]
PLAN = Plan({"a": GRID, "b": GRID, "c": [0, 5, 10]}, maximise=True, tpe=True, seed=0, prune=False, evaluations=1,
            trials=25)  # fmt: skip
BEST = {"a": 0.7, "b": 0.3, "c": 5}


class Bowl:
    """Best at BEST; counts its evaluations."""

    def __init__(self, evaluate=lambda values, report: None):
        self.evaluated, self.evaluate = [], evaluate

    def name(self, values):
        return str(values)

    def __call__(self, values, report):
        self.evaluated.append(values)
        curve = self.evaluate(values, report)
        return Outcome(curve or [-sum((values[name] - BEST[name]) ** 2 for name in values)])


@pytest.fixture
def history(tmp_path):
    count = itertools.count()
    return lambda: History(tmp_path / f"trials{next(count)}.jsonl")


def suggestions(history):
    return [trial.values for trial in history.trials]


@pytest.fixture(params=[True, False], ids=["tpe", "random"])
def plan(request):
    return replace(PLAN, tpe=request.param)


def test_a_search_stopped_after_any_trial_goes_on_as_if_it_had_not(tmp_path, plan, history):
    whole = history()
    search(plan, Bowl(), whole)
    path = tmp_path / "again.jsonl"
    for stop in (1, 4, 11, 18, 25):
        search(replace(plan, trials=stop), Bowl(), History(path))
    again = History(path)
    assert [(t.number, t.values, t.curve) for t in again.trials] == [
        (t.number, t.values, t.curve) for t in whole.trials
    ]


def test_configurations_are_tried_once_and_the_whole_space_at_most(plan, history):
    evaluate, whole = Bowl(), history()
    search(replace(plan, space={"a": GRID, "c": [0, 5, 10]}, trials=100), evaluate, whole)
    assert len(evaluate.evaluated) == len(whole.trials) == 15
    assert all(one != other for one, other in itertools.combinations(suggestions(whole), 2))


def test_another_hyper_parameter_does_not_change_the_draws_of_the_others(plan):
    wider = replace(plan, space={"new": list(range(50)), **plan.space})
    finished, wide = [], []
    for number in range(20):
        values = suggest(plan, finished, [], number)
        more = suggest(wider, wide, [], number)
        assert {name: more[name] for name in values} == values
        finished.append(Trial(number, values, "finished", curve=[-number % 7]))
        wide.append(replace(finished[-1], values=more))


def test_seeds_differ_and_start_tpe_and_random_search_alike():
    first = [[suggest(replace(PLAN, seed=seed, tpe=tpe), [], [], k) for k in range(10)]
             for seed, tpe in ((0, True), (0, False), (1, True))]  # fmt: skip
    assert first[0] == first[1] != first[2]


def test_tpe_learns_from_values_and_from_failures(history):
    def fails_at_high_a(values, report):
        if values["a"] > 0.6:
            raise ValueError("too high")

    whole = history()
    search(replace(PLAN, trials=40), Bowl(fails_at_high_a), whole)
    asked = [suggest(PLAN, whole.trials, [], number) for number in range(40, 60)]
    assert sum(values["a"] > 0.6 for values in asked) <= 2
    assert sum(values["a"] == 0.5 and values["c"] == 5 for values in asked) > 10


def test_a_failing_trial_is_recorded_and_the_search_goes_on(history):
    def fails_once(values, report):
        if values["c"] == 10:
            raise RuntimeError("the loss is nan\nand more")

    whole = history()
    search(PLAN, Bowl(fails_once), whole)
    failed = [trial for trial in whole.trials if trial.values["c"] == 10]
    assert len(whole.trials) == 25
    assert failed
    assert all(trial.status == "failed" and trial.error == "the loss is nan" for trial in failed)
    assert all(trial.objective is None for trial in failed)
    assert len(whole.ranked(maximise=True)) == 25 - len(failed)


def test_an_interrupted_trial_is_not_recorded(history):
    def interrupted(values, report):
        raise KeyboardInterrupt

    whole = history()
    with pytest.raises(KeyboardInterrupt):
        search(PLAN, Bowl(interrupted), whole)
    assert not whole.trials


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("can't start new thread"),
        RunError("the files are missing"),
    ],
    ids=lambda error: str(error)[:20],
)
def test_what_is_no_fault_of_the_trial_ends_the_search_and_is_not_recorded(history, error):
    def fail(values, report):
        raise error

    whole = history()
    with pytest.raises(RunError):
        search(PLAN, Bowl(fail), whole)
    assert not whole.trials


@pytest.mark.parametrize("error", [TrainingFailed("diverged"), UsageError("does not fit"), ValueError("a method's")])
def test_a_trials_own_failure_is_recorded(history, error):
    def fail(values, report):
        raise error

    whole = history()
    search(replace(PLAN, trials=2), Bowl(fail), whole)
    assert [trial.error for trial in whole.trials] == [str(error)] * 2


OTHERS = [Trial(k, {}, "finished", curve=[k / 10, k / 10, 1.0]) for k in range(1, 6)]


def test_the_median_rule_by_hand():
    assert hopeless([0.2, 0.29], OTHERS, maximise=True, evaluations=3)  # the median of the means is 0.3
    assert not hopeless([0.2, 0.3], OTHERS, maximise=True, evaluations=3)
    assert not hopeless([0.31, 0.0], OTHERS, maximise=True, evaluations=3), "the best so far counts"
    assert not hopeless([0.0, 0.0], OTHERS[1:], maximise=True, evaluations=3), "four others are too few"
    assert not hopeless([0.0, 0.0, 0.0], OTHERS, maximise=True, evaluations=3), "nothing is saved at the last epoch"
    assert not hopeless([0.0], OTHERS, maximise=True, evaluations=5), "too early to say"
    assert hopeless([0.4, 0.31], OTHERS, maximise=False, evaluations=3)
    assert not hopeless([0.4, 0.3], OTHERS, maximise=False, evaluations=3)


def test_pruned_trials_keep_their_curve_and_are_never_best(history):
    def in_epochs(values, report):
        curve = []
        for epoch in range(4):
            curve.append(-abs(values["a"] - 0.7) - abs(values["b"] - 0.3) + epoch)
            report(curve)
        return curve

    whole = history()
    search(replace(PLAN, prune=True, evaluations=4), Bowl(in_epochs), whole)
    pruned = [trial for trial in whole.trials if trial.status == "pruned"]
    assert pruned
    assert all(1 <= len(trial.curve) < 4 and trial.objective is None for trial in pruned)
    assert all(trial.number >= 5 for trial in pruned)


def test_whoever_raises_pruned_is_pruned(history):
    def stop(values, report):
        report([0.5])
        raise Pruned

    whole = history()
    search(replace(PLAN, trials=1), Bowl(stop), whole)
    assert (whole.trials[0].status, whole.trials[0].curve) == ("pruned", [0.5])


def test_a_damaged_history_is_an_error_that_names_it(tmp_path):
    (tmp_path / "trials.jsonl").write_text('{"number": 0')
    with pytest.raises(RunError, match=r"trials\.jsonl"):
        History(tmp_path / "trials.jsonl")
