"""A run's findings about every image and every class, for people to look at."""

import logging
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Method
from algorithms.task import over_split
from algorithms.training.classes import by_class, warnings
from data.split import Dataset, Split
from data.store import ImageFiles, Images, read
from utils.audit.ranking import ranking
from utils.audit.samples import FILE, names, numbers, read_samples, write_samples
from utils.audit.suspects import FILE as SUSPECTS
from utils.audit.suspects import Suspects
from utils.distributed import from_writer
from utils.metrics import GROUPS
from utils.results.tables import class_table
from utils.run_folder import RunFolder

log = logging.getLogger(__name__)

PICTURED = 60
"""Suspicious images in `suspects.npz`."""
NEIGHBOURS = 5
PICTURE_SIZE = 96
"""Pixels of the longer side of a picture there, at most."""


def tell(
    folder: RunFolder,
    dataset: Dataset,
    splits: dict[str, Split],
    method: Method,
    rated: dict[str, Tensor],
    stages: list[dict[str, Any]],
    figures: bool,
) -> dict[str, Any]:
    """Writes `samples.csv` and pictures of suspicious images; returns `per_class`, `confusion` and `warnings`.

    Args:
        splits: train, valid and test of `dataset`, where the method can read them fastest.
        method: the one that trained the final model, in evaluation mode.
        rated: further columns of `samples.csv`, float64 [N] each, NaN for images of which nothing is known.
        stages: as in `result.json`.
    """
    logits = {name: over_split(method.predict, split, method.task.device) for name, split in splits.items()}
    write_columns(folder, dataset, logits["train"], rated)
    predicted = {name: values.argmax(1) for name, values in logits.items()}
    classes = by_class(dataset, predicted)
    agreed = {
        name: float((predicted[name] == getattr(dataset, name).labels).double().mean()) for name in ("train", "valid")
    }
    said = warnings(classes["per_class"], stages, **agreed)
    table = class_table(classes)
    if table:
        log.info("%s", table)
    for line in said:
        log.warning("warning: %s", line)
    if figures:
        picture_suspects(folder, dataset, method, splits["train"])
    return {**classes, "warnings": said}


def write_columns(folder: RunFolder, dataset: Dataset, logits: Tensor, rated: dict[str, Tensor]) -> None:
    """Writes `samples.csv` from the final model's logits, [N, C], of all images, and `rated`, see `tell`."""
    train, notes, classes = dataset.train, dataset.annotations["train"], dataset.class_names
    logits = logits.double()
    rated = dict(rated)
    other = rated.pop("out_of_sample_label", torch.full((len(train),), torch.nan))
    write_samples(
        folder / FILE,
        {
            "index": range(len(train)),
            **({"file": notes.files} if notes.files else {}),
            "given_label": names(train.labels, classes),
            "true_label": names(notes.true_labels, classes),
            "bias_label": names(notes.bias_labels, classes),
            "group": names(dataset.train_groups(), GROUPS),
            **{name: numbers(values) for name, values in rated.items()},
            "predicted_label": names(logits.argmax(1), classes),
            "given_label_confidence": numbers(logits.softmax(1).gather(1, train.labels[:, None]).squeeze(1)),
            "out_of_sample_label": names(other.nan_to_num(nan=-1).long(), classes),
        },
    )


def picture_suspects(folder: RunFolder, dataset: Dataset, method: Method, train: Split) -> None:
    """Writes `suspects.npz` and `figures/label_errors.png`, if `samples.csv` knows of any; see `tell`."""
    from utils.results import plots

    samples = from_writer(read_samples, folder.path)
    ranked, notes = ranking(samples), dataset.annotations["train"]
    errors = ranked.errors
    if not len(errors):
        return
    features = F.normalize(over_split(method.network.extract, train, method.task.device), dim=1)
    index = torch.from_numpy(errors[:PICTURED].copy())
    likeness = (features[index] @ features.T).scatter_(1, index[:, None], -torch.inf)
    neighbours = likeness.topk(min(NEIGHBOURS, len(train) - 1)).indices
    pictured = torch.cat([index, neighbours.flatten()]).unique()
    pictures = _pictures(dataset.train_pictures, pictured)
    shrink = min(1.0, PICTURE_SIZE / max(pictures.shape[2:]))
    if shrink < 1:
        pictures = F.interpolate(pictures, scale_factor=shrink, mode="bilinear", antialias=True)
    channels_last = pictures.round().clamp(0, 255).byte().permute(0, 2, 3, 1).expand(-1, -1, -1, 3)
    Suspects(*(part.numpy() for part in (index, neighbours, pictured, channels_last))).save(folder / SUSPECTS)
    position = {name: label for label, name in enumerate(dataset.class_names)}
    others = torch.tensor([position.get(name, -1) for name in ranked.other.tolist()])
    plots.sample_sheet(
        folder / "figures" / "label_errors.png", dataset.train_pictures,
        {"likeliest label errors: given label (what it may be)": errors[: plots.SHEET]},
        dataset.train.labels, others, notes.wrong(dataset.train.labels), dataset.class_names,
    )  # fmt: skip


def _pictures(images: Images | ImageFiles, index: Tensor) -> Tensor:
    """The images at `index` (int64 [K]), float [K, C, H, W]; those that stay in their files squashed to one size."""
    if not isinstance(images, ImageFiles):
        return read(images, index).float()
    sides = (PICTURE_SIZE, PICTURE_SIZE)
    return torch.cat([F.interpolate(images[i][None].float(), sides, mode="area") for i in index.tolist()])
