"""SCE: a second, bounded term that mistrusts the label, beside cross entropy that mistrusts the model.

Yisen Wang, Xingjun Ma, Zaiyi Chen, Yuan Luo, Jinfeng Yi, James Bailey. "Symmetric Cross Entropy for Robust Learning
with Noisy Labels." ICCV 2019, arXiv:1908.06112.

Loss: alpha * cross entropy + beta * reverse cross entropy. The reverse one exchanges label and prediction, and replaces
the log 0 of the wrong classes by a constant A: it is -A (1 - p_y), a mean absolute error.

Deviations: A = -4, as in the paper and DENEB's code; reproductions of SCE often take log 1e-4 = -9.2, for which beta
would have to be 2.3 times smaller. DENEB's code adds the batch's mean cross entropy to every sample's reverse one; here
both are per sample, which is the same without loss weights, and with them weights both terms. The classes are counted
from the logits (DENEB's default of ten fails for data sets with fewer). The reproduction's extra weight decay of its
first linear layer and its clipping of gradients are left out.
The defaults are the paper's for CIFAR-10; the DENEB authors search alpha and beta but publish no choice.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from algorithms.base import Batch, Method, hparam, method
from algorithms.parts.losses import symmetric_cross_entropy

FLOOR = math.exp(-4)


@method("sce")
class Sce(Method):
    """Symmetric cross entropy (Wang et al., ICCV 2019)"""

    @dataclass(frozen=True)
    class Hparams:
        alpha: float = hparam(0.1, search=[0.1, 0.5, 0.7], low=0, help="weight of cross entropy, which fits faster")
        beta: float = hparam(
            1.0, search=[0.2, 0.7, 1], low=0, help="weight of reverse cross entropy, which resists noise"
        )

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        return symmetric_cross_entropy(logits, batch.labels, self.hparams.alpha, self.hparams.beta, FLOOR)
