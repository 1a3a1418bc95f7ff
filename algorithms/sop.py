"""SOP: terms of every sample's own, which learn fast only where the network does not, take up what labels get wrong.

Sheng Liu, Zhihui Zhu, Qing Qu, Chong You. "Robust Training under Label Noise by Over-parameterization." ICML 2022,
arXiv:2202.14026.

Sample i has a scalar u and a vector v of C numbers, drawn from N(0, 1e-8^2). With y the one-hot given label, U = u^2 y
and V = v^2 (1 - y), both clipped to [0, 1], the network's logits z, and sg for "without gradient":

1. Network and u follow Loss 1 = -sum y log q, where q = softmax(z) + U - sg(V), not below 1e-4, divided by its sum.
2. u and v follow Loss 2 = || onehot(argmax z) + U - V - y ||^2.
3. u and v take plain gradient steps of the batch's mean loss at constant rates of their own, the network those of the
   run's optimiser and schedule. softmax(z) alone predicts.

Since their squares count, u and v grow by a factor at each visit, from 1e-8 to where they matter. That of u is 1 + 2
`u_lr` / (B q_y) or so in batches of B: a label that the network holds for impossible is taken up within a few epochs,
and so is that of a rare image that contradicts its cue. That of v is 1 + 4 `v_lr` / B at most, for which 20 epochs are
too few. An independent reproduction at full length (CIFAR-10N) found SOP alone no better than plain training, but
`sop+` much better.

Deviations from the authors' code: none in the mathematics.

- A sample drawn several times into a batch takes the mean of its steps, so that its rates are those of one drawn once.
- Only the samples of a batch have u and v touched (theirs: a dense gradient, zero for all others).
- An earlier stage's loss weights scale the network's loss only: what is wrong with a label does not depend on them.
- Rates are those for CIFAR-10, which is the nearest to this suite's sets; the network's are the run's.
"""

import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, method, weighted_mean
from algorithms.parts.noise_terms import OverParametrised


@method("sop")
class Sop(OverParametrised):
    """Sparse over-parametrisation of label noise (Liu et al., ICML 2022)"""

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = self.network(batch.images)
        q = self.terms.probabilities(logits, batch.labels, batch.index)
        loss = weighted_mean(F.nll_loss(q.log(), batch.labels, reduction="none"), batch.weights)
        self.terms.learn(logits, batch.labels, batch.index)
        self.update(self.optimizers[0], loss)
        return loss.detach(), logits.detach()
