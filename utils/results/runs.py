"""The runs below a folder: where they are, what they were told, and what came of them."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.errors import RunError
from utils.results.tables import chosen_on_test_data
from utils.run_files import Noted, read_noted, read_result

SEED_FOLDER = re.compile(r"(\d{1,20})(?:_(.+))?", re.DOTALL)
RATIO = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
RATIOS_FOLDER = re.compile(f"{RATIO}_(?:{RATIO}|given)")


@dataclass(frozen=True)
class Run:
    """A run's folder and what its place says.

    result: the content of `result.json`, None if the run has not ended. noted: what `config.json` has, if it is there.
    """

    folder: Path
    dataset: str
    alg: str
    ratios: str
    seed: int
    name: str
    result: dict[str, Any] | None
    noted: Noted = field(default_factory=Noted)

    @property
    def method(self) -> str:
        return f"{self.alg} ({self.name})" if self.name else self.alg

    @property
    def network(self) -> str:
        """The network of the final stage; blank where that was not noted."""
        return str(self.stages[-1]["settings"].get("model", "")) if self.stages else ""

    @property
    def oracle(self) -> bool:
        """True if something about it was chosen on test data."""
        return self.result is not None and chosen_on_test_data(self.result)

    def value(self, when: str, key: str) -> float | None:
        """A metric of a finished run at the "end" or at the "best" epoch; None where it was not measured."""
        return None if self.result is None else self.result[when].get(key)

    @property
    def presets(self) -> list[dict[str, Any]]:
        """Where hyper-parameters of a finished run came from that no flag gave."""
        return self.result["presets"] if self.result else []

    @property
    def arguments(self) -> dict[str, Any]:
        """All settings that were noted when the run began."""
        return self.noted.get("arguments", {})

    @property
    def data(self) -> dict[str, Any]:
        """The summary of the data set, with sizes, ratios and fingerprints; empty where it was not noted."""
        return dict((self.result or self.noted).get("data", {}))

    @property
    def stages(self) -> list[dict[str, Any]]:
        """The method, hyper-parameters and settings of each stage of a finished run."""
        return self.result["stages"] if self.result else []


@dataclass(frozen=True)
class Found:
    """Runs below a folder, a line for each that cannot be read, and folders of something else."""

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
            result, noted = read_result(place / "result.json"), read_noted(place / "config.json")
        except RunError as error:
            found.damaged.append(str(error))
            continue
        found.runs.append(Run(place, dataset, alg, ratios, int(named[1]), named[2] or "", result, noted))
    return found
