"""Co-teaching: two networks, each trained on the samples that the other one finds easy.

Bo Han, Quanming Yao, Xingrui Yu, Gang Niu, Miao Xu, Weihua Hu, Ivor W. Tsang, Masashi Sugiyama. "Co-teaching: Robust
Training of Deep Neural Networks with Extremely Noisy Labels." NeurIPS 2018, arXiv:1804.06872.

In a batch of B, each network picks the floor((1 - R) B) samples with its smallest cross entropy, and the other network
is updated with the mean cross entropy of those. R grows linearly from 0 to the forget rate over `num_gradual` epochs.
The mean of the two networks' logits is the prediction.

Deviations from the original:

- It divides the picked samples' mean loss once more by their number, which Adam undoes but SGD would not; like DENEB's
  copy, this one does not. If nothing is left to pick, everything is (original: NaN).
- The first epoch has R = 0 (original: counts epochs from 1 and so skips the ramp's first entry); the ramp's exponent is
  1, and it takes five epochs (paper: ten of 200), for shorter runs.
- The optimiser and its schedule are this program's (original: Adam, whose first moment is switched at epoch 80).
- An earlier stage's loss weights, which the paper does not have, scale the trained loss, and samples are picked by the
  plain one. In DENEB's copy, and with `rank_by` weighted, it is the other way round: samples with a large weight then
  have large losses and are left out, although the earlier stage calls them important.
- The forget rate is by default the share of wrong labels that the run's noise is expected to make. Where labels are
  wrong as they come (CIFAR-10N, your own images) give it.
- The paper trains a final model only. As a selector this passes on the samples that, after training, are among the
  share 1 - forget rate with the smallest cross entropy of both networks.
"""

from algorithms.base import method
from algorithms.parts.small_loss import SmallLossExchange


@method("coteaching")
class Coteaching(SmallLossExchange):
    """Two networks that exchange their small-loss samples (Han et al., NeurIPS 2018)"""
