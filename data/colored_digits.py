"""Coloured 8x8 digits: a real data set that needs no download, for first runs, tests and comparisons in seconds.

scikit-learn ships 1,797 handwritten digits of 8x8 pixels (the test part of UCI Optdigits). They are divided into
training, validation and test digits first; only then is each training and validation digit drawn several times, a
little shifted, turned and scaled, so no digit appears in two splits. Every test digit appears plainly, once in each of
the ten colours, so that exactly a tenth of the test images is aligned and all 100 class-by-colour groups are equal.

It is not Colored MNIST: its images are blurry, its writers appear in training and test alike, and copies of one digit
may carry right and wrong labels side by side, which makes label noise easier to see through.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from data.augment import DIGITS
from data.coloring import colorize, draw_bias_labels
from data.registry import Defaults, NoOptions, dataset
from data.split import Clean, Source
from utils.seeds import numpy_generator

SIZE, DIGIT_SIZE = 28, 24
COLOR_JITTER = 0.02
TEST_DIGITS, VALID_DIGITS = 450, 300
TRAIN_IMAGES, VALID_IMAGES = 3000, 750
MAX_ROTATION, MAX_SHIFT, MAX_SCALE = np.deg2rad(12), 2.0, 0.1


@dataset(
    "colored_digits",
    10,
    Defaults(
        model="CONV", epochs=20, first_epochs=8, batch_size=64, lr=0.05, lr_decay_opt="14", bratio=0.05, nratio=0.1
    ),
    transforms=DIGITS,
)
def colored_digits(data_dir: Path, bratio: float, options: NoOptions) -> Source:
    """scikit-learn's 1,797 handwritten digits in colour, embedded (3,000 + 4,500 images, 28x28)"""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits, labels = load_digits(return_X_y=True)
    everything = np.arange(len(labels))
    rest, test = train_test_split(everything, test_size=TEST_DIGITS, stratify=labels, random_state=0)
    train, valid = train_test_split(rest, test_size=VALID_DIGITS, stratify=labels[rest], random_state=0)

    def biased(name: str, members: np.ndarray, images: int) -> Clean:
        generator = numpy_generator(0, "colored_digits", name)
        chosen = np.resize(generator.permutation(members), images)
        bias = draw_bias_labels(labels[chosen], bratio, generator)
        return _paint(moved(digits[chosen], generator), labels[chosen], bias, generator)

    generator = numpy_generator(0, "colored_digits", "test")
    each = np.repeat(test, 10)
    return Source(
        train=biased("train", train, TRAIN_IMAGES),
        valid=biased("valid", valid, VALID_IMAGES),
        test=_paint(moved(digits[each], None), labels[each], np.tile(np.arange(10), len(test)), generator),
        class_names=tuple("0123456789"),
        origin="generated from scikit-learn's digits",
    )


def _paint(gray: np.ndarray, labels: np.ndarray, bias: np.ndarray, generator: np.random.Generator) -> Clean:
    images = colorize(gray, bias, "rainbow", COLOR_JITTER, generator)
    return Clean(images, torch.from_numpy(labels).long(), torch.from_numpy(bias).long())


def moved(digits: np.ndarray, generator: np.random.Generator | None) -> np.ndarray:
    """Enlarges digits (float [N, 64], 0 to 16) to uint8 [N, 28, 28]; with a generator each is moved a little first."""
    angle, scale, shift = np.zeros(len(digits)), np.ones(len(digits)), np.zeros((len(digits), 2))
    if generator is not None:
        angle = generator.uniform(-MAX_ROTATION, MAX_ROTATION, len(digits))
        scale = generator.uniform(1 - MAX_SCALE, 1 + MAX_SCALE, len(digits))
        shift = generator.uniform(-MAX_SHIFT, MAX_SHIFT, (len(digits), 2)) * 2 / SIZE
    zoom = SIZE / DIGIT_SIZE / scale
    matrix = np.stack([np.cos(angle), -np.sin(angle), shift[:, 0], np.sin(angle), np.cos(angle), shift[:, 1]], 1)
    theta = torch.from_numpy(matrix.reshape(-1, 2, 3) * zoom[:, None, None]).float()
    grid = F.affine_grid(theta, [len(digits), 1, SIZE, SIZE], align_corners=False)
    source = torch.from_numpy(digits.reshape(-1, 1, 8, 8) / 16).float()
    gray = F.grid_sample(source, grid, mode="bicubic", padding_mode="zeros", align_corners=False)
    return (gray.clamp(0, 1) * 255).round().to(torch.uint8).squeeze(1).numpy()
