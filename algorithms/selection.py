"""What one stage hands to the next."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.errors import RunError
from utils.files import replacing


@dataclass(frozen=True)
class Selection:
    """How a selector rates the training samples.

    probabilities: sampling probability of every training sample, float64 [N], sums to 1.
    score: what it ranked the samples by, float64 [N] (for DENEB the entropy).
    fingerprint: of the training images and noisy labels it was made for.
    valid_predictions: classes that the selector's own model predicts for the validation images, int64 [N_valid].
    """

    probabilities: Tensor
    score: Tensor
    fingerprint: str
    valid_predictions: Tensor

    def save(self, path: Path, **more: np.ndarray) -> None:
        """Writes `path` (.npz); `more` arrays are stored beside it for the reader, and ignored when loading."""
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(
                file,
                allow_pickle=False,
                index=np.arange(len(self.score)),
                score=self.score.numpy(),
                probability=self.probabilities.numpy(),
                valid_prediction=self.valid_predictions.numpy(),
                fingerprint=np.array(self.fingerprint),
                **more,
            )

    @classmethod
    def load(cls, path: Path, fingerprint: str) -> "Selection":
        """Reads a selection and refuses one that was made for other images or labels."""
        try:
            with np.load(path, allow_pickle=False) as file:
                found = str(file["fingerprint"])
                selection = cls(
                    torch.from_numpy(file["probability"]),
                    torch.from_numpy(file["score"]),
                    found,
                    torch.from_numpy(file["valid_prediction"]),
                )
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise RunError(f"cannot read the selection {path}: {error}. Remove the file to train it again.") from error
        if found != fingerprint:
            raise RunError(f"the selection {path} was made for training data {found}, but this run's is {fingerprint}.")
        return selection
