"""Small-loss selection: samples that a network finds easy are probably labelled right (Co-teaching, Co-teaching+)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, hparam
from algorithms.parts.two_networks import TwoNetworks


def forget_rate(epoch: int, final: float, gradual: int) -> float:
    """Share of a batch to leave out: from 0 linearly to `final` over the first `gradual` epochs (numbered from 0)."""
    return final if epoch >= gradual else final * epoch / max(gradual - 1, 1)


def ranks(losses: Tensor) -> Tensor:
    """Position of every loss in increasing order, int64 [N]; equal losses in the order they come."""
    return losses.argsort(stable=True).argsort()


def kept_count(candidates: Tensor, rate: float) -> Tensor:
    """floor((1 - rate) * n) for n true `candidates` (bool [N]), or n where that is 0; a float64 scalar tensor."""
    count = candidates.sum().double()
    kept = ((1 - rate) * count).floor()
    return torch.where(kept > 0, kept, count)


def small_loss_weights(losses: Tensor, rate: float, candidates: Tensor | None = None) -> Tensor:
    """Weights that turn a batch's sum into the mean over the candidates with the smallest losses.

    Args:
        losses: float [B], to rank by.
        rate: share of the candidates to leave out; if none would be left, none is left out.
        candidates: bool [B]; all samples if not given.

    Returns:
        [B], without gradient: 1/k for the k picked ones, else 0; all 0 if there is no candidate.
    """
    losses = losses.detach()
    if candidates is None:
        candidates = torch.ones_like(losses, dtype=torch.bool)
    kept = kept_count(candidates, rate)
    picked = candidates & (ranks(losses.masked_fill(~candidates, torch.inf)) < kept)
    return picked / picked.sum().clamp(min=1).to(losses.dtype)


def disagreement_weights(losses: Tensor, rate: float, disagree: Tensor, use_all: Tensor | bool) -> Tensor:
    """`small_loss_weights` among the samples on which two networks disagree (bool [B]).

    Where they agree on the whole batch, all samples count alike if `use_all`, else none does.
    """
    fallback = torch.full_like(losses, 1 / len(losses)).detach() * use_all
    return torch.where(disagree.any(), small_loss_weights(losses, rate, disagree), fallback)


class SmallLossExchange(TwoNetworks):
    """Two networks; each is trained on the samples that the other one picks for their small loss.

    As a selector, it keeps the samples that after training are among the share 1 - forget rate with the smallest loss
    of both networks, without dropout and augmentation.
    """

    emits = "kept"

    @dataclass(frozen=True)
    class Hparams:
        forget_rate: float = hparam(
            -1.0,
            low=-1,
            high=1,
            help="share of samples to leave out; negative: the share --nratio is expected to spoil",
        )
        num_gradual: int = hparam(
            5, search=[1, 5, 10, 20], low=0, help="epochs over which the share left out grows from 0"
        )
        rank_by: str = hparam(
            "plain",
            choices=("plain", "weighted"),
            help="of losses under an earlier stage's weights, plain: picks by the loss, trains on the weighted one; "
            "weighted: picks by the weighted loss, trains on the plain one, as the DENEB authors' code does",
        )

    def begin_epoch(self, epoch: int) -> None:
        self.rate = forget_rate(epoch, self.final_rate(), self.hparams.num_gradual)

    def final_rate(self) -> float:
        """The forget rate that is given, else the noise rate."""
        given = self.hparams.forget_rate
        return given if given >= 0 else self.task.noise_rate

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        first, second = (network(batch.images) for network in self.networks)
        plain = [F.cross_entropy(logits, batch.labels, reduction="none") for logits in (first, second)]
        weighted = plain if batch.weights is None else [batch.weights * loss for loss in plain]
        ranked, trained = (plain, weighted) if self.hparams.rank_by == "plain" else (weighted, plain)
        picks = self.picks(ranked, first.argmax(1) != second.argmax(1))
        exchanged = [(pick * loss).sum() for pick, loss in zip(reversed(picks), trained, strict=True)]
        for optimizer, loss in zip(self.optimizers, exchanged, strict=True):
            self.update(optimizer, loss)
        return exchanged[0].detach(), first.detach()

    def picks(self, losses: list[Tensor], disagree: Tensor) -> list[Tensor]:
        """Each network's picks for the other one: per network, weights [B] that sum to one, or to zero for none.

        Args:
            losses: per network, float [B]. disagree: whether the networks' predictions differ, bool [B].
        """
        return [small_loss_weights(loss, self.rate) for loss in losses]

    def select(self) -> tuple[Tensor, Tensor]:
        labels = self.task.train.labels.cpu()
        outputs = [self.task.over_train(network).double() for network in self.networks]
        first, second = (ranks(F.cross_entropy(logits, labels, reduction="none")) for logits in outputs)
        worse = torch.maximum(first, second)
        kept = worse < kept_count(torch.ones_like(worse, dtype=torch.bool), self.final_rate())
        return kept.nonzero().flatten(), worse.double() / len(worse)
