"""Two-component Gaussian mixtures over per-sample numbers, which say what looks clean (DivideMix, DENEB, FINE)."""

import warnings
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from utils.distributed import from_writer
from utils.errors import TrainingFailed


def min_max(values: np.ndarray) -> np.ndarray:
    """Scales to [0, 1]; constant values become zeros."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def clean_probability(losses: np.ndarray, seed: int = 0) -> np.ndarray:
    """Posterior of the smaller-mean component of a mixture fitted to the min-max normalised losses.

    The mixture's settings are DENEB's and DivideMix's: 10 iterations at most, tolerance 1e-2, variance floor 5e-4.

    Args:
        losses: [N], finite; taken in float64.
        seed: of the mixture's initialisation.

    Returns:
        float64 [N] in [0, 1]; all one where the losses are constant, for then nothing tells samples apart.

    Raises:
        TrainingFailed: a loss is not finite.
    """
    if not np.isfinite(losses).all():
        raise TrainingFailed("a training sample's loss is not finite: the model has diverged. Lower --lr.")
    normalised = min_max(np.asarray(losses, np.float64))
    return component_posterior(normalised, "lower", seed, max_iter=10, tol=1e-2, reg_covar=5e-4)


def component_posterior(
    values: np.ndarray, side: Literal["lower", "upper"], seed: int = 0, **settings: Any
) -> np.ndarray:
    """Posterior of one component of a two-component Gaussian mixture fitted to `values`.

    Args:
        values: float64 [N].
        side: the component with the smaller or with the larger mean.
        seed: of the mixture's initialisation.
        settings: of scikit-learn's GaussianMixture.

    Returns:
        float64 [N] in [0, 1]; all one where the values differ by less than 1e-6, or there is only one.
    """
    if np.ptp(values) < 1e-6:
        return np.ones(len(values))
    return from_writer(_posterior, values, side, seed, **settings)  # rounded alike, so that all keep the same samples


def _posterior(values: np.ndarray, side: Literal["lower", "upper"], seed: int, **settings: Any) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(2, random_state=seed, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the few iterations are the methods', converged or not
        posterior = mixture.fit(values[:, None]).predict_proba(values[:, None])
    return posterior[:, mixture.means_.argmin() if side == "lower" else mixture.means_.argmax()]


def clean_positions(clean: Tensor, threshold: float) -> Tensor:
    """Positions where `clean` (float [N]) exceeds `threshold`; all positions if fewer than two do."""
    kept = (clean > threshold).nonzero().flatten()
    return kept if len(kept) > 1 else torch.arange(len(clean))
