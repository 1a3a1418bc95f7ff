"""Label noise: the DENEB authors' rule ("reference") and an exact one ("exact").

The reference rule (module/data/data.py of the authors' code) is kept draw for draw, because published numbers were
made with it; what it really does is told below. `exact` changes as many labels as it says.
"""

import numpy as np
import torch
from torch import Tensor

from utils.errors import UsageError
from utils.seeds import numpy_generator

ASYMMETRIC = {9: 1, 2: 0, 3: 5, 5: 3, 4: 7}
"""truck to automobile, bird to airplane, cat to dog and back, deer to horse: classes of CIFAR-10 that look alike."""

TYPES = ("sym", "asym")
STYLES = ("reference", "exact")


def add_label_noise(labels: Tensor, num_classes: int, rate: float, kind: str, style: str, seed: int) -> Tensor:
    """Returns a noisy copy of `labels` (int64 [N]); `rate` in [0, 1], `kind` of `TYPES`, `style` of `STYLES`.

    Raises:
        UsageError: asymmetric noise on anything but ten classes, for which alone it is defined.
    """
    if kind == "asym" and num_classes != 10:
        raise UsageError(
            f"--noise_type asym maps CIFAR-10's classes onto each other and means nothing for {num_classes} classes. "
            "Use --noise_type sym."
        )
    rule = {
        ("sym", "reference"): _symmetric_reference,
        ("asym", "reference"): _asymmetric_reference,
        ("sym", "exact"): _symmetric_exact,
        ("asym", "exact"): _asymmetric_exact,
    }[kind, style]
    return rule(labels.clone(), num_classes, rate, seed)


def expected_rate(num_classes: int, rate: float, kind: str, style: str) -> float:
    """The share of labels that noise of `rate` is expected to make wrong, for methods that take it as known.

    Redrawing among all C classes leaves 1/C of the redrawn labels right; asymmetric noise touches five classes of ten.
    """
    if kind == "asym":
        return rate * len(ASYMMETRIC) / num_classes
    return rate * (num_classes - 1) / num_classes if style == "reference" else rate


def _symmetric_reference(labels: Tensor, num_classes: int, rate: float, seed: int) -> Tensor:
    """Class by class, redraws floor(rate * n) labels among *all* classes, the current one included.

    Later classes see the changes of earlier ones, so a sample may be redrawn again. With ten classes a rate of 0.1
    changes 8.9 % of the labels.
    """
    generator = torch.Generator().manual_seed(seed)
    for label in range(num_classes):
        positions = (labels == label).nonzero().flatten()
        chosen = positions[torch.randperm(len(positions), generator=generator)[: int(len(positions) * rate)]]
        labels[chosen] = torch.randint(0, num_classes, (len(chosen),), generator=generator)
    return labels


def _asymmetric_reference(labels: Tensor, num_classes: int, rate: float, seed: int) -> Tensor:
    """Class by class, moves ceil(rate * n) labels along `ASYMMETRIC`.

    The authors fix the seed to 888, whatever `--seed` says. Cats turned dogs (3 to 5) are eligible to turn back when
    class 5 is processed, so class 3 loses only about rate * (1 - rate) of its labels.
    """
    generator = np.random.RandomState(888)
    for label in range(num_classes):
        positions = (labels == label).nonzero().flatten().numpy()
        generator.shuffle(positions)
        if label in ASYMMETRIC:
            labels[torch.from_numpy(positions[np.arange(len(positions)) < rate * len(positions)])] = ASYMMETRIC[label]
    return labels


def _symmetric_exact(labels: Tensor, num_classes: int, rate: float, seed: int) -> Tensor:
    """Moves exactly round(rate * N) labels, chosen uniformly, each to another class, uniformly."""
    generator = numpy_generator(seed, "symmetric noise")
    chosen = generator.permutation(len(labels))[: round(rate * len(labels))]
    shift = generator.integers(1, num_classes, len(chosen))
    labels[torch.from_numpy(chosen)] = (labels[torch.from_numpy(chosen)] + torch.from_numpy(shift)) % num_classes
    return labels


def _asymmetric_exact(labels: Tensor, num_classes: int, rate: float, seed: int) -> Tensor:
    """Moves exactly round(rate * n) labels of every class in `ASYMMETRIC`, all judged before any is moved."""
    generator = numpy_generator(seed, "asymmetric noise")
    before = labels.clone()
    for label, target in ASYMMETRIC.items():
        positions = (before == label).nonzero().flatten().numpy()
        labels[torch.from_numpy(generator.permutation(positions)[: round(rate * len(positions))])] = target
    return labels
