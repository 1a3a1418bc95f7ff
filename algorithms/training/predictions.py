"""Logits that a run keeps on demand, from which accuracies and criteria are computed again without training."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.split import Dataset
from utils.distributed import writer_only
from utils.errors import DamagedFile
from utils.files import naming, replacing

FILE = "predictions.npz"
MEND = "Name a predictions.npz that a run with --keep_predictions left."


@dataclass(frozen=True)
class Predictions:
    """The last epoch's logits for validation and test images, and those of the referee for validation images: [N, C].

    data: `Dataset.identity` of the data that they are about.
    """

    data: str
    valid: Tensor
    test: Tensor
    referee: Tensor | None

    @writer_only
    def save(self, path: Path) -> None:
        """Writes them as float16, shifted so that every image's largest is 0: no prediction and no softmax changes."""
        logits = {name: each for name in ("valid", "test", "referee") if (each := getattr(self, name)) is not None}
        lowest = torch.finfo(torch.half).min
        halves = {
            name: (each.double() - each.double().amax(1, keepdim=True)).clamp(min=lowest).half().numpy()
            for name, each in logits.items()
        }
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, data=np.array(self.data), **halves)


def load_predictions(path: Path, dataset: Dataset) -> Predictions:
    """The logits in a file, float32, which are about these data.

    Raises:
        RunError: the file cannot be read, or is about other data.
    """
    with naming(path, MEND):
        try:
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
        except (KeyError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
            raise ValueError(f"it is no file of arrays ({type(error).__name__})") from error
        wanted = {"valid": len(dataset.valid), "test": len(dataset.test), "referee": len(dataset.valid)}
        logits = {name: torch.from_numpy(found[name]).float() for name in wanted if name in found}
        if "data" not in found or not {"valid", "test"} <= logits.keys():
            raise ValueError("it lacks data, valid or test")
        about = str(found["data"])
    if about != dataset.identity or any(
        each.shape != (wanted[name], dataset.num_classes) for name, each in logits.items()
    ):
        raise DamagedFile(
            f"{path} is about other data ({about[:20]} there, {dataset.identity} now). Give the flags of its run."
        )
    return Predictions(about, logits["valid"], logits["test"], logits.get("referee"))
