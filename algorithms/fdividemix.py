"""f-DivideMix: DivideMix with FINE, the alignment of features, in place of losses.

Taehyeon Kim, Jongwoo Ko, Sangwook Cho, JinHwan Choi, Se-Young Yun. "FINE Samples for Learning with Noisy Labels."
NeurIPS 2021, arXiv:2102.11628.

A network's division: |<v_y, f / |f|>| of every sample, with f its features and v_c the leading eigenvector of the sum
of f f^T over the samples labelled c; the probability w of being clean is that of the larger-mean component of a mixture
per class. Training and deviations: see codivide.py; of the mixture: see `aligned_probability`.
"""

from torch import Tensor

from algorithms.base import method
from algorithms.parts.alignment import aligned_probability, alignment
from algorithms.parts.codivide import CoDivide
from models.registry import Network


@method("fdividemix")
class FDivideMix(CoDivide):
    """DivideMix on a division by alignment of features (Kim et al., NeurIPS 2021)"""

    def divide(self, network: Network) -> Tensor:
        labels = self.task.train.labels.cpu()
        return aligned_probability(alignment(self.task.over_train(network.extract), labels), labels)
