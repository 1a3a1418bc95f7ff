"""The part of a data set that a learner may see, and, apart from it, what only the evaluator may see."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from data.augment import Transform
from data.store import Images, digest, taken
from utils.metrics import group_counts, group_index


@dataclass(frozen=True)
class Split:
    """Images with the labels they were given, which may be wrong. Nothing in it tells which are.

    images: uint8 [N, C, H, W], channels last in memory or in a file, so that a batch of rows is one contiguous copy; or
        features of images as described in data/features.py, float16 [N, D, V, 1].
    labels: int64 [N].
    transform: how a network sees the images.
    """

    images: Images
    labels: Tensor
    transform: Transform = field(default_factory=Transform)

    def __post_init__(self) -> None:
        assert self.images.dtype in (torch.uint8, torch.float16)
        assert self.labels.dtype == torch.int64
        assert len(self.images) == len(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Split":
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def subset(self, index: Tensor) -> "Split":
        """The samples at `index` (int64 [K]), numbered anew from 0."""
        images = taken(self.images, index.to(self.images.device))
        return replace(self, images=images, labels=self.labels.index_select(0, index.to(self.labels.device)))

    def fingerprint(self) -> str:
        """Names this very set of images and labels: twelve hexadecimal digits."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return _fingerprint(self.labels, digest(self.images))


def _fingerprint(labels: Tensor, images: str) -> str:
    return hashlib.sha256(labels.cpu().numpy().tobytes() + images.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Annotations:
    """Knowledge about the samples of a split, for evaluation and diagnostics only; int64 [N], -1 where unknown.

    files: the images' files below the data folder, N of them, or none where images come from elsewhere.
    cues: values of the cue, where these are not classes.
    """

    true_labels: Tensor
    bias_labels: Tensor
    files: tuple[str, ...] = ()
    cues: Tensor | None = None

    @property
    def groups_by(self) -> Tensor:
        """The cue's value, which makes groups together with the class: int64 [N]."""
        return self.bias_labels if self.cues is None else self.cues

    def groups(self, given: Tensor) -> Tensor:
        """Position of every sample in `utils.metrics.GROUPS`, int64 [N], -1 where unknown."""
        return group_index(given, self.true_labels, self.bias_labels)

    def wrong(self, given: Tensor) -> Tensor:
        """A mask of the given labels that are known to be wrong, bool [N]."""
        return (self.true_labels >= 0) & (self.true_labels != given)


@dataclass(frozen=True)
class Clean:
    """One split of a data set as it is stored, before label noise is added.

    images: uint8 [N, C, H, W], channels last in memory.
    labels: int64 [N], as they are given.
    bias_labels: int64 [N], -1 where unknown.
    true_labels: int64 [N], -1 where unknown; None if the labels are the true ones.
    files: the images' files below the data folder, N of them, or none where images come from elsewhere.
    cues: values of the cue, int64 [N], where these are not classes; bias labels say which class a value points to.
    """

    images: Images
    labels: Tensor
    bias_labels: Tensor
    true_labels: Tensor | None = None
    files: tuple[str, ...] = ()
    cues: Tensor | None = None

    @property
    def truth(self) -> Tensor:
        return self.labels if self.true_labels is None else self.true_labels

    def subset(self, index: Tensor) -> "Clean":
        """The samples at `index` (int64 [K]), numbered anew from 0."""
        true = None if self.true_labels is None else self.true_labels[index]
        files = tuple(self.files[i] for i in index.tolist()) if self.files else ()
        cues = None if self.cues is None else self.cues[index]
        return Clean(taken(self.images, index), self.labels[index], self.bias_labels[index], true, files, cues)


@dataclass(frozen=True)
class Source:
    """The three splits a data set's file returns, and where they came from.

    variant: tells apart, in file names, what is not the data set as the authors have it: other colours, another seed.
    left_out: phrases about files that were there and not read.
    inputs: the files that it was made of, where what is written of it must not be taken for others.
    made_from: as read from such a written set, the digest of the files that it was made of.
    """

    train: Clean
    valid: Clean
    test: Clean
    class_names: tuple[str, ...]
    origin: str
    variant: str = ""
    left_out: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()
    made_from: str = ""


@dataclass(frozen=True)
class Dataset:
    """A data set ready for training: three splits, their annotations kept apart, and what was really drawn."""

    train: Split
    valid: Split
    test: Split
    annotations: dict[str, Annotations]
    class_names: tuple[str, ...]
    origin: str
    pictures: Images | None = None
    """The training images, where `train` holds features of them: for figures."""

    @property
    def train_pictures(self) -> Images:
        return self.train.images if self.pictures is None else self.pictures

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def train_groups(self) -> Tensor:
        return self.annotations["train"].groups(self.train.labels)

    @cached_property
    def contents(self) -> dict[str, dict[str, str]]:
        """SHA-256 of all that is known about the samples of each split, by kind."""
        return {name: _contents(getattr(self, name), self.annotations[name]) for name in ("train", "valid", "test")}

    @property
    def identity(self) -> str:
        """Names this very data set, its annotations and classes included: twelve hexadecimal digits."""
        named = json.dumps([self.class_names, self.contents], sort_keys=True)
        return hashlib.sha256(named.encode()).hexdigest()[:12]

    def summary(self) -> dict:
        """Effective bias and noise ratios (and of how many images they are known), group counts and fingerprints.

        It is what `config.json` keeps of the data.
        """
        out: dict = {"origin": self.origin, "num_classes": self.num_classes, "classes": list(self.class_names)}
        for name in ("train", "valid", "test"):
            split, notes = getattr(self, name), self.annotations[name]
            groups = notes.groups(split.labels)
            judged, noted = notes.bias_labels >= 0, notes.true_labels >= 0
            out[name] = {
                "size": len(split),
                "effective_nratio": _share(split.labels != notes.true_labels, noted),
                "nratio_known": int(noted.sum()),
                "effective_bratio": _share(notes.bias_labels != notes.true_labels, judged & noted),
                "bratio_known": int((judged & noted).sum()),
                "groups": group_counts(groups),
                "fingerprint": _fingerprint(split.labels, self.contents[name]["images"]),
                "contents": self.contents[name],
            }
        return out


def _contents(split: Split, notes: Annotations) -> dict[str, str]:
    names = "\0".join(notes.files).encode(errors="surrogateescape")
    labels = {"given labels": split.labels, "true labels": notes.true_labels, "bias labels": notes.bias_labels}
    return {
        "images": digest(split.images),
        **{kind: hashlib.sha256(values.cpu().numpy().tobytes()).hexdigest() for kind, values in labels.items()},
        "file names": hashlib.sha256(names).hexdigest(),
    }


def _share(flag: Tensor, among: Tensor) -> float | None:
    return float(flag[among].double().mean()) if among.any() else None
