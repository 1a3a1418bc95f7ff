"""JTT: what a briefly trained model gets wrong is drawn more often by a second one.

Evan Zheran Liu, Behzad Haghgoo, Annie S. Chen, Aditi Raghunathan, Pang Wei Koh, Shiori Sagawa, Percy Liang, Chelsea
Finn. "Just Train Twice: Improving Group Robustness without Training Group Information." ICML 2021, arXiv:2107.09044.

1. The identification model is trained with cross entropy for `bias_epochs` epochs; E is the set of training samples
   whose given label it does not predict then.
2. A fresh model is trained on all samples and `lbd_up` more copies of each one in E: the second stage.
Mislabelled samples are errors as well until they are memorised, so that JTT raises their share too.

Deviations:

- A sample in E counts 1 + lbd_up times, as in the authors' code (in the paper lbd_up times). Their factor of -1, which
  stands for floor((N - |E|) / |E|) - 1 and so makes E about as heavy as the rest, is left out.
- An epoch draws N samples with these odds, with replacement, as DENEB's does. The enlarged set of the authors makes it
  N + lbd_up |E| long, so that their numbers of epochs mean more updates than the same numbers here.
- E comes from one pass over the plain images after the last epoch, as the paper describes it. `online` takes the
  predictions made while training in the last epoch, as the authors' code does; but a sample of the last, smaller batch,
  which is dropped, keeps the prediction of an earlier epoch, or counts as right if it was never in another batch.
- The paper chooses among epochs by validation accuracy of the worst group, which needs group labels; here there are
  none.
- lbd_up has no default in DENEB's code; 30 is the smallest value it searches.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.base import Batch, Method, hparam, method
from algorithms.task import StageSettings, Task
from data.batches import as_probabilities


@method("jtt")
class Jtt(Method):
    """Errors of a briefly trained model are drawn more often (Liu et al., ICML 2021)"""

    debiases = True
    emits = "probabilities"
    second = "vanilla"
    errors: Tensor

    @dataclass(frozen=True)
    class Hparams:
        bias_epochs: int = hparam(
            0,
            search=[0, 10, 20, 50, 100],
            low=0,
            help="epochs of the identification model; 0: as many as --epochs says",
        )
        lbd_up: int = hparam(
            30,
            search=[30, 60, 100],
            low=0,
            high=1e9,
            after_training=True,
            help="how many more times an error counts; an epoch "
            "has N draws whatever it is (the authors': N + lbd_up x errors), so their --epochs do not carry over",
        )
        online: bool = hparam(
            False, after_training=True, help="errors made while training in the last epoch, rather than after it"
        )

    @classmethod
    def stage_settings(cls, settings: StageSettings, hparams: Any) -> StageSettings:
        return replace(settings, epochs=hparams.bias_epochs or settings.epochs)

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__(task, hparams)
        self.register_buffer("errors", torch.zeros(len(task.train), dtype=torch.bool))

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        loss, logits = super().step(batch)
        self.errors[batch.index] = logits.argmax(1) != batch.labels
        return loss, logits

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, batch.labels, reduction="none")

    def select(self) -> tuple[Tensor, Tensor]:
        if self.hparams.online:
            errors = self.errors.cpu()
        else:
            errors = self.task.over_train(self.predict).argmax(1) != self.task.train.labels.cpu()
        counts = multiplicity(errors, self.hparams.lbd_up)
        return as_probabilities(counts), errors.double()


def multiplicity(errors: Tensor, lbd_up: int) -> Tensor:
    """The number of times each sample counts: 1, and `lbd_up` more where `errors` is true; bool [N] to int64 [N]."""
    return 1 + lbd_up * errors.long()
