"""The data sets by name, each with its options, its transforms and the settings that fit it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.augment import Transform
from data.split import Source
from utils.registry import Registry


@dataclass(frozen=True)
class Defaults:
    """Settings that belong to a data set; a flag given on the command line wins.

    `bratio` is None where the files have the bias that they have.
    `cross_validate` is in how many parts given labels are cross-validated, 0 for not.
    `first_epochs` is the length of a first stage (a selector) where it should differ from that of the final model.
    """

    model: str
    epochs: int
    batch_size: int
    lr: float
    lr_decay_opt: str
    bratio: float | None
    nratio: float
    first_epochs: int | None = None
    opt: str = "SGD"
    weight_decay: float | None = None
    cross_validate: int = 0


def option(
    default: Any,
    *,
    help: str,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
):
    """Declares an option of a data set, which becomes a flag: its default, and its bounds (inclusive) or choices."""
    return field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


@dataclass(frozen=True)
class NoOptions:
    """Options of a data set that has none."""


Build = Callable[[Path, Any, Any], Source]


@dataclass(frozen=True)
class Recipe:
    """A registered data set.

    build: from a data folder, a bias ratio (None only if `defaults.bratio` is) and an instance of `options` to its
        three splits before label noise.
    num_classes: None where only its files tell.
    transforms: by the names that `--augment` uses; the first one is the default.
    """

    build: Build
    num_classes: int | None
    defaults: Defaults
    summary: str
    options: type = NoOptions
    transforms: Mapping[str, Transform] = field(default_factory=lambda: {"none": Transform()})


datasets: Registry[Recipe] = Registry("data set", "data")


def dataset(name: str, num_classes: int | None, defaults: Defaults, **more: Any) -> Callable[[Build], Build]:
    """Registers the function below it, with `more` of `Recipe`; its docstring's first line is what `--list` shows."""

    def add(build: Build) -> Build:
        summary = (build.__doc__ or "").strip().splitlines()[0]
        datasets.register(name)(Recipe(build, num_classes, defaults, summary, **more))
        return build

    return add
