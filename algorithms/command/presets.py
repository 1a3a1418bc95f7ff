"""Presets: hyper-parameters that a search found, as a JSON file, and where a run looks for them."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from algorithms.base import methods
from algorithms.command.arguments import SETTINGS, data_settings, hparam_flags, parse_value
from algorithms.training.config import STAGES, method_folder
from algorithms.training.pairs import stages_of
from utils.errors import RunError, UsageError
from utils.files import read_json
from utils.hpo.trials import settings_text

COMMITTED = Path(__file__).parents[2] / "presets"

KEYS = {"alg", "dataset", "bratio", "nratio", "criterion", "oracle", "value", "trials", "stages", "command"}
"""What a preset file must hold; `stages` is a list of `method`, `hparams` and `settings` (training settings)."""


def with_presets(
    arguments: argparse.Namespace, automatic: bool = True
) -> tuple[argparse.Namespace, tuple[dict[str, Any], ...], list[str]]:
    """Fills in what presets know and no flag gives, stage by stage.

    A stage takes the file of `--preset`, else the first there is of: what a search in this `--log_dir` found for this
    `--alg`, or for the stage's method alone; the same two among the presets that come with the code.

    Returns:
        the completed arguments; for the record, which stage took what from where; the same as lines to print.

    Raises:
        UsageError: a preset names what the method does not have, or values that it does not take.
        RunError: a file is missing or damaged.
    """
    names = stages_of(arguments.alg)
    stages = [methods[name] for name in names]
    values: dict[str, Any] = {}
    used, lines = [], []
    for position, name in enumerate(names):
        for path in _candidates(arguments, name, automatic):
            preset = load(path)
            mine = next((stage for stage in preset["stages"] if stage["method"] == name), None)
            if mine is None:
                continue
            if preset["oracle"] and arguments.preset is None:
                lines.append(f"{path} is left aside: it was chosen on test data (oracle). --preset {path} takes it.")
                continue
            taken = _missing_flags(arguments, stages, position, mine, path)
            if taken:
                values |= taken
                criterion = preset["criterion"] + (" (oracle)" if preset["oracle"] else "")
                used.append({"method": name, "file": str(path), "criterion": criterion, "oracle": preset["oracle"]})
                lines.append(
                    f"{name}: {settings_text(taken)} from {path}, the best of {preset['trials']} trials by {criterion} "
                    f"(--preset none ignores it)"
                )
            break
    if arguments.preset not in (None, "none") and not (used or lines):
        found = " and ".join(stage["method"] for stage in load(Path(arguments.preset))["stages"])
        raise UsageError(f"--preset {arguments.preset} sets {found}: nothing that --alg {arguments.alg} leaves open.")
    return argparse.Namespace(**{**vars(arguments), **values}), tuple(used), lines


def load(path: Path) -> dict[str, Any]:
    """Reads a preset file.

    Raises:
        RunError: it is missing, damaged, or no preset.
    """
    if not path.is_file():
        raise RunError(f"--preset {path}: there is no such file.")
    preset = read_json(path)
    missing = KEYS - preset.keys() if isinstance(preset, dict) else KEYS
    if missing:
        raise RunError(f"{path} is not a preset: it lacks {', '.join(sorted(missing))}.")
    wrong = [stage for stage in preset["stages"] if not {"method", "hparams", "settings"} <= set(stage)]
    if wrong:
        raise RunError(f"{path} is not a preset: each of its stages needs method, hparams and settings.")
    return preset


def _candidates(arguments: argparse.Namespace, method: str, automatic: bool) -> list[Path]:
    if arguments.preset is not None:
        return [] if arguments.preset == "none" else [Path(arguments.preset)]
    data = data_settings(arguments)
    algs = dict.fromkeys(["_".join(stages_of(arguments.alg)), "_".join(stages_of(method))])
    searched = [method_folder(arguments.log_dir, data, alg) / "preset" / "best.json" for alg in algs]
    committed = [COMMITTED / data.dataset / f"{alg}.json" for alg in algs]
    return [path for path in (*searched, *committed) if automatic and path.is_file()]


def _missing_flags(
    arguments: argparse.Namespace, stages: list, position: int, preset: dict[str, Any], path: Path
) -> dict[str, Any]:
    """What the preset says of one stage, by flag, as far as no flag was given."""
    declared = {hparam.name for hparam in dataclasses.fields(stages[position].Hparams)}
    values = {}
    for kind, known in (("hparams", declared), ("settings", set(SETTINGS))):
        for name, value in preset[kind].items():
            if name not in known:
                raise UsageError(f"{path}: {preset['method']} has no {name!r}. Known: {', '.join(sorted(known))}.")
            own = f"{STAGES[position]}.{name}" if len(stages) > 1 else name
            flags = hparam_flags(stages, position, name) if kind == "hparams" else [own, name]
            if any(getattr(arguments, flag, None) is not None for flag in flags):
                continue
            try:
                values[flags[0]] = parse_value(arguments.alg, flags[0], value)
            except UsageError as error:
                raise UsageError(f"{path}: {error}") from error
    return values
