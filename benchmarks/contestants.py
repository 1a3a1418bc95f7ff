"""The training loops that the benchmarks compare, and synthetic images to run them on."""

import itertools
from collections.abc import Iterable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from algorithms.task import StageSettings, Task
from algorithms.vanilla import Vanilla
from benchmarks.measuring import CPU, Run
from data.batches import Batch
from data.split import Split
from data.store import read
from models.dropout import HalfDropout

BATCH = 256
SETTINGS = StageSettings("CONV", 1, BATCH, "SGD", 0.01, 0.9, 1e-3, "StepLR", 0.1, "30")
ENDLESS = 1 << 24


def synthetic(count: int) -> Split:
    """Textures in the colour of their class, 3x28x28; a fifth of the labels is redrawn, for a mixture to find."""
    generator = torch.Generator().manual_seed(0)
    true, other = torch.randint(10, (2, count), generator=generator)
    colors = torch.randint(64, 256, (10, 1, 1, 3), generator=generator)
    texture = torch.rand(BATCH, 28, 28, 1, generator=generator)
    images = torch.empty(count, 28, 28, 3, dtype=torch.uint8)
    for part, labels in zip(images.split(BATCH), true.split(BATCH), strict=True):
        part.copy_(texture[: len(part)] * colors[labels])
    given = torch.where(torch.rand(count, generator=generator) < 0.2, other, true)
    return Split(images.permute(0, 3, 1, 2), given)


def tasks(train: Split, network: str, amp: str = "off", device: torch.device = CPU) -> dict[str, Task]:
    """Plain training on `train`, moved to the device, with uniform and with weighted draws."""
    settings = replace(SETTINGS, model=network, amp=amp)
    uniform = Task(train.to(device), 10, device, settings, seed=0, stage="benchmark")
    weights = torch.empty(len(train), dtype=torch.float64).exponential_(generator=torch.Generator().manual_seed(0))
    return {"uniform": uniform, "weighted": replace(uniform, probabilities=weights / weights.sum())}


class Slice(Vanilla):
    """Our own training, for the trainer to run: epochs of `steps` updates, on samples drawn beforehand.

    `draw` is what a whole epoch costs before its first update; the slice holds the first of those samples.
    """

    def __init__(self, task: Task, steps: int) -> None:
        super().__init__(task, self.Hparams())
        self.slice = list(itertools.islice((batch.index for batch in self.draw()), steps))

    def draw(self) -> Iterable[Batch]:
        return super().batches(0)

    def batches(self, epoch: int) -> Iterable[Batch]:
        return self.task.batches(torch.cat(self.slice))


def bare(task: Task, steps: int) -> Run:
    """The same network, optimiser and batches; they are floats in memory already, and nothing but updates happens."""
    network = task.new_network()
    optimizer = task.settings.optimizer(network.parameters())
    batches = [(batch.images, batch.labels) for batch in Slice(task, steps).batches(0)]

    def run() -> None:
        for images, labels in batches:
            loss = F.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def recorded(task: Task, steps: int) -> Run:
    """The bare loop on a GPU as one CUDA graph a step, replayed on batches that are copied to where it reads them."""
    network = task.new_network()
    optimizer = task.settings.optimizer(network.parameters())
    batches = [(batch.images, batch.labels) for batch in Slice(task, steps).batches(0)]
    own = [part.clone() for part in batches[0]]

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(own[0]), own[1]).backward()
        optimizer.step()

    stream = torch.cuda.Stream(task.device)
    stream.wait_stream(torch.cuda.current_stream(task.device))
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream(task.device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def run() -> None:
        for batch in batches:
            for mine, new in zip(own, batch, strict=True):
                mine.copy_(new)
            graph.replay()

    return run


class PerItem(Dataset):
    """Float images, one by one; a weighted draw compares one random number with the whole cumulative sum."""

    def __init__(self, train: Split, probabilities: Tensor | None) -> None:
        here = train.to(CPU)
        self.images, self.labels = read(here.images, torch.arange(len(here))).contiguous() / 255, here.labels
        self.cumulative = None if probabilities is None else probabilities.cumsum(0)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if self.cumulative is not None:
            index = min(int((torch.rand(()) > self.cumulative).sum()), len(self) - 1)
        return self.images[index], self.labels[index]


def usual_network(task: Task) -> nn.Module:
    """With `nn.Dropout`, and in torch's usual memory format."""
    network = task.new_network().to(memory_format=torch.contiguous_format)
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, HalfDropout):
                setattr(parent, name, nn.Dropout(0.5))
    return network


def typical(task: Task, steps: int) -> Run:
    """As research scripts often have it: `DataLoader` over items, `nn.Dropout`, loss and accuracy read at every step.

    The loader is started once, outside of what is timed, so that no draw of a whole epoch counts against it.
    """
    network = usual_network(task)
    optimizer = task.settings.optimizer(network.parameters())
    items = PerItem(task.train, task.probabilities)
    batches = iter(DataLoader(items, BATCH, sampler=RandomSampler(items, replacement=True, num_samples=ENDLESS)))

    def run() -> None:
        total = correct = 0.0
        for images, labels in itertools.islice(batches, steps):
            images, labels = images.to(task.device), labels.to(task.device)
            logits = network(images)
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
            correct += (logits.argmax(1) == labels).float().mean().item()

    return run


def typical_scoring(task: Task, steps: int) -> Run:
    """Predictions and losses of `steps` batches of items in evaluation mode, collected in lists."""
    network = usual_network(task).eval()
    items = PerItem(task.train, None)
    batches = iter(DataLoader(items, BATCH, sampler=RandomSampler(items, replacement=True, num_samples=ENDLESS)))

    def run() -> None:
        losses, correct = [], 0.0
        with torch.no_grad():
            for images, labels in itertools.islice(batches, steps):
                images, labels = images.to(task.device), labels.to(task.device)
                logits = network(images)
                losses += [loss.item() for loss in F.cross_entropy(logits, labels, reduction="none")]
                correct += (logits.argmax(1) == labels).sum().item()

    return run
