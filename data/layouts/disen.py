"""The image folders of the Disen authors (Lee et al., NeurIPS 2021) and, in the same shape, those of BiasEnsemble.

    ROOT/1pct/align/CLASS/ID_LABEL_BIAS.png    ROOT/1pct/conflict/CLASS/...    ROOT/1pct/valid/...    ROOT/test/...

`valid` may hold class folders or not, and may lie beside `1pct` (BFFHQ); `test` may lie within. Labels come from the
names, which end in `_LABEL_BIAS` whatever stands before. The authors read files in no defined order; here they are
sorted by name, because all per-sample state is keyed by position.

What is written has the position in its split as zero-padded ID, so that a set comes back in its own order.
"""

from collections.abc import Iterator
from pathlib import Path

import torch

from data.layouts.images import images_below, names_below, read_images
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
    """How the authors call the folder of a bias ratio: 0.5pct, 1pct, 2pct, 5pct."""
    return f"{bratio * 100:g}pct"


def read_disen(root: Path, percent: str, class_names: tuple[str, ...], size: int = 0, variant: str = "") -> Source:
    """Reads `root/PERCENT` (such as 1pct) and the test split that it shares with other ratios.

    A class folder or an align/conflict folder that contradicts a file's name is an error.

    Args:
        size: squashes every image to `size` x `size` pixels; 0 leaves them as they are.
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
    # Sorted together, not folder after folder: only then do positions in the names restore the order.
    train = images_below(folder / "align") + images_below(folder / "conflict")
    return Source(
        train=_read(root, sorted(train, key=lambda path: (path.name, path)), size),
        valid=_read(root, images_below(valid), size),
        test=_read(root, images_below(test), size),
        class_names=class_names,
        origin=f"Disen folders: {root.name}/{percent}",
        variant=variant,
    )


def _read(root: Path, paths: list[Path], size: int) -> Clean:
    pairs = torch.tensor([_checked_labels(path) for path in paths])
    files = names_below(root.parent, paths)
    return Clean(read_images(paths, size), pairs[:, 0].clone(), pairs[:, 1].clone(), files=files)


def labels_of(path: Path) -> tuple[int, int]:
    """Label and bias label at the end of a name; a numbered class folder must say the same."""
    try:
        _, label_text, bias_text = path.stem.rsplit("_", 2)
        label, bias = int(label_text), int(bias_text)
    except ValueError:
        raise RunError(f"{path}: the name must end in _<label>_<bias label> (such as 17_3_5.png).") from None
    if path.parent.name.isdecimal() and int(path.parent.name) != label:
        raise RunError(f"{path}: the folder says class {path.parent.name}, the name says {label}.")
    return label, bias


def _checked_labels(path: Path) -> tuple[int, int]:
    label, bias = labels_of(path)
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
