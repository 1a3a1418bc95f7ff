"""The data sets by name, each with the settings that fit it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data.split import Source
from utils.registry import Registry


@dataclass(frozen=True)
class Defaults:
    """Settings that belong to a data set; a flag given on the command line wins.

    `first_epochs` is the length of a first stage (a selector) where it should differ from that of the final model.
    """

    model: str
    epochs: int
    batch_size: int
    lr: float
    lr_decay_opt: str
    bratio: float
    nratio: float
    first_epochs: int | None = None


@dataclass(frozen=True)
class Recipe:
    """A registered data set: `build(data_dir, bratio)` returns its three clean splits."""

    build: Callable[[Path, float], Source]
    num_classes: int
    defaults: Defaults
    summary: str


datasets: Registry[Recipe] = Registry("data set", "data")


def dataset(name: str, num_classes: int, defaults: Defaults) -> Callable[[Callable[[Path, float], Source]], Callable]:
    """Registers the function below it; the first line of its docstring is what `--list` shows."""

    def add(build: Callable[[Path, float], Source]) -> Callable[[Path, float], Source]:
        datasets.register(name)(Recipe(build, num_classes, defaults, (build.__doc__ or "").strip().splitlines()[0]))
        return build

    return add
