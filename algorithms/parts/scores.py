"""What sampling probabilities can be proportional to, of a biased model's output and the given labels (DENEB, DPR)."""

import torch.nn.functional as F
from torch import Tensor

from algorithms.parts.losses import head_gradient_norms, prediction_entropy

SCORES = ("entropy", "loss", "gradient_norm", "disagreement")


def sampling_score(kind: str, logits: Tensor, labels: Tensor, tau: float) -> Tensor:
    """The score of every sample at temperature tau, [N], of logits float [N, C] and given labels int64 [N].

    entropy: of softmax(z / tau), which does not look at the label. loss: the cross entropy of the given label.
    gradient_norm: |softmax(z / tau) - onehot(y)|, the norm of the gradient of the loss without its factor 1 / tau.
    disagreement: 1 - softmax(z / tau)_y, the probability that the model predicts another class (DPR, NeurIPS 2024).
    """
    scaled = logits / tau
    if kind == "entropy":
        return prediction_entropy(logits, tau)
    if kind == "loss":
        return F.cross_entropy(scaled, labels, reduction="none")
    if kind == "disagreement":  # the sum of the others keeps the digits that 1 - p_y loses
        return scaled.softmax(1).scatter(1, labels.unsqueeze(1), 0).sum(1)
    return head_gradient_norms(scaled, labels, features=logits[:, :0])  # of the bias alone, that is of the logits
