"""The base of methods with two networks that teach each other."""

from typing import Any

from torch import Tensor

from algorithms.base import Method
from algorithms.task import Task
from models.registry import Network


class TwoNetworks(Method):
    """Two networks, differently initialised, each with its own optimiser; their averaged logits are the prediction."""

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__(task, hparams)
        self.partner = task.new_network("partner")
        self.optimizers.append(task.settings.optimizer(self.partner.parameters()))

    @property
    def networks(self) -> tuple[Network, Network]:
        return self.network, self.partner

    def predict(self, images: Tensor) -> Tensor:
        return (self.network(images) + self.partner(images)) / 2
