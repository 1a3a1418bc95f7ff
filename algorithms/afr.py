"""AFR: the last layer is trained once more on held-out images, those most that the trained model gets wrong.

Shikai Qiu, Andres Potapczynski, Pavel Izmailov, Andrew Gordon Wilson. "Simple and Fast Group Robustness by Automatic
Feature Reweighting." ICML 2023, arXiv:2306.11074.

1. A network is trained with cross entropy on a share 1 - `share` of the images.
2. A held-out image weighs mu_i = beta_y exp(-gamma p(y_i | x_i)), p of the trained network, beta_y one over the number
   of held-out images labelled y; the weights are scaled to sum to 1.
3. The last layer alone goes on from the trained one, w0, along the gradient of sum mu_i CE_i + `stay` |w - w0|^2.
A mislabelled image is one that the model gets wrong, and weighs most.

Deviations: the paper chooses gamma and the regularisation by accuracies of validation groups; here there are none, and
the defaults are inside its ranges. Weights or probabilities of an earlier stage multiply mu. On one set of features
(`--frozen`) both steps train the same layer.
"""

from dataclasses import dataclass

from torch import Tensor

from algorithms.base import hparam, method
from algorithms.parts.last_layer import LastLayer, class_balance


@method("afr")
class Afr(LastLayer):
    """The last layer anew on held-out images, weighted by the trained model's errors (Qiu et al., ICML 2023)"""

    debiases = True

    @dataclass(frozen=True)
    class Hparams:
        gamma: float = hparam(4.0, search=[1, 2, 4, 10, 20], low=0, help="how much an error weighs; 0: classes only")
        stay: float = hparam(0.1, search=[0, 0.01, 0.1, 0.3], low=0, help="factor of the squared way of the last layer")
        share: float = hparam(0.2, low=0, high=0.9, help="of the images that are held out for the last layer")
        rate: float = hparam(0.01, search=[0.01, 0.02], low=0, help="learning rate of the last layer's descent")
        steps: int = hparam(500, search=[500, 1000], low=0, help="of the last layer's descent")

    def reweighted(self, features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        return afr_weights(logits, labels, self.hparams.gamma)


def afr_weights(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """mu, float [K], sum 1, of logits [K, C] and labels int64 [K]."""
    right = logits.softmax(1).gather(1, labels[:, None]).squeeze(1)
    return (class_balance(labels).log() - gamma * right).softmax(0)
