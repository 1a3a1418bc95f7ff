"""From a data set's name and settings to a `Dataset` ready for training: validation, label noise, annotations."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.augment import Transform
from data.features import Encoder, encoded
from data.layouts.decoding import DamagedImage
from data.layouts.images import damaged_among, listed, refusal
from data.noise import Matrix, noisy_labels
from data.registry import NoOptions, datasets
from data.split import Annotations, Clean, Dataset, Source, Split
from data.store import IN_FILES
from models.preprocessing import Preprocessing
from utils.errors import RunError
from utils.escape import printable
from utils.seeds import numpy_generator

log = logging.getLogger(__name__)

SPLITS = ("train", "valid", "test")
FEW = 5
"""A split with fewer images is said to be too small."""

COUNTED = 20
"""Classes whose images are counted one by one; of more classes the smallest and the largest are told."""


@dataclass(frozen=True)
class DataSettings:
    """All that determines the training data, bit for bit.

    options: those that the data set declares.
    preprocessing: what a pretrained network expects of images, in place of what the transform of `augment` says of it.
    encoder: whose features take the place of images, if any.
    """

    dataset: str
    data_dir: str
    bratio: float | None
    nratio: float
    noise_type: str
    noise_style: str
    clean_valid: bool
    seed: int
    augment: str = "none"
    noise_matrix: Matrix | None = None
    options: Any = field(default_factory=NoOptions)
    preprocessing: Preprocessing | None = None
    encoder: Encoder | None = None

    def transform(self) -> Transform:
        """A network's view of the images."""
        own = datasets[self.dataset].transforms[self.augment]
        return own if self.preprocessing is None else own.fitted_to(self.preprocessing)


def load_dataset(settings: DataSettings) -> Dataset:
    """Builds the data set. Train and validation labels get noise, test labels never do.

    Raises:
        RunError: files are missing, damaged or inconsistent; the message says which and what to do.
    """
    recipe, options, encoder = datasets[settings.dataset], settings.options, settings.encoder
    transform = settings.transform()
    if encoder is not None and encoder.preprocessing is not None and hasattr(options, "image_size"):
        options = replace(options, image_size=IN_FILES)
    source = recipe.build(Path(settings.data_dir), settings.bratio, options)
    check(source, settings.dataset)
    log.info("%s", printable(described(source)))
    pictures = None
    if encoder is not None:
        pictures = source.train.images
        try:
            source, transform = encoded(source, encoder, transform)
        except DamagedImage as error:
            images = [getattr(source, split).images for split in SPLITS]
            raise refusal(damaged_among([path for files in images for path in files.paths])) from error
    valid, test = source.valid, source.test
    if settings.clean_valid:
        valid, test = _halves(test)

    def noisy(clean: Clean) -> Split:
        labels = noisy_labels(
            clean,
            source.class_names,
            settings.nratio,
            settings.noise_type,
            settings.noise_style,
            settings.seed,
            settings.noise_matrix,
        )
        return Split(clean.images, labels, transform)

    return Dataset(
        train=noisy(source.train),
        valid=Split(valid.images, _best_known(valid), transform) if settings.clean_valid else noisy(valid),
        test=Split(test.images, test.labels, transform),
        annotations={
            name: Annotations(clean.truth, clean.bias_labels, clean.files, clean.cues)
            for name, clean in (("train", source.train), ("valid", valid), ("test", test))
        },
        class_names=source.class_names,
        origin=source.origin,
        pictures=pictures,
    )


def check(source: Source, name: str) -> None:
    """Refuses what cannot be trained on, and warns of what says little.

    Raises:
        RunError: there are not two classes, a split is empty, labels are out of range, images are not alike, or only
            one is there to train on.
    """
    classes = len(source.class_names)
    if classes < 2:
        found = printable(", ".join(source.class_names)) or "none"
        raise RunError(f"{name}: wanted two classes or more, found {found}.")
    for split in SPLITS:
        clean: Clean = getattr(source, split)
        if not len(clean.labels):
            raise RunError(f"{name}: the {split} split is empty.")
        for what, labels, lowest in (
            ("label", clean.labels, 0), ("bias label", clean.bias_labels, -1), ("true label", clean.truth, -1)
        ):  # fmt: skip
            low, high = int(labels.min()), int(labels.max())
            if low < lowest or high >= classes:
                raise RunError(
                    f"{name}, {split}: {what}s span {low} to {high}; wanted {lowest} to {classes - 1} "
                    f"for {classes} classes."
                )
        if clean.images.shape[1:] != source.train.images.shape[1:]:
            raise RunError(
                f"{name}: {split} images are {list(clean.images.shape[1:])}, "
                f"train images {list(source.train.images.shape[1:])}; all must be alike."
            )

    if len(source.train.labels) < 2:
        raise RunError(f"{name}: a single training image is left; a network needs at least two.")
    for warning in warnings_of(source):
        log.warning("%s: %s", name, printable(warning))


def warnings_of(source: Source) -> list[str]:
    """Warnings of what is too small about the splits to say much."""
    counts = {split: _class_counts(source, split) for split in SPLITS}
    out = []
    for count, what in ((0, "no training image"), (1, "a single training image")):
        few = [name for name, there in counts["train"].items() if there == count]
        if few:
            out.append(f"classes with {what}: {listed(few)}.")
    for split, what in (("valid", "the best epoch is chosen by so few"), ("test", "its accuracies say little")):
        total = sum(counts[split].values())
        if total < FEW:
            out.append(f"the {split} split has {total} {'image' if total == 1 else 'images'}; {what}.")
    missing = [name for name, there in counts["test"].items() if not there]
    if missing:
        out.append(f"classes without test images: {listed(missing)}.")
    return out


def described(source: Source) -> str:
    """Lines on what was read, per split and class, and what was left out."""

    def counted(split: str) -> str:
        counts = _class_counts(source, split)
        total = sum(counts.values())
        if len(counts) <= COUNTED:
            return f"{split} {total} ({', '.join(f'{name} {count}' for name, count in counts.items())})"
        few, many = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        if counts[few] == counts[many]:
            return f"{split} {total} ({counts[few]} of each class)"
        return f"{split} {total} (from {few} {counts[few]} to {many} {counts[many]})"

    total = sum(len(getattr(source, split).labels) for split in SPLITS)
    left_out = "; ".join(source.left_out) or "nothing"
    return (
        f"read {total} images of {len(source.class_names)} classes: {'; '.join(map(counted, SPLITS))}. "
        f"Left out: {left_out}."
    )


def _class_counts(source: Source, split: str) -> dict[str, int]:
    labels = getattr(source, split).labels
    counts = torch.bincount(labels, minlength=len(source.class_names)).tolist()
    return dict(zip(source.class_names, counts, strict=True))


def _halves(clean: Clean) -> tuple[Clean, Clean]:
    """Two halves of a split, shuffled and stratified by (label, bias label)."""
    shuffled = numpy_generator(0, "clean_valid").permutation(len(clean.labels))
    stratum = (clean.labels * 10_000 + clean.bias_labels).numpy()
    order = torch.from_numpy(shuffled[np.argsort(stratum[shuffled], kind="stable")])
    return clean.subset(order[::2]), clean.subset(order[1::2])


def _best_known(clean: Clean) -> Tensor:
    return torch.where(clean.truth < 0, clean.labels, clean.truth)
