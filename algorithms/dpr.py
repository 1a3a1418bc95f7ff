"""DPR: an image is drawn by the probability that a biased model disagrees with its label; the model then goes on.

Hyeonggeun Han, Sehwan Kim, Hyungjun Joo, Sangwoo Hong, Jungwoo Lee. "Mitigating Spurious Correlations via Disagreement
Probability." NeurIPS 2024, arXiv:2411.01757.

1. The biased model b is trained with generalised cross entropy, as PGD's.
2. P(i) is proportional to 1 - softmax(b(x_i) / tau)_y, y the given label.
3. The final model starts from the weights of b and is trained with cross entropy on batches drawn so, with replacement:
   the second stage.
A biased model disagrees with a wrong label as it does with a conflicting one.

`score` puts DENEB's scores in place of the disagreement; `warm_start` false lets the final model start afresh.

Deviations:

- Only a method's first network starts from b: others beside it, as in Co-teaching, start afresh, so that they differ.
- The biased model is the gradient-scaled form that the suite calls GCE.
- Disagreements have no floor (authors' code: 1e-8).
- Optimiser, schedule and the length of either stage are the run's; the last epoch counts.
"""

from dataclasses import dataclass

from torch import Tensor

from algorithms.base import hparam, method
from algorithms.parts.biased import BiasedModel
from algorithms.parts.scores import SCORES, sampling_score
from data.batches import as_probabilities


@method("dpr")
class Dpr(BiasedModel):
    """Probability of a biased model's disagreement as sampling probability (Han et al., NeurIPS 2024)"""

    @dataclass(frozen=True)
    class Hparams(BiasedModel.Hparams):
        tau: float = hparam(
            1.0, search=[0.5, 1, 2, 5], low=1e-3, after_training=True, help="temperature of the biased model's output"
        )
        score: str = hparam(
            "disagreement",
            choices=SCORES,
            after_training=True,
            help="what sampling probabilities are proportional to, of the biased model's output at tau",
        )
        warm_start: bool = hparam(
            True,
            search=[True, False],
            after_training=True,
            help="whether the next stage's model starts from the biased model's weights",
        )

    def select(self) -> tuple[Tensor, Tensor]:
        logits, chosen = self.task.over_train(self.predict).double(), self.hparams
        score = sampling_score(chosen.score, logits, self.task.train.labels.cpu(), chosen.tau)
        return as_probabilities(score), score

    def start(self) -> dict[str, Tensor] | None:
        return self.network.state_dict() if self.hparams.warm_start else None
