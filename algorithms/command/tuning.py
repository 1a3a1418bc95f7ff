"""The search for a method's hyper-parameters: its space, a trial as a run, and what a search leaves in its folder."""

import argparse
import dataclasses
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from algorithms.base import methods
from algorithms.command.arguments import COUNT, SEED, SETTINGS, THREADS, hparam_flags, parse_value
from algorithms.command.presets import found_for, with_presets
from algorithms.command.resolve import resolve
from algorithms.training import outputs
from algorithms.training.config import STAGES, RunConfig, StageConfig, method_folder
from algorithms.training.criteria import CRITERIA, Criterion
from algorithms.training.pairs import stages_of
from algorithms.training.run import run
from algorithms.training.trainer import Record
from data.load import load_dataset
from data.split import Dataset
from utils.cli import Parser, any_path, number
from utils.errors import RunError, UsageError, unknown_name
from utils.files import read_json, write_json, write_text
from utils.hpo.engine import Outcome, Plan, Report, search
from utils.hpo.trials import History, Trial, settings_text, trials_csv, trials_table
from utils.run_folder import RunFolder
from utils.schema import Plain

log = logging.getLogger(__name__)


def add_search_flags(parser: Parser) -> None:
    group = parser.add_argument_group("search")
    group.add_argument("--search_trial", type=COUNT, default=30, help="how many configurations to try")
    group.add_argument("--hyperopt", action="store_true", help="hyperopt's TPE instead of its random search")
    group.add_argument("--search_seed", type=SEED, default=0, help="of the suggestions")
    criteria = "; ".join(f"{name}: {criterion.help}" for name, criterion in CRITERIA.items())
    help = f"another name of --best_by: what names the best epoch names the best trial too. {criteria}"
    group.add_argument("--search_metric", dest="best_by", choices=CRITERIA, metavar="NAME", help=help)
    group.add_argument("--set", action="append", default=[], metavar="NAME=V1,V2", help="values to try; repeatable")
    group.add_argument("--space", type=any_path, metavar="FILE", help="the same as JSON, a list of values by name")
    group.add_argument("--prune", action="store_true", help="stop hopeless trials early: median rule; with ray, ASHA")
    group.add_argument("--engine", choices=["embedded", "ray"], default="embedded", help="in this process, or Ray Tune")
    group.add_argument("--ray_address", help="a running Ray cluster, such as auto (default: start one here)")
    group.add_argument("--cpus_per_trial", type=THREADS, default=1, help="with ray")
    group.add_argument("--gpu_usage", type=number(float, above=0, high=1), default=0.5, help="GPU share of a ray trial")


def space_of(arguments: argparse.Namespace) -> dict[str, list]:
    """The values to try of each hyper-parameter, by the shortest flag that sets it.

    They are the methods' own declarations, changed by `--space` and then by `--set`, without what a flag fixes.

    Raises:
        UsageError: an unknown name, a value that its flag would not take, or nothing to choose.
    """
    stages = [methods[name] for name in stages_of(arguments.alg)]
    prefixes = ["", *(f"{stage}." for stage in STAGES[: len(stages)])] if len(stages) > 1 else [""]
    flags = {prefix + name: [prefix + name] for prefix in prefixes for name in SETTINGS}
    values: dict[str, list] = {}
    for position, method in enumerate(stages):
        for hparam in dataclasses.fields(method.Hparams):
            name, *longer = hparam_flags(stages, position, hparam.name)
            flags[name] = [name, *longer]
            if len(hparam.metadata["search"]) > 1:
                values[name] = hparam.metadata["search"]
    given = {flag for flag, value in vars(arguments).items() if value is not None}
    for name in [name for name in values if given.intersection(flags[name])]:
        del values[name]
    shortest = {flag: name for name, all_flags in flags.items() for flag in all_flags}
    for flag, asked in [*_from_file(arguments.space), *map(_from_text, arguments.set)]:
        if flag not in shortest:
            raise unknown_name("hyper-parameter", flag, shortest)
        if given.intersection(flags[shortest[flag]]):
            raise UsageError(f"--{flag} is given, so it is not searched: leave out the flag, or --set and --space.")
        values[shortest[flag]] = asked
    parsed = {name: [parse_value(arguments.alg, name, value) for value in asked] for name, asked in values.items()}
    space = {name: list(dict.fromkeys(asked)) for name, asked in parsed.items()}
    if all(len(asked) == 1 for asked in space.values()):
        raise UsageError(
            f"--alg {arguments.alg}: no hyper-parameter is left to search. "
            "Name some, as in --set lr=0.01,0.05, or give fewer flags."
        )
    return space


def _from_text(text: str) -> tuple[str, list]:
    name, _, values = text.partition("=")
    if not values:
        raise UsageError(f"--set {text}: wanted a name and values, such as --set q=0.1,0.5.")
    return name, values.split(",")


def _from_file(path: Path | None) -> list[tuple[str, list]]:
    if path is None:
        return []
    wanted = 'Wanted a list of values for each name, such as {"q": [0.1, 0.5]}.'
    try:
        space = read_json(path, dict[str, list[Plain]], wanted)
    except RunError as error:
        raise UsageError(f"--space: {error}") from error
    empty = [name for name, values in space.items() if not values]
    if empty or not space:
        raise UsageError(f"--space {path}: no values for {', '.join(empty) or 'anything'}. {wanted}")
    return list(space.items())


@dataclasses.dataclass(frozen=True)
class TrialRun:
    """Evaluates a configuration by a run in a folder of its own, which searches over the same settings share.

    best_by: the criterion. referee: the one that judges all trials, whatever training settings are searched.
    data: the identity of the data.
    """

    arguments: argparse.Namespace
    presets: tuple[dict[str, Any], ...]
    best_by: str
    referee: StageConfig | None
    data: str

    @property
    def criterion(self) -> Criterion:
        return CRITERIA[self.best_by]

    @property
    def title(self) -> str:
        return f"{self.best_by} (oracle)" if self.criterion.oracle else self.best_by

    def config(self, values: dict[str, Any]) -> RunConfig:
        config = resolve(argparse.Namespace(**{**vars(self.arguments), **values}))
        config = replace(config, referee=self.referee, presets=self.presets, cross_validation=None, trial=self.data)
        return replace(config, overwrite=False, figures=False, result_dir=None)

    def name(self, values: dict[str, Any]) -> str:
        return self.config(values).folder.name

    def __call__(self, values: dict[str, Any], report: Report) -> Outcome:
        config = self.config(values)

        def watch(records: list[Record]) -> None:
            key = self.criterion.key
            if records[-1]["stage"] == len(config.stages) and key in records[-1]:
                report(self._curve([record[key] for record in records if key in record]))

        result = run(config, watch)
        details = {key: result["end"][key] for key in ("valid_loss", "valid_accuracy", "test_accuracy")}
        return Outcome(self._curve(result["curve"]), details)

    def _curve(self, values: list[float | None]) -> list[float]:
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            raise RunError(f"{self.best_by} has no value for {self.arguments.alg} on these data.")
        return known


def run_search(arguments: argparse.Namespace, command: str) -> str:
    """Searches as the flags say, or goes on with it, and returns the table of the best trials.

    Everything is in `<log_dir>/<dataset>/<alg>/<nratio>_<bratio>/preset/`, or `preset_NAME` with `--run_name NAME`.

    Args:
        command: what the user typed, for the record.

    Raises:
        UsageError: there is nothing to search, or settings contradict each other.
        RunError: the folder holds another search, or no trial was finished.
    """
    if arguments.indep_run > 1:
        raise UsageError("--indep_run: a search tries each configuration once. Train the best one with train_mix.py.")
    everything = space_of(arguments)
    constants = {name: values[0] for name, values in everything.items()}
    base, presets, notes = with_presets(argparse.Namespace(**{**vars(arguments), **constants}), automatic=False)
    asked = resolve(arguments)
    dataset = load_dataset(asked.data)
    evaluate = TrialRun(base, presets, asked.best_by, asked.referee, dataset.identity)
    config, title, maximise = evaluate.config({}), evaluate.title, evaluate.criterion.maximise
    plan = Plan(
        space={name: values for name, values in everything.items() if len(values) > 1},
        maximise=maximise,
        tpe=arguments.hyperopt,
        seed=arguments.search_seed,
        prune=arguments.prune,
        evaluations=-(-config.stages[-1].settings.epochs // config.eval_every),
        trials=arguments.search_trial,
    )
    name = f"preset_{arguments.run_name}" if arguments.run_name else "preset"
    folder = RunFolder(method_folder(config.log_dir, config.data, config.alg) / name)
    log.info(
        "%s on %s, seed %d, %s, in %s", config.alg, config.dataset_name, config.data.seed, config.device, folder.path
    )
    for name, values in plan.space.items():
        log.info("  %s: %s", name, ", ".join(map(str, values)))
    for line in notes:
        log.info("%s", line)
    with folder.locked(wait=False):
        _claim(folder, plan, config, dataset, arguments.overwrite)
        bar = tqdm(total=plan.wanted, desc="search", unit="trial", disable=None)
        images = dataset.contents["train"]["images"]
        summary = Notes(folder, plan, evaluate, images, command, bar)
        history = History(folder / "trials.jsonl", plan.space, summary)
        summary.write(history)  # a kill may have come between a trial and what is said of it
        bar.update(len(history.trials))
        if arguments.engine == "ray":
            _search_with_ray(plan, evaluate, history, arguments)
        else:
            search(plan, evaluate, history)
        bar.close()
    if not history.ranked(maximise):
        reasons = sorted({trial.error or trial.status for trial in history.trials})
        raise RunError(f"not one of {len(history.trials)} trials was finished. {' '.join(reasons)}")
    if not arguments.no_figures:
        from utils.results import plots

        plots.search_progress(folder / "search.png", history, plan.space, title, maximise)
    return f"{trials_table(history, title, maximise)}\n{folder / 'best.json'}"


def _search_with_ray(plan: Plan, evaluate: TrialRun, history: History, arguments: argparse.Namespace) -> None:
    try:
        from utils.hpo import ray_engine
    except ImportError as error:
        raise RunError("--engine ray needs an extra package: pip install 'ray[tune]'") from error
    on_gpu = resolve(evaluate.arguments).device.type == "cuda"
    gpu = None if on_gpu else evaluate.arguments.gpu  # a trial sees the one that Ray gives it
    remote = replace(evaluate, arguments=argparse.Namespace(**{**vars(evaluate.arguments), "gpu": gpu}))
    resources = {"cpu": arguments.cpus_per_trial, **({"gpu": arguments.gpu_usage} if on_gpu else {})}
    folder = history.path.parent.resolve() / "ray"
    ray_engine.search(plan, remote, history, folder, arguments.ray_address, resources)


def _claim(folder: RunFolder, plan: Plan, config: RunConfig, dataset: Dataset, overwrite: bool) -> None:
    """Makes the folder this search's, or checks that it is. The number of trials may change, nothing else."""
    fixed = {
        argument: value  # such as second.q, which the space may call q
        for argument, value in config.arguments().items()
        if argument not in plan.space and argument.split(".")[-1] not in plan.space
    }
    about = {"hyperopt": plan.tpe, "search_seed": plan.seed, "prune": plan.prune}
    identity = {**about, **{f"space of {name}": values for name, values in plan.space.items()}, **fixed}
    if overwrite:
        for name in ("best.json", "conf.log", "search.png", "trials.jsonl"):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / "ray", ignore_errors=True)
    outputs.write_config(config, identity, folder, folder.start(identity, overwrite), dataset)


@dataclasses.dataclass(frozen=True)
class Notes:
    """Called after every trial: brings `conf.log`, `best.json` and the screen up to date."""

    folder: RunFolder
    plan: Plan
    evaluate: TrialRun
    images: str
    command: str
    bar: tqdm

    def __call__(self, history: History, trial: Trial) -> None:
        best = self.write(history)
        self.bar.set_postfix_str(best, refresh=False)
        self.bar.update()
        outcome = trial.error or trial.status if trial.objective is None else f"{trial.objective:.4f}"
        log.log(
            logging.INFO if self.bar.disable else logging.DEBUG,
            "trial %d, %d of %d: %s with %s (%.1f s); %s",
            trial.number,
            len(history.trials),
            self.plan.wanted,
            outcome,
            settings_text(trial.values),
            trial.seconds,
            best,
        )

    def write(self, history: History) -> str:
        """Writes `conf.log` and `best.json` as far as there is something to say; returns which trial is the best."""
        title = self.evaluate.title
        if history.trials:
            write_text(self.folder / "conf.log", trials_csv(history, title))
        ranked = history.ranked(self.plan.maximise)
        if not ranked:
            return "none finished yet"
        write_json(self.folder / "best.json", self.preset(ranked[0], len(history.trials)))
        return f"best {title} {ranked[0].objective:.4f} in trial {ranked[0].number}"

    def preset(self, best: Trial, trials: int) -> dict[str, Any]:
        """A trial as a preset file's content: all hyper-parameters, and those training settings that were searched."""
        config = self.evaluate.config(best.values)
        stages = []
        for position, stage in enumerate(config.stages):
            described, prefix = stage.as_dict(), f"{STAGES[position]}."
            searched = {n for n in SETTINGS if n in self.plan.space or prefix + n in self.plan.space}
            settings = {name: value for name, value in described["settings"].items() if name in searched}
            stages.append({**described, "settings": settings, "trained_with": described["settings"]})
        return {
            "alg": config.alg,
            "dataset": config.dataset_name,
            "bratio": config.data.bratio,
            "nratio": config.data.nratio,
            "seed": config.data.seed,
            "criterion": self.evaluate.best_by,
            "oracle": self.evaluate.criterion.oracle,
            "value": best.objective,
            "trials": trials,
            "stages": stages,
            "command": self.command,
            "found_for": found_for(config),
            "images": self.images,
        }
