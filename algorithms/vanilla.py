"""Plain cross entropy: the baseline, and the "no denoising" second stage.

Empirical risk minimisation (Vladimir Vapnik, NIPS 1991). Deviations: none.
"""

import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, Method, method


@method("vanilla")
class Vanilla(Method):
    """Empirical risk minimisation with cross entropy"""

    tells_cue = True

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, batch.labels, reduction="none")
