"""BFFHQ: faces of FFHQ whose age is to be told and whose gender is the bias (Kim et al., ICCV 2021; Disen folders).

Young women and old men are aligned. FFHQ's pictures may not be passed on and are not here; the set is only read. Half
of its test split is conflicting. All of it is kept, and accuracies by group are reported; the Disen authors' loader
drops the aligned half, so *their* test accuracy is our conflicting accuracy.
"""

from dataclasses import dataclass
from pathlib import Path

from data.augment import BFFHQ
from data.layouts.choice import read_fixed
from data.layouts.disen import disen_root, read_disen
from data.layouts.images import Reading, cache_option, size_option, skip_option
from data.registry import Defaults, dataset
from data.split import Source

NAME = "bffhq"
CLASSES = ("young", "old")


@dataclass(frozen=True)
class Options:
    image_size: int = size_option(128, "the size of the files")
    skip_damaged: bool = skip_option()
    cache_dir: str = cache_option()


@dataset(
    NAME,
    2,
    Defaults(
        model="ResNet18", opt="Adam", epochs=100, batch_size=64, lr=1e-4, lr_decay_opt="30", bratio=None, nratio=0.0
    ),
    options=Options,
    transforms=BFFHQ,
)
def bffhq(data_dir: Path, bratio: float | None, options: Options) -> Source:
    """faces, age biased by gender (19,200 + 1,000 + 1,000 images, 128x128), read only

    Taken from `bffhq/bffhq.pt` or from the folders `bffhq/0.5pct` (BiasEnsemble's copy has 1pct, 2pct and 5pct too;
    then `--bratio` chooses).
    """
    root = disen_root(data_dir, NAME)

    reading = Reading(options.image_size, options.skip_damaged, options.cache_dir)

    def read_folder(percent: str) -> Source:
        return read_disen(root, percent, CLASSES, reading)

    return read_fixed(NAME, data_dir, bratio, CLASSES, options.image_size, [root], read_folder)
