"""Presets: hyper-parameters that a search found, as a JSON file, and when a run takes them."""

import argparse
import dataclasses
import shlex
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from algorithms.base import Method, methods
from algorithms.command.arguments import SETTINGS, hparam_flags, parse_value
from algorithms.command.resolve import data_settings, resolve
from algorithms.training.config import STAGES, RunConfig, StageConfig, method_folder
from algorithms.training.pairs import stages_of
from data.load import load_dataset
from utils.errors import UsageError
from utils.files import read_json
from utils.hpo.trials import settings_text
from utils.identity import differences
from utils.schema import Plain

COMMITTED = Path(__file__).parents[2] / "presets"


class StagePreset(TypedDict):
    """A search's finding for a stage; `settings` are training settings that were searched."""

    method: str
    hparams: dict[str, Plain]
    settings: dict[str, Plain]


class Preset(TypedDict):
    """A preset file.

    found_for, images: what it was found for: see `found_for`, and the SHA-256 of the training images.
    """

    alg: str
    dataset: str
    bratio: float | None
    nratio: float
    criterion: str
    oracle: bool
    value: float
    trials: int
    stages: list[StagePreset]
    command: str
    found_for: NotRequired[dict[str, Any]]
    images: NotRequired[str]


def committed(dataset: str, alg: str) -> Path:
    """The file of `--preset tuned`, which need not be there."""
    return COMMITTED / dataset / f"{alg}.json"


def found_for(config: RunConfig) -> dict[str, Any]:
    """The subject of a search's finding: a run's arguments but hyper-parameters, seed, judges of epochs and labels."""
    searched = {
        f"{STAGES[number]}.{name}" if len(config.stages) > 1 else name
        for number, stage in enumerate(config.stages)
        for name in dataclasses.asdict(stage.hparams)
    }
    left_out = searched | {"seed", "best_by", "referee", "cross_validation", "eval_every"}
    return {name: value for name, value in config.arguments().items() if name not in left_out}


def with_presets(
    arguments: argparse.Namespace, automatic: bool = True
) -> tuple[argparse.Namespace, tuple[dict[str, Any], ...], list[str]]:
    """Fills in what a preset knows and no flag gives.

    That is the file of `--preset`; without the flag, what a search in this `--log_dir` found, if it was for just this
    run: the same method, data, settings and schedule.

    Returns:
        the completed arguments; for the record, which stage took what from where; lines to print about it.

    Raises:
        UsageError: a preset names what the method does not have, or values that it does not take.
        RunError: a file is missing or damaged.
    """
    path = _chosen(arguments, automatic)
    if path is None:
        return arguments, (), []
    preset = load(path)
    by_name = arguments.preset is not None

    def left_aside(why: str) -> tuple[argparse.Namespace, tuple[dict[str, Any], ...], list[str]]:
        line = f"preset {path} is left aside: {why}. --preset {shlex.quote(str(path))} takes it."
        return arguments, (), [line]

    if preset["oracle"] and not by_name:
        return left_aside("it was chosen on test data (oracle)")
    for same_flags in (True, False):
        values, used, lines = _taken(arguments, preset, path, same_flags)
        completed = argparse.Namespace(**{**vars(arguments), **values})
        config = resolve(completed)
        if _trained_as_found(preset, config):
            break
    other = _found_for_others(preset, config, look_at_images=not by_name)
    if other and not by_name:
        return left_aside(f"it was found for another run ({other})")
    if not used and by_name:
        found = " and ".join(stage["method"] for stage in preset["stages"])
        raise UsageError(f"--preset {arguments.preset} sets {found}: nothing that --alg {arguments.alg} leaves open.")
    if by_name:
        lines.append(f"preset {path} was found for {f'another run ({other})' if other else 'just such a run'}")
    return completed, tuple(used), lines


def load(path: Path) -> Preset:
    """Reads a preset file.

    Raises:
        UsageError: it is missing.
        RunError: it is damaged, or no preset.
    """
    if not path.is_file():
        raise UsageError(f"--preset {path}: there is no such file.")
    return read_json(path, Preset, "It is no preset: say --preset none, or name another file.")


def _chosen(arguments: argparse.Namespace, automatic: bool) -> Path | None:
    alg = "_".join(stages_of(arguments.alg))
    if arguments.preset == "tuned":
        path = committed(arguments.dataset, alg)
        if not path.is_file():
            there = ", ".join(sorted(f"{file.stem} on {file.parent.name}" for file in COMMITTED.glob("*/*.json")))
            raise UsageError(f"--preset tuned: there is none for {alg} on {arguments.dataset}, only: {there}.")
        return path
    if arguments.preset is not None:
        return None if arguments.preset == "none" else Path(arguments.preset)
    own = method_folder(arguments.log_dir, data_settings(arguments), alg) / "preset" / "best.json"
    return own if automatic and own.is_file() else None


def _trained_as_found(preset: Preset, config: RunConfig) -> bool:
    """Whether the stages of a run that has taken all of a preset have the settings that it was found with."""
    found, now = preset.get("found_for", {}), found_for(config)
    settings = [name for name in found if name.rpartition(".")[2] in SETTINGS]
    return bool(settings) and all(now.get(name) == found[name] for name in settings)


def _found_for_others(preset: Preset, config: RunConfig, look_at_images: bool) -> str:
    """The differences between what a preset was found for and a run that has taken it; empty if there are none."""
    if "found_for" not in preset or "images" not in preset:
        return "which one it does not say"
    differing = differences(preset["found_for"], found_for(config))
    if not differing and look_at_images:
        there = load_dataset(config.data).contents["train"]["images"]
        differing = ["other training images"] if preset["images"] != there else []
    return "; ".join(differing)


def _taken(
    arguments: argparse.Namespace, preset: Preset, path: Path, same_flags: bool
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """The flags that the stages of a run take from a preset; which took what, for the record; lines to print.

    Args:
        same_flags: the search had the flags of all stages, such as --epochs, so that a hyper-parameter that changes a
            stage's setting, such as `bias_epochs`, changes it again.
    """
    stages = [methods[name] for name in stages_of(arguments.alg)]
    values: dict[str, Any] = {}
    used, lines = [], []
    criterion = preset["criterion"] + (" (oracle)" if preset["oracle"] else "")
    for position, (method, config) in enumerate(zip(stages, resolve(arguments).stages, strict=True)):
        mine = next((stage for stage in preset["stages"] if stage["method"] == method.name), None)
        if mine is None:
            continue
        for name, flag in _overruled(arguments, stages, config, position, mine, same_flags):
            lines.append(f"preset for {method.name}: {name} of {path} is left out, for --{flag} is given")
            mine = {**mine, "hparams": {key: value for key, value in mine["hparams"].items() if key != name}}
        taken = _missing_flags(arguments, stages, position, mine, path)
        if taken:
            values |= taken
            place = path.relative_to(COMMITTED.parent) if path.is_relative_to(COMMITTED) else path
            used.append(
                {"method": method.name, "file": place.as_posix(), "criterion": criterion, "oracle": preset["oracle"]}
            )
            lines.append(
                f"preset for {method.name}: {settings_text(taken)} from {path}, the best of {preset['trials']} trials "
                f"by {criterion} (--preset none ignores it)"
            )
    return values, used, lines


def _overruled(
    arguments: argparse.Namespace,
    stages: list[type[Method]],
    config: StageConfig,
    position: int,
    preset: StagePreset,
    same_flags: bool,
) -> list[tuple[str, str]]:
    """Hyper-parameters of the preset that would change a training setting which a flag gives, and that flag."""
    found, method = [], stages[position]
    for declared in dataclasses.fields(method.Hparams):
        value = preset["hparams"].get(declared.name)
        given = _given(arguments, hparam_flags(stages, position, declared.name))
        if given or not isinstance(value, type(declared.default)):  # not there, or refused where it is parsed
            continue
        hparams = dataclasses.replace(config.hparams, **{declared.name: value})
        changed = method.stage_settings(config.settings, hparams)
        for setting in SETTINGS:
            telling = [*([] if same_flags else [setting]), f"{STAGES[position]}.{setting}"]
            flags = _given(arguments, telling)
            if flags and getattr(changed, setting) != getattr(config.settings, setting):
                found.append((declared.name, flags[-1]))
    return found


def _given(arguments: argparse.Namespace, flags: list[str]) -> list[str]:
    """Those of some flags that the user gave."""
    return [flag for flag in flags if getattr(arguments, flag, None) is not None]


def _missing_flags(
    arguments: argparse.Namespace, stages: list, position: int, preset: StagePreset, path: Path
) -> dict[str, Any]:
    """The preset's values for one stage, by flag, as far as no flag was given."""
    declared = {hparam.name for hparam in dataclasses.fields(stages[position].Hparams)}
    values = {}
    for kind, known, given in (
        ("hparams", declared, preset["hparams"]), ("settings", set(SETTINGS), preset["settings"])
    ):  # fmt: skip
        for name, value in given.items():
            if name not in known:
                raise UsageError(f"{path}: {preset['method']} has no {name!r}. Known: {', '.join(sorted(known))}.")
            own = f"{STAGES[position]}.{name}" if len(stages) > 1 else name
            flags = hparam_flags(stages, position, name) if kind == "hparams" else [own, name]
            if _given(arguments, flags):
                continue
            try:
                values[flags[0]] = parse_value(arguments.alg, flags[0], value)
            except UsageError as error:
                raise UsageError(f"{path}: {error}") from error
    return values
