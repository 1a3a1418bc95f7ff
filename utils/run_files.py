"""The JSON files of a run folder, as shapes to read them by (see `utils.schema`)."""

from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

from utils.errors import DamagedFile
from utils.files import ANEW, read_json, read_json_lines, write_json
from utils.identity import digest
from utils.schema import LARGEST, Bounds

Share = Annotated[float, Bounds(0, 1)]
Count = Annotated[int, Bounds(0, 1e15)]
Seed = Annotated[int, Bounds(0, LARGEST)]
Positive = Annotated[float, Bounds(0, 1e15)]


class SplitSummary(TypedDict):
    """See `data.split.Dataset.summary`."""

    size: Count
    effective_nratio: NotRequired[Share | None]
    effective_bratio: NotRequired[Share | None]
    groups: NotRequired[dict[str, Count]]
    fingerprint: NotRequired[str]
    contents: NotRequired[dict[str, str]]


class DataSummary(TypedDict):
    origin: NotRequired[str]
    num_classes: NotRequired[Count]
    classes: NotRequired[list[str]]
    train: SplitSummary
    valid: SplitSummary
    test: SplitSummary


class Config(TypedDict):
    """`config.json` of a run, a trained selector or a search.

    environments_before: where a run was started that went on elsewhere, the first one first.
    """

    arguments: dict[str, Any]
    data: NotRequired[DataSummary]
    environment: NotRequired[dict[str, Any]]
    environments_before: NotRequired[list[dict[str, Any]]]


class Noted(TypedDict, total=False):
    """The part of `config.json` that tables take, also from one of an earlier version."""

    arguments: dict[str, Any]
    data: DataSummary
    environment: dict[str, Any]


class Accuracies(TypedDict):
    """Of one epoch, as far as they are known; there are more keys, one for each criterion."""

    epoch: NotRequired[Count]
    valid_accuracy: Share | None
    valid_loss: NotRequired[float | None]
    debiased_valid_accuracy: NotRequired[Share | None]
    test_accuracy: Share | None
    test_aligned: Share | None
    test_conflicting: Share | None
    test_worst_group: Share | None


class StageSummary(TypedDict):
    """A stage in `result.json`; share and mass are of selectors: see `utils.metrics.selection_quality`.

    changed: the hyper-parameters that do not have their defaults.
    """

    method: str
    hparams: dict[str, Any]
    settings: dict[str, Any]
    changed: NotRequired[list[str]]
    seconds: Positive
    share: NotRequired[dict[str, Share | None]]
    mass: NotRequired[dict[str, Share | None]]
    reused: NotRequired[bool]
    draws_by_class: NotRequired[list[float]]
    kept_by_class: NotRequired[list[Count]]


class PresetNote(TypedDict):
    """Where hyper-parameters of a stage came from that no flag gave."""

    method: NotRequired[str]
    file: NotRequired[str]
    criterion: NotRequired[str]
    oracle: bool


class Result(TypedDict):
    """`result.json` of a run."""

    alg: NotRequired[str]
    seed: NotRequired[Seed]
    end: Accuracies
    best: Accuracies
    best_by: str
    data: NotRequired[DataSummary]
    stages: Annotated[list[StageSummary], Bounds(1, 3)]
    presets: list[PresetNote]
    seconds: NotRequired[Positive]
    referee_seconds: NotRequired[Positive]
    cross_validation_seconds: NotRequired[Positive]
    per_class: NotRequired[dict[str, list[Any]]]
    confusion: NotRequired[list[list[Count]]]
    warnings: NotRequired[list[str]]
    peak_memory_bytes: Positive | None
    checksum: NotRequired[str]


class Warned(TypedDict):
    """The part of `result.json` that the audit takes, also from one of an earlier version."""

    warnings: NotRequired[list[str]]


class EpochRecord(TypedDict):
    """A line of `metrics.jsonl`; there are more keys, one for each criterion.

    Where `--eval_every` leaves an evaluation out, neither these nor the accuracies from `valid_accuracy` on are there.

    kept: the size of each group in what a method chose to train on. kept_by_class: the same of each class.
    """

    stage: Annotated[int, Bounds(1, 3)]
    method: str
    epoch: Count
    train_loss: NotRequired[float]
    train_accuracy: NotRequired[Share]
    lr: NotRequired[float]
    seconds: NotRequired[Positive]
    kept: NotRequired[dict[str, Count]]
    kept_by_class: NotRequired[list[Count]]
    valid_accuracy: NotRequired[Share | None]
    valid_loss: NotRequired[float | None]
    test_accuracy: NotRequired[Share | None]
    test_aligned: NotRequired[Share | None]
    test_conflicting: NotRequired[Share | None]
    test_worst_group: NotRequired[Share | None]


def write_signed(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file with a checksum of its content, for `read_signed`."""
    write_json(path, {**content, "checksum": digest(content)})


def read_signed(path: Path) -> dict[str, Any]:
    """The content of a JSON file, just as `write_signed` got it.

    Raises:
        DamagedFile: it is not what was written.
    """
    content: dict[str, Any] = read_json(path, dict)
    if content.pop("checksum", None) != digest(content):
        raise DamagedFile(
            f"{path} is not what was written: it is damaged, was changed, or comes from an earlier version. {ANEW}"
        )
    return content


def read_metrics(path: Path) -> list[EpochRecord]:
    """The epochs in `metrics.jsonl`, none if there is no such file.

    Raises:
        RunError: the file is damaged.
    """
    if not path.exists():
        return []
    records = read_json_lines(path, EpochRecord)
    for number, record in enumerate(records, 1):
        if record["epoch"] > number:
            raise DamagedFile(f"cannot read {path}: line {number} is of epoch {record['epoch']}. {ANEW}")
    return records


def read_result(path: Path) -> dict[str, Any] | None:
    """The content of a `result.json` of any version; None if there is no such file.

    Raises:
        RunError: it cannot be read, or is not what was written.
    """
    if not path.exists():
        return None
    content = read_json(path, Result)
    if content.pop("checksum", None) not in (None, digest(content)):
        raise DamagedFile(f"cannot read {path}: it is not what was written. {ANEW}")
    return content


def read_noted(path: Path) -> Noted:
    """The part of a `config.json` that tables take; nothing if there is no such file.

    Raises:
        RunError: it cannot be read.
    """
    return read_json(path, Noted) if path.exists() else {}
