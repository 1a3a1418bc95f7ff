"""GCE: samples that the model finds unlikely, which are often mislabelled, pull less.

Zhilu Zhang, Mert R. Sabuncu. "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels."
NeurIPS 2018, arXiv:1805.07836.

Deviation: the loss is the gradient-scaled form that LfF's and DENEB's code call GCE, whose gradient is q times that of
the paper's L_q (equation 6). The factor q acts on the learning rate and is kept so that settings carry over.
The DENEB authors search q but publish no default; 0.7 is the GCE paper's.
"""

from dataclasses import dataclass

from torch import Tensor

from algorithms.base import Batch, Method, hparam, method
from algorithms.losses import gradient_scaled_gce


@method("gce")
class Gce(Method):
    """Generalised cross entropy (Zhang & Sabuncu, NeurIPS 2018)"""

    @dataclass(frozen=True)
    class Hparams:
        q: float = hparam(
            0.7, search=[0.1, 0.3, 0.5, 0.7, 0.9], low=0, high=1, help="0 is cross entropy, 1 mean absolute error"
        )

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        return gradient_scaled_gce(logits, batch.labels, self.hparams.q)
