"""The image folders of the Disen authors (Lee et al., NeurIPS 2021) and, in the same shape, those of BiasEnsemble.

    ROOT/1pct/align/CLASS/ID_LABEL_BIAS.png    ROOT/1pct/conflict/CLASS/...    ROOT/1pct/valid/...    ROOT/test/...

`valid` may hold class folders or not, and may lie beside `1pct` (BFFHQ); `test` may lie within. Labels come from the
names, which end in `_LABEL_BIAS` whatever stands before. The authors read files in no defined order; here they are
sorted by name, because all per-sample state is keyed by position.

What is written has the position in its split as zero-padded ID, so that a set comes back in its own order.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import torch

from data.layouts.image_paths import LeftOut, images_below
from data.layouts.images import AS_THEY_ARE, Files, Reading, read_splits
from data.split import Clean, Source
from utils.errors import RunError

ROOTS = {"colored_mnist_rainbow": "cmnist", "corrupted_cifar": "cifar10c"}
"""The authors' folder names where they are not those of the data sets and variants."""


def disen_root(data_dir: Path, name: str) -> Path:
    """Where the folders of a data set are; `name` includes its variant."""
    return data_dir / ROOTS.get(name, name)


def set_of_root(folder: str) -> str:
    """The data set, with its variant, whose folders are in a folder of this name."""
    return {root: name for name, root in ROOTS.items()}.get(folder, folder)


def percent_folder(bratio: float) -> str:
    """The authors' name of the folder of a bias ratio: 0.5pct, 1pct, 2pct, 5pct."""
    return f"{bratio * 100:g}pct"


def read_disen(
    root: Path, percent: str, class_names: tuple[str, ...], reading: Reading = AS_THEY_ARE, variant: str = ""
) -> Source:
    """Reads `root/PERCENT` (such as 1pct) and the test split that it shares with other ratios.

    A class folder or an align/conflict folder that contradicts a file's name is an error.
    """
    folder = root / percent
    valid = next((place for place in (folder / "valid", root / "valid") if place.is_dir()), folder / "valid")
    test = next((place for place in (root / "test", folder / "test") if place.is_dir()), root / "test")
    for wanted in (folder / "align", folder / "conflict", valid, test):
        if not wanted.is_dir():
            raise RunError(
                f"{wanted} is missing; expected align/, conflict/ and valid/ in {folder}, test/ in {root}. "
                "(Some READMEs write conlict/; no loader looks for that.)"
            )
    left_out = LeftOut()
    splits = []
    for places in ((folder / "align", folder / "conflict"), (valid,), (test,)):
        paths = [path for place in places for path in images_below(place, left_out=left_out)]
        # Sorted together, not folder after folder: only then do positions in the names restore the order.
        paths.sort(key=lambda path: (path.name, path))
        labels, bias_labels = torch.tensor([_checked_labels(path, len(class_names)) for path in paths]).T.contiguous()
        splits.append(Files(paths, labels, bias_labels))
    clean, damaged = read_splits(root.parent, splits, reading)
    return Source(
        clean[0],
        clean[1],
        clean[2],
        class_names,
        origin=f"Disen folders: {root.name}/{percent}",
        variant=variant,
        left_out=(*left_out.described(), *damaged),
    )


LABELS = re.compile(r".*_([0-9]{1,9})_([0-9]{1,9})", re.DOTALL)
"""The end of a name: label and bias label."""


def labels_of(path: Path, classes: int) -> tuple[int, int]:
    """Label and bias label at the end of a name; a numbered class folder must say the same."""
    found = LABELS.fullmatch(path.stem)
    if not found:
        raise RunError(f"{path}: the name must end in _<label>_<bias label> (such as 17_3_5.png).")
    label, bias = map(int, found.groups())
    if max(label, bias) >= classes:
        raise RunError(f"{path}: the name says label {label}, bias label {bias}; there are 0 to {classes - 1}.")
    if path.parent.name.isdecimal() and int(path.parent.name) != label:
        raise RunError(f"{path}: the folder says class {path.parent.name}, the name says {label}.")
    return label, bias


def _checked_labels(path: Path, classes: int) -> tuple[int, int]:
    label, bias = labels_of(path, classes)
    for kind, fits in (("align", label == bias), ("conflict", label != bias)):
        if kind in (path.parent.name, path.parent.parent.name) and not fits:
            raise RunError(f"{path}: lies under {kind}/, but its name says label {label}, bias label {bias}.")
    return label, bias


def disen_paths(source: Source, root: Path, percent: str) -> Iterator[tuple[Clean, list[Path]]]:
    """Every split of `source` with the path of each of its images below `root`.

    Raises:
        RunError: a bias label is unknown or a label may be wrong, which these folders cannot express.
    """
    for split in ("train", "valid", "test"):
        clean: Clean = getattr(source, split)
        if (clean.bias_labels < 0).any() or not torch.equal(clean.labels, clean.truth):
            raise RunError(
                f"{split}: bias labels are unknown or labels may be wrong, so align/ and conflict/ cannot be told "
                "apart. Use --format pt."
            )
        digits = len(str(len(clean.labels) - 1))
        paths = []
        for position, (label, bias) in enumerate(zip(clean.labels.tolist(), clean.bias_labels.tolist(), strict=True)):
            parent = {
                "train": root / percent / ("align" if label == bias else "conflict") / str(label),
                # The authors' loaders look for cmnist's validation images without class folders, and only there.
                "valid": root / percent / "valid" / ("" if root.name == "cmnist" else str(label)),
                "test": root / "test" / str(label),
            }[split]
            paths.append(parent / f"{position:0{digits}}_{label}_{bias}.png")
        yield clean, paths
