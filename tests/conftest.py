"""Fixtures shared by all tests."""

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.command import presets
from data import colored_digits
from models.registry import build_network
from utils.cli import Console

GOLDEN = Path(__file__).parent / "golden"
MNIST_RAW = Path(__file__).parents[2] / "shared" / "data" / "MNIST" / "raw"

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_committed_presets(monkeypatch, tmp_path):
    """Tests mean the declared defaults, whatever presets come with the code."""
    monkeypatch.setattr(presets, "COMMITTED", tmp_path / "no presets")


@pytest.fixture(autouse=True)
def no_console_is_left():
    """A script that a test has run logs to the output of that test, which is gone afterwards."""
    yield
    for handler in logging.root.handlers[:]:
        if isinstance(handler, Console):
            logging.root.removeHandler(handler)


@pytest.fixture
def fewer_digits(monkeypatch):
    """Sets how many of the embedded digits there are for training, validation and testing."""

    def keep(train: int, valid: int, test: int) -> None:
        for name, count in (("TRAIN_IMAGES", train), ("VALID_IMAGES", valid), ("TEST_DIGITS", test)):
            monkeypatch.setattr(colored_digits, name, count)

    return keep


@pytest.fixture
def save_conv(tmp_path):
    """Writes a file of CONV's weights for images of a shape (C, H, W) and a number of classes."""

    def save(image_shape: tuple[int, int, int], num_classes: int) -> Path:
        torch.manual_seed(0)
        torch.save(build_network("CONV", image_shape, num_classes).state_dict(), tmp_path / "conv.pt")
        return tmp_path / "conv.pt"

    return save


@pytest.fixture
def conv_weights(save_conv):
    """A file of CONV's weights for the embedded digits."""
    return save_conv((3, 28, 28), 10)


@dataclass(frozen=True)
class Case:
    """One case of a golden fixture: hyper-parameters, inputs and the outputs of the authors' code."""

    name: str
    hparams: dict[str, Any]
    given: dict[str, Tensor]
    wanted: dict[str, Tensor]


@pytest.fixture(scope="session")
def golden():
    """The cases of a golden fixture, by its name; `tests/golden/NAME.json` says where the numbers come from."""

    def cases(name: str) -> list[Case]:
        about = json.loads((GOLDEN / f"{name}.json").read_text())["cases"]
        with np.load(GOLDEN / f"{name}.npz") as file:
            arrays = {key: torch.from_numpy(file[key]) for key in file.files}

        def part(case: str, kind: str) -> dict[str, Tensor]:
            prefix = f"{case}/{kind}/"
            return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}

        return [Case(case, about[case], part(case, "in"), part(case, "out")) for case in about]

    return cases


@pytest.fixture(scope="session")
def close():
    """Asserts equality within the tolerance that the golden fixtures state."""

    def check(actual: Tensor | float, wanted: Tensor | float, rtol: float = 1e-9, atol: float = 1e-12) -> None:
        actual, wanted = (torch.as_tensor(value, dtype=torch.float64) for value in (actual, wanted))
        torch.testing.assert_close(actual.detach(), wanted, rtol=rtol, atol=atol)

    return check


@pytest.fixture
def mnist_dir(tmp_path):
    """A writable data folder with a link to the real MNIST; skips where that is absent."""
    if not MNIST_RAW.is_dir():
        pytest.skip(f"the real MNIST is not here: {MNIST_RAW} is missing")
    (tmp_path / "MNIST").mkdir()
    (tmp_path / "MNIST" / "raw").symlink_to(MNIST_RAW, target_is_directory=True)
    yield tmp_path
    shutil.rmtree(tmp_path)  # its cache of 165 MB
