"""Photographs that would not fit into memory: time and memory of their features, and of training on them.

python -m benchmarks.many_photographs --folder DIR --count 200000

Writes synthetic JPEG files into DIR, as a data set of `--dataset folder`, and trains on their features with `--frozen`,
each method in a fresh process. The network is next to nothing, but has as many features as EfficientNet-B0, so that the
time is that of everything else. Photographs that DIR has already are taken again; nothing in it is removed.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in train_mix.py; read when torch starts

import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.measuring import machine, peak_memory, prepare, seconds
from models.preprocessing import Preprocessing
from models.registry import Network, networks
from train_mix import train_all
from utils.cli import Parser, number, run_script
from utils.seeds import numpy_generator

PROGRAM = "-m benchmarks.many_photographs"
CLASSES = 10
PER_FOLDER = 1000


class Pooled(Network):
    """Means of 8 x 8 parts of an image, and one layer"""

    feature_dim = 1280
    preprocessing = Preprocessing(32, 36, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(192, self.feature_dim), nn.ReLU())
        self.fc = nn.Linear(self.feature_dim, num_classes)

    def encode(self, images: Tensor) -> Tensor:
        return self.body(images)


def write(folder: Path, count: int, side: int) -> None:
    """Synthetic photographs, folder/train/CLASS/NUMBER/NUMBER.jpg, those that are not there yet."""

    def one(i: int) -> None:
        path = folder / "train" / f"class{i % CLASSES}" / f"{i // PER_FOLDER:03d}" / f"{i:06d}.jpg"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            generator = numpy_generator(i, "photograph")
            coarse = generator.integers(0, 256, (8, 8, 3), np.uint8)
            coarse[i % CLASSES % 8] //= 2
            Image.fromarray(coarse).resize((side, side * 3 // 4), Image.Resampling.BILINEAR).save(path, quality=85)

    with ThreadPoolExecutor(2) as pool:
        for _ in tqdm(pool.map(one, range(count)), "photographs", count, disable=None):
            pass


def trained(flags: list[str], threads: int) -> tuple[float, int]:
    """Seconds of a run, and the peak memory in bytes of its process, mapped files included."""
    networks.register("Pooled1280")(Pooled)
    prepare(threads)
    return seconds(lambda: train_all(flags)), peak_memory()


def measure(argv: list[str]) -> None:
    parser = Parser(prog=f"python {PROGRAM}", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where photographs, features and runs go")
    parser.add_argument("--count", type=number(int, 100), default=200_000, help="photographs")
    parser.add_argument("--side", type=number(int, 32), default=64, help="their width in pixels")
    parser.add_argument("--methods", default="vanilla,deneb_gce", help="what to train, with commas")
    parser.add_argument("--epochs", type=number(int, 1), default=2, help="of each stage")
    parser.add_argument("--threads", type=number(int, 1), help="computing threads (default: two at most)")
    a = parser.parse_all(argv)
    threads = prepare(a.threads)
    print(", ".join(f"{name} {value}" for name, value in machine(threads).items()))
    photographs = a.folder / f"photographs{a.count}"
    print(f"{a.count} photographs written in {seconds(lambda: write(photographs, a.count, a.side)):.0f} s", flush=True)
    weights = a.folder / "pooled.pt"
    torch.manual_seed(0)
    torch.save(Pooled((3, 32, 32), CLASSES).state_dict(), weights)
    common = [
        "--dataset", "folder", "--data_dir", photographs, "--frozen", "--model", "Pooled1280", "--weights", weights,
        "--features_dir", a.folder / "features", "--log_dir", a.folder / "log", "--overwrite", "--nratio", 0.1,
        "--epochs", a.epochs, "--no_figures", "--gpu", "cpu", "--threads", threads,
    ]  # fmt: skip
    context = get_context("spawn")
    for method in a.methods.split(","):
        with ProcessPoolExecutor(1, context) as fresh:
            taken, peak = fresh.submit(trained, [*map(str, common), "--alg", method], threads).result()
        print(f"{method}: {taken:.0f} s, peak {peak / 1e6:.0f} MB", flush=True)
    size = sum(path.stat().st_size for path in (a.folder / "features").glob("*.float16"))
    print(f"files of features: {size / 1e6:.0f} MB")


def main(argv: list[str]) -> int:
    return run_script(lambda: measure(argv), PROGRAM, argv, kept="what was written stays")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
