"""A trained model as its run folder keeps it: `model.json` says all that `model.pt`, its tensors, does not."""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from algorithms.base import Method, methods
from algorithms.task import StageSettings, Task
from algorithms.training.config import RunConfig
from data.augment import Transform
from data.features import Encoder, Standardised, encoding_network, network_input
from data.split import Dataset, Split
from models.preprocessing import Preprocessing
from models.registry import Network, initial_weights
from utils.errors import RunError
from utils.files import load_own_tensors
from utils.run_files import read_signed, write_signed
from utils.run_folder import RunFolder

FILE = "model.json"


def save_description(folder: RunFolder, config: RunConfig, dataset: Dataset, method: Method) -> None:
    """Writes `model.json`, for `read_model`."""
    stage, transform, encoder = config.stages[-1], dataset.train.transform, config.data.encoder
    settings = asdict(stage.settings) | {"weights": None}
    features = None
    if isinstance(transform, Standardised):
        features = {"center": transform.center.tolist(), "spread": transform.spread.tolist()}
        transform = config.data.transform()
    described: dict[str, Any] = {
        "method": stage.method,
        "hparams": asdict(stage.hparams),
        "settings": settings,
        "classes": dataset.class_names,
        "images": list(dataset.train.images.shape[1:]),
        "samples": len(method.task.train),
        "transform": asdict(transform),
        "features": features,
        "whose": config.whose(dataset.identity),
    }
    if encoder is not None:
        described["encoder"] = {
            "model": encoder.model,
            "weights": None if encoder.weights is None else str(encoder.weights.resolve()),
            "content": initial_weights(encoder.model, encoder.weights),
            "preprocessing": None if encoder.preprocessing is None else asdict(encoder.preprocessing),
            "stored": list(dataset.train_pictures.shape[1:]),
        }
    write_signed(folder / FILE, described)


@dataclass(frozen=True)
class SavedModel:
    """A trained model, in evaluation mode, and what is done to an image before it sees it."""

    method: Method
    classes: tuple[str, ...]
    split: Split
    encoder: Encoder | None
    transform: Transform
    stored: tuple[int, int, int]

    def probabilities(self, decoded: list[np.ndarray]) -> Tensor:
        """Probabilities of the classes, float [N, C] on the CPU, of images as `data.layouts.decoding` reads them."""
        device, images = self.method.task.device, [torch.from_numpy(pixels).permute(2, 0, 1) for pixels in decoded]
        if self.encoder is None or self.encoder.preprocessing is None:
            images = [self._squashed(image) for image in images]
        with torch.inference_mode():
            if self.encoder is None:
                seen = self.transform.for_scoring(torch.stack(images).to(device))
            else:
                inputs = torch.cat(
                    [network_input(image, self.encoder.preprocessing, self.transform) for image in images]
                )
                features = self.encoding_network.extract(inputs.to(device)).float().half()
                seen = self.split.transform.for_scoring(features[:, :, None, None])
            return self.method.predict(seen).softmax(1).cpu()

    def _squashed(self, image: Tensor) -> Tensor:
        _, height, width = self.stored
        pixels = Image.fromarray(image.permute(1, 2, 0).numpy())
        if pixels.size != (width, height):
            pixels = pixels.resize((width, height), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)

    @cached_property
    def encoding_network(self) -> Network:
        """The frozen network, of a model that has one."""
        assert self.encoder is not None
        return encoding_network(self.encoder, self.stored)


def read_model(folder: Path, device: torch.device, weights: Path | None = None) -> SavedModel:
    """The model of a finished run.

    Args:
        weights: the file of the frozen network's weights, if it is no longer where it was.

    Raises:
        RunError: files are missing or damaged, or the weights are others.
    """
    for name in (FILE, "model.pt"):
        if not (folder / name).is_file():
            raise RunError(f"{folder / name} is missing. Name the folder of a finished run; an older one gets its "
                           f"{FILE} with --overwrite.")  # fmt: skip
    about = read_signed(folder / FILE)
    transform = Transform(**_values(about["transform"]))
    settings = StageSettings(**about["settings"])
    encoder, seen, stored = None, transform, tuple(about["images"])
    if about["features"] is not None:
        encoder = _encoder(about["encoder"], device, weights)
        stored = tuple(about["encoder"]["stored"])
        center, spread = (torch.tensor(about["features"][name]) for name in ("center", "spread"))
        seen = Standardised(center=center, spread=spread)
    count, classes = about["samples"], tuple(about["classes"])
    dtype = torch.float16 if encoder is not None else torch.uint8
    nothing = torch.zeros(1, *about["images"], dtype=dtype).expand(count, *about["images"])
    split = Split(nothing, torch.arange(count) % len(classes), seen)
    cue = torch.nn.functional.one_hot(split.labels, len(classes)).float()
    task = Task(split, len(classes), device, settings, 0, about["method"], cue=cue, published=False)
    cls = methods[about["method"]]
    method = cls(task, cls.Hparams(**about["hparams"])).to(device).eval()
    method.load_state_dict(load_own_tensors(folder / "model.pt", about["whose"]))
    return SavedModel(method, classes, split, encoder, transform, stored)


def _encoder(about: dict[str, Any], device: torch.device, weights: Path | None) -> Encoder:
    named = weights or (Path(about["weights"]) if about["weights"] else None)
    if named is not None and not named.is_file():
        raise RunError(f"{named}, the weights of {about['model']}, is not there. Say where it is with --weights FILE.")
    if initial_weights(about["model"], named) != about["content"]:
        raise RunError(f"{named or about['model']} holds other weights than those that the run's features came from.")
    preprocessing = about["preprocessing"] and Preprocessing(**_values(about["preprocessing"]))
    return Encoder(about["model"], named, preprocessing, 0, Path(), device)


def _values(stored: dict[str, Any]) -> dict[str, Any]:
    """The values of a dataclass as JSON has kept them, with tuples for lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}
