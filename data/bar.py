"""BAR, Biased Action Recognition: six actions, photographed almost always at their typical place (Nam et al., 2020).

The original (github.com/alinlab/BAR) has 1,941 training and 654 test images, no bias labels and no validation split.
Its test images show untypical places, so plain test accuracy stands for conflicting accuracy. A stratified tenth of the
training images is held out for validation. The pictures have owners with rights of their own (many are licensed for
non-commercial use only): for research, not to be passed on.

BiasEnsemble (Lee et al., 2022) divided BAR anew, with 1 or 5 % "conflicting" training images; numbers on it are not
comparable with those on the original. Its bias labels are invented ((label + 1) mod 6 for everything under conflict/):
they tell aligned from conflicting and nothing else, so accuracies by class and bias mean nothing there.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from data.augment import BAR
from data.holdout import hold_out
from data.layouts.choice import read_fixed
from data.layouts.disen import labels_of, read_disen
from data.layouts.image_paths import LeftOut, images_below
from data.layouts.images import Files, Reading, cache_option, read_splits, size_option, skip_option
from data.registry import Defaults, dataset
from data.split import Source
from utils.errors import RunError

log = logging.getLogger(__name__)

NAME = "bar"
CLASSES = ("climbing", "diving", "fishing", "pole vaulting", "racing", "throwing")
SIZES = {"train": 1941, "test": 654}


@dataclass(frozen=True)
class Options:
    image_size: int = size_option(224, "the size of the files")
    skip_damaged: bool = skip_option()
    cache_dir: str = cache_option()


@dataset(
    NAME,
    6,
    Defaults(
        model="ResNet18", opt="Adam", epochs=100, batch_size=64, lr=1e-4, lr_decay_opt="30", bratio=None, nratio=0.0
    ),
    options=Options,
    transforms=BAR,
)
def bar(data_dir: Path, bratio: float | None, options: Options) -> Source:
    """photographs of six actions, biased by place (1,941 + 654 images, squashed to 224x224), no bias labels

    Taken from `bar/bar.pt` or the original's folders (`BAR/train/CLASS_N.jpg`, `BAR/test/...`, or the same in `bar/`);
    or, where `--bratio` asks for it, from BiasEnsemble's `bar/train/align|conflict/1pct|5pct`.
    """
    root, size = data_dir / NAME, options.image_size
    reading = Reading(size, options.skip_damaged, options.cache_dir)

    def read_folder(percent: str) -> Source:
        ours = (root / percent).is_dir()
        return read_disen(root, percent, CLASSES, reading) if ours else read_resplit(root, percent, reading)

    raw = [(place / "train", lambda place=place: read_original(place, reading)) for place in (data_dir / "BAR", root)]
    raw = [candidate for candidate in raw if not (candidate[0] / "align").is_dir()]
    return read_fixed(NAME, data_dir, bratio, CLASSES, size, [root, root / "train" / "conflict"], read_folder, raw)


def read_original(root: Path, reading: Reading) -> Source:
    """The original's flat folders; the class is the name up to its last underscore ("pole vaulting_7.jpg")."""
    left_out = LeftOut()

    def split(name: str) -> Files:
        paths = images_below(root / name, left_out=left_out)
        if len(paths) != SIZES[name]:
            log.warning("%s holds %d images; the original BAR has %d.", root / name, len(paths), SIZES[name])
        labels = torch.tensor([_class_of(path) for path in paths])
        return Files(paths, labels, torch.full_like(labels, -1))

    (everything, test), damaged = read_splits(root.parent, [split("train"), split("test")], reading)
    held = hold_out(everything.labels, 0.1, NAME)
    kept, held_out = (~held).nonzero().flatten(), held.nonzero().flatten()
    return Source(
        everything.subset(kept), everything.subset(held_out), test, CLASSES,
        origin=f"BAR's original files: {root}; validation is a stratified tenth of its training images",
        left_out=(*left_out.described(), *damaged),
    )  # fmt: skip


def _class_of(path: Path) -> int:
    name = path.stem.rsplit("_", 1)[0]
    if name not in CLASSES:
        raise RunError(f"{path}: the name must be <class>_<number>, with a class of {', '.join(CLASSES)}.")
    return CLASSES.index(name)


def read_resplit(root: Path, percent: str, reading: Reading) -> Source:
    """BiasEnsemble's folders. Under train/ the bias label follows from align/ or conflict/, whatever the name says."""
    left_out = LeftOut()

    def split(*parts: tuple[Path, int | None]) -> Files:
        """Folders, each with what to add to a label for its bias label; None leaves that to the names."""
        paths, pairs = [], []
        for folder, shift in parts:
            for path in images_below(folder, left_out=left_out):
                label, bias = labels_of(path, len(CLASSES))
                paths.append(path)
                pairs.append((label, bias if shift is None else (label + shift) % len(CLASSES)))
        labels, bias_labels = torch.tensor(pairs).T.contiguous()
        return Files(paths, labels, bias_labels)

    train = split((root / "train" / "align", 0), (root / "train" / "conflict" / percent, 1))
    valid, test = split((root / "valid", None)), split((root / "test", None))
    clean, damaged = read_splits(root.parent, [train, valid, test], reading)
    return Source(
        clean[0], clean[1], clean[2], CLASSES,
        origin=f"BiasEnsemble's division of BAR: {percent}; bias labels tell aligned from conflicting only",
        left_out=(*left_out.described(), *damaged),
    )  # fmt: skip
