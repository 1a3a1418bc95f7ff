"""Weights that a network starts from in place of random ones: those of a file, or those that torchvision offers."""

import textwrap
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models import WeightsEnum

from utils.distributed import from_writer
from utils.errors import RunError, UsageError
from utils.files import load_tensors


def load_weights(network: nn.Module, file: Path) -> None:
    """Fills `network` with the state dict in `file`, except for its last layer `fc`, which stays as it is.

    Raises:
        RunError: the file is damaged.
        UsageError: its tensors are not those of this network.
    """
    state = load_tensors(file)
    try:
        _fill(network, state)
    except (RuntimeError, TypeError, AttributeError) as error:  # what torch raises for other keys, shapes and types
        raise UsageError(f"--weights {file} does not fit this --model: {_reason(error)}") from error


def load_published(network: nn.Module, weights: WeightsEnum) -> None:
    """The same with the weights that torchvision downloads, or has downloaded before.

    Raises:
        RunError: they cannot be had.
    """
    try:
        details = {"progress": False, "check_hash": True, "weights_only": True, "map_location": "cpu"}
        _fill(network, from_writer(weights.get_state_dict, **details))
    except Exception as error:  # what urllib, the file system and torch raise
        folder, name = Path(torch.hub.get_dir()) / "checkpoints", weights.url.rpartition("/")[2]
        raise RunError(
            f"no {weights} from torchvision ({_reason(error)}). Put {weights.url} as {folder / name}, or anywhere and "
            "say --weights FILE, or take a --model that is not pretrained."
        ) from error


def _fill(network: nn.Module, state: dict[str, Any]) -> None:
    last_layer = {f"fc.{name}": tensor for name, tensor in network.get_submodule("fc").state_dict().items()}
    network.load_state_dict({**state, **last_layer})


def _reason(error: Exception) -> str:
    return textwrap.shorten(str(error) or type(error).__name__, 200, placeholder=" ...")
