"""The history of a search, a line of JSON per trial, written anew after each of them; and what is shown of it."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from utils.errors import DamagedFile
from utils.files import read_json_lines, write_text

Status = Literal["finished", "pruned", "failed"]


@dataclass(frozen=True)
class Trial:
    """One configuration that was tried.

    number: from 0, in the order of suggestion. values: the value of every hyper-parameter that is searched.
    uuid: names the configuration with all settings, the same in every search.
    status: finished; pruned (stopped early as hopeless); or failed, for the reason in `error`.
    curve: the criterion at every evaluation of the final stage, as far as it came; empty if it failed.
    details: other metrics of the last epoch that are worth a column.
    """

    number: int
    values: dict[str, Any]
    status: Status
    uuid: str | None = None
    curve: list[float] = field(default_factory=list)
    details: dict[str, float | None] = field(default_factory=dict)
    error: str | None = None
    seconds: float = 0.0

    @property
    def objective(self) -> float | None:
        """The criterion at the last epoch; None unless the trial is finished: other epochs do not compare."""
        return self.curve[-1] if self.status == "finished" else None


class History:
    """The trials of one search, and the file that keeps them."""

    def __init__(
        self,
        path: Path,
        space: dict[str, list] | None = None,
        on_trial: Callable[["History", Trial], None] = lambda history, trial: None,
    ) -> None:
        """Reads `path` if it is there; `on_trial` is called after each trial that is added and saved.

        Args:
            space: what the trials chose from, if that is known.

        Raises:
            RunError: the file is damaged, or of another search.
        """
        self.path, self.on_trial = path, on_trial
        self.trials: list[Trial] = []
        if not path.exists():
            return
        mend = "Remove it, or start anew with --overwrite."
        numbers = set()
        for line, content in enumerate(read_json_lines(path, Trial, mend), 1):
            trial = Trial(**content)
            known = space is None or trial.values.keys() == space.keys()
            known = known and all(value in space[name] for name, value in trial.values.items() if space)
            if not known or trial.number in numbers or (trial.status == "finished" and not trial.curve):
                raise DamagedFile(f"cannot read {path}: line {line} is no trial of this search. {mend}")
            numbers.add(trial.number)
            self.trials.append(trial)

    def add(self, trial: Trial) -> None:
        self.trials = sorted([*self.trials, trial], key=lambda each: each.number)
        write_text(self.path, "".join(json.dumps(asdict(each), allow_nan=False) + "\n" for each in self.trials))
        self.on_trial(self, trial)

    def ranked(self, maximise: bool) -> list[Trial]:
        """Finished trials, the best first; of equals the earliest."""
        finished = [trial for trial in self.trials if trial.objective is not None]
        return sorted(finished, key=lambda trial: (trial.objective or 0.0) * (-1 if maximise else 1))


def settings_text(values: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def trials_csv(history: History, title: str) -> str:
    """`conf.log`, with the columns of the DENEB authors' and a few more; loss and accuracy are on validation.

    `title` is that of the criterion, as for the table.
    """
    names = list(history.trials[0].values) if history.trials else []
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["loss", "accuracy", "test_accuracy", "uuid", "trial", "status", title] + [f"config/{name}" for name in names]
    )
    for trial in history.trials:
        metrics = [trial.details.get(key) for key in ("valid_loss", "valid_accuracy", "test_accuracy")]
        writer.writerow(
            [*metrics, trial.uuid, trial.number, trial.status, trial.objective, *map(trial.values.get, names)]
        )
    return file.getvalue()


def trials_table(history: History, title: str, maximise: bool, rows: int = 10) -> str:
    """The best trials, one a line, and how many were not finished."""
    ranked = history.ranked(maximise)[:rows]
    names = list(history.trials[0].values) if history.trials else []
    widths = [2 + max(map(len, [name, *(str(trial.values[name]) for trial in ranked)])) for name in names]
    head = f"{'rank':>4}{'trial':>7}{title:>{len(title) + 2}}{'test, for the record':>22}"
    lines = [head + "".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True))]
    for rank, trial in enumerate(ranked, 1):
        test = trial.details.get("test_accuracy")
        cells = [f"{rank:>4}{trial.number:>7}{trial.objective:>{len(title) + 2}.4f}"]
        cells.append(f"{'n/a' if test is None else f'{test:.4f}':>22}")
        cells += [f"{trial.values[name]!s:>{width}}" for name, width in zip(names, widths, strict=True)]
        lines.append("".join(cells))
    counts = {status: sum(trial.status == status for trial in history.trials) for status in ("pruned", "failed")}
    lines.append(f"{len(history.trials)} trials, of which {counts['pruned']} pruned and {counts['failed']} failed")
    return "\n".join(lines)
