"""Photographs with a cue that is drawn into them: CIFAR-10 with a coloured frame or a patch, as folders.

python -m benchmarks.spurious --cue frame --bratio 0.02 --data_dir datasets --out photographs/frame

Every class has a colour. Training images have that of their class, but for a share `--bratio` of each class, which
have another one; test images have any with equal chance. What is written is a data set of `--dataset folder`, with its
CSV of true labels and bias labels.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from data.cifar10 import CLASSES, Photographs, cifar10_images
from utils.cli import Parser, number, run_script
from utils.files import write_text
from utils.seeds import numpy_generator

COLORS = np.array([
    (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48),
    (145, 30, 180), (70, 240, 240), (240, 50, 230), (128, 128, 128), (0, 0, 0),
], np.uint8)  # fmt: skip
FRAME = 4
PATCH = 8


def with_cue(image: np.ndarray, cue: str, color: int, generator: np.random.Generator) -> np.ndarray:
    """A copy of an image, uint8 [32, 32, 3], with a frame, or a patch anywhere in its middle, of `COLORS[color]`."""
    out = image.copy()
    if cue == "frame":
        out[:FRAME], out[-FRAME:], out[:, :FRAME], out[:, -FRAME:] = (COLORS[color],) * 4
    else:
        top, left = generator.integers(FRAME, 33 - FRAME - PATCH, 2)
        out[top : top + PATCH, left : left + PATCH] = COLORS[color]
    return out


def colored(labels: np.ndarray, bratio: float, generator: np.random.Generator) -> np.ndarray:
    """A colour for each label, int64 [N]: the label's own but for round(bratio * n) of the n images of each class."""
    colors = labels.copy()
    for label in range(len(CLASSES)):
        members = generator.permutation(np.flatnonzero(labels == label))
        other = members[: round(bratio * len(members))]
        colors[other] = (label + generator.integers(1, len(CLASSES), len(other))) % len(CLASSES)
    return colors


def chosen(photographs: Photographs, per_class: int, generator: np.random.Generator) -> Photographs:
    images, labels = photographs
    rows = [generator.permutation(np.flatnonzero(labels == label))[:per_class] for label in range(len(CLASSES))]
    index = np.concatenate(rows)
    return images[index], labels[index]


def write(out: Path, data_dir: Path, cue: str, bratio: float, per_class: int, test_per_class: int, seed: int) -> None:
    train, test, _ = cifar10_images(data_dir, [])
    rows = [("file", "true_label", "bias_label")]
    for split, photographs, count, ratio in (
        ("train", train, per_class, bratio), ("test", test, test_per_class, 1 - 1 / len(CLASSES))
    ):  # fmt: skip
        generator = numpy_generator(seed, "spurious", cue, split)
        images, labels = chosen(photographs, count, generator)
        colors = colored(labels, ratio, generator)
        for i in tqdm(range(len(labels)), split, disable=None):
            name = f"{split}/{CLASSES[labels[i]]}/{i:05d}.png"
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(with_cue(images[i], cue, colors[i], generator)).save(out / name)
            rows.append((name, CLASSES[labels[i]], CLASSES[colors[i]]))
    lines = [",".join(row) for row in rows]
    assert list(csv.reader(lines)) == [list(row) for row in rows]
    write_text(out / "annotations.csv", "\n".join(lines) + "\n")


def main(argv: list[str]) -> int:
    def body() -> None:
        parser = Parser(prog="python -m benchmarks.spurious", description=(__doc__ or "").splitlines()[0])
        parser.add_argument("--cue", choices=("frame", "patch"), default="frame")
        parser.add_argument(
            "--bratio", type=number(float, low=0, high=1), default=0.02, help="share of conflicting ones"
        )
        parser.add_argument("--data_dir", type=Path, default=Path("datasets"), help="where CIFAR-10 is")
        parser.add_argument("--out", type=Path, required=True, help="folder to write")
        parser.add_argument("--per_class", type=number(int, low=2), default=500, help="training images of each class")
        parser.add_argument("--test_per_class", type=number(int, low=1), default=100)
        parser.add_argument("--seed", type=number(int, low=0), default=0, help="of images, colours and places")
        a = parser.parse_all(argv)
        write(a.out, a.data_dir, a.cue, a.bratio, a.per_class, a.test_per_class, a.seed)
        print(f"{a.out}: python train_mix.py --dataset folder --data_dir {a.out} --annotations {a.out}/annotations.csv")

    return run_script(body, "-m benchmarks.spurious", argv, kept="what was written stays")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
