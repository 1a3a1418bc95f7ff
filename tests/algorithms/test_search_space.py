"""The declared search spaces are the grids of the DENEB authors."""

import dataclasses
import json
from pathlib import Path

import pytest

from algorithms.base import methods

GRIDS = json.loads((Path(__file__).parents[1] / "golden" / "search_space.json").read_text())
SETTINGS = {"lr", "batch_size", "lr_decay_rate", "lr_decay_opt"}
OURS = {"elr": "elr+"}  # the authors' only loss file is that of ELR+
NAMES = {"gce_q": "q"}
VALUES = {"opt": -1.0}  # the noise rate


@pytest.mark.parametrize("dataset", GRIDS)
@pytest.mark.parametrize("alg", GRIDS["colored_mnist"])
def test_every_grid_of_the_authors_is_declared(dataset, alg):
    declared = {f.name: f.metadata["search"] for f in dataclasses.fields(methods[OURS.get(alg, alg)].Hparams)}
    for name, grid in GRIDS[dataset][alg].items():
        if name not in SETTINGS:
            assert declared[NAMES.get(name, name)] == [VALUES.get(value, value) for value in grid]
