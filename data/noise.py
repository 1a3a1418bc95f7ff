"""Label noise of five kinds.

- `sym`, `asym`: any label, or some classes' along a map, in two styles. `reference` is the DENEB authors' rule
  (module/data/data.py of their code), kept draw for draw because published numbers were made with it; its oddities are
  in the docstrings. `exact` changes as many labels as it says.
- `minority`: only labels of conflicting images.
- `instance`: part-dependent noise, where the image itself decides how likely its label is wrong, and which wrong label
  it gets (Xia et al., "Part-dependent Label Noise", NeurIPS 2020, arXiv:2006.07836, algorithm 2).
- a given noise matrix: P(given label | true label) for each pair of classes.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from data.split import Clean
from data.store import CHUNK
from utils.errors import UsageError
from utils.seeds import numpy_generator, torch_generator

ASYMMETRIC = {9: 1, 2: 0, 3: 5, 5: 3, 4: 7}
"""truck to automobile, bird to airplane, cat to dog and back, deer to horse: classes of CIFAR-10 that look alike."""

DIGITS = {7: 1, 2: 7, 5: 6, 6: 5, 3: 8}
"""Digits that look alike, as in the literature's asymmetric noise on MNIST."""

TYPES = ("sym", "asym", "minority", "instance")
STYLES = ("reference", "exact")

INSTANCE_SPREAD = 0.1
"""Standard deviation of the images' flip rates around the mean rate (Xia et al.)."""

INSTANCE_SIDE = 32
"""Larger images are averaged to this many pixels a side before they decide about their labels."""

Matrix = tuple[tuple[float, ...], ...]


def noisy_labels(
    clean: Clean,
    class_names: Sequence[str],
    rate: float,
    kind: str,
    style: str,
    seed: int,
    matrix: Matrix | None = None,
) -> Tensor:
    """A noisy copy of a split's labels, int64 [N]; `matrix`, if there is one, decides alone.

    Raises:
        UsageError: this kind of noise is not defined for these data.
    """
    classes = len(class_names)
    if matrix is not None:
        if len(matrix) != classes:
            raise UsageError(f"--noise_matrix has {len(matrix)} rows, but there are {classes} classes.")
        return matrix_noise(clean.labels, matrix, seed)
    if kind == "minority":
        return minority_noise(clean.labels, clean.truth, clean.bias_labels, classes, rate, seed)
    if kind == "instance":
        return instance_noise(clean, classes, rate, seed)
    return add_label_noise(clean.labels, classes, rate, kind, style, seed, class_names)


def add_label_noise(
    labels: Tensor,
    num_classes: int,
    rate: float,
    kind: str,
    style: str,
    seed: int,
    class_names: Sequence[str] = (),
) -> Tensor:
    """Symmetric or asymmetric noise on a copy of `labels` (int64 [N]); `rate` in [0, 1], `style` of `STYLES`.

    Raises:
        UsageError: asymmetric noise of the reference style on anything but ten classes, for which alone it is defined.
    """
    if kind == "asym" and style == "exact":
        return _asymmetric_exact(labels.clone(), asymmetric_map(num_classes, class_names), rate, seed)
    if kind == "asym" and num_classes != 10:
        raise UsageError(
            f"--noise_type asym maps CIFAR-10's classes onto each other and means nothing for {num_classes} classes. "
            "Use --noise_style exact, which moves labels to the next class there, or --noise_type sym."
        )
    rule = {
        ("sym", "reference"): _symmetric_reference,
        ("asym", "reference"): _asymmetric_reference,
        ("sym", "exact"): _symmetric_exact,
    }[kind, style]
    return rule(labels.clone(), num_classes, rate, seed)


def asymmetric_map(num_classes: int, class_names: Sequence[str] = ()) -> dict[int, int]:
    """Class to class it is taken for: of digits and of CIFAR-10 as in the literature, else to the next class."""
    if tuple(class_names) == tuple("0123456789"):
        return DIGITS
    return ASYMMETRIC if num_classes == 10 else {label: (label + 1) % num_classes for label in range(num_classes)}


def expected_rate(
    num_classes: int, rate: float, kind: str, style: str, bratio: float | None = None, matrix: Matrix | None = None
) -> float:
    """Share of labels that noise of `rate` is expected to make wrong, for methods that take it as known.

    Redrawing among all C classes leaves 1/C of the redrawn labels right. Asymmetric noise touches five classes of ten,
    and in the reference style takes a share `rate` of what it has made of one of them back.
    Of `minority` noise it is the share of conflicting images (`bratio`, all if it is unknown) that is touched, of
    `instance` noise the mean flip rate, which is above a small `rate`, as no image has less than 0, of a matrix the
    mean over classes.
    """
    if matrix is not None:
        return matrix_rate(matrix)
    if kind == "asym":
        touched = len(asymmetric_map(num_classes)) if style == "exact" else len(ASYMMETRIC) - rate
        return rate * touched / num_classes
    if kind == "minority":
        return rate * (1 if bratio is None else bratio)
    if kind == "instance":
        return float(_flip_rates(rate).mean()) if rate else 0.0
    return rate * (num_classes - 1) / num_classes if (kind, style) == ("sym", "reference") else rate


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


def _asymmetric_exact(labels: Tensor, targets: dict[int, int], rate: float, seed: int) -> Tensor:
    """Moves exactly round(rate * n) labels of every class in `targets`, all judged before any is moved."""
    generator = numpy_generator(seed, "asymmetric noise")
    before = labels.clone()
    for label, target in targets.items():
        positions = (before == label).nonzero().flatten().numpy()
        labels[torch.from_numpy(generator.permutation(positions)[: round(rate * len(positions))])] = target
    return labels


def minority_noise(given: Tensor, true: Tensor, bias: Tensor, num_classes: int, rate: float, seed: int) -> Tensor:
    """Moves round(rate * n) of the n conflicting images' labels, each to another class, uniformly; all int64 [N].

    Raises:
        UsageError: no image is known to be conflicting.
    """
    conflicting = ((true >= 0) & (bias >= 0) & (true != bias)).nonzero().flatten()
    if not len(conflicting):
        raise UsageError(
            "--noise_type minority: no image is known to be conflicting. Give the images' bias and true labels, or "
            "another --noise_type."
        )
    moved = given.clone()
    moved[conflicting] = _symmetric_exact(given[conflicting], num_classes, rate, seed)
    return moved


def instance_noise(clean: Clean, num_classes: int, rate: float, seed: int) -> Tensor:
    """Part-dependent noise (Xia et al., NeurIPS 2020, algorithm 2): a noisy copy of the labels, int64 [N].

    Each image has a flip rate q from a normal distribution around `rate`, cut off at 0 and 1. A random projection of
    its pixels, one for each class, gives scores of the other classes; its label goes to one of them with
    probabilities q * softmax(scores), and stays with probability 1 - q.

    Deviation: images above 32 x 32 pixels are averaged to that size first, so that the projections fit in memory.
    """
    if rate == 0:
        return clean.labels.clone()
    generator = numpy_generator(seed, "instance noise")
    flips = _flip_rates(rate).rvs(size=len(clean.labels), random_state=generator)
    uniform = torch.from_numpy(generator.random(len(clean.labels)))
    height, width = (min(side, INSTANCE_SIDE) for side in clean.images.shape[2:])
    pixels = clean.images.shape[1] * height * width
    projections = torch.randn(num_classes, pixels, num_classes, generator=torch_generator(seed, "instance noise"))
    labels = clean.labels.clone()
    for start in range(0, len(labels), CHUNK):
        part = slice(start, start + CHUNK)
        given, flip = clean.labels[part, None], torch.from_numpy(flips[part, None])
        small = F.adaptive_avg_pool2d(clean.images[part].float() / 255, (height, width)).flatten(1)
        scores = torch.empty(len(small), num_classes, dtype=torch.float64)
        for label in given.unique():
            members = given[:, 0] == label
            scores[members] = (small[members] @ projections[label]).double()
        targets = scores.scatter(1, given, -torch.inf).softmax(1)
        labels[part] = _drawn((flip * targets).scatter(1, given, 1 - flip), uniform[part])
    return labels


def _flip_rates(rate: float) -> Any:
    """The distribution of images' flip rates, as scipy has it: normal around `rate`, cut off at 0 and 1."""
    from scipy.stats import truncnorm

    low, high = (0 - rate) / INSTANCE_SPREAD, (1 - rate) / INSTANCE_SPREAD
    return truncnorm(low, high, loc=rate, scale=INSTANCE_SPREAD)


def matrix_noise(labels: Tensor, matrix: Matrix, seed: int) -> Tensor:
    """Draws each given label from its true class's row of `matrix` (C x C): a noisy copy of `labels`, int64 [N]."""
    uniform = torch.from_numpy(numpy_generator(seed, "matrix noise").random(len(labels)))
    return _drawn(torch.tensor(matrix, dtype=torch.float64)[labels], uniform)


def _drawn(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """One class for each row of `probabilities` (float64 [N, C]) by its number from [0, 1) in `uniform` ([N])."""
    cumulative = probabilities.cumsum(1)
    return torch.searchsorted(cumulative / cumulative[:, -1:], uniform[:, None], right=True).squeeze(1)


def matrix_rate(matrix: Matrix) -> float:
    """Share of wrong labels that a noise matrix makes where classes are equally frequent."""
    return 1 - sum(row[label] for label, row in enumerate(matrix)) / len(matrix)


def read_noise_matrix(text: str) -> Matrix:
    """The noise matrix in a CSV file: a row for each true class, in it the probability of each given class.

    Raises:
        ValueError: the file cannot be read, or holds no such matrix; the message says why.
    """
    try:
        with open(Path(text), encoding="utf-8-sig", newline="") as file:
            rows = tuple(tuple(float(cell) for cell in row) for row in csv.reader(file, strict=True) if row)
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"cannot read {text}: {error}") from None
    if len(rows) < 2 or any(len(row) != len(rows) for row in rows):
        lengths = ", ".join(map(str, sorted({len(row) for row in rows}))) or "no"
        raise ValueError(f"{text} has {len(rows)} rows of {lengths} numbers; wanted a square of 2 x 2 or more")
    for number, row in enumerate(rows, 1):
        if not all(0 <= value <= 1 for value in row) or abs(sum(row) - 1) > 1e-6:
            raise ValueError(f"{text}, row {number}: wanted probabilities that sum to 1, found a sum of {sum(row):g}")
    return rows
