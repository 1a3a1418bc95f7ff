"""FINE: keeps the samples whose features are aligned with the principal direction of their given class.

Taehyeon Kim, Jongwoo Ko, Sangwook Cho, JinHwan Choi, Se-Young Yun. "FINE Samples for Learning with Noisy Labels."
NeurIPS 2021, arXiv:2102.11628.

1. A network is trained with cross entropy. Then f is a sample's feature vector before the last layer, in evaluation
   mode and without augmentation, and v_c the leading eigenvector of the sum of f f^T over the samples labelled c.
2. The score of a sample is |<v_y, f / |f|>|; y is its given label.
3. Per class a two-component mixture is fitted to the scores. Kept are the samples that belong to its larger-mean
   component with probability above `p_threshold`. A fresh network is trained on them: the second stage.

Where most images of a class share a spurious cue, that cue is its principal direction, so that conflicting images are
dropped along with mislabelled ones.

Deviations. The paper divides anew while it trains the final model; as a first stage this divides once, after its last
epoch (`fdividemix` divides every epoch). The mixture has the settings of DENEB's copy and is seeded, see
`aligned_probability`. Classes with one sample or with equal scores are kept, feature vectors of zeros have score 0
(authors' code: fails, NaN), and fewer than two kept samples mean all.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, Method, hparam, method
from algorithms.parts.alignment import aligned_probability, alignment
from algorithms.parts.mixture import clean_positions


@method("fine")
class Fine(Method):
    """Keeps samples aligned with their class's principal direction (Kim et al., NeurIPS 2021)"""

    emits = "kept"
    second = "vanilla"

    @dataclass(frozen=True)
    class Hparams:
        p_threshold: float = hparam(
            0.5, search=[0.1, 0.3, 0.5, 0.7], low=0, high=1, after_training=True,
            help="keep samples likelier than this to be clean",
        )  # fmt: skip

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, batch.labels, reduction="none")

    def select(self) -> tuple[Tensor, Tensor]:
        labels = self.task.train.labels.cpu()
        scores = alignment(self.task.over_train(self.network.extract), labels)
        return clean_positions(aligned_probability(scores, labels), self.hparams.p_threshold), scores
