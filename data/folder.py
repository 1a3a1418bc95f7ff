"""The user's own images, a folder per class, with whatever is known about true labels and biases in a CSV file.

    DIR/train/CLASS/...    DIR/valid/CLASS/... and DIR/test/CLASS/... if there are any

An image's given label is its folder. Nothing more is needed: without `valid/` a stratified tenth of the training images
is held out, without `test/` a fifth (before that), and what is not known is left out of the accuracies. The CSV
(`--annotations FILE`) may tell more. Its first line names its columns; `file` is the path below DIR, the others are
optional, and so is every cell and every image:

    file,true_label,bias_label,split
    train/cat/0017.jpg,dog,cat,test

true_label is the right class; bias_label the class that the spurious cue points to; -1 in either says that it is not
known; split (train, valid or test) overrides the folder. An image of which nothing is said has an unknown bias label,
and an unknown true label in training and validation, where label noise is the question; in the test split the folder
is taken as true.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from data.augment import BAR
from data.holdout import hold_out
from data.layouts.images import images_below, names_below, read_images
from data.layouts.pt import pt_files, read_pt
from data.registry import Defaults, dataset, option
from data.split import Clean, Source
from utils.errors import RunError, UsageError

NAME = "folder"
SPLITS = ("train", "valid", "test")
COLUMNS = ("file", "true_label", "bias_label", "split")
UNKNOWN = "-1"


@dataclass(frozen=True)
class Options:
    annotations: str = option("", help="CSV file with the columns file, true_label, bias_label, split")
    image_size: int = option(0, low=0, help="pixels to which images are squashed, 0 if they all have one size")


@dataclass(frozen=True)
class Item:
    """What is known about an image: a label is -1 where it is said to be unknown, None where nothing is said."""

    path: Path
    split: str
    given: int
    true: int | None = None
    bias: int | None = None


@dataset(
    NAME,
    None,
    Defaults(model="CONV", epochs=100, batch_size=64, lr=0.01, lr_decay_opt="30", bratio=None, nratio=0.0),
    options=Options,
    transforms={"none": BAR["none"], **BAR},
)
def folder(data_dir: Path, bratio: float | None, options: Options) -> Source:
    """your own images: --data_dir DIR with train/CLASS/..., and valid/, test/ and a CSV of what is known, if any"""
    if bratio is not None:
        raise UsageError(f"--bratio {bratio}: your images have the bias that they have. Leave the flag out.")
    prepared = pt_files(data_dir / NAME, NAME, None)
    if prepared[0].is_file():
        if options.annotations:
            raise UsageError(f"--annotations: {prepared[0]} already holds what was known when it was made. Remove one.")
        return read_pt(*prepared, None, options.image_size)
    items, class_names = find_images(data_dir)
    if options.annotations:
        items = annotated(items, Path(options.annotations), data_dir, class_names)
    chosen, said = with_all_splits(list(items.values()))
    train, valid, test = (
        _read(data_dir, [item for item in chosen if item.split == name], options.image_size) for name in SPLITS
    )
    return Source(train, valid, test, class_names, origin="; ".join([f"your images in {data_dir}", *said]))


def with_all_splits(items: list[Item]) -> tuple[list[Item], list[str]]:
    """Holds out images for splits that have none; also what is to be said about it."""
    said = []
    for name, share, words in (
        ("test", 0.2, "test: a stratified fifth of the training images, whose folders are taken as true labels"),
        ("valid", 0.1, "validation: a stratified tenth of the training images"),
    ):
        if not any(item.split == name for item in items):
            train = [position for position, item in enumerate(items) if item.split == "train"]
            held = hold_out(torch.tensor([items[position].given for position in train]), share, f"{NAME} {name}")
            for position in held.nonzero().flatten().tolist():
                items[train[position]] = replace(items[train[position]], split=name)
            said.append(words)
    for name in SPLITS:
        if not any(item.split == name for item in items):
            raise RunError(f"too few images: none is left for the {name} split. Hold out some yourself, or add images.")
    return items, said


def _read(root: Path, items: list[Item], size: int) -> Clean:
    paths = [item.path for item in items]
    given = torch.tensor([item.given for item in items])
    bias = torch.tensor([-1 if item.bias is None else item.bias for item in items])
    unsaid = [item.given if item.split == "test" else -1 for item in items]
    true = torch.tensor([other if item.true is None else item.true for item, other in zip(items, unsaid, strict=True)])
    return Clean(read_images(paths, size), given, bias, true, names_below(root, paths))


def find_images(root: Path) -> tuple[dict[str, Item], tuple[str, ...]]:
    """All images by their path below `root`, and the classes: the folders in train/, sorted."""
    train = root / "train"
    if not train.is_dir():
        raise RunError(f"{train} is missing: wanted --data_dir DIR with your images as DIR/train/<class>/<image>.")
    try:
        class_names = tuple(sorted(path.name for path in train.iterdir() if path.is_dir() and path.name[0] != "."))
    except OSError as error:
        raise RunError(f"cannot read the folder {train}: {error.strerror}.") from error
    if len(class_names) < 2:
        raise RunError(f"{train} holds {len(class_names)} folders; a folder per class is needed, and two classes.")
    items = {}
    for split in SPLITS:
        for path in sorted(images_below(root / split)) if (root / split).is_dir() else ():
            parts = path.relative_to(root / split).parts
            if len(parts) < 2:
                raise RunError(f"{path}: lies in no class folder; wanted {root / split}/<class>/{path.name}.")
            if parts[0] not in class_names:
                raise RunError(f"{path}: {parts[0]} is no class of {train} ({', '.join(class_names)}).")
            given = class_names.index(parts[0])
            items[path.relative_to(root).as_posix()] = Item(path, split, given)
    for name in class_names:
        if not any(item.split == "train" and class_names[item.given] == name for item in items.values()):
            raise RunError(f"{train / name} holds no images. Remove the folder, or fill it.")
    return items, class_names


def annotated(items: dict[str, Item], file: Path, root: Path, class_names: tuple[str, ...]) -> dict[str, Item]:
    """`items` with what the CSV `file` tells."""
    try:
        with open(file, encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            columns, rows = reader.fieldnames or [], [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"cannot read --annotations {file}: {error}.") from error
    wrong = [column for column in columns if column not in COLUMNS]
    if "file" not in columns or wrong or len(set(columns)) < len(columns):
        raise RunError(f"{file}, line 1: the columns are {', '.join(columns)}; wanted file and any of {COLUMNS[1:]}.")
    out, seen = dict(items), set()
    for line, row in rows:
        place, name = f"{file}, line {line}", row["file"]
        if None in row or None in row.values():
            raise RunError(f"{place}: wanted {len(columns)} cells, one for each column.")
        if name not in items:
            raise RunError(
                f"{place}: no image {name!r} in {root}; paths are relative to it, such as {next(iter(items))}."
            )
        if name in seen:
            raise RunError(f"{place}: {name} is there a second time.")
        seen.add(name)
        true, bias = (_label(row.get(column, ""), class_names, f"{place}, {column}") for column in COLUMNS[1:3])
        split = row.get("split") or items[name].split
        if split not in SPLITS:
            raise RunError(f"{place}: {split!r} is no split; there are {', '.join(SPLITS)}.")
        out[name] = replace(items[name], split=split, true=true, bias=bias)
    return out


def _label(cell: str, class_names: tuple[str, ...], place: str) -> int | None:
    if cell in ("", UNKNOWN):
        return -1 if cell else None
    if cell not in class_names:
        raise RunError(f"{place}: {cell!r} is no class; there are {', '.join(class_names)}, and -1 for unknown.")
    return class_names.index(cell)
