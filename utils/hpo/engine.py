"""Search over a grid of values, one trial at a time: hyperopt suggests, our own history remembers.

Every draw comes from a stream named by the search's seed, the hyper-parameter and the trial, and hyperopt is asked for
each hyper-parameter on its own. Its TPE models them independently anyway, so nothing is lost, and a search that was
killed, or that has one more hyper-parameter, makes the same draws. hyperopt keeps no state: it
goes through the history again for every suggestion, which takes some milliseconds per hyper-parameter.
"""

import itertools
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from utils.errors import RunError, TrainingFailed, UsageError, machine_error
from utils.hpo.trials import History, Status, Trial
from utils.seeds import derive

Report = Callable[[list[float]], None]
"""Called after every evaluation of a trial's model with the criterion's curve so far; may raise `Pruned`."""

STARTUP = 10
"""So many trials are drawn at random before TPE has enough to go by; hyperopt's default, 20, is most of 30 trials."""

MIN_OTHERS, MIN_SHARE = 5, 0.25
"""A trial is called hopeless after at least this share of its evaluations, and where so many others came as far."""


class Pruned(Exception):
    """Raised within a trial to stop it."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of a configuration: the criterion at every evaluation, and details worth keeping."""

    curve: list[float]
    details: dict[str, Any] = field(default_factory=dict)


class Evaluate(Protocol):
    """The questions that a search asks about a configuration."""

    def name(self, values: dict[str, Any]) -> str:
        """Names the configuration together with all that is fixed."""

    def __call__(self, values: dict[str, Any], report: Report) -> Outcome: ...


@dataclass(frozen=True)
class Plan:
    """The plan of a search.

    space: the values to choose from, by hyper-parameter. maximise: whether more of the criterion is better.
    tpe: hyperopt's TPE, else its random search. prune: stop hopeless trials early.
    evaluations: how many there are of a trial's final stage, one an epoch or fewer.
    trials: how many configurations to try, each once.
    """

    space: dict[str, list]
    maximise: bool
    tpe: bool
    seed: int
    prune: bool
    evaluations: int
    trials: int

    @property
    def wanted(self) -> int:
        return min(self.trials, math.prod(map(len, self.space.values())))


def search(plan: Plan, evaluate: Evaluate, history: History) -> None:
    """Tries configurations, one after another, until `history` holds as many as wanted.

    Started again with the same history, it goes on as if it had never stopped.
    """
    while len(history.trials) < plan.wanted:
        others = history.trials
        number = free_number({trial.number for trial in others})

        def report(curve: list[float], others: list[Trial] = others) -> None:
            if plan.prune and hopeless(curve, others, plan.maximise, plan.evaluations):
                raise Pruned

        values = suggest(plan, others, [trial.values for trial in others], number)
        history.add(attempt(evaluate, number, values, report))


def free_number(taken: set[int]) -> int:
    return next(number for number in itertools.count() if number not in taken)


def attempt(evaluate: Evaluate, number: int, values: dict[str, Any], report: Report) -> Trial:
    """Evaluates one configuration; what its own values did wrong becomes part of the record.

    Raises:
        RunError: something else is wrong: the machine, the data, the folder. It says nothing about the configuration.
    """
    start = time.perf_counter()
    curve: list[float] = []

    def remember(so_far: list[float]) -> None:
        curve[:] = so_far
        report(so_far)

    status: Status = "finished"
    uuid, error, details = None, None, {}
    try:
        uuid = evaluate.name(values)
        outcome = evaluate(values, remember)
        curve, details = outcome.curve, outcome.details
    except Pruned:
        status = "pruned"
    except Exception as problem:  # a search outlives its trials: no convergence, settings that do not fit
        told = machine_error(problem)
        if told or (isinstance(problem, RunError) and not isinstance(problem, TrainingFailed | UsageError)):
            raise (told or problem) from problem
        status, error = "failed", (str(problem).strip() or type(problem).__name__).splitlines()[0]
    return Trial(number, values, status, uuid, curve, details, error, time.perf_counter() - start)


def hopeless(curve: list[float], others: list[Trial], maximise: bool, evaluations: int) -> bool:
    """The median stopping rule (Golovin et al., "Google Vizier", KDD 2017, section 3.2).

    A trial is hopeless if the best of its values so far is worse than the median over the others of the mean of theirs
    up to the same evaluation.
    """
    now, sign = len(curve), 1 if maximise else -1
    means = [sign * statistics.fmean(trial.curve[:now]) for trial in others if len(trial.curve) >= now]
    if now == evaluations or now < MIN_SHARE * evaluations or len(means) < MIN_OTHERS:
        return False
    return max(sign * value for value in curve) < statistics.median(means)


def suggest(plan: Plan, finished: list[Trial], tried: list[dict[str, Any]], number: int) -> dict[str, Any]:
    """The configuration of trial `number`, which is never one of `tried` (finished or under way).

    Where the algorithm asks for a known one again, there is nothing to learn: one is drawn at random instead.

    Args:
        number: names the random streams; the same number with the same trials finished gives the same suggestion.
    """
    values = {name: _choose(plan, finished, name, number) for name in plan.space}
    again = 0
    while values in tried:
        again += 1
        values = {name: _draw(plan, name, number, again) for name in plan.space}
    return values


def _choose(plan: Plan, finished: list[Trial], name: str, number: int) -> Any:
    """One hyper-parameter's value by the plan's algorithm; TPE takes unfinished trials for the worst.

    hyperopt goes through the finished trials again, whose outcomes are known, and then asks for one more.
    """
    if not plan.tpe:
        return _draw(plan, name, number, 0)
    from hyperopt import STATUS_FAIL, STATUS_OK, fmin, hp, tpe

    options, seed = plan.space[name], derive(plan.seed, name, number, 0)
    losses = [None if trial.objective is None else (1 - 2 * plan.maximise) * trial.objective for trial in finished]
    outcomes = iter([{"status": STATUS_FAIL if loss is None else STATUS_OK, "loss": loss} for loss in losses])
    asked = []

    def outcome(value: Any) -> dict[str, Any]:
        asked.append(value)
        return next(outcomes, {"status": STATUS_OK, "loss": 0.0})

    def suggestion(numbers: list[int], domain: Any, trials: Any, _: int) -> Any:
        return tpe.suggest(numbers, domain, trials, seed, n_startup_jobs=STARTUP, verbose=False)

    fmin(
        outcome, hp.choice("value", options), suggestion, max_evals=1, show_progressbar=False,
        points_to_evaluate=[{"value": options.index(trial.values[name])} for trial in finished],
    )  # fmt: skip
    return asked[len(finished)]


def _draw(plan: Plan, name: str, number: int, again: int) -> Any:
    from hyperopt import hp
    from hyperopt.pyll.stochastic import sample

    stream = np.random.default_rng(derive(plan.seed, name, number, again))
    return sample(hp.choice("value", plan.space[name]), rng=stream)
