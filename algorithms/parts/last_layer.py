"""Training the last layer once more, alone, on a part of the training images that was kept from the rest.

What AFR (Qiu et al., ICML 2023) and SELF (LaBonte et al., NeurIPS 2023) have in common, here.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algorithms.base import Batch, Method
from algorithms.task import Task

LARGEST_GRADIENT = 1.0


class LastLayer(Method):
    """Base: cross entropy on all but a random `share` of the images; after the last epoch, the last layer on these.

    A subclass declares the hyper-parameters `share`, `rate`, `steps` and `stay`, and defines `reweighted`.
    """

    def __init__(self, task: Task, hparams: Any) -> None:
        super().__init__(task, hparams)
        order = torch.randperm(len(task.train), generator=task.generator("held out"))
        count = min(max(round(hparams.share * len(order)), 1), max(len(order) - 2, 1))
        self.held, self.training_subset = order[:count].sort().values, order[count:].sort().values

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, batch.labels, reduction="none")

    def reweighted(self, features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """Weights of the held-out images, float [K], from their features, the trained network's logits and labels."""
        raise NotImplementedError

    def finish(self) -> None:
        task, network = self.task, self.network
        self.eval()
        features = task.over_train(network.extract)[self.held].to(task.device)
        labels = task.train.labels[self.held.to(task.train.labels.device)].to(task.device)
        with torch.no_grad():
            weights = self.reweighted(features, network.predict(features), labels)
        for earlier in (task.probabilities, task.weights):
            if earlier is not None:
                weights = weights * earlier.to(task.device)[self.held.to(task.device)].to(weights.dtype)
        retrain(network.fc, features, labels, weights / weights.sum(), self.hparams)
        self.train()


def retrain(layer: nn.Linear, features: Tensor, labels: Tensor, weights: Tensor, hparams: Any) -> None:
    """Full-batch gradient descent on sum_i weights_i CE_i + stay |w - w0|^2, from the layer's own w0; in place.

    Args:
        features: float [K, D]. labels: int64 [K]. weights: float [K], sum 1.
        hparams: with `rate`, the learning rate, `steps` and `stay`; the gradient's norm is clipped at 1.
    """
    parameters = list(layer.parameters())
    start = [parameter.detach().clone() for parameter in parameters]
    optimizer = torch.optim.SGD(parameters, lr=hparams.rate)
    with torch.enable_grad():
        for _ in range(hparams.steps):
            optimizer.zero_grad()
            loss = (weights * F.cross_entropy(layer(features), labels, reduction="none")).sum()
            moved = sum((now - before).square().sum() for now, before in zip(parameters, start, strict=True))
            (loss + hparams.stay * moved).backward()
            nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)
            optimizer.step()
    optimizer.zero_grad()


def class_balance(labels: Tensor) -> Tensor:
    """One over the number of images with the same label, for each image: int64 [K] to float [K]."""
    return 1 / torch.bincount(labels)[labels].float()
