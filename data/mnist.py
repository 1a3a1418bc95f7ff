"""MNIST, and the bias that both sets made from it have: most digits of a class wear the colour of their class.

The first 54,000 training digits are for training, the last 6,000 for validation, equally biased. An image is
conflicting with probability `bratio`, its colour then uniform over the other nine; in the test split every colour is
equally likely (conflicting with probability 0.9), as in the generator that the DENEB authors published with PGD.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import MNIST

from data.coloring import draw_bias_labels
from data.split import Clean, Source
from utils.errors import RunError
from utils.seeds import numpy_generator

CLASSES = tuple("0123456789")
TRAIN_SIZE = 54_000
TEST_CONFLICTING = 0.9

Digits = tuple[np.ndarray, np.ndarray]
"""Grey images, uint8 [N, 28, 28], and their labels, int64 [N]."""

Paint = Callable[[np.ndarray, np.ndarray, np.random.Generator], Tensor]
"""From grey images, their bias labels and a generator to uint8 [N, 3, 28, 28]."""


def biased(
    digits: tuple[Digits, Digits], bratio: float, paint: Paint, name: str, seed: int, origin: str, variant: str
) -> Source:
    """The three splits from training and test digits; `name` and `seed` name the random streams."""

    def split(part: str, images: np.ndarray, labels: np.ndarray, conflicting: float) -> Clean:
        generator = numpy_generator(seed, name, part)
        bias = draw_bias_labels(labels, conflicting, generator)
        return Clean(paint(images, bias, generator), torch.from_numpy(labels), torch.from_numpy(bias))

    ((images, labels), test), size = digits, TRAIN_SIZE
    return Source(
        train=split("train", images[:size], labels[:size], bratio),
        valid=split("valid", images[size:], labels[size:], bratio),
        test=split("test", *test, TEST_CONFLICTING),
        class_names=CLASSES,
        origin=origin,
        variant=variant,
    )


def read_mnist(data_dir: Path, wanted: str, also_tried: list[Path]) -> tuple[Digits, Digits]:
    """MNIST's training and test images and labels, downloaded by torchvision if they are not under `data_dir`.

    Args:
        wanted: what was to be made of it, for the error, as are the other places that were tried.
    """
    raw = data_dir / "MNIST" / "raw"
    places = "; ".join(str(path) for path in [*also_tried, raw])
    try:
        parts = [MNIST(str(data_dir), train=train, download=not raw_files(data_dir)) for train in (True, False)]
    except Exception as error:  # torchvision raises what urllib, gzip and its own parser raise
        reason = str(error).strip().splitlines()[0].rstrip(":") if str(error).strip() else repr(error)
        raise RunError(
            f"no {wanted} and no MNIST: looked at {places}. The download failed or a file is damaged ({reason}). "
            f"Put MNIST's four files (train-images-idx3-ubyte ...) into {raw}, choose another --data_dir, or use the "
            "embedded data set, which needs no files: --dataset colored_digits."
        ) from error
    arrays = [(part.data.numpy(), part.targets.numpy()) for part in parts]
    for (images, labels), size in zip(arrays, (60_000, 10_000), strict=True):
        if images.shape != (size, 28, 28) or len(labels) != size:
            raise RunError(f"{raw}: expected {size} images of 28x28 and their labels, found {images.shape}.")
    return arrays[0], arrays[1]


def raw_files(data_dir: Path) -> list[Path]:
    """MNIST's four files, if all of them are there."""
    stems = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    files = [data_dir / "MNIST" / "raw" / f"{stem}-ubyte" for stem in stems]
    return files if all(file.is_file() for file in files) else []
