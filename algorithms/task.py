"""The task that a method is given: settings, given labels, fresh networks, batches and random streams."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from data.batches import Batch, Batches, as_probabilities, on_device, shuffled, weighted_draws
from data.split import Split
from models.heads import HEADS
from models.registry import Network, build_network
from models.sharded import synchronised
from utils.distributed import gather_rows, own_rows, world
from utils.errors import RunError
from utils.seeds import derive, torch_generator

EVALUATION_BATCH = 500
"""Images that are scored at once; small ones on a GPU in larger batches, of up to so many pixels."""

EVALUATION_PIXELS = 2**20
OPTIMIZERS = ("SGD", "Adam", "AdamW")
SCHEDULES = ("StepLR", "MultiStepLR", "CosineAnnealingLR")
PRECISIONS = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class StageSettings:
    """The training settings of one stage, whatever the method.

    weights: a file to start networks from.
    head: what is trained on the features of `model`, which itself is not; empty where `model` is trained.
    amp, compile: in which precision and how networks compute in training mode, see `models.registry.Network`.
    stop: the rule by which training ends before `epochs` are over, see `algorithms.training.stopping`.
    cuda_graphs: whether steps on a GPU are recorded and replayed, see `algorithms.training.recorder`.
    """

    model: str
    epochs: int
    batch_size: int
    opt: str
    lr: float
    momentum: float
    weight_decay: float
    lr_decay: str
    lr_decay_rate: float
    lr_decay_opt: str
    weights: Path | None = None
    amp: str = "off"
    compile: bool = False
    cuda_graphs: bool = True
    stop: str = "off"
    head: str = ""

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of `--opt`; Adam gets the weight decay it is told (the authors' code dropped it).

        For fp16 a fused one, which skips a step whose scaled gradients overflowed without asking the device. Momentum
        starts from zeros there: torch allocates it at the first step, and leaves it unset if that one is skipped. On a
        GPU Adam counts its steps there.
        """
        trained: list[Any] = list(parameters)
        details: dict[str, Any] = {"lr": self.lr, "weight_decay": self.weight_decay}
        if self.opt == "SGD":
            details["momentum"] = self.momentum
        else:
            details["capturable"] = all(parameter.is_cuda for parameter in trained)
        if self.amp == "fp16":
            details["fused"] = True
        optimizer = getattr(torch.optim, self.opt)(trained, **details)
        if self.amp == "fp16" and self.opt == "SGD" and self.momentum:
            for parameter in trained:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return optimizer

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        """The schedule of `--lr_decay`, stepped once per epoch."""
        if self.lr_decay == "CosineAnnealingLR":
            return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.epochs)
        milestones = [int(epoch) for epoch in self.lr_decay_opt.split(",")]
        if self.lr_decay == "StepLR":
            return torch.optim.lr_scheduler.StepLR(optimizer, milestones[0], self.lr_decay_rate)
        return torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, self.lr_decay_rate)


@dataclass(frozen=True)
class Task:
    """All that a method may know: given labels, never true or bias labels, and no test data.

    train: the current training set, N samples; an earlier stage may have removed some from the original one.
    seed, stage: name the random streams.
    noise_rate: share of labels that are expected to be wrong, which some methods take as known.
    probabilities: sampling probabilities from an earlier stage, float64 [N], or None for uniform epochs.
    weights: loss weights from an earlier stage, float32 [N] on the device, or None.
    cue: an earlier stage's logits, float32 [N, C], whose largest is the class of the image's cue, or None.
    published: networks start from the weights that are published for them, if there are any.
    start: the state dict that the network of the name "network" starts from, of an earlier stage, or None.
    sync_bn: batch norm takes its statistics from the whole batch of several processes, not from each one's rows.
    """

    train: Split
    num_classes: int
    device: torch.device
    settings: StageSettings
    seed: int
    stage: str
    noise_rate: float = 0.0
    probabilities: Tensor | None = None
    weights: Tensor | None = None
    cue: Tensor | None = None
    sync_bn: bool = False
    published: bool = True
    start: dict[str, Tensor] | None = None

    def new_network(self, name: str = "network", num_classes: int | None = None) -> Network:
        """A fresh network, initialised from the stream `name`: it does not depend on what was drawn before.

        Networks that start from given weights differ in their last layer only; `network` itself goes on from `start`.
        """
        shape, classes, settings = self.image_shape(), num_classes or self.num_classes, self.settings
        with self.initialising(name):
            if settings.head:
                network = HEADS[settings.head](shape, classes)
            else:
                network = build_network(settings.model, shape, classes, settings.weights, self.published)
        if name == "network" and self.start is not None:
            network.load_state_dict(self.start)
        return self.placed(network)

    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that networks see."""
        channels, height, width = self.train.images.shape[1:]
        return self.train.transform.shape((channels, height, width))

    def placed(self, network: Network) -> Network:
        """A new network on the device, computing as the settings say."""
        network.precision, network.compiled = PRECISIONS[self.settings.amp], self.settings.compile
        network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return synchronised(network) if self.sync_bn and world() > 1 else network

    @contextmanager
    def initialising(self, name: str) -> Iterator[None]:
        """Modules built within draw their initial weights from the stream `name`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.seed, self.stage, name))
            yield

    def generator(self, *name: str | int) -> torch.Generator:
        """The random stream `name` of this stage, on the CPU."""
        return torch_generator(self.seed, self.stage, *name)

    def batch(self, index: Tensor) -> Batch:
        """The training samples at `index` (int64 [B]); each call augments anew."""
        return next(iter(self.batches(index, len(index))))

    def batches(self, order: Tensor, batch_size: int | None = None) -> Batches:
        """One epoch over the samples at `order` (int64 [K]), in batches of the run's size unless another is given."""
        return Batches(self.train, order, batch_size or self.settings.batch_size, self.device, self.weights)

    def order(self, generator: torch.Generator, subset: Tensor | None = None, count: int | None = None) -> Tensor:
        """The samples that an epoch serves, int64 [count]: weighted draws if an earlier stage gave probabilities.

        Otherwise each sample once, in random order, and again from the start for as long as `count` asks.

        Args:
            subset: positions to choose from, int64 [K]; all by default. Probabilities are renormalised within it.
            count: K by default.
        """
        subset = torch.arange(len(self.train)) if subset is None else subset
        count = len(subset) if count is None else count
        if self.probabilities is not None:
            return subset[weighted_draws(as_probabilities(self.probabilities[subset]), count, generator)]
        rounds = -(-count // len(subset))
        return torch.cat([shuffled(subset, generator) for _ in range(rounds)])[:count]

    def steps_per_epoch(self) -> int:
        """Updates in an epoch over the whole training set."""
        return len(self.batches(torch.arange(len(self.train))))

    def over_train(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Applies `function` (images [B, C, H, W] to [B, ...]) to the training images, each once and in order.

        Images are not augmented and there are no gradients; returns [N, ...] on the CPU. The caller chooses between
        training and evaluation mode.
        """
        return over_split(function, self.train, self.device)


def over_split(function: Callable[[Tensor], Tensor], split: Split, device: torch.device) -> Tensor:
    """Applies `function` (images [B, C, H, W] to [B, ...]) to all images of `split`, without gradients; on the CPU.

    Results go into one tensor: kept apart, they would lie in the freed memory that the next batch needs, and the
    process would grow with the number of batches. Several processes share the images out and all get all results.
    """
    results, mine = None, own_rows(len(split))
    height, width = split.images.shape[2:]
    size = max(EVALUATION_BATCH, EVALUATION_PIXELS // (height * width) if device.type == "cuda" else 0)
    with torch.inference_mode():
        starts = range(mine.start, mine.stop, size)
        parts = [slice(start, min(start + size, mine.stop)) for start in starts]
        for start, images in zip(starts, on_device(split.images, parts, device), strict=True):
            part = function(split.transform.for_scoring(images))
            if results is None:
                results = part.new_empty(mine.stop - mine.start, *part.shape[1:])
            results[start - mine.start :][: len(part)] = part
    if results is None:
        raise RunError("there are no images to apply a model to.")
    return gather_rows(results, len(split)).cpu().clone()  # outside inference mode: an ordinary tensor
