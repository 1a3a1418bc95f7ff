"""CIFAR-10 with a mark (ours): a frame, or a patch in the middle, in the colour of the class or of another one.

Real photographs with a cue that is known, for networks that were trained on photographs. A stratified tenth of the
training images is for validation, equally biased; in the test split every colour is equally likely. Which images are
taken, their colours and places are always the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from data.augment import CIFAR
from data.cifar10 import CLASSES, Photographs, cifar10_images, hold_out, images_per_class, raw_files, some_of
from data.coloring import PALETTES, draw_bias_labels
from data.layouts.choice import cached, first_there, prepared
from data.registry import Defaults, dataset
from data.split import Clean, Source
from utils.seeds import numpy_generator

COLORS = np.array(PALETTES["pgd"], np.uint8)
TEST_CONFLICTING = 0.9
FRAME = 4
PATCH = 8
"""Width of the frame and side of the patch in pixels."""

Mark = Callable[[np.ndarray, np.ndarray, np.random.Generator], None]
"""Draws a colour, uint8 [3], into an image, uint8 [32, 32, 3]."""


@dataclass(frozen=True)
class Options:
    per_class: int = images_per_class(500)


def frame(image: np.ndarray, color: np.ndarray, generator: np.random.Generator) -> None:
    image[:FRAME] = image[-FRAME:] = image[:, :FRAME] = image[:, -FRAME:] = color


def patch(image: np.ndarray, color: np.ndarray, generator: np.random.Generator) -> None:
    top, left = generator.integers(FRAME, 33 - FRAME - PATCH, 2)
    image[top : top + PATCH, left : left + PATCH] = color


DEFAULTS = Defaults(model="ResNet20", epochs=100, batch_size=64, lr=0.01, lr_decay_opt="50", bratio=0.02, nratio=0.0)


@dataset("framed_cifar", 10, DEFAULTS, options=Options, transforms=CIFAR)
def framed_cifar(data_dir: Path, bratio: float, options: Options) -> Source:
    """ours: CIFAR-10 in a frame of the class's colour (4,500 + 500 + 1,000 images, 32x32)"""
    return with_marks("framed_cifar", frame, data_dir, bratio, options)


@dataset("patched_cifar", 10, DEFAULTS, options=Options, transforms=CIFAR)
def patched_cifar(data_dir: Path, bratio: float, options: Options) -> Source:
    """ours: CIFAR-10 with a patch of the class's colour somewhere (4,500 + 500 + 1,000 images, 32x32)"""
    return with_marks("patched_cifar", patch, data_dir, bratio, options)


def with_marks(name: str, mark: Mark, data_dir: Path, bratio: float, options: Options) -> Source:
    """The data set, from the first that is there: `.pt` files, folders, our own cache, CIFAR-10 itself."""
    variant = "" if options == Options() else f"_per_class{options.per_class}"
    places = prepared(name, variant, data_dir, bratio, CLASSES)
    source = first_there(places)
    if source is not None:
        return source

    def marked(split: str, photographs: Photographs, conflicting: float) -> Clean:
        images, labels = photographs
        generator = numpy_generator(0, name, split)
        bias = draw_bias_labels(labels, conflicting, generator)
        images = images.copy()
        for image, color in zip(images, COLORS[bias], strict=True):
            mark(image, color, generator)
        return Clean(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels), torch.from_numpy(bias))

    def from_cifar10() -> Source:
        train, test, raw = cifar10_images(data_dir, [path for path, _ in places])
        kept, held_out = hold_out(some_of(train, options.per_class))
        return Source(
            train=marked("train", kept, bratio),
            valid=marked("valid", held_out, bratio),
            test=marked("test", some_of(test, options.per_class // 5), TEST_CONFLICTING),
            class_names=CLASSES,
            origin=f"generated from {raw}: {name}, {options.per_class} images a class (ours)",
        )

    place = data_dir / name / "generated"
    source = cached(f"{name}{variant}", place, bratio, CLASSES, from_cifar10, lambda: raw_files(data_dir))
    return replace(source, variant=variant)
