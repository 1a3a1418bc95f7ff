"""Colored MNIST: MNIST digits in colour on black, with the recipe of the DENEB authors or in the Disen colours.

Three data sets go by this name. The DENEB authors' `.pt` files have the palette "pgd" (their generator was published
with PGD, ICLR 2023), the Disen folders have ten rainbow colours, and LfF has a third palette, which is not here. Ours
is drawn as `data/mnist.py` tells; the authors' generator is unseeded, ours always draws the same data.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from data.augment import DIGITS
from data.coloring import PALETTES, colorize
from data.layouts.choice import Candidate, cached, first_there
from data.layouts.disen import disen_root, percent_folder, read_disen
from data.layouts.pt import pt_files, read_pt
from data.mnist import CLASSES, Digits, biased, read_mnist
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
    seed, root, percent = options.data_seed, disen_root(data_dir, NAME), percent_folder(bratio)

    def from_pt(palette: str) -> Candidate:
        variant = variant_of(palette, seed)
        files = pt_files(data_dir / NAME, f"{NAME}{variant}", bratio)
        return files[0], lambda: read_pt(*files, CLASSES, variant=variant)

    candidates = [from_pt(palette) for palette in palettes]
    if "rainbow" in palettes and seed == 0:
        note = ", rainbow palette"
        disen = root / percent, lambda: read_disen(root, percent, CLASSES, variant=variant_of("rainbow", 0), note=note)
        candidates.append(disen)
    elif (root / percent).exists():
        log.info("%s is not used: it has the rainbow palette and is no draw of ours", root / percent)
    source = first_there(candidates)
    if source is not None:
        return source

    def from_mnist() -> Source:
        return generate(read_mnist(data_dir, "Colored MNIST", [path for path, _ in candidates]), bratio, palette, seed)

    palette = palettes[0]
    return cached(NAME, data_dir / NAME / "generated", bratio, CLASSES, variant_of(palette, seed), from_mnist)


def variant_of(palette: str, seed: int) -> str:
    """What is added to the name of a file that the authors do not have."""
    return ("" if palette == "pgd" else f"_{palette}") + (f"_seed{seed}" if seed else "")


def generate(digits: tuple[Digits, Digits], bratio: float, palette: str = "pgd", seed: int = 0) -> Source:
    """Colours MNIST's training and test digits."""

    def paint(gray: np.ndarray, bias: np.ndarray, generator: np.random.Generator) -> Tensor:
        return colorize(gray, bias, palette, COLOR_JITTER, generator)

    origin, variant = f"generated from MNIST, {palette} palette, seed {seed}", variant_of(palette, seed)
    return biased(digits, bratio, paint, NAME, seed, origin=origin, variant=variant)
