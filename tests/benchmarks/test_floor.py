"""What a method's floor consists of, and which earlier measurement counts as the same."""

import json
from collections import Counter

import pytest

from benchmarks import measuring, methods
from benchmarks.contestants import BATCH, synthetic, tasks
from benchmarks.measuring import epoch
from benchmarks.methods import Pass, counting, floor, prepared
from models.registry import Network

STEPS = 2
LEARN, TEACH = Pass(BATCH, training=True, learns=True), Pass(BATCH, training=True, learns=False)
SCORED = {Pass(rows, training=False, learns=False): 1 for rows in (500, STEPS * BATCH - 500)}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("vanilla", {LEARN: STEPS}),
        ("la", {LEARN: STEPS}),
        ("coteaching", {LEARN: 2 * STEPS}),
        ("disen", {LEARN: 2 * STEPS}),
        ("elr+", {LEARN: 2 * STEPS, TEACH: 2 * STEPS}),
    ],
)
def test_the_floor_has_the_passes_of_the_method(name, wanted):
    task = tasks(synthetic(STEPS * BATCH), "MLP")["uniform"]
    method, extract = prepared(task, name), Network.extract
    with counting() as passes:
        epoch(method)()
    assert Counter(passes) == wanted
    assert Network.extract is extract
    with counting() as again:
        floor(task, passes)()
    assert again == passes


def test_scoring_passes_count():
    method = prepared(tasks(synthetic(STEPS * BATCH), "MLP")["uniform"], "deneb")
    with counting() as passes:
        method.kept_samples()
    assert Counter(passes) == SCORED


def test_only_the_same_measurement_on_the_same_kind_of_machine_is_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "HISTORY", tmp_path / "history.jsonl")
    here = methods.machine(1)
    assert measuring.last("methods", here, {"size": 1}) is None
    for cpu, size, result in (
        (here["cpu"], 1, "old"),
        (here["cpu"], 1, "new"),
        (here["cpu"], 2, "-"),
        ("other", 1, "-"),
    ):
        measuring.remember("methods", {**here, "cpu": cpu}, {"size": size}, {"is": result})
    entry = measuring.last("methods", {**here, "date": "later"}, {"size": 1})
    assert entry["results"] == {"is": "new"}
    assert all(json.loads(line) for line in measuring.HISTORY.read_text().splitlines())
