"""Colored MNIST: MNIST digits in colour on black, with the recipe of the DENEB authors or in the Disen colours.

Three data sets go by this name. The DENEB authors' `.pt` files have the palette "pgd" (their generator was published
with PGD, ICLR 2023), the Disen folders have ten rainbow colours, and LfF has a third palette, which is not here. Ours
is drawn as `data/mnist.py` tells; the authors' generator is unseeded, ours always draws the same data.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from data.augment import DIGITS
from data.coloring import PALETTES, colorize
from data.layouts.choice import cached, first_there, prepared
from data.mnist import CLASSES, Digits, biased, raw_files, read_mnist
from data.registry import Defaults, dataset, option
from data.split import Source

log = logging.getLogger(__name__)

NAME = "colored_mnist"
COLOR_JITTER = 1e-4


@dataclass(frozen=True)
class Options:
    palette: str = option(
        "auto",
        choices=("auto", *PALETTES),
        help="pgd: colours of the authors' .pt files; rainbow: those of the Disen folders; auto: of what is found, "
        "pgd if nothing is",
    )
    data_seed: int = option(0, low=0, help="of the colours drawn; files of others are taken with 0 only")


@dataset(
    NAME,
    10,
    Defaults(model="CONV", epochs=100, batch_size=256, lr=0.01, lr_decay_opt="30", bratio=0.01, nratio=0.0),
    options=Options,
    transforms=DIGITS,
)
def colored_mnist(data_dir: Path, bratio: float, options: Options) -> Source:
    """MNIST digits, each class with its own colour (60,000 + 10,000 images, 28x28)

    Taken from the first that is there: the authors' `.pt` files, the Disen folders, our own cache, MNIST itself.
    """
    palettes = tuple(PALETTES) if options.palette == "auto" else (options.palette,)
    places = {
        palette: prepared(NAME, variant_of(palette, options.data_seed), data_dir, bratio, CLASSES)
        for palette in PALETTES
    }
    for palette in PALETTES:
        for path, _ in places[palette]:
            if palette not in palettes and path.exists():
                log.info("%s is not used: it has the %s palette", path, palette)
    # First both .pt files, then both folders: pairs of one kind, in the order of the palettes.
    candidates = [place for kind in zip(*(places[palette] for palette in palettes), strict=True) for place in kind]
    source = first_there(candidates)
    if source is not None:
        palette = "rainbow" if "rainbow" in source.variant else "pgd"
        return source if "palette" in source.origin else replace(source, origin=f"{source.origin}, {palette} palette")

    def from_mnist() -> Source:
        digits = read_mnist(data_dir, "Colored MNIST", [path for path, _ in candidates])
        return generate(digits, bratio, palettes[0], options.data_seed)

    variant = variant_of(palettes[0], options.data_seed)
    place = data_dir / NAME / "generated"
    source = cached(f"{NAME}{variant}", place, bratio, CLASSES, from_mnist, lambda: raw_files(data_dir))
    return replace(source, variant=variant)


def variant_of(palette: str, seed: int) -> str:
    """The addition to the name of a file that the authors do not have."""
    return ("" if palette == "pgd" else f"_{palette}") + (f"_seed{seed}" if seed else "")


def generate(digits: tuple[Digits, Digits], bratio: float, palette: str = "pgd", seed: int = 0) -> Source:
    """Colours MNIST's training and test digits."""

    def paint(gray: np.ndarray, bias: np.ndarray, generator: np.random.Generator) -> Tensor:
        return colorize(gray, bias, palette, COLOR_JITTER, generator)

    origin, variant = f"generated from MNIST, {palette} palette, seed {seed}", variant_of(palette, seed)
    return biased(digits, bratio, paint, NAME, seed, origin=origin, variant=variant)
