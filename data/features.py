"""Images as the features of a network that is not trained, computed once and kept in a file.

A split of features is like a split of images: [N, D, V, 1], an image of D channels whose V pixels are the views of one
photograph, plain first, then augmented. Training draws one of them, scoring takes the plain one. Both are standardised
by the training images' plain views. The file holds them as float16, row by row, then the CRC-32 of all these bytes. It
is mapped, so that only what is looked at is in memory, and named by what its numbers mean: the images' content, the
network, its weights and what is done to an image before the network sees it. Whoever needs them first computes them for
all, so that they are rounded as that device and that number of threads do it.
"""

import hashlib
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from data.augment import Transform
from data.batches import read_ahead
from data.layouts.decoding import DECODING
from data.layouts.digests import noted_digest
from data.split import Source
from data.store import CHUNK, ImageFiles, Images, digest
from models.preprocessing import Preprocessing
from models.registry import Network, build_network, initial_weights
from utils.errors import RunError
from utils.seeds import derive, numpy_generator

VERSION = 2
"""Grows when the same images would get other features, or their file another form."""

CHECKSUM = 4
"""Bytes of the checksum at a file's end."""

CROP_SCALE = 0.35, 1.0
CROP_RATIO = 3 / 4, 4 / 3
"""Area and aspect ratio of an augmented view's crop, as shares of the image; half of the views are mirrored."""


@dataclass(frozen=True)
class Encoder:
    """A network that turns images into features.

    preprocessing: what is done to an image before; None for the data set's own transform of the stored images.
    views: augmented views of each image beside the plain one.
    folder: where files of features are kept.
    """

    model: str
    weights: Path | None
    preprocessing: Preprocessing | None
    views: int
    folder: Path
    device: torch.device


@dataclass(frozen=True, eq=False)
class Standardised(Transform):
    """Features as a head sees them, [B, D]; `center` and `spread` are float [D]."""

    center: Tensor = field(default_factory=lambda: torch.zeros(1))
    spread: Tensor = field(default_factory=lambda: torch.ones(1))

    def for_training(self, images: Tensor) -> Tensor:
        if images.shape[2] == 1:
            return self.for_scoring(images)
        views = torch.randint(images.shape[2], (len(images),), device=images.device)
        return self.standardised(images[torch.arange(len(images), device=images.device), :, views, 0])

    def for_scoring(self, images: Tensor) -> Tensor:
        return self.standardised(images[:, :, 0, 0])

    def standardised(self, features: Tensor) -> Tensor:
        center, spread = self.center.to(features.device), self.spread.to(features.device)
        return features.float().sub_(center).div_(spread)


def encoded(source: Source, encoder: Encoder, transform: Transform) -> tuple[Source, Standardised]:
    """`source` with features in place of images, and the transform that goes with them.

    Args:
        transform: the data set's own, for encoders without a preprocessing.

    Raises:
        RunError: an image or the weights cannot be read, or features are not finite.
    """
    network: list[Network] = []

    def loaded() -> Network:
        """Built when it is needed first: where the features are there, it is not."""
        if not network:
            channels, height, width = source.train.images.shape[1:]
            network.append(encoding_network(encoder, (channels, height, width)))
        return network[0]

    train, valid, test = (
        replace(clean, images=features_of(clean.images, encoder, transform, loaded, name))
        for name, clean in (("train", source.train), ("valid", source.valid), ("test", source.test))
    )
    assert isinstance(train.images, Tensor)
    return replace(source, train=train, valid=valid, test=test), standardised(train.images)


def encoding_network(encoder: Encoder, stored: tuple[int, int, int]) -> Network:
    """The encoder's network in evaluation mode, for images that are stored in the shape (C, H, W)."""
    shape = (stored[0], *2 * (encoder.preprocessing.size,)) if encoder.preprocessing else stored
    with torch.random.fork_rng(devices=[]):
        network = build_network(encoder.model, shape, 2, encoder.weights)
    return network.eval().to(encoder.device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def network_input(image: Tensor, preprocessing: Preprocessing | None, transform: Transform) -> Tensor:
    """One image, uint8 [3, H, W], as the network gets it, plain: float [1, C, h, w]."""
    if preprocessing is None:
        return transform.for_scoring(image[None])
    fitted = preprocessing.fitted(Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy())))
    return preprocessing.normalised(torch.from_numpy(np.array(fitted)).permute(2, 0, 1)[None])


def standardised(images: Tensor) -> Standardised:
    """The transform that gives the plain views of `images` mean 0 and variance 1, but for what hardly varies."""
    total, squares = torch.zeros(2, images.shape[1], dtype=torch.float64)
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK, :, 0, 0].double()
        total += part.sum(0)
        squares += part.square().sum(0)
    mean = total / len(images)
    spread = (squares / len(images) - mean.square()).clamp(min=0).sqrt()
    floor = 0.01 * spread.mean() + torch.finfo(torch.float32).tiny
    return Standardised(center=mean.float(), spread=spread.clamp(min=floor).float())


def features_of(
    images: Images, encoder: Encoder, transform: Transform, network: Callable[[], Network], title: str
) -> Tensor:
    """Features of all images, float16 [N, D, V, 1], from their file; it is made, or completed, if need be."""
    weights = initial_weights(encoder.model, encoder.weights)
    how = encoder.preprocessing or transform
    content = noted_digest(images.paths, encoder.folder, DECODING) if isinstance(images, ImageFiles) else digest(images)
    described = (VERSION, content, encoder.model, weights, how, encoder.views)
    path = encoder.folder / f"{title}-{hashlib.sha256(repr(described).encode()).hexdigest()[:16]}.float16"
    views = 1 + encoder.views
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if not path.exists():
                _write(path, images, encoder, transform, network(), title)
    row, rest = divmod(path.stat().st_size - CHECKSUM, len(images))
    if row < 1 or rest or row % (2 * views):
        raise RunError(f"{path} is damaged: its size is not that of {len(images)} images. Remove it.")
    with open(path, "rb") as file:
        if _checksum(file, row * len(images)) != file.read():
            raise RunError(f"{path} is damaged: its numbers are not those that were written. Remove it.")
    mapped = np.memmap(path, np.float16, "c", shape=(len(images), views, 1, row // (2 * views)))
    return torch.from_numpy(mapped).permute(0, 3, 1, 2)


def _write(path: Path, images: Images, encoder: Encoder, transform: Transform, network: Network, title: str) -> None:
    batch = 16 if encoder.device.type == "cpu" else 128
    views, size = 1 + encoder.views, len(images)
    row = 2 * views * network.feature_dim
    part = path.with_name(f"{path.name}.part")
    done = part.stat().st_size // (row * batch) * batch if part.exists() else 0
    starts = range(done, size, batch)
    bar = tqdm(desc=f"features of {title}", total=size, initial=done, unit="image", leave=False, disable=None)
    with ThreadPoolExecutor() as pool, open(part, "r+b" if part.exists() else "w+b") as file, bar:
        file.truncate(done * row)
        file.seek(done * row)
        parts = (range(start, min(start + batch, size)) for start in starts)
        for inputs in read_ahead(lambda rows: _inputs(images, rows, encoder, transform, pool), parts):
            with torch.inference_mode():
                features = network.extract(inputs.flatten(0, 1).to(encoder.device)).float().cpu().half()
            if not features.isfinite().all():
                raise RunError(f"--model {encoder.model} gives features that are no numbers or beyond float16.")
            file.write(features.numpy().tobytes())
            bar.update(len(inputs))
        file.seek(0)
        file.write(_checksum(file, row * size))
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _checksum(file: BinaryIO, size: int) -> bytes:
    """Of the next `size` bytes of a file."""
    total = 0
    while size and (part := file.read(min(size, 1 << 20))):
        total, size = zlib.crc32(part, total), size - len(part)
    return total.to_bytes(CHECKSUM, "big")


def _inputs(images: Images, rows: range, encoder: Encoder, transform: Transform, pool: ThreadPoolExecutor) -> Tensor:
    """The network's input for the images at `rows`: float [B, V, C, H, W]."""
    prepare = encoder.preprocessing
    if prepare is None:
        assert not isinstance(images, ImageFiles)
        some = images[rows.start : rows.stop]
        views = [transform.for_scoring(some)]
        for view in range(encoder.views):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(derive(0, "view", view, rows.start))
                views.append(transform.for_training(some))
        return torch.stack(views, 1)

    def pixels(position: int) -> np.ndarray:
        """The views of one image, uint8 [V, H, W, C]."""
        image = Image.fromarray(np.ascontiguousarray(images[position].permute(1, 2, 0).numpy()))
        generator = numpy_generator(0, "views", position)
        augmented = (prepare.cropped(image, *_random_crop(image.size, generator)) for _ in range(encoder.views))
        return np.stack([np.asarray(view) for view in (prepare.fitted(image), *augmented)])

    stacked = torch.from_numpy(np.stack(list(pool.map(pixels, rows)))).movedim(-1, -3)
    return prepare.normalised(stacked)


def _random_crop(size: tuple[int, int], generator: np.random.Generator) -> tuple[tuple[float, ...], bool]:
    """A box (left, top, right, bottom) within an image of `size` (width, height), and whether to mirror it."""
    width, height = size
    area = width * height * generator.uniform(*CROP_SCALE)
    ratio = np.exp(generator.uniform(*np.log(CROP_RATIO)))
    w, h = min(np.sqrt(area * ratio), width), min(np.sqrt(area / ratio), height)
    left, top = generator.uniform(0, width - w), generator.uniform(0, height - h)
    return (left, top, left + w, top + h), bool(generator.random() < 0.5)
