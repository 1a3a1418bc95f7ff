"""Corrupted CIFAR-10, made as LfF does (Nam et al., NeurIPS 2020): class i mostly suffers from its own corruption.

A stratified tenth of the training images, always the same, is for validation, equally biased. An image is conflicting
with probability `bratio`, its corruption then uniform over the other nine; in the test split every corruption is
equally likely (conflicting with probability 0.9). LfF's generator is unseeded; ours always makes the same data.

LfF counts severities from 1 to 4 where CIFAR-10-C has 2 to 5; `--severity` counts as CIFAR-10-C does. The published
files (of the DENEB and of the Disen authors) do not say their severity: they stand for the defaults.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from data.augment import CIFAR
from data.cifar10 import CLASSES, Photographs, cifar10_images, hold_out, images_per_class, raw_files, some_of
from data.coloring import draw_bias_labels
from data.corruptions.frost import PACKAGE, frost_source
from data.corruptions.operators import TYPE_0, TYPE_1, constants_of, corrupt
from data.layouts.choice import cached, first_there, prepared
from data.registry import Defaults, dataset, option
from data.split import Clean, Source
from utils.seeds import numpy_generator

log = logging.getLogger(__name__)

NAME = "corrupted_cifar"
SETS = {"type0": TYPE_0, "type1": TYPE_1}
TEST_CONFLICTING = 0.9
CHUNK = 500
"""Images of one job. Each job has its own random stream, so another number here gives other data."""


@dataclass(frozen=True)
class Options:
    severity: int = option(
        5, low=1, high=5, help="of the corruptions, as CIFAR-10-C counts; LfF's severity is one less"
    )
    corruptions: str = option(
        "type0", choices=tuple(SETS), help="type0: weather, colours and codecs; type1: noise, blur"
    )
    per_class: int = images_per_class(5000)


@dataset(
    NAME,
    10,
    Defaults(model="ResNet20", epochs=100, batch_size=256, lr=0.001, lr_decay_opt="20", bratio=0.01, nratio=0.0),
    options=Options,
    transforms=CIFAR,
)
def corrupted_cifar(data_dir: Path, bratio: float, options: Options) -> Source:
    """CIFAR-10, each class with its own corruption (45,000 + 5,000 + 10,000 images, 32x32)

    Taken from the first that is there: the authors' `.pt` files, the Disen folders (other options have names of their
    own), our own cache, CIFAR-10 itself.
    """
    for corruption in SETS[options.corruptions]:
        constants_of(corruption, options.severity)
    recipe = f"{options.corruptions}_severity{options.severity}"
    if options.per_class != Options().per_class:
        recipe += f"_per_class{options.per_class}"
    variant = "" if options == Options() else f"_{recipe}"
    if "frost" in SETS[options.corruptions]:
        recipe += f"_frost-{frost_source()}"
    places = prepared(NAME, variant, data_dir, bratio, CLASSES)
    source = first_there(places)
    if source is not None:
        return source

    def from_cifar10() -> Source:
        if recipe.endswith("procedural"):
            log.warning("frost is drawn by a procedure; for the photographs: pip install --no-deps %s", PACKAGE)
        train, test, raw = cifar10_images(data_dir, [path for path, _ in places])
        return generate(train, test, bratio, options, f"generated from {raw}: {NAME}_{recipe}")

    place = data_dir / NAME / "generated"
    source = cached(f"{NAME}_{recipe}", place, bratio, CLASSES, from_cifar10, lambda: raw_files(data_dir))
    return replace(source, variant=variant)


@dataclass(frozen=True)
class Job:
    """Some images of one split that suffer from the same corruption. Jobs run in any order, in any process."""

    rows: np.ndarray
    images: np.ndarray
    corruption: str
    severity: int
    stream: tuple[str | int, ...]

    def run(self) -> np.ndarray:
        """The corrupted images, uint8 [N, 32, 32, 3]."""
        return corrupt(self.images, self.corruption, self.severity, numpy_generator(0, NAME, *self.stream))


Run = Callable[[Callable[[Job], np.ndarray], list[Job]], Iterable[np.ndarray]]


def generate(
    train: Photographs, test: Photographs, bratio: float, options: Options, origin: str, run: Run = map
) -> Source:
    """Corrupts CIFAR-10's training and test photographs.

    Args:
        run: `map`, or another one that keeps the order, such as the `map` of a process pool; the data are the same.
    """

    def split(name: str, photographs: Photographs, conflicting: float) -> Clean:
        images, labels = photographs
        bias = draw_bias_labels(labels, conflicting, numpy_generator(0, NAME, name))
        jobs = jobs_of(name, images, bias, options)
        out = np.empty_like(images)
        for job, result in zip(jobs, run(Job.run, jobs), strict=True):
            out[job.rows] = result
        return Clean(torch.from_numpy(out).permute(0, 3, 1, 2), torch.from_numpy(labels), torch.from_numpy(bias))

    kept, held_out = hold_out(some_of(train, options.per_class))
    return Source(
        train=split("train", kept, bratio),
        valid=split("valid", held_out, bratio),
        test=split("test", some_of(test, options.per_class // 5), TEST_CONFLICTING),
        class_names=CLASSES,
        origin=origin,
    )


def jobs_of(split: str, images: np.ndarray, bias: np.ndarray, options: Options) -> list[Job]:
    """The images of a split by corruption, in chunks."""
    jobs = []
    for place, corruption in enumerate(SETS[options.corruptions]):
        (members,) = np.nonzero(bias == place)
        for start in range(0, len(members), CHUNK):
            rows = members[start : start + CHUNK]
            jobs.append(Job(rows, images[rows], corruption, options.severity, (split, corruption, start)))
    return jobs
