"""CIFAR-10 (Krizhevsky 2009): photographs of ten kinds of things, 32x32, without any bias that is known."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.datasets import CIFAR10

from data.augment import CIFAR
from data.layouts.decoding import decode
from data.layouts.image_paths import images_below
from data.layouts.pt import pt_files, read_pt
from data.registry import Defaults, NoOptions, dataset, option
from data.split import Clean, Source
from utils.errors import RunError, UsageError
from utils.seeds import numpy_generator

NAME = "cifar10"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIZES = {"train": 50_000, "test": 10_000}

Photographs = tuple[np.ndarray, np.ndarray]
"""Images, uint8 [N, 32, 32, 3], and their labels, int64 [N]."""


@dataset(
    NAME,
    10,
    Defaults(model="ResNet20", epochs=100, batch_size=256, lr=0.001, lr_decay_opt="20", bratio=0.0, nratio=0.0),
    transforms=CIFAR,
)
def cifar10(data_dir: Path, bratio: float, options: NoOptions) -> Source:
    """CIFAR-10 without bias (45,000 + 5,000 + 10,000 images, 32x32)

    Taken from the first that is there: the authors' `.pt` files, CIFAR-10 itself.
    """
    authors = pt_files(data_dir / NAME, NAME, bratio)
    if authors[0].is_file():
        return read_pt(*authors, CLASSES)
    if bratio:
        raise UsageError(f"--bratio {bratio:g}: {NAME} has no bias, and {authors[0]} is not there. Leave --bratio out.")
    train, test, origin = cifar10_images(data_dir, [authors[0]])

    def plain(photographs: Photographs) -> Clean:
        images, labels = map(torch.from_numpy, photographs)
        return Clean(images.permute(0, 3, 1, 2), labels, torch.full_like(labels, -1))

    kept, held_out = hold_out(train)
    return Source(plain(kept), plain(held_out), plain(test), CLASSES, origin)


def hold_out(train: Photographs) -> tuple[Photographs, Photographs]:
    """Nine tenths for training and one for validation: the same share of every class, always the same images."""
    from sklearn.model_selection import train_test_split

    images, labels = train
    kept, held_out = train_test_split(np.arange(len(labels)), test_size=0.1, stratify=labels, random_state=0)
    kept.sort(), held_out.sort()
    return (images[kept], labels[kept]), (images[held_out], labels[held_out])


def images_per_class(default: int) -> Any:
    """Declares the option of a data set that is made of `some_of` the photographs."""
    about = "images of each class for training and validation; a fifth as many for testing"
    return option(default, low=10, high=5000, help=about)


def some_of(photographs: Photographs, per_class: int) -> Photographs:
    """As many photographs of every class, or all it has; always the same ones, in the order that they had."""
    images, labels = photographs
    # The stream bears the name of the data sets that took some first: by another one they would be others.
    shuffled = numpy_generator(0, "marked_cifar").permutation(len(labels))
    index = np.sort(np.concatenate([shuffled[labels[shuffled] == c][:per_class] for c in range(len(CLASSES))]))
    return images[index], labels[index]


def cifar10_images(data_dir: Path, also_tried: list[Path]) -> tuple[Photographs, Photographs, str]:
    """The training and the test photographs, and which of their forms was found.

    Taken from torchvision's batches; else from image files, `cifar10/{train,test}/<class name>/*.png` or `.jpg`.
    torchvision checks its batches against known sums before it unpickles them, and downloads what is not there.
    """
    batches, folder = data_dir / "cifar-10-batches-py", data_dir / NAME
    if not batches.is_dir() and (folder / "train").is_dir():
        train, test = (_from_folders(folder / split, size) for split, size in SIZES.items())
        return train, test, "CIFAR-10 as image files"
    try:
        train, test = (CIFAR10(str(data_dir), train=split == "train", download=True) for split in SIZES)
    except Exception as error:  # torchvision raises what urllib, tarfile, pickle and its own check raise
        reason = str(error).strip().splitlines()[0].rstrip(".:") if str(error).strip() else repr(error)
        places = "; ".join(str(path) for path in [*also_tried, batches, folder / "train"])
        raise RunError(
            f"no CIFAR-10: looked at {places}. The download failed or a file is damaged ({reason}). Unpack "
            f"cifar-10-python.tar.gz in {data_dir}, put images into {folder}/train/<class>/ and {folder}/test/<class>/ "
            f"({CLASSES[0]} ... {CLASSES[-1]}), choose another --data_dir, or use the embedded data set, which needs "
            "no files: --dataset colored_digits."
        ) from error
    return _arrays(train), _arrays(test), "CIFAR-10"


def raw_files(data_dir: Path) -> list[Path]:
    """The files that `cifar10_images` reads, as far as they are there."""
    batches, folder = data_dir / "cifar-10-batches-py", data_dir / NAME
    if batches.is_dir():
        return sorted(path for path in batches.glob("*_batch*") if path.is_file())
    return [path for split in SIZES for name in CLASSES for path in _class_files(folder / split / name)]


def _class_files(folder: Path) -> list[Path]:
    return images_below(folder, needed=False) if folder.is_dir() else []


def _arrays(part: CIFAR10) -> Photographs:
    return np.ascontiguousarray(part.data), np.array(part.targets)


def _from_folders(folder: Path, size: int) -> Photographs:
    files = [(path, label) for label, name in enumerate(CLASSES) for path in _class_files(folder / name)]
    counts = np.bincount([label for _, label in files], minlength=len(CLASSES))
    if (counts != size // len(CLASSES)).any():
        found = ", ".join(f"{name} {count}" for name, count in zip(CLASSES, counts, strict=True))
        raise RunError(f"{folder}: expected {size // len(CLASSES)} .png or .jpg images a class, found {found}.")
    with ThreadPoolExecutor() as pool:
        images = np.stack(list(pool.map(_decode, [path for path, _ in files])))
    return images, np.array([label for _, label in files])


def _decode(path: Path) -> np.ndarray:
    pixels = decode(path)
    if pixels.shape != (32, 32, 3):
        raise RunError(f"{path} has {pixels.shape[1]}x{pixels.shape[0]} pixels; CIFAR-10's images have 32x32.")
    return pixels
