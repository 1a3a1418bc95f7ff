"""Whole runs on a GPU that is not there: tensors in the CPU's memory that say they are on one, and are watched.

Whatever is asked for on the GPU is made on the CPU and its memory noted, as is the memory of all that operations make
of it. The pretended GPU then refuses what a real one refuses (tensors of two devices, a generator of the CPU, `numpy`)
and counts what makes the host wait for it: reading a value, an output whose size depends on values, copies from it,
and copies to it from memory that is not pinned.
"""

import json
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from algorithms.base import methods
from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from algorithms.task import over_split
from algorithms.training import run as pipeline
from algorithms.training.run import run
from data.augment import CROPPED_FLIPPED, WARPED
from data.batches import Batches

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")

WAITING = {
    "_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "equal",
    "bincount", "is_nonzero",
}  # fmt: skip
"""Operations that end only when the GPU has finished."""


def on_gpu(device) -> bool:
    return isinstance(device, torch.device | str) and str(device).startswith("cuda")


class PretendedGpu(TorchFunctionMode):
    """Devices as Python sees them: what is moved, what is made where, and what a tensor says of itself.

    counts: of "waits" and of "copies" to the GPU from memory that is not pinned, so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.operations = Operations(self)
        self.moving = False
        self._there: dict[int, StorageWeakRef] = {}  # a weak reference keeps an address from being used again
        self._pinned: dict[int, StorageWeakRef] = {}

    def __enter__(self):
        self.operations.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.operations.__exit__(*error)

    def holds(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._there

    def take(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self._there[storage._cdata] = StorageWeakRef(storage)

    def pin(self, tensor: Tensor) -> Tensor:
        copy = tensor.clone()
        storage = copy.untyped_storage()
        self._pinned[storage._cdata] = StorageWeakRef(storage)
        return copy

    def copied(self, source: Tensor) -> None:
        if source.untyped_storage()._cdata not in self._pinned:
            self.counts["copies"] += 1

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        first = args[0] if args and isinstance(args[0], Tensor) else None
        here = first is not None and self.holds(first)
        if function == Tensor.device.__get__:
            return GPU if here else CPU
        if function in (Tensor.is_cuda.__get__, Tensor.is_cpu.__get__):
            return here == (function == Tensor.is_cuda.__get__)
        if here and function in (Tensor.numpy, Tensor.__array__):
            raise TypeError("can't convert a tensor on a GPU to numpy")
        if here and function is Tensor.tolist:
            self.counts["waits"] += 1
        if function is Tensor.cpu:
            return self.moved(first, function, args, kwargs, to_gpu=False)
        asked = [leaf for leaf in tree_leaves((args[1:], kwargs)) if isinstance(leaf, torch.device | str)]
        if function is Tensor.to:
            like = args[1] if len(args) > 1 and isinstance(args[1], Tensor) else None
            if like is not None:
                return self.moved(first, function, args, kwargs, to_gpu=self.holds(like))
            if not asked:
                return function(*args, **kwargs)
            args, kwargs = tree_map(lambda leaf: CPU if on_gpu(leaf) else leaf, (args, kwargs))
            return self.moved(first, function, args, kwargs, to_gpu=any(map(on_gpu, asked)))
        if function is torch.device or not any(map(on_gpu, asked)):
            return function(*args, **kwargs)
        if kwargs.get("generator") is not None:
            raise RuntimeError(f"{function.__name__}: a generator of the CPU cannot draw on a GPU")
        args, kwargs = tree_map(lambda leaf: CPU if on_gpu(leaf) else leaf, (args, kwargs))
        made = function(*args, **kwargs)
        if function in (torch.tensor, torch.as_tensor):
            self.counts["copies"] += 1
        self.take(made)
        return made

    def moved(self, tensor, function, args, kwargs, to_gpu):
        """What `function`, run on the CPU, makes of a tensor, on the device that it should go to."""
        here, self.moving = self.holds(tensor), True
        try:
            made = function(*args, **kwargs)
            if here != to_gpu and made.untyped_storage()._cdata == tensor.untyped_storage()._cdata:
                made = made.clone(memory_format=torch.preserve_format)
        finally:
            self.moving = False
        if to_gpu:
            self.take(made)
        if here and not to_gpu:
            self.counts["waits"] += 1
        if to_gpu and not here:
            self.copied(tensor)
        return made


class Operations(TorchDispatchMode):
    """Everything that is computed, in backward passes too."""

    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunction():
            given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            there = [self.gpu.holds(tensor) for tensor in given]
            if self.gpu.moving or not any(there):
                return function(*args, **kwargs)
            self.check(function, args, kwargs, given, there)
            result = function(*args, **kwargs)
            on_host = {one.untyped_storage()._cdata for one in given if not self.gpu.holds(one)}
            for made in tree_leaves(result):
                if isinstance(made, Tensor) and made.untyped_storage()._cdata not in on_host:
                    self.gpu.take(made)
            return result

    def check(self, function, args, kwargs, given, there):
        name = function._schema.name.removeprefix("aten::")
        if any(isinstance(leaf, torch.Generator) for leaf in tree_leaves((args, kwargs))):
            raise RuntimeError(f"{name}: a generator of the CPU cannot draw on a GPU")
        if name == "copy_":
            if there == [True, False]:
                self.gpu.copied(given[1])
            if there == [False, True]:
                self.gpu.counts["waits"] += 1
            return
        if name in ("index_put", "index_put_") and there[0] and not self.gpu.holds(args[2]):
            self.gpu.counts["waits"] += 1  # a number of the host is copied there
        if name in ("index", "index_put", "index_put_") and there[0]:
            for index in (index for index in args[1] if index is not None):
                if index.dtype == torch.bool:
                    self.gpu.counts["waits"] += 1
                if not self.gpu.holds(index):
                    self.gpu.copied(index)
            given, there = [given[0]], [True]
        if name in WAITING:
            self.gpu.counts["waits"] += 1
        for tensor, is_there in zip(given, there, strict=True):
            if not is_there and tensor.dim() > 0:
                raise RuntimeError(f"{name}: tensors on two devices")


@pytest.fixture
def gpu(monkeypatch):
    """A pretended GPU, to be used in a `with` block; half of its two gigabytes are free."""
    pretended = PretendedGpu()
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: pretended.pin(tensor))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**9, 2 * 10**9))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "none")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr("algorithms.command.resolve.set_up_gpu", lambda device, deterministic: None)
    return pretended


@pytest.fixture
def trained(tiny, tmp_path, monkeypatch):
    """Trains on a device, as flags say; returns the epochs of all stages."""
    monkeypatch.setattr(pipeline, "load_dataset", lambda settings: tiny)

    def train(device, *flags, watch=lambda records: None):
        monkeypatch.setattr("algorithms.command.resolve.pick_device", lambda gpu: device)
        fixed = ["--model", "MLP", "--epochs", "2", "--batch_size", "32", "--no_figures", "--cuda_graphs", "false"]
        fixed += ["--log_dir", str(tmp_path / device.type)]
        config = resolve(parse_arguments([*fixed, *flags], "test"))
        run(config, watch)
        lines = (config.folder / "metrics.jsonl").read_text().splitlines()
        return [tuple(json.loads(line)[key] for key in ("train_loss", "valid_loss", "test_accuracy")) for line in lines]

    return train


def watch_steps(gpu, monkeypatch):
    """A list that grows with each step of any method, by what that step counted."""
    counted: list[Counter[str]] = []

    def watched(step):
        def watching(method, batch):
            before = gpu.counts.copy()
            outcome = step(method, batch)
            assert outcome[0].device == outcome[1].device == GPU
            counted.append(gpu.counts - before)
            return outcome

        return watching

    for cls in {base for name in methods for base in methods[name].__mro__ if "step" in vars(base)}:
        monkeypatch.setattr(cls, "step", watched(cls.step))
    return counted


EARLY = {"warmup": "1", "num_gradual": "1"}
"""So that what comes after a warm-up happens in the second of two epochs."""

MIXING = ("elr+", "dividemix", "fdividemix")
"""Methods whose permutations are drawn on the device, from another stream than on a CPU."""


def flags_of(name):
    cls = methods[name]
    early = [part for hparam, value in EARLY.items() if hasattr(cls.Hparams, hparam) for part in (f"--{hparam}", value)]
    return ["--alg", f"{name}_vanilla" if cls.emits and not cls.second else name, *early]


@pytest.mark.parametrize("name", methods)
def test_no_step_of_a_whole_run_waits(name, gpu, trained, monkeypatch):
    """Its numbers are those of the CPU, where the draws are."""
    wanted = trained(CPU, *flags_of(name))
    steps = watch_steps(gpu, monkeypatch)
    with gpu:
        epochs = trained(GPU, *flags_of(name))
    assert len(steps) >= 6
    assert sum(steps, Counter()) == {}
    assert len(epochs) == len(wanted)
    if name not in MIXING:
        for one, other in zip(epochs, wanted, strict=True):
            assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("weights", ["plain", "weighted"])
@pytest.mark.parametrize("second", ["coteaching+", "elr", "dividemix"])
def test_nor_with_the_weights_of_an_earlier_stage(second, weights, gpu, trained, monkeypatch):
    steps = watch_steps(gpu, monkeypatch)
    ranked = ["--rank_by", weights] if second == "coteaching+" else []
    with gpu:
        trained(GPU, "--alg", f"lff_{second}", *ranked)
    assert sum(steps, Counter()) == {}


@pytest.mark.parametrize("free", [10**9, 0])
@pytest.mark.parametrize("name", ["vanilla", "dividemix"])
def test_what_an_epoch_waits_for_or_copies_does_not_grow_with_its_steps(name, free, gpu, trained, monkeypatch, tiny):
    """Whether the images fit on the GPU or are read ahead: one batch more or less makes no difference."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2 * 10**9))
    counts = []
    for size in (16, 32):
        monkeypatch.setattr(pipeline, "load_dataset", lambda settings: tiny)
        before = gpu.counts.copy()
        with gpu:
            trained(GPU, *flags_of(name), "--batch_size", str(size), "--run_name", str(size))
        counts.append(gpu.counts - before)
    assert counts[0] == counts[1]


def test_an_interrupted_run_goes_on(gpu, trained):
    def interrupt(records):
        if len(records) == 1:
            raise KeyboardInterrupt

    with gpu:
        whole = trained(GPU, "--alg", "lff", "--run_name", "whole")
        with pytest.raises(KeyboardInterrupt):
            trained(GPU, "--alg", "lff", watch=interrupt)
        assert trained(GPU, "--alg", "lff") == whole


@pytest.mark.parametrize("transform", [WARPED, CROPPED_FLIPPED])
def test_augmenting_never_waits(transform, gpu, tiny):
    with gpu:
        split = replace(tiny.train, transform=transform).to(GPU)
        next(iter(Batches(split, torch.arange(96), 32, GPU)))  # constants are copied once
        before = gpu.counts.copy()
        for batch in Batches(split, torch.arange(96), 32, GPU, torch.ones(96, device=GPU)):
            assert {part.device for part in (batch.images, batch.labels, batch.index, batch.weights)} == {GPU}
        assert gpu.counts - before == {"copies": 1}, "the order"


def test_images_that_stay_on_the_host_are_read_ahead_for_scoring(gpu, tiny):
    with gpu:
        before = gpu.counts.copy()
        found = over_split(lambda images: images.sum(dim=(1, 2, 3)), tiny.train, GPU)
        assert gpu.counts - before == {"waits": 1}, "the results"
        assert found.device == CPU
    torch.testing.assert_close(found, tiny.train.images.float().div(255).sum(dim=(1, 2, 3)))


def test_the_pretended_gpu_counts_and_refuses(gpu):
    with gpu:
        values = torch.arange(3.0).to(GPU)
        assert values.device == (values * 2)[1:].device == torch.nn.Linear(3, 2).to(GPU).weight.device == GPU
        for wait in (
            values.sum().item, lambda: bool(values.any()), values.nonzero, lambda: values[values > 1], values.tolist,
            values.cpu, lambda: values.to("cpu"), lambda: torch.zeros(3).copy_(values), values.unique,
            lambda: values.clone().__setitem__(values.long(), 1.0),
        ):  # fmt: skip
            before = gpu.counts.copy()
            wait()
            assert (gpu.counts - before)["waits"] >= 1
        for copy in (
            lambda: torch.ones(3).to(GPU), lambda: torch.tensor([1.0], device=GPU), lambda: values[torch.tensor([1])],
            lambda: values.copy_(torch.ones(3)), lambda: torch.ones(3).to(values),
        ):  # fmt: skip
            before = gpu.counts.copy()
            copy()
            assert gpu.counts - before == {"copies": 1}
        before = gpu.counts.copy()
        moved = torch.ones(3).pin_memory().to(GPU, non_blocking=True)
        parameter = torch.nn.Parameter(moved * values)
        (parameter * 2).sum().backward()
        torch.optim.Adam([parameter]).step()
        assert parameter.grad.device == parameter.device == GPU
        assert gpu.counts == before
        with pytest.raises(TypeError):
            values.numpy()
        for mistake in (
            lambda: values + torch.arange(3.0),
            lambda: torch.arange(3.0)[values.long()],
            lambda: torch.rand(3, generator=torch.Generator(), device=GPU),
            lambda: values.normal_(generator=torch.Generator()),
        ):
            with pytest.raises(RuntimeError, match=r"two devices|a generator of the CPU"):
                mistake()
    assert values.device == CPU
