"""Colored MNIST with the recipe of the DENEB authors (their generator was published with PGD, ICLR 2023).

The first 54,000 training digits are for training, the last 6,000 for validation, equally biased. An image is
conflicting with probability `bratio`, its colour then uniform over the other nine; in the test split every colour is
equally likely (conflicting with probability 0.9). The authors' generator is unseeded; ours always draws the same data.
"""

import logging
from pathlib import Path

import numpy as np
import torch
from torchvision.datasets import MNIST

from data.augment import DIGITS
from data.coloring import colorize, draw_bias_labels
from data.layouts import pt_files, read_disen, read_pt, write_pt
from data.registry import Defaults, NoOptions, dataset
from data.split import Clean, Source
from utils.errors import RunError
from utils.files import save_tensors
from utils.seeds import numpy_generator

log = logging.getLogger(__name__)

NAME = "colored_mnist"
CLASSES = tuple("0123456789")
COLOR_JITTER = 1e-4
TRAIN_SIZE = 54_000
TEST_CONFLICTING = 0.9

Digits = tuple[np.ndarray, np.ndarray]
"""Grey images, uint8 [N, 28, 28], and their labels, int64 [N]."""


@dataset(
    NAME,
    10,
    Defaults(model="CONV", epochs=100, batch_size=256, lr=0.01, lr_decay_opt="30", bratio=0.01, nratio=0.0),
    transforms=DIGITS,
)
def colored_mnist(data_dir: Path, bratio: float, options: NoOptions) -> Source:
    """MNIST digits, each class with its own colour (60,000 + 10,000 images, 28x28)

    Taken from the first that is there: the authors' `.pt` files, the Disen folders, our own cache, MNIST itself.
    """
    authors = pt_files(data_dir / NAME, NAME, bratio)
    percent = f"{bratio * 100:g}"
    cached = pt_files(data_dir / NAME / "generated", NAME, bratio)
    if authors[0].is_file():
        return read_pt(*authors, CLASSES)
    if (data_dir / "cmnist" / f"{percent}pct").is_dir():
        return read_disen(data_dir / "cmnist", percent, CLASSES)
    if cached[0].is_file() and cached[1].is_file():
        return read_pt(*cached, CLASSES)
    source = generate(*_mnist(data_dir, [authors[0], data_dir / "cmnist" / f"{percent}pct"]), bratio)
    try:
        for path, content in zip(cached, write_pt(source, *cached), strict=True):
            save_tensors(path, content)
    except OSError as error:
        log.warning("Colored MNIST is not cached (%s); it will be generated again next time.", error)
    return source


def generate(train: Digits, test: Digits, bratio: float) -> Source:
    """Colours MNIST's training and test digits."""

    def split(name: str, images: np.ndarray, labels: np.ndarray, conflicting: float) -> Clean:
        generator = numpy_generator(0, NAME, name)
        bias = draw_bias_labels(labels, conflicting, generator)
        return Clean(
            colorize(images, bias, "pgd", COLOR_JITTER, generator), torch.from_numpy(labels), torch.from_numpy(bias)
        )

    (images, labels), size = train, TRAIN_SIZE
    return Source(
        train=split("train", images[:size], labels[:size], bratio),
        valid=split("valid", images[size:], labels[size:], bratio),
        test=split("test", *test, TEST_CONFLICTING),
        class_names=CLASSES,
        origin="generated from MNIST",
    )


def _mnist(data_dir: Path, also_tried: list[Path]) -> tuple[Digits, Digits]:
    """MNIST's training and test images and labels, downloaded by torchvision if they are not under `data_dir`."""
    raw = data_dir / "MNIST" / "raw"
    places = "; ".join(str(path) for path in [*also_tried, raw])
    try:
        parts = [MNIST(str(data_dir), train=train, download=not _is_here(raw)) for train in (True, False)]
    except Exception as error:  # torchvision raises what urllib, gzip and its own parser raise
        reason = str(error).strip().splitlines()[0].rstrip(":") if str(error).strip() else repr(error)
        raise RunError(
            f"no Colored MNIST and no MNIST: looked at {places}. The download failed or a file is damaged ({reason}). "
            f"Put MNIST's four files (train-images-idx3-ubyte ...) into {raw}, choose another --data_dir, or use the "
            "embedded data set, which needs no files: --dataset colored_digits."
        ) from error
    arrays = [(part.data.numpy(), part.targets.numpy()) for part in parts]
    for (images, labels), size in zip(arrays, (60_000, 10_000), strict=True):
        if images.shape != (size, 28, 28) or len(labels) != size:
            raise RunError(f"{raw}: expected {size} images of 28x28 and their labels, found {images.shape}.")
    return arrays[0], arrays[1]


def _is_here(raw: Path) -> bool:
    stems = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return all((raw / f"{stem}-ubyte").is_file() for stem in stems)
