"""FINE: samples whose features lie along their class's principal direction look clean.

Taehyeon Kim, Jongwoo Ko, Sangwook Cho, JinHwan Choi, Se-Young Yun. "FINE Samples for Learning with Noisy Labels."
NeurIPS 2021, arXiv:2102.11628.
"""

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from algorithms.parts.mixture import component_posterior
from utils.errors import TrainingFailed


def alignment(features: Tensor, labels: Tensor, normalise: bool = True) -> Tensor:
    """|<v_y, f / |f|>|, with v_c the leading eigenvector of the sum of f f^T over the samples of class c.

    The features are not centred. A feature vector of zeros has score 0.

    Args:
        features: float [N, D], finite; taken in float64.
        labels: int64 [N].
        normalise: whether to divide by |f|.

    Returns:
        float64 [N].

    Raises:
        TrainingFailed: a feature is not finite.
    """
    features = features.double()
    if not features.isfinite().all():
        raise TrainingFailed("a training sample's feature is not finite: the model has diverged. Lower --lr.")
    scores = features.new_zeros(len(features))
    for label in labels.unique():
        members = labels == label
        own = features[members]
        last = own.shape[1] - 1  # the leading eigenvector alone costs a fifth of all of them at 2048 features
        _, direction = scipy.linalg.eigh((own.T @ own).numpy(), subset_by_index=(last, last))
        scores[members] = (own @ torch.from_numpy(direction)).squeeze(1).abs()
    if not normalise:
        return scores
    return scores / torch.linalg.vector_norm(features, dim=1).clamp(min=torch.finfo(features.dtype).tiny)


def aligned_probability(
    scores: Tensor, labels: Tensor, seed: int = 0, max_iter: int = 20, tol: float = 1e-2, reg_covar: float = 5e-4
) -> Tensor:
    """Per class, the posterior of the larger-mean component of a two-component mixture over the scores.

    The mixture's settings are DENEB's. The authors' (10 iterations, tolerance 1e-6, variance floor 1e-6) let it depend
    much more on its initialisation.

    Args:
        scores: float64 [N], from `alignment`.
        labels: int64 [N].
        seed: of the mixtures' initialisation.

    Returns:
        float64 [N] in [0, 1]; one in a class of one sample, or of equal scores, where nothing tells samples apart.
    """
    values, given = scores.numpy(), labels.numpy()
    clean = np.ones(len(values))
    for label in np.unique(given):
        members = given == label
        clean[members] = component_posterior(
            values[members], "upper", seed, max_iter=max_iter, tol=tol, reg_covar=reg_covar
        )
    return torch.from_numpy(clean)
