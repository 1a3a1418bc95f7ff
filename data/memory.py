"""Data sets that are made in Python, from arrays or from any map-style `torch.utils.data.Dataset`.

    from data.memory import add_dataset
    from train_mix import train_all

    add_dataset("mine", train=(images, labels), test=my_dataset)
    train_all(["--dataset", "mine", "--alg", "deneb_gce"])

A split is a tuple of arrays (images, labels, true labels, bias labels), of which the last two may be missing or None,
or a data set whose items are such tuples for one image. Images are uint8, or floats in [0, 1], of shape [H, W],
[H, W, 3] or [3, H, W], or Pillow's; labels are whole numbers from 0, -1 for a true or a bias label that is not known.
Without true labels, those of training and validation images are unknown, and test labels are taken as true.
"""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.augment import BAR
from data.holdout import hold_out
from data.registry import Defaults, NoOptions, Recipe, datasets
from data.split import Clean, Source
from utils.cli import folder_name
from utils.errors import UsageError

_mine: dict[str, Recipe] = {}


def add_dataset(
    name: str,
    train: Any,
    test: Any = None,
    valid: Any = None,
    class_names: Sequence[str] | None = None,
    defaults: Defaults | None = None,
) -> None:
    """Makes images in memory known as `--dataset NAME`, in this process; a later one of the same name replaces it.

    Without `test` a stratified fifth of the training images is held out, without `valid` then a tenth of the rest.

    Args:
        train, test, valid: splits as described above.
        class_names: of all classes; by default their numbers.
        defaults: training settings where no flag is given.

    Raises:
        UsageError: the name is that of another data set, or a split is not what is described above.
    """
    try:
        folder_name(name)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"add_dataset: {error}.") from None
    if name in datasets and name not in _mine:
        raise UsageError(f"add_dataset: there is a data set {name!r} already. Take another name.")
    parts = {
        part: _clean(split, part)
        for part, split in (("train", train), ("test", test), ("valid", valid))
        if part == "train" or split is not None
    }
    held = []
    for part, share in (("test", 0.2), ("valid", 0.1)):
        if part not in parts:
            out = hold_out(parts["train"].labels, share, f"memory {part}")
            parts[part] = parts["train"].subset(out.nonzero().flatten())
            if part == "test" and (parts[part].truth < 0).all():
                parts[part] = replace(parts[part], true_labels=None)
            parts["train"] = parts["train"].subset((~out).nonzero().flatten())
            held.append(part)
    count = 1 + max(int(clean.labels.max()) for clean in parts.values())
    names = tuple(map(str, range(count) if class_names is None else class_names))
    origin = "given in Python" + (f"; {' and '.join(held)} held out of the training images" if held else "")
    source = Source(parts["train"], parts["valid"], parts["test"], names, origin)

    def build(data_dir: Path, bratio: float | None, options: NoOptions) -> Source:
        if bratio is not None:
            raise UsageError(f"--bratio {bratio}: your images have the bias that they have. Leave the flag out.")
        return source

    own = defaults or Defaults("CONV", 30, 64, 0.01, "20", bratio=None, nratio=0.0)
    transforms = {"none": BAR["none"], **BAR}
    _mine[name] = Recipe(build, len(names), own, "images given in Python", transforms=transforms)
    datasets.replace(name, _mine[name])


def _clean(split: Any, part: str) -> Clean:
    if not isinstance(split, tuple):
        if not (hasattr(split, "__len__") and hasattr(split, "__getitem__")):
            raise UsageError(
                f"add_dataset, {part}: wanted arrays or a map-style data set, found {type(split).__name__}."
            )
        items = [split[i] for i in range(len(split))]
        if not items or any(not isinstance(item, tuple | list) or len(item) != len(items[0]) for item in items):
            raise UsageError(
                f"add_dataset, {part}: every item must be (image, label), or with true and bias label too."
            )
        split = ([item[0] for item in items], *([item[k] for item in items] for k in range(1, len(items[0]))))
    images, *labels = split
    if not 1 <= len(labels) <= 3 or not len(images):
        raise UsageError(f"add_dataset, {part}: wanted (images, labels) or (images, labels, true labels, bias labels).")
    pixels = [_pixels(image, f"add_dataset, {part}, image {i}") for i, image in enumerate(images)]
    sizes = {tuple(image.shape[1:]) for image in pixels}
    if len(sizes) > 1:
        raise UsageError(f"add_dataset, {part}: images differ in size: {sorted(sizes)[0]}, {sorted(sizes)[1]}.")
    given, true, bias = (_labels(values, len(pixels), part) for values in (*labels, None, None)[:3])
    if given is None or given.min() < 0:
        raise UsageError(f"add_dataset, {part}: labels must be whole numbers from 0.")
    unknown = torch.full_like(given, -1)
    if true is None and part != "test":
        true = unknown
    return Clean(torch.stack(pixels), given, unknown if bias is None else bias, true)


def _labels(values: Any, count: int, part: str) -> Tensor | None:
    if values is None:
        return None
    given: list[Any] = list(values)
    labels: list[int] = []
    with suppress(TypeError, ValueError, OverflowError):  # whatever is no number
        labels = [int(value) for value in given]
    if len(given) != count:
        raise UsageError(f"add_dataset, {part}: {count} images have {len(given)} labels.")
    if labels != given:
        raise UsageError(f"add_dataset, {part}: labels must be whole numbers.")
    return torch.tensor(labels)


def _pixels(image: Any, what: str) -> Tensor:
    """One image as uint8 [3, H, W], channels last."""
    if isinstance(image, Image.Image):
        image = np.array(image.convert("RGB"))
    array = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    if array.ndim == 2:
        array = np.stack([array] * 3, 2)
    if array.ndim == 3 and array.shape[2] not in (1, 3) and array.shape[0] in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in (1, 3):
        raise UsageError(f"{what}: its shape is {list(array.shape)}; wanted [H, W], [H, W, 3] or [3, H, W].")
    if array.shape[2] == 1:
        array = array.repeat(3, axis=2)
    if array.dtype != np.uint8:
        if not np.issubdtype(array.dtype, np.floating) or not (array.min() >= 0 and array.max() <= 1):
            raise UsageError(f"{what}: wanted uint8, or floats in [0, 1]; it is {array.dtype} in "
                             f"[{array.min()}, {array.max()}].")  # fmt: skip
        array = (array * 255).round().astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)
