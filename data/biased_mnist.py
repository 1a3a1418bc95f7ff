"""Biased MNIST, ours: white MNIST digits on a coloured background, in the style of ReBias (Bahng et al., ICML 2020).

ReBias' rho is 1 - `bratio`. The set that the DENEB authors call biased_mnist is another one: their transforms ask for
56x56 pixels, which points to the multi-bias MNIST of the PGD paper, whose generator is not public. Their `.pt` files
are read where they are there; numbers on ours are not comparable with theirs. The colours are the rainbow ones, each
of which lacks one of red, green and blue, so that a white digit stands out from all of them.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from data.augment import BIASED_MNIST
from data.coloring import colorize
from data.layouts.choice import cached, first_there, prepared
from data.mnist import CLASSES, biased, raw_files, read_mnist
from data.registry import Defaults, dataset, option
from data.split import Source

NAME = "biased_mnist"
COLOR_JITTER = 1e-4


@dataclass(frozen=True)
class Options:
    data_seed: int = option(0, low=0, help="of the colours drawn; files of others are taken with 0 only")


@dataset(
    NAME,
    10,
    Defaults(model="CONV", epochs=100, batch_size=256, lr=0.01, lr_decay_opt="30", bratio=0.01, nratio=0.0),
    options=Options,
    transforms=BIASED_MNIST,
)
def biased_mnist(data_dir: Path, bratio: float, options: Options) -> Source:
    """ours: MNIST digits on a background in the colour of their class (60,000 + 10,000 images, 28x28)

    Taken from the first that is there: `.pt` files, folders, our own cache, MNIST itself.
    """
    seed, variant = options.data_seed, f"_seed{options.data_seed}" if options.data_seed else ""
    places = prepared(NAME, variant, data_dir, bratio, CLASSES)
    source = first_there(places)
    if source is not None:
        return source

    def paint(gray: np.ndarray, bias: np.ndarray, generator: np.random.Generator) -> Tensor:
        return colorize(gray, bias, "rainbow", COLOR_JITTER, generator, background=True)

    def from_mnist() -> Source:
        digits = read_mnist(data_dir, "biased MNIST", [path for path, _ in places])
        origin = f"generated from MNIST, coloured background (ours, not the authors' biased_mnist), seed {seed}"
        return biased(digits, bratio, paint, NAME, seed, origin=origin, variant=variant)

    place = data_dir / NAME / "generated"
    source = cached(f"{NAME}{variant}", place, bratio, CLASSES, from_mnist, lambda: raw_files(data_dir))
    return replace(source, variant=variant)
