"""CIFAR-10N and CIFAR-100N: CIFAR with the labels that people on Mechanical Turk gave its training images.

Wei et al., "Learning with Noisy Labels Revisited: A Study Using Real-World Human Annotations", ICLR 2022,
arXiv:2110.12088. Their files `CIFAR-10_human.pt` and `CIFAR-100_human.pt` (github.com/UCSC-REAL/cifar-10-100n, folder
data) go into the data folder beside CIFAR itself, whose order of training images they follow. They are pickles; nothing
in them is run (`data.layouts.pickled_arrays`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from data.augment import CIFAR
from data.cifar10 import hold_out
from data.layouts.pickled_arrays import read_pickled_arrays
from data.layouts.pt import pt_files, read_pt
from data.registry import Defaults, NoOptions, dataset, option
from data.split import Clean, Source
from utils.errors import RunError, UsageError

CLEAN = "clean_label"
KEYS = {
    "aggre": "aggre_label",
    "random1": "random_label1",
    "random2": "random_label2",
    "random3": "random_label3",
    "worse": "worse_label",
}
"""Names of the sets of labels, as the benchmark has them, and their keys in its file."""

DEFAULTS = Defaults(model="ResNet20", epochs=100, batch_size=256, lr=0.001, lr_decay_opt="20", bratio=0.0, nratio=0.0)


@dataclass(frozen=True)
class Options:
    human_labels: str = option(
        "worse",
        choices=tuple(KEYS),
        help="whose: the majority of three annotators (aggre), one of them, or a wrong one wherever there is one",
    )


@dataset("cifar10n", 10, DEFAULTS, options=Options, transforms=CIFAR)
def cifar10n(data_dir: Path, bratio: float, options: Options) -> Source:
    """CIFAR-10 with labels given by people, 9 to 40 % of them wrong (45,000 + 5,000 + 10,000 images, 32x32)"""
    variant = "" if options == Options() else f"_{options.human_labels}"
    return labelled_by_people(CIFAR10, data_dir, bratio, "CIFAR-10", KEYS[options.human_labels], variant)


@dataset("cifar100n", 100, DEFAULTS, transforms=CIFAR)
def cifar100n(data_dir: Path, bratio: float, options: NoOptions) -> Source:
    """CIFAR-100 with labels given by people, 40 % of them wrong (45,000 + 5,000 + 10,000 images, 32x32)"""
    return labelled_by_people(CIFAR100, data_dir, bratio, "CIFAR-100", "noisy_label")


def labelled_by_people(
    images: type[CIFAR10], data_dir: Path, bratio: float, name: str, key: str, variant: str = ""
) -> Source:
    """CIFAR with the labels under `key`; a stratified tenth of the training images is for validation, as in `cifar10`.

    Taken from what `data.prepare` has written, or from CIFAR and the file of labels.

    Raises:
        RunError: a file is missing or damaged, or the labels are those of other images.
        UsageError: a ratio of bias is asked for.
    """
    if bratio:
        raise UsageError(f"--bratio {bratio:g}: {name}N has no bias. Leave --bratio out.")
    own = f"{name}n".lower().replace("-", "")
    written = pt_files(data_dir / own, f"{own}{variant}", bratio)
    if written[0].is_file():
        return read_pt(*written, None, variant=variant)
    file = data_dir / f"{name}_human.pt"
    if not file.is_file():
        raise RunError(f"no {file}: put the benchmark's file there, from github.com/UCSC-REAL/cifar-10-100n, or choose "
                       "another --data_dir.")  # fmt: skip
    human = read_pickled_arrays(file)
    try:
        train, test = (images(str(data_dir), train=split, download=True) for split in (True, False))
    except Exception as error:  # torchvision raises what urllib, tarfile, pickle and its own check raise
        reason = str(error).strip().splitlines()[0].rstrip(".:") if str(error).strip() else repr(error)
        raise RunError(
            f"no {name}: {data_dir / images.base_folder} is not there or damaged, and the download failed ({reason}). "
            f"Unpack {images.filename} in {data_dir}, or choose another --data_dir."
        ) from error
    truth = np.array(train.targets)
    for wanted in (CLEAN, key):
        if wanted not in human:
            raise RunError(f"{file} has no {wanted!r}; found: {', '.join(human) or 'nothing'}.")
    if not np.array_equal(human[CLEAN], truth):
        raise RunError(f"{file}: its {CLEAN!r} are not the labels of {name}'s training images in their order.")
    if human[key].shape != truth.shape or not np.isin(human[key], np.unique(truth)).all():
        raise RunError(
            f"{file}: {key!r} must hold one of {len(train.classes)} classes for each of {len(truth)} images."
        )
    (pixels, true), (held_pixels, held_true) = hold_out((train.data, truth))
    (given, _), (held_given, _) = hold_out((human[key], truth))

    def clean(photographs: np.ndarray, labels: np.ndarray, true_labels: np.ndarray) -> Clean:
        tensor, *numbers = map(torch.from_numpy, (np.ascontiguousarray(photographs), labels, true_labels))
        return Clean(tensor.permute(0, 3, 1, 2), numbers[0], torch.full_like(numbers[0], -1), numbers[1])

    return Source(
        train=clean(pixels, given, true),
        valid=clean(held_pixels, held_given, held_true),
        test=clean(test.data, np.array(test.targets), np.array(test.targets)),
        class_names=tuple(train.classes),
        origin=f"{name} with {key} of {file.name}",
        variant=variant,
    )
