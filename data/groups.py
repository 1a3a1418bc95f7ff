"""The group-robustness benchmarks as they are passed on: photographs, and tables of what is known about each of them.

`metadata`, the layout of Waterbirds, MetaShift, UrbanCars and many exports: `metadata.csv` beside the images, with
the columns `img_filename`, `y`, `split` (0 train, 1 validation, 2 test, or these words) and one or more of groups, such
as `place`.

    img_id,img_filename,y,split,place,place_filename
    1,001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg,1,0,0,/o/ocean/00002118.jpg

`celeba`, CelebA's own: `list_attr_celeba` and `list_eval_partition`, as .txt (the original) or .csv (Kaggle), and
`img_align_celeba/`. Any of its attributes can be the class or the cue.

A cue may have any number of values. Each points to the class in which it is most frequent compared with the others:
its bias label, by which images are aligned or conflicting. Groups, of which the worst is reported and by which the
adjusted accuracy is weighted, are the pairs of a class and a value.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from data.augment import BAR
from data.layouts.images import Files, Reading, cache_option, listed, read_splits, size_option, skip_option
from data.registry import Defaults, dataset, option
from data.split import Source
from utils.annotations import table_reader
from utils.errors import RunError, UsageError

SPLITS = {"0": 0, "1": 1, "2": 2, "train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}
OTHER_COLUMNS = ("", "img_id", "img_filename", "y", "split", "place_filename")
MOST_VALUES = 50
"""A column with more different values is not taken for one of groups."""

FINE_TUNING = Defaults(
    model="pretrained_ResNet50",
    epochs=30,
    batch_size=64,
    lr=1e-3,
    lr_decay_opt="30",
    bratio=None,
    nratio=0.0,
    weight_decay=1e-4,
)


@dataclass(frozen=True)
class MetadataOptions:
    group_column: str = option("", help="column of the cue in metadata.csv, or several with commas (default: place, "
                               "or the only one that there is)")  # fmt: skip
    image_size: int = size_option(224, "the size of the files")
    skip_damaged: bool = skip_option()
    cache_dir: str = cache_option()


@dataclass(frozen=True)
class CelebaOptions:
    target: str = option("Blond_Hair", help="CelebA's attribute that is the class")
    cue: str = option("Male", help="CelebA's attribute that is the cue")
    image_size: int = size_option(224, "the size of the files")
    skip_damaged: bool = skip_option()
    cache_dir: str = cache_option()


@dataset("metadata", None, FINE_TUNING, options=MetadataOptions, transforms={"none": BAR["none"], **BAR})
def metadata(data_dir: Path, bratio: float | None, options: MetadataOptions) -> Source:
    """Waterbirds and other sets with a metadata.csv (img_filename, y, split and a column of groups), in --data_dir"""
    _no_ratio(bratio)
    table = data_dir / "metadata.csv"
    header, rows = _read_csv(table)
    for column in ("img_filename", "y", "split"):
        if column not in header:
            raise RunError(f"{table}: there is no column {column}; found {listed(header)}.")
    seen: set[str] = set()
    for line, row in enumerate(rows, 2):
        if not row["y"].strip():
            raise RunError(f"{table}, line {line}: y, the class, is blank.")
        if row["img_filename"] in seen:
            raise RunError(f"{table}, line {line}: {row['img_filename']} is there a second time.")
        seen.add(row["img_filename"])
    columns = _group_columns(table, header, rows, options.group_column)
    classes = _sorted({row["y"] for row in rows})
    reading = Reading(options.image_size, options.skip_damaged, options.cache_dir)
    return _source(
        data_dir,
        [data_dir / row["img_filename"] for row in rows],
        [row["y"] for row in rows],
        [", ".join(row[column] for column in columns) for row in rows],
        [_split_of(row["split"], f"{table}, line {line}") for line, row in enumerate(rows, 2)],
        classes,
        reading,
        f"{table}: class y, cue {', '.join(columns)}",
    )


@dataset("celeba", 2, FINE_TUNING, options=CelebaOptions, transforms={"none": BAR["none"], **BAR})
def celeba(data_dir: Path, bratio: float | None, options: CelebaOptions) -> Source:
    """CelebA: a face's attribute as the class and another one as the cue (blond hair and gender, 162,770 + ... images)

    Taken from `celeba/` or from --data_dir itself.
    """
    _no_ratio(bratio)
    root = data_dir / "celeba" if (data_dir / "celeba").is_dir() else data_dir
    attributes, partition = (_celeba_table(root, name) for name in ("list_attr_celeba", "list_eval_partition"))
    known = next(iter(attributes.values()), {})
    for flag, name in (("target", options.target), ("cue", options.cue)):
        if name not in known:
            raise UsageError(f"--{flag} {name}: CelebA's attributes are {', '.join(known)}.")
    if options.target == options.cue:
        raise UsageError(f"--cue {options.cue} is the class too. Name another attribute.")
    folder = next(
        (
            place
            for place in (root / "img_align_celeba" / "img_align_celeba", root / "img_align_celeba")
            if place.is_dir()
        ),
        None,
    )
    if folder is None:
        raise RunError(f"{root / 'img_align_celeba'} is missing: CelebA's aligned images belong there.")
    names = list(partition)
    missing = [name for name in names if name not in attributes]
    if missing:
        raise RunError(f"{root}/list_attr_celeba says nothing of {listed(missing)}.")

    def named(attribute: str) -> list[str]:
        values = [attributes[name][attribute] for name in names]
        if strange := set(values) - {"1", "-1", "0"}:
            raise RunError(f"{root}/list_attr_celeba: {attribute} is {listed(sorted(strange))}; wanted 1, or -1 or 0.")
        return [attribute if value == "1" else f"not {attribute}" for value in values]

    reading = Reading(options.image_size, options.skip_damaged, options.cache_dir)
    return _source(
        root,
        [folder / name for name in names],
        named(options.target),
        named(options.cue),
        [_split_of(next(iter(partition[name].values())), f"{root}/list_eval_partition, {name}") for name in names],
        [f"not {options.target}", options.target],
        reading,
        f"CelebA in {root}: class {options.target}, cue {options.cue}",
    )


def _source(
    root: Path,
    paths: list[Path],
    targets: list[str],
    values: list[str],
    splits: list[int],
    classes: list[str],
    reading: Reading,
    origin: str,
) -> Source:
    """The three splits, from a row for each image: its class, the cue's value and its split (0, 1, 2)."""
    kinds = _sorted(set(values))
    label_of, cue_of = ({name: i for i, name in enumerate(names)} for names in (classes, kinds))
    labels = torch.tensor([label_of[name] for name in targets])
    cues, split = torch.tensor([cue_of[name] for name in values]), torch.tensor(splits)
    for number, name in enumerate(("training", "validation", "test")):
        if not (split == number).any():
            raise RunError(f"{origin}: there is no {name} image.")
    train = split == 0
    bias = pointed_to(labels[train], cues[train], len(classes), len(kinds))[cues]
    clean, damaged = read_splits(
        root,
        [
            Files([paths[i] for i in at], labels[at], bias[at], cues=cues[at])
            for at in ((split == number).nonzero().flatten().tolist() for number in range(3))
        ],
        reading,
    )
    told = ", ".join(f"{kind} ({classes[b]})" for kind, b in zip(kinds, _bias_of(bias, cues, len(kinds)), strict=True))
    origin = f"{origin}; values of the cue, and the class they point to: {told}"
    return Source(clean[0], clean[1], clean[2], tuple(classes), origin, left_out=tuple(damaged))


def pointed_to(labels: Tensor, cues: Tensor, num_classes: int, num_values: int) -> Tensor:
    """The class in which each value of the cue is most frequent, by its share of the class's images; int64 [values].

    Args:
        labels, cues: of the training images, int64 [N].
    """
    counts = torch.zeros(num_values, num_classes, dtype=torch.float64)
    counts.index_put_((cues, labels), torch.ones(len(labels), dtype=torch.float64), accumulate=True)
    return (counts / counts.sum(0, keepdim=True).clamp(min=1)).argmax(1)


def _bias_of(bias: Tensor, cues: Tensor, count: int) -> list[int]:
    return [int(bias[cues == value][0]) for value in range(count)]


def _no_ratio(bratio: float | None) -> None:
    if bratio is not None:
        raise UsageError(f"--bratio {bratio}: the images have the bias that they have. Leave the flag out.")


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))


def _split_of(cell: str, place: str) -> int:
    if cell.strip().lower() not in SPLITS:
        raise RunError(f"{place}: {cell!r} is no split; there are 0 (train), 1 (validation) and 2 (test).")
    return SPLITS[cell.strip().lower()]


def _group_columns(table: Path, header: list[str], rows: list[dict[str, str]], asked: str) -> list[str]:
    if asked:
        columns = [name.strip() for name in asked.split(",")]
        for name in columns:
            if name not in header:
                raise UsageError(f"--group_column {name}: {table} has the columns {listed(header)}.")
        return columns
    if "place" in header:
        return ["place"]
    candidates = [
        name for name in header if name not in OTHER_COLUMNS and len({row[name] for row in rows}) <= MOST_VALUES
    ]
    if len(candidates) != 1:
        found = listed(candidates) if candidates else "none that could be it"
        raise RunError(f"{table}: which column is the cue? Say --group_column NAME; found {found}.")
    return candidates


def _read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = table_reader(file.read())
        header, rows = list(reader.fieldnames or []), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"cannot read {path}: {reason}.") from error
    for line, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise RunError(f"{path}, line {line}: wanted {len(header)} cells, one for each column.")
    if not rows:
        raise RunError(f"{path} has no rows.")
    return header, rows


def _celeba_table(root: Path, name: str) -> dict[str, dict[str, str]]:
    """The rows of one of CelebA's tables, by image."""
    if (root / f"{name}.csv").is_file():
        header, rows = _read_csv(root / f"{name}.csv")
        if len(header) < 2:
            raise RunError(f"{root / name}.csv: wanted a column of images and others, found {listed(header)}.")
        return {row[header[0]]: {column: row[column].strip() for column in header[1:]} for row in rows}
    path = root / f"{name}.txt"
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"cannot read {path} (nor a .csv of that name): {reason}.") from error
    columns = ["partition"]
    if lines and len(lines[0]) == 1:  # the attributes' table begins with its length and their names
        columns, lines = lines[1] if len(lines) > 1 else [], lines[2:]
    if not lines:
        raise RunError(f"{path} has no rows.")
    for cells in lines:
        if len(cells) != len(columns) + 1:
            raise RunError(f"{path}: {cells[0]} has {len(cells) - 1} values; wanted {len(columns)}.")
    return {cells[0]: dict(zip(columns, cells[1:], strict=True)) for cells in lines}
