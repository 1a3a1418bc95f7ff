"""PGD: a sample is drawn in proportion to the gradient that it would exert on a biased model.

Sumyeong Ahn, Seongyoon Kim, Se-Young Yun. "Mitigating Dataset Bias by Using Per-sample Gradient." ICLR 2023,
arXiv:2205.15704.

1. The biased model is trained with generalised cross entropy, which amplifies its trust in what is easy.
2. P(i) is proportional to the norm of the gradient of sample i's cross entropy with respect to the last linear layer,
   |softmax(z) - onehot(y)| * sqrt(|features|^2 + 1); the 1 is the bias term's.
3. A model is trained with cross entropy on batches drawn so, with replacement: the second stage.
The gradient of a mislabelled sample is large too, so that PGD raises the share of label noise.

Deviations from the authors' code:

- The final model starts afresh (theirs: from the weights of the biased one, as after `dpr`, whose `--score
  gradient_norm` comes close to that).
- The gradient is that of weights and bias (theirs: of the weights, without the 1), and its norm has no floor (theirs:
  1e-8).
- The paper augments images for the biased model; here a data set's own augmentation is used.
- The loss of the biased model is the gradient-scaled form that the suite calls GCE.
"""

import torch
from torch import Tensor

from algorithms.base import method
from algorithms.parts.biased import BiasedModel
from algorithms.parts.losses import head_gradient_norms
from data.batches import as_probabilities


@method("pgd")
class Pgd(BiasedModel):
    """Per-sample gradient norm of a biased model as sampling probability (Ahn et al., ICLR 2023)"""

    def select(self) -> tuple[Tensor, Tensor]:
        outputs = self.task.over_train(self.features_and_logits)
        features, logits = outputs.split([self.network.feature_dim, self.task.num_classes], dim=1)
        norms = head_gradient_norms(logits.double(), self.task.train.labels.cpu(), features)
        return as_probabilities(norms), norms

    def features_and_logits(self, images: Tensor) -> Tensor:
        """[B, D + C]: what the last layer gets, and what it gives."""
        features = self.network.extract(images)
        return torch.cat([features, self.network.predict(features)], dim=1)
