"""The runs below a folder: where they are, what they were told, and what came of them."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.errors import RunError
from utils.files import read_json
from utils.results.tables import ACCURACIES, chosen_on_test_data

SEED_FOLDER = re.compile(r"(\d{1,20})(?:_(.+))?", re.DOTALL)
RATIO = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
RATIOS_FOLDER = re.compile(f"{RATIO}_(?:{RATIO}|given)")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _accuracy(value: Any) -> bool:
    return value is None or (is_number(value) and 0 <= value <= 1)


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def _kind(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


def _optional(shape: Any) -> Callable[[Any], bool]:
    return lambda value: value is ... or misfit(value, shape) is None


_SCORES = {**dict.fromkeys(ACCURACIES, _accuracy), "epoch": _optional(is_number)}
_RATIO = _optional(_accuracy)
_SPLIT = {"size": is_number, "effective_nratio": _RATIO, "effective_bratio": _RATIO, "contents": _optional({})}
_DATA = dict.fromkeys(("train", "valid", "test"), _SPLIT)
RESULT = {
    "end": _SCORES,
    "best": _SCORES,
    "best_by": is_text,
    "presets": [{"oracle": _kind(bool)}],
    "stages": [{"method": is_text, "hparams": _kind(dict), "settings": _kind(dict), "seconds": is_number}],
    "peak_memory_bytes": is_number,
    "seconds": _optional(is_number),
    "data": _optional(_DATA),
}
"""What a table takes from `result.json`."""

CONFIG = {"arguments": _optional({}), "data": _optional(_DATA), "environment": _optional({})}
"""What it takes from `config.json`."""


def misfit(value: Any, shape: Any, place: str = "its content") -> str | None:
    """Says where `value`, as JSON gives it, is not of `shape`; None if it is.

    A shape is an object of shapes for some of its keys, a list of one shape for all its items, or a condition on a
    value, which is `...` where the key is missing.
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{place} is no object"
        parts = (misfit(value.get(key, ...), part, key) for key, part in shape.items())
    elif isinstance(shape, list):
        if not isinstance(value, list):
            return f"{place} is no list"
        parts = (misfit(item, shape[0], f"item {number} of {place}") for number, item in enumerate(value))
    else:
        return None if shape(value) else f"{place} is {'missing' if value is ... else 'not what a run writes'}"
    return next(filter(None, parts), None)


@dataclass(frozen=True)
class Run:
    """A run's folder and what its place says.

    result: the content of `result.json`, None if the run has not ended. config: that of `config.json`, if it is there.
    """

    folder: Path
    dataset: str
    alg: str
    ratios: str
    seed: int
    name: str
    result: dict[str, Any] | None
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return f"{self.alg} ({self.name})" if self.name else self.alg

    @property
    def oracle(self) -> bool:
        """Whether something about it was chosen on test data."""
        return self.result is not None and chosen_on_test_data(self.result)

    def value(self, when: str, key: str) -> float | None:
        """What a finished run has of a metric at the "end" or at the "best" epoch; None if there is no such group."""
        return None if self.result is None else self.result[when][key]

    @property
    def presets(self) -> list[dict[str, Any]]:
        """Where hyper-parameters of a finished run came from that no flag gave."""
        return self.result["presets"] if self.result else []

    @property
    def arguments(self) -> dict[str, Any]:
        """All settings that were noted when the run began."""
        return self.config.get("arguments", {})

    @property
    def data(self) -> dict[str, Any]:
        """The summary of the data set, with sizes, ratios and fingerprints; empty where it was not noted."""
        return (self.result or self.config).get("data", {})

    @property
    def stages(self) -> list[dict[str, Any]]:
        """The method, hyper-parameters and settings of each stage of a finished run."""
        return self.result["stages"] if self.result else []


@dataclass(frozen=True)
class Found:
    """What lies below a folder: runs, what is wrong with those that cannot be read, and folders of something else."""

    runs: list[Run]
    damaged: list[str]
    foreign: list[Path]


def find_runs(folder: Path) -> Found:
    """Every run below `folder` that was started; trials of a search and the training of selectors are none."""
    found = Found([], [], [])
    places = {path.parent for kind in ("config", "result") for path in folder.resolve().rglob(f"{kind}.json")}
    for place in sorted(places):
        if place.parent.name in ("trials", "selectors") or place.name.startswith("preset"):
            continue
        named = SEED_FOLDER.fullmatch(place.name)
        if not named or len(place.parts) < 5 or not RATIOS_FOLDER.fullmatch(place.parent.name):
            found.foreign.append(place)
            continue
        dataset, alg, ratios = place.parts[-4:-1]
        try:
            result, config = read_checked(place / "result.json", RESULT), read_checked(place / "config.json", CONFIG)
        except RunError as error:
            found.damaged.append(str(error))
            continue
        found.runs.append(Run(place, dataset, alg, ratios, int(named[1]), named[2] or "", result, config or {}))
    return found


def read_checked(path: Path, shape: dict[str, Any]) -> dict[str, Any] | None:
    """The content of a JSON file of `shape`, None if there is no such file."""
    if not path.exists():
        return None
    content = read_json(path)
    if wrong := misfit(content, shape) or (not content.get("stages", True) and "it has no stages"):
        raise RunError(f"cannot read {path}: {wrong}. Remove the file or choose another --run_name.")
    return content
