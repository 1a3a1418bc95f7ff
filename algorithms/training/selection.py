"""The selection that one stage hands to the next."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from algorithms.base import Chosen, Emission
from utils.distributed import writer_only
from utils.errors import TrainingFailed
from utils.files import replacing


@dataclass(frozen=True)
class Selection:
    """A selector's rating of the training samples.

    kind: which of the four `values` are.
    values: sampling probabilities (float64 [N], sum 1), loss weights (float32 [N]), kept positions (int64 [K]) or
        logits of the cue (float32 [N, C]), which leave every sample its even share.
    score: what it ranked the samples by, float64 [N] (for DENEB the entropy).
    fingerprint: of the training images and noisy labels it was made for.
    diagnostics: further columns of `samples.csv`, [N] each (see `Method.diagnostics`).
    chosen: a hyper-parameter that the selector read off the data.
    start: the state dict that the final model starts from, or None.
    """

    kind: Emission
    values: Tensor
    score: Tensor
    fingerprint: str
    diagnostics: dict[str, Tensor] = field(default_factory=dict)
    chosen: Chosen | None = None
    start: dict[str, Tensor] | None = None

    def __post_init__(self) -> None:
        if self.kind == "kept" and len(self.values) < 2:
            raise TrainingFailed(
                f"the selection keeps {len(self.values)} of {len(self.score)} training images; nothing to train on."
            )
        if self.kind != "kept" and not torch.isfinite(self.values).all():
            raise TrainingFailed("a selection's weight is not finite: the selector has diverged. Lower --lr.")

    def share_of_draws(self) -> Tensor:
        """The weight of every sample in the next stage, whatever the kind: float64 [N], sums to 1."""
        if self.kind == "kept":
            return torch.zeros_like(self.score).index_fill_(0, self.values, 1 / len(self.values))
        if self.kind == "cue":
            return torch.full_like(self.score, 1 / len(self.score))
        return self.values.double() / self.values.double().sum()

    def columns(self) -> dict[str, Tensor]:
        """Its columns of `samples.csv`, by name: [N] each."""
        return {"score": self.score, "sampling_probability": self.share_of_draws(), **self.diagnostics}

    @writer_only
    def save(self, path: Path, **more: np.ndarray) -> None:
        """Writes `path` (.npz), readable without unpickling; `more` arrays are stored beside it."""
        arrays = {"values": self.values, "score": self.score, "probability": self.share_of_draws()}
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(
                file,
                allow_pickle=False,
                kind=np.array(self.kind),
                fingerprint=np.array(self.fingerprint),
                **{name: tensor.numpy() for name, tensor in arrays.items()},
                **more,
            )
