"""Which samples look clean: a two-component Gaussian mixture over per-sample losses (DivideMix, DENEB)."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from utils.errors import RunError


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
        RunError: a loss is not finite.
    """
    if not np.isfinite(losses).all():
        raise RunError("a training sample's loss is not finite: the model has diverged. Lower --lr.")
    normalised = min_max(np.asarray(losses, np.float64)).reshape(-1, 1)
    if not normalised.any():
        return np.ones(len(normalised))
    mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten iterations are the method's, converged or not
        posterior = mixture.fit(normalised).predict_proba(normalised)
    return posterior[:, mixture.means_.argmin()]
