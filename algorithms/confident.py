"""Confident learning: removes samples whose label networks that were not trained on them find wrong.

Curtis G. Northcutt, Lu Jiang, Isaac L. Chuang. "Confident Learning: Estimating Uncertainty in Dataset Labels." JAIR 70
(2021), arXiv:1911.00068.

1. The samples are divided into `folds` parts, stratified by given label; a network for each part is trained with cross
   entropy on all the others.
2. The out-of-sample probabilities p(x) of a sample are those of its part's network.
3. A class's threshold is the mean probability of the class among the samples that are given it. A sample is found to
   belong to the likeliest of the classes whose thresholds it reaches, if there is one; where that is not the given
   label, it is removed (the confident joint's off-diagonal samples, the authors' "C_confusion" by confident counts).
4. A fresh model is trained on the others: the second stage.

Deviations from the authors' code (cleanlab): the networks train side by side on the same batches, so that a sample's
out-of-sample output comes from the very pass that trains the other networks on it: in training mode, augmented, and
averaged over all epochs, which ranks wrong labels better than the last epoch's output alone (docs/audit.md). Batch norm
sees the pixels of the held-out rows, never their labels. A sample never served is kept.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algorithms.base import Batch, Method, hparam, method
from algorithms.task import Task
from data.batches import shuffled


@method("confident")
class Confident(Method):
    """Removes samples that cross-validated networks contradict (Northcutt et al., JAIR 2021)"""

    emits = "kept"
    second = "vanilla"
    part: Tensor
    probability_sums: Tensor
    trained_sums: Tensor

    @dataclass(frozen=True)
    class Hparams:
        folds: int = hparam(5, search=[3, 5, 10], low=2, high=20, help="parts of the cross-validation")

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__(task, hparams)
        others = [task.new_network(f"network {number}") for number in range(1, hparams.folds)]
        self.networks = nn.ModuleList([self.network, *others])
        self.optimizers += [task.settings.optimizer(network.parameters()) for network in others]
        self.register_buffer("part", stratified(task.train.labels.cpu(), hparams.folds, task.generator("folds")))
        self.register_buffer("probability_sums", torch.zeros(len(task.train), task.num_classes))
        self.register_buffer("trained_sums", torch.zeros(len(task.train)))

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the networks' mean loss and the out-of-sample logits, [B, C]."""
        part = self.part[batch.index]
        outputs = [network(batch.images) for network in self.networks]
        losses = []
        for number, (logits, optimizer) in enumerate(zip(outputs, self.optimizers, strict=True)):
            trained_on = (part != number).to(logits.dtype)
            each = trained_on * F.cross_entropy(logits, batch.labels, reduction="none")
            loss = (each if batch.weights is None else batch.weights * each).sum() / trained_on.sum().clamp(min=1)
            losses.append(loss.detach())
            self.update(optimizer, loss)
        stacked, rows = torch.stack(outputs).detach(), torch.arange(len(part), device=part.device)
        held_out, confidence = stacked[part, rows], stacked.softmax(2)[:, rows, batch.labels]
        trained = (confidence.sum(0) - confidence[part, rows]) / (len(outputs) - 1)
        self.probability_sums.index_add_(0, batch.index, held_out.softmax(1))
        self.trained_sums.index_add_(0, batch.index, trained)
        return torch.stack(losses).mean(), held_out

    def predict(self, images: Tensor) -> Tensor:
        return torch.stack([network(images) for network in self.networks]).mean(0)

    def probabilities(self) -> Tensor:
        """Out-of-sample class probabilities, float64 [N, C] on the CPU; NaN for a sample never served."""
        return (self.probability_sums.double() / self.dynamics.times_seen[:, None]).cpu()

    def select(self) -> tuple[Tensor, Tensor]:
        probabilities, labels = self.probabilities(), self.task.train.labels.cpu()
        confidence = given_confidence(probabilities, labels)
        kept = (confident_class(probabilities, labels) == labels).nonzero().flatten()
        return kept, 1 - confidence.nan_to_num(nan=1.0)

    def diagnostics(self) -> dict[str, Tensor]:
        """A label's `cross_validated_confidence` is the mean over the network that judges it and those that learned it.

        Either is averaged over the epochs. The two together rank wrong labels better than either alone.
        """
        probabilities, labels = self.probabilities(), self.task.train.labels.cpu()
        confidence = given_confidence(probabilities, labels)
        trained = (self.trained_sums.double() / self.dynamics.times_seen).cpu()
        both = (confidence + trained) / 2
        by_rank = expected_precision(probabilities, labels)
        precision = torch.empty_like(both)
        precision[both.argsort(stable=True)] = by_rank[confidence.argsort(stable=True)]
        return {
            "out_of_sample_label": probabilities.argmax(1).double().masked_fill(confidence.isnan(), torch.nan),
            "out_of_sample_confidence": confidence,
            "cross_validated_confidence": both,
            "expected_precision": precision,
        }


def given_confidence(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Probability of each given label, [N], from probabilities float [N, C] and labels int64 [N]."""
    return probabilities.gather(1, labels[:, None]).squeeze(1)


def stratified(labels: Tensor, parts: int, generator: torch.Generator) -> Tensor:
    """A random part for every sample, int64 [N] in [0, parts): of each label as many in each, give or take one."""
    order = shuffled(torch.arange(len(labels)), generator)
    order = order[labels[order].argsort(stable=True)]
    return torch.empty_like(labels).index_copy_(0, order, torch.arange(len(labels)) % parts)


def confident_class(probabilities: Tensor, labels: Tensor) -> Tensor:
    """The likeliest class whose threshold a sample reaches, int64 [N]; its given label where it reaches none.

    Args:
        probabilities: out of sample, float [N, C], rows of NaN for samples without.
        labels: given, int64 [N].
    """
    own = F.one_hot(labels, probabilities.shape[1]).bool()
    thresholds = probabilities.masked_fill(~own, torch.nan).nanmean(0)
    reached = torch.where(probabilities >= thresholds, probabilities, -1.0)
    best, found = reached.max(1)
    return torch.where(best >= 0, found, labels)


def expected_precision(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Of the samples whose given label is at most as probable as a sample's, the share expected to be wrong, [N].

    A label that is wrong at random is as improbable as the classes that a sample is not given. So up to a probability
    t there are N eta F(t) wrong labels among the N G(t), F and G the distributions of the probabilities of the other
    classes and of the given ones. The share eta of wrong labels is estimated as the least G(t) / F(t), as Storey (JRSS
    B, 2002) estimates the share of true null hypotheses: too high where networks are poor, as nothing tells their
    errors from wrong labels. Like a q-value it never rises with the probability.

    Args:
        probabilities: out of sample, float64 [N, C], rows of NaN for samples without; their result is NaN.
        labels: given, int64 [N].
    """
    own = F.one_hot(labels, probabilities.shape[1]).bool()
    known = ~probabilities.isnan().any(1)
    others = probabilities[known][~own[known]].sort().values
    given, order = probabilities[known][own[known]].sort()
    levels = torch.linspace(0.1, 1, 91, dtype=torch.float64)
    at = others[(levels * (len(others) - 1)).long()]
    eta = (torch.searchsorted(given, at, right=True) / len(given) / levels).min()
    flagged = torch.searchsorted(given, given, right=True) / len(given)
    share = (eta * torch.searchsorted(others, given, right=True) / len(others) / flagged).clamp(max=1)
    result = torch.full((len(labels),), torch.nan, dtype=torch.float64)
    result[known.nonzero().flatten()[order]] = share.flip(0).cummax(0).values.flip(0).double()
    return result
