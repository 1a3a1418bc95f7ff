"""The user's own images, a folder per class, with whatever is known about true labels and biases in a CSV file.

    DIR/train/CLASS/...    DIR/valid/CLASS/... (or val/, validation/) and DIR/test/CLASS/... if there are any

An image's given label is its folder. Nothing more is needed: without `valid/` a stratified tenth of the training images
is held out, without `test/` a fifth (before that), and what is not known is left out of the accuracies. The CSV
(`--annotations FILE`) may tell more. Its first line names its columns; `file` is the path below DIR, the others are
optional, and so is every cell and every image:

    file,given_label,true_label,bias_label,split
    train/cat/0017.jpg,dog,dog,cat,test

given_label is the class to train on, where that is not the folder; which images are held out does not change with it.
true_label is the right class; bias_label the class that the spurious cue points to; -1 in either says that it is not
known; split (train, valid or test) overrides the folder. An image of which nothing is said has an unknown bias label,
and an unknown true label in training and validation, where label noise is the question; in the test split the given
label is taken as true.

Where the CSV gives a split that has no folder fewer images than would be held out for it, images are held out as well,
among those of which the CSV does not say that they are to be trained on.
"""

import logging
import shlex
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from data.augment import BAR
from data.holdout import hold_out
from data.layouts.digests import contents_digest
from data.layouts.image_paths import LeftOut, images_below, is_hidden
from data.layouts.images import (
    AUTOMATIC_SIZE,
    KEPT_SIZE,
    Files,
    Reading,
    cache_option,
    fitting_size,
    listed,
    read_splits,
    size_option,
    skip_option,
)
from data.layouts.pt import pt_files, read_pt
from data.registry import Defaults, dataset, option
from data.split import Source
from utils.annotations import plain_name, read_table
from utils.errors import RunError, UsageError
from utils.escape import from_csv_cell

log = logging.getLogger(__name__)

NAME = "folder"
SPLITS = {"train": ("train",), "valid": ("valid", "val", "validation"), "test": ("test",)}
"""The splits, each with the names that its folder may have."""

COLUMNS = ("file", "true_label", "bias_label", "given_label", "split")
UNKNOWN = "-1"


@dataclass(frozen=True)
class Options:
    annotations: str = option("", help=f"CSV file with the columns {', '.join(COLUMNS)}")
    image_size: int = size_option(0, f"{AUTOMATIC_SIZE}, unless all have one size of up to {KEPT_SIZE} pixels a side")
    skip_damaged: bool = skip_option()
    cache_dir: str = cache_option()


@dataclass(frozen=True)
class Item:
    """The knowledge about an image.

    folder: the label that its folder gives it. corrected: the one that the CSV gives it instead, or None.
    true, bias: a label; -1 where it is said to be unknown, None where nothing is said.
    assigned: whether the CSV says which split it belongs to.
    """

    path: Path
    split: str
    folder: int
    true: int | None = None
    bias: int | None = None
    corrected: int | None = None
    assigned: bool = False

    @property
    def given(self) -> int:
        return self.folder if self.corrected is None else self.corrected


@dataset(
    NAME,
    None,
    Defaults(
        model="CONV",
        epochs=30,
        batch_size=64,
        lr=0.01,
        lr_decay_opt="20",
        bratio=None,
        nratio=0.0,
        cross_validate=3,
    ),
    options=Options,
    transforms={"none": BAR["none"], **BAR},
)
def folder(data_dir: Path, bratio: float | None, options: Options) -> Source:
    """your own images: --data_dir DIR with train/CLASS/..., and valid/, test/ and a CSV of what is known, if any"""
    if bratio is not None:
        raise UsageError(f"--bratio {bratio}: your images have the bias that they have. Leave the flag out.")
    prepared = pt_files(data_dir / NAME, NAME, None)
    if prepared[0].is_file():
        return read_prepared(prepared, data_dir, options)
    folders, left_out = split_folders(data_dir)
    items, class_names, skipped = find_images(folders, data_dir)
    if options.annotations:
        items = annotated(items, Path(options.annotations), data_dir, class_names)
    _require_training_images(items.values(), class_names, folders["train"])
    chosen, said = with_all_splits(list(items.values()), folders)
    _require_training_images(chosen, class_names, folders["train"])
    paths = [item.path for item in chosen]
    size = options.image_size or fitting_size(paths)
    if size and not options.image_size:
        said.append(f"images squashed to {size}x{size} pixels (--image_size)")
    splits = [_files([item for item in chosen if item.split == name]) for name in SPLITS]
    reading = Reading(size, options.skip_damaged, options.cache_dir)
    (train, valid, test), damaged = read_splits(data_dir, splits, reading)
    for label, name in enumerate(class_names):
        if not (train.labels == label).any():
            raise RunError(f"none of the images of {folders['train'] / name} that are to be trained on can be read.")
    return Source(
        train,
        valid,
        test,
        class_names,
        origin="; ".join([f"your images in {data_dir}", *said]),
        left_out=(*left_out, *skipped.described(), *damaged),
        inputs=tuple(paths),
    )


def read_prepared(files: tuple[Path, Path], data_dir: Path, options: Options) -> Source:
    """The set that `data.prepare` wrote, if it was made of the images that are there now, or there are none."""
    if options.annotations:
        raise UsageError(f"--annotations: {files[0]} already holds what was known when it was made. Remove one.")
    source = read_pt(*files, None, options.image_size)
    if (data_dir / "train").is_dir():
        items, _, _ = find_images(split_folders(data_dir)[0], data_dir)
        if source.made_from != contents_digest([item.path for item in items.values()]):
            raise RunError(
                f"{files[0]} was not made of the images that are in {data_dir} now. Remove it, or prepare it again: "
                f"python -m data.prepare --dataset {NAME} --data_dir {shlex.quote(str(data_dir))} --overwrite."
            )
    return source


def _files(items: list[Item]) -> Files:
    given = torch.tensor([item.given for item in items])
    bias = torch.tensor([-1 if item.bias is None else item.bias for item in items])
    unsaid = [item.given if item.split == "test" else -1 for item in items]
    true = torch.tensor([other if item.true is None else item.true for item, other in zip(items, unsaid, strict=True)])
    return Files([item.path for item in items], given, bias, true)


def with_all_splits(items: list[Item], folders: Collection[str]) -> tuple[list[Item], list[str]]:
    """Holds out images for splits that have no folder and too few images; also what is to be said about it."""
    said = []
    for name, share, words in (
        ("test", 0.2, "test: a stratified fifth of the training images, whose folders are taken as true labels"),
        ("valid", 0.1, "validation: a stratified tenth of the training images"),
    ):
        free = [at for at, item in enumerate(items) if item.split == "train" and not item.assigned]
        assigned = sum(item.split == name for item in items)
        if name in folders or assigned >= max(share * (assigned + len(free)), 1):
            continue
        held = hold_out(torch.tensor([items[at].folder for at in free], dtype=torch.long), share, f"{NAME} {name}")
        for at in held.nonzero().flatten().tolist():
            items[free[at]] = replace(items[free[at]], split=name)
        said.append(words + (f", besides the {assigned} that the annotations name" if assigned else ""))
    for name in SPLITS:
        if not any(item.split == name for item in items):
            raise RunError(f"too few images: none is left for the {name} split. Hold out some yourself, or add images.")
    return items, said


def _require_training_images(items: Iterable[Item], class_names: tuple[str, ...], train: Path) -> None:
    trained = {item.given for item in items if item.split == "train"}
    for label, name in enumerate(class_names):
        if label not in trained:
            there = any(item.folder == label and train in item.path.parents for item in items)
            raise RunError(
                f"the annotations leave no image of {train / name} to train on; each class needs some."
                if there
                else f"{train / name} holds no images. Remove the folder, or fill it."
            )


def split_folders(root: Path) -> tuple[dict[str, Path], list[str]]:
    """The folders of the splits that there are, and phrases about what else is in `root` and not read."""
    try:
        names = sorted(path.name for path in root.iterdir() if path.is_dir() and not is_hidden(path.name))
    except OSError as error:
        raise RunError(f"cannot read the folder {root}: {error.strerror}.") from error
    folders = {}
    for split, synonyms in SPLITS.items():
        there = [name for name in synonyms if name in names]
        if len(there) > 1:
            raise RunError(f"{root} holds {' and '.join(there)}, which mean the same split. Keep one.")
        if there:
            folders[split] = root / there[0]
    if "train" not in folders:
        raise RunError(
            f"{root / 'train'} is missing: wanted --data_dir DIR with your images as DIR/train/<class>/<image>. "
            f"Folders that are there: {listed(names) or 'none'}."
        )
    unused = [name for name in names if root / name not in folders.values() and name != NAME]
    return folders, [f"folders that are no split: {listed(unused)}"] if unused else []


def find_images(folders: dict[str, Path], root: Path) -> tuple[dict[str, Item], tuple[str, ...], LeftOut]:
    """All images by their path below `root`, the classes (the folders in train/, sorted), and what was passed over."""
    train, left_out = folders["train"], LeftOut()
    try:
        class_names = tuple(sorted(path.name for path in train.iterdir() if path.is_dir() and not is_hidden(path.name)))
    except OSError as error:
        raise RunError(f"cannot read the folder {train}: {error.strerror}.") from error
    if len(class_names) < 2:
        raise RunError(f"{train} holds {len(class_names)} folders; a folder per class is needed, and two classes.")
    _warn_of_twins(class_names, train)
    items = {}
    for split, place in folders.items():
        for path in sorted(images_below(place, left_out=left_out)):
            parts = path.relative_to(place).parts
            if len(parts) < 2:
                raise RunError(f"{path}: lies in no class folder; wanted {place}/<class>/{path.name}.")
            if parts[0] not in class_names:
                raise RunError(f"{path}: {parts[0]} is no class of {train} ({listed(class_names)}).")
            items[path.relative_to(root).as_posix()] = Item(path, split, class_names.index(parts[0]))
    return items, class_names, left_out


def _warn_of_twins(class_names: tuple[str, ...], train: Path) -> None:
    alike = defaultdict(list)
    for name in class_names:
        alike[" ".join(unicodedata.normalize("NFKC", name).casefold().split())].append(repr(name))
    for names in alike.values():
        if len(names) > 1:
            log.warning(
                "%s: the folders %s look alike and are trained as %d classes. If they are one, put their images into "
                "one folder.", train, " and ".join(names), len(names)
            )  # fmt: skip


def annotated(items: dict[str, Item], file: Path, root: Path, class_names: tuple[str, ...]) -> dict[str, Item]:
    """`items` with what the CSV `file` tells."""
    columns, rows, flaw = read_table(file)
    wrong = [column for column in columns if column not in COLUMNS]
    if "file" not in columns or wrong or len(set(columns)) < len(columns):
        found, known = ", ".join(columns) or "none", ", ".join(COLUMNS[1:])
        raise RunError(f"{file}, line 1: the columns are {found}; wanted file and any of {known}, each once.")
    spellings = Counter(map(plain_name, items))
    unique = {plain: name for name in items if spellings[plain := plain_name(name)] == 1}
    classes = {name: label for label, name in enumerate(class_names)}
    out, seen = dict(items), set()
    for line, row in rows:
        place, cell = f"{file}, line {line}", row["file"]
        if None in row or None in row.values():
            raise RunError(f"{place}: wanted {len(columns)} cells, one for each column.")
        if not any(row.values()):
            continue
        name = cell if cell in items else unique.get(plain_name(cell))
        if name is None:
            raise RunError(
                f"cannot read --annotations {file}: {flaw}. Save it as UTF-8."
                if flaw and not cell.isprintable()
                else f"{place}: no image {cell!r} in {root}; paths are relative to it, such as {next(iter(items))}."
            )
        if name in seen:
            raise RunError(f"{place}: {name} is there a second time.")
        seen.add(name)
        true, bias, given = (_label(row.get(column, ""), classes, f"{place}, {column}") for column in COLUMNS[1:4])
        out[name] = replace(items[name], true=true, bias=bias, corrected=None if given == -1 else given)
        said = row.get("split", "").strip()
        if said:
            split = next((split for split, synonyms in SPLITS.items() if said.lower() in synonyms), None)
            if split is None:
                raise RunError(f"{place}: {said!r} is no split; there are {', '.join(SPLITS)}.")
            out[name] = replace(out[name], split=split, assigned=True)
    _warn_of_unknown_groups(out.values(), file)
    return out


def _warn_of_unknown_groups(items: Iterable[Item], file: Path) -> None:
    biased = [item for item in items if item.split == "train" and item.bias not in (None, -1)]
    if biased and all(item.true in (None, -1) for item in biased):
        log.warning(
            "%s gives bias labels of %d training images and true labels of none of them, so their groups (aligned or "
            "conflicting, clean or noisy) are unknown. A column true_label tells them; where the folder is right, it "
            "holds the folder's name.", file, len(biased)
        )  # fmt: skip


def _label(cell: str, classes: dict[str, int], place: str) -> int | None:
    if cell.strip() in ("", UNKNOWN) and cell not in classes:
        return -1 if cell.strip() else None
    for name in (cell, from_csv_cell(cell)):
        if name in classes:
            return classes[name]
    same = [label for name, label in classes.items() if plain_name(name) == plain_name(cell)]
    if len(same) != 1:
        raise RunError(f"{place}: {cell!r} is no class; there are {listed(list(classes))}, and -1 for unknown.")
    return same[0]
