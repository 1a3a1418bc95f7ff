"""Weights that a network starts from in place of random ones: those of a file, or those that are published for it."""

import textwrap
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from utils.distributed import from_writer
from utils.errors import RunError, UsageError
from utils.files import load_tensors

WRAPPERS = ("state_dict", "model")
"""Keys under which checkpoints of other programs keep their state dict."""

PREFIXES = ("module.", "_orig_mod.")
"""Prefixes that DataParallel and torch.compile put in front of the names."""

OWN = "network."
"""The prefix of the network's names in a run's model.pt, which holds other tensors too."""


class Published(Protocol):
    """Weights that can be downloaded, as torchvision describes its own."""

    @property
    def url(self) -> str: ...

    def get_state_dict(self, **details: Any) -> Any: ...


def load_weights(network: nn.Module, file: Path) -> None:
    """Fills `network` with the state dict in `file`, except for its last layer `fc`, which stays as it is.

    The file may be torch's or a .safetensors, have any number of classes, and name its tensors as the network does or
    as torchvision or timm do.

    Raises:
        RunError: the file is damaged.
        UsageError: its tensors are not those of this network.
    """
    state = read_state(file)
    try:
        _fill(network, state)
    except (RuntimeError, TypeError, AttributeError, ValueError) as error:  # what torch raises for other keys and types
        raise UsageError(f"--weights {file} does not fit this --model: {_reason(error)}") from error


def load_whole(network: nn.Module, file: Path) -> None:
    """The same with the file's last layer, which must have the network's classes."""
    state = read_state(file)
    try:
        _fill(network, state, last_layer=True)
    except (RuntimeError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"--weights {file} is not the whole of this --model: {_reason(error)}") from error


def load_published(network: nn.Module, weights: Published) -> None:
    """The same with the weights that are downloaded, or have been downloaded before.

    Raises:
        RunError: they cannot be had.
    """
    try:
        details = {"progress": False, "check_hash": True, "weights_only": True, "map_location": "cpu"}
        _fill(network, from_writer(weights.get_state_dict, **details))
    except Exception as error:  # what urllib, the file system, torch and timm raise
        name = getattr(weights, "file_name", None) or weights.url.rpartition("/")[2]
        raise RunError(
            f"no {weights} ({_reason(error)}). Put {weights.url} as {downloads() / name}, or anywhere and say "
            "--weights FILE, or take a --model that is not pretrained."
        ) from error


def downloads() -> Path:
    """The folder in which torchvision keeps what it downloads."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def read_state(file: Path) -> Any:
    """The content of a file of weights, torch's or a .safetensors; nothing in it can run code.

    Raises:
        RunError: the file is damaged.
        UsageError: it takes a package that is not there.
    """
    if file.suffix != ".safetensors":
        return load_tensors(file)
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise UsageError(f"--weights {file} needs an extra package: pip install safetensors") from error
    try:
        return load_file(file)
    except Exception as error:  # the package has types of its own for damaged files
        raise RunError(f"cannot read {file} as safetensors ({_reason(error)}). The file is damaged.") from error


def _fill(network: Any, state: Any, last_layer: bool = False) -> None:
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise TypeError("it is no state dict")
    for prefix in PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    if any(name.startswith(OWN) for name in state):
        state = {name.removeprefix(OWN): tensor for name, tensor in state.items() if name.startswith(OWN)}
    given = {network.own_name(name): tensor for name, tensor in state.items()}
    own = network.state_dict()
    kept = {name: own[name] for name in own if name.endswith("num_batches_tracked")}  # older files lack it
    if not last_layer:
        given = {name: tensor for name, tensor in given.items() if not name.startswith("fc.")}
        kept |= {name: own[name] for name in own if name.startswith("fc.")}
    network.load_state_dict({**kept, **given})
    if odd := [name for name, tensor in network.state_dict().items() if not tensor.isfinite().all()]:
        raise ValueError(f"there are numbers that are not finite, in {', '.join(odd)}")


def _reason(error: Exception) -> str:
    return textwrap.shorten(str(error) or type(error).__name__, 200, placeholder=" ...")
