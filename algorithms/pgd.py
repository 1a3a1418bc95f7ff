"""PGD: a sample is drawn in proportion to the gradient that it would exert on a biased model.

Sumyeong Ahn, Seongyoon Kim, Se-Young Yun. "Mitigating Dataset Bias by Using Per-sample Gradient." ICLR 2023,
arXiv:2205.15704.

1. The biased model is trained with generalised cross entropy, which amplifies its trust in what is easy.
2. P(i) is proportional to the norm of the gradient of sample i's cross entropy with respect to the last linear layer,
   |softmax(z) - onehot(y)| * sqrt(|features|^2 + 1); the 1 is the bias term's.
3. A model is trained with cross entropy on batches drawn so, with replacement: the second stage.
The gradient of a mislabelled sample is large too, so that PGD raises the share of label noise.

Deviations: the final model starts afresh, as that of every second stage here; as we recall the paper, its final model
inherits the weights of the biased one. The paper augments images for the biased model; here a data set's own
augmentation is used. The loss of the biased model is the gradient-scaled form that the suite calls GCE.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.base import Batch, Method, hparam, method
from algorithms.parts.losses import gradient_scaled_gce, head_gradient_norms
from data.batches import as_probabilities


@method("pgd")
class Pgd(Method):
    """Per-sample gradient norm of a biased model as sampling probability (Ahn et al., ICLR 2023)"""

    debiases = True
    emits = "probabilities"
    second = "vanilla"

    @dataclass(frozen=True)
    class Hparams:
        q: float = hparam(0.7, search=[0.1, 0.3, 0.5, 0.7, 0.9], low=0, high=1, help="of the biased model's GCE")

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        return gradient_scaled_gce(logits, batch.labels, self.hparams.q)

    def select(self) -> tuple[Tensor, Tensor]:
        outputs = self.task.over_train(self.features_and_logits)
        features, logits = outputs.split([self.network.feature_dim, self.task.num_classes], dim=1)
        norms = head_gradient_norms(logits.double(), self.task.train.labels.cpu(), features)
        return as_probabilities(norms), norms

    def features_and_logits(self, images: Tensor) -> Tensor:
        """[B, D + C]: what the last layer gets, and what it gives."""
        features = self.network.extract(images)
        return torch.cat([features, self.network.predict(features)], dim=1)
