"""The same search on Ray Tune: several trials at a time, on one machine or on a cluster.

Ray only runs the trials and lets ASHA stop hopeless ones. They are suggested by engine.py, with the draws of a single
process, and kept in the same history. Which trials have finished when one is suggested is a matter of timing, so
only random search and the first trials of TPE are repeatable. All nodes must see the same files at the same paths, and
the folder that the search is started in.

A killed search goes on by `Tuner.restore`. Ray's own state is some seconds old then; what our files know is newer wins.
"""

import json
import logging
import os
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher

from utils.cpu import use_threads
from utils.errors import RunError
from utils.files import read_json, write_json
from utils.hpo.engine import MIN_SHARE, Evaluate, Plan, attempt, free_number, suggest
from utils.hpo.trials import History, Trial
from utils.schema import Plain

MAX_FAILURES = 3
"""Times that a trial is started again after its process or its machine died."""

ROOT = Path(__file__).parents[2]


def search(
    plan: Plan, evaluate: Evaluate, history: History, folder: Path, address: str | None, resources: dict[str, float]
) -> None:
    """Tries configurations on Ray until `history` holds as many as wanted; those that were under way go on.

    Args:
        folder: absolute; where Ray and this module keep what is under way.
        address: of a running cluster; by default Ray is started on this machine.
        resources: what a trial takes, as {"cpu": 1} or {"cpu": 1, "gpu": 0.5}.

    Raises:
        RunError: there is no cluster at `address`, or Ray cannot be started here.
    """
    if len(history.trials) >= plan.wanted:
        return
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # the run folders have all that these would write
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new one cannot be silenced
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C is for the script to answer
    python_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    local: dict[str, Any] = {} if address else {"include_dashboard": False}
    try:
        ray.init(
            address=address or "local",  # without a word Ray would join whatever cluster it finds
            runtime_env={"env_vars": {"PYTHONPATH": python_path}},
            log_to_driver=False,
            logging_level=logging.ERROR,
            **local,
        )
    except Exception as error:  # where it takes too long to start, Ray raises no other type
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if address is None:
            raise RunError(f"Ray cannot be started here: {reason} Its own logs are below /tmp/ray.") from error
        raise RunError(
            f"--ray_address {address}: {reason} Is the cluster running (ray start --head)? "
            "If it asks for a token, set RAY_AUTH_MODE=token and have its ~/.ray/auth_token here."
        ) from error
    except SystemExit:  # Ray puts its own handler of SIGTERM, which says nothing
        raise KeyboardInterrupt from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _fit(plan, evaluate, history, folder, resources)
    finally:
        ray.shutdown()


def _fit(plan: Plan, evaluate: Evaluate, history: History, folder: Path, resources: dict[str, float]) -> None:
    sign, here = 1 if plan.maximise else -1, Path.cwd()

    def run_trial(config: dict[str, Any]) -> None:
        os.chdir(here)  # Ray gives each trial a folder of its own, where relative paths of flags lead nowhere
        use_threads(max(1, int(resources["cpu"])))

        def report(curve: list[float]) -> None:
            tune.report({"evaluation": len(curve), "objective": sign * curve[-1], "curve": json.dumps(curve)})

        try:
            trial = attempt(evaluate, config["number"], config["values"], report)
        except RunError as error:
            tune.report({"evaluation": plan.evaluations + 1, "objective": float("-inf"), "stopped": str(error)})
            return
        objective = float("-inf") if trial.objective is None else sign * trial.objective
        tune.report({"evaluation": plan.evaluations + 1, "objective": objective, "trial": json.dumps(asdict(trial))})

    searcher = HistorySearcher(plan, evaluate, history, folder / "under_way.json")
    trainable = tune.with_resources(run_trial, resources)
    last = len(list(folder.glob("round_*")))
    if last and tune.Tuner.can_restore(str(folder / f"round_{last}")):
        tuner = tune.Tuner.restore(str(folder / f"round_{last}"), trainable, resume_unfinished=True)
        known = tuner.get_results()
        searcher.forget_all_but({(known[k].config or {}).get("number", -1) for k in range(len(known))})
        tuner.fit()
        if searcher.stopped:
            raise RunError(searcher.stopped)
    asha = ASHAScheduler(
        time_attr="evaluation",
        metric="objective",
        mode="max",
        max_t=plan.evaluations + 1,
        grace_period=max(1, round(MIN_SHARE * plan.evaluations)),
    )
    while (missing := plan.wanted - len(history.trials)) > 0:  # a killed round comes back without its last trials
        last += 1
        searcher.forget_all_but(set())
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=searcher, scheduler=asha if plan.prune else None, num_samples=missing, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                name=f"round_{last}",
                storage_path=str(folder),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
            ),
        )
        tuner.fit()
        if searcher.stopped:
            raise RunError(searcher.stopped)
        if plan.wanted - len(history.trials) == missing:
            raise RunError("Ray finished no trial; its own logs are below /tmp/ray.")


class UnderWay(TypedDict):
    number: int
    values: dict[str, Plain]


class HistorySearcher(Searcher):
    """Hands Ray the configurations of `suggest`, and our history what came of them.

    What is under way is in a file, by Ray's name of the trial, so that nothing depends on Ray's copy of this object.
    """

    current: "HistorySearcher"

    def __init__(self, plan: Plan, evaluate: Evaluate, history: History, path: Path) -> None:
        super().__init__()
        self.plan, self.evaluate, self.history, self.path = plan, evaluate, history, path
        self.under_way: dict[str, dict[str, Any]] = read_json(path, dict[str, UnderWay]) if path.exists() else {}
        self.lost: list[dict[str, Any]] = []
        self.stopped: str | None = None
        """Why the search cannot go on: the machine, the data or the folder, not a trial's values."""
        HistorySearcher.current = self

    def __reduce__(self) -> tuple:
        return _current_searcher, ()  # Ray pickles its searcher; whoever restores it gets the one of this process

    def forget_all_but(self, numbers: set[int]) -> None:
        """Takes trials under way that Ray does not know (any more) off the list, to suggest them again."""
        finished = {trial.number for trial in self.history.trials}
        mine = {name: one for name, one in self.under_way.items() if one["number"] not in finished}
        self.under_way = {name: one for name, one in mine.items() if one["number"] in numbers}
        self.lost = [one for one in mine.values() if one["number"] not in numbers]

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict, **spec: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> Any:
        waiting = [*self.under_way.values(), *self.lost]
        if self.lost:
            one = self.lost.pop(0)
        elif self.stopped or len(self.history.trials) + len(waiting) >= self.plan.wanted:
            return Searcher.FINISHED
        else:
            number = free_number({trial.number for trial in self.history.trials} | {each["number"] for each in waiting})
            tried = [trial.values for trial in self.history.trials] + [each["values"] for each in waiting]
            one = {"number": number, "values": suggest(self.plan, self.history.trials, tried, number)}
        self.under_way[trial_id] = one
        write_json(self.path, self.under_way)
        return one

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        one = self.under_way.pop(trial_id, None)
        if error or (result and "stopped" in result):
            died = f"the process of a trial ended {MAX_FAILURES + 1} times; is there enough memory?"
            self.stopped = result["stopped"] if result and "stopped" in result else died
            write_json(self.path, self.under_way)
            return
        if result and "trial" in result:
            trial = Trial(**json.loads(result["trial"]))
        elif one is None or not result:
            return
        else:
            uuid = self.evaluate.name(one["values"])
            curve, seconds = json.loads(result["curve"]), result["time_total_s"]
            trial = Trial(**one, status="pruned", uuid=uuid, curve=curve, seconds=seconds)
        if all(known.number != trial.number for known in self.history.trials):
            self.history.add(trial)
        write_json(self.path, self.under_way)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the history and the list of trials under way are on disk already."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        pass


def _current_searcher() -> HistorySearcher:
    return HistorySearcher.current
