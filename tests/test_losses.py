"""Golden sequences: losses of the first five epochs of every method, by the whole command, to four decimals.

They are torch's of one minor version, and so that of the installed one is looked up. Where a change is meant,

    python -m tests.test_losses

writes them anew. Training is short and slow enough that instruction sets (AVX-512, AVX2, neither) differ by
less than 0.00001.
"""

import json
import tempfile
from pathlib import Path

import pytest
import torch

from algorithms.base import methods
from algorithms.training.pairs import stages_of
from data import colored_digits
from train_mix import train_all
from utils.files import write_text

GOLDEN = Path(__file__).parent / "golden" / "losses.json"
VERSION = ".".join(torch.__version__.split(".")[:2])
FLAGS = [
    "--model", "MLP", "--epochs", "5", "--batch_size", "16", "--preset", "none", "--best_by", "valid_accuracy",
    "--cross_validate", "0", "--gpu", "cpu", "--threads", "1", "--no_figures",
]  # fmt: skip
RATES = {"disen": "0.003"}
"""Its losses have a factor of ten, at which 0.01 is fast."""


def losses(name: str, log_dir: Path) -> dict[str, list[float]]:
    """Of a method, and of the second stage that its name means: five losses by stage."""
    warmup = ["--warmup", "1"] if any(hasattr(methods[stage].Hparams, "warmup") for stage in stages_of(name)) else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(colored_digits, "TRAIN_IMAGES", 300)
        patch.setattr(colored_digits, "VALID_IMAGES", 60)
        patch.setattr(colored_digits, "TEST_DIGITS", 20)
        flags = [*FLAGS, *warmup, "--lr", RATES.get(name, "0.01"), "--log_dir", str(log_dir)]
        (result,) = train_all(["--alg", name, *flags])
    (metrics,) = log_dir.glob(f"colored_digits/{result['alg']}/*/0/metrics.jsonl")
    found: dict[str, list[float]] = {}
    for line in metrics.read_text().splitlines():
        record = json.loads(line)
        found.setdefault(record["method"], []).append(round(record["train_loss"], 6))
    return found


@pytest.mark.parametrize("name", methods)
def test_losses_are_as_they_were(name, tmp_path):
    golden = json.loads(GOLDEN.read_text()).get(VERSION)
    if golden is None:
        pytest.skip(f"{GOLDEN.name} has no losses of torch {VERSION}; python -m tests.test_losses writes them")
    assert name in golden, f"{GOLDEN.name} has no losses of {name}; python -m tests.test_losses writes them"
    found = losses(name, tmp_path)
    assert list(found) == list(golden[name])
    for stage, sequence in found.items():
        assert sequence == pytest.approx(golden[name][stage], rel=0, abs=1e-4), stage


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        found = {name: losses(name, Path(folder, name)) for name in methods}
    everything = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    everything[VERSION] = found
    versions = (
        f'"{version}": {{\n' + ",\n".join(f'"{name}": {json.dumps(of)}' for name, of in numbers.items()) + "\n}"
        for version, numbers in sorted(everything.items())
    )
    write_text(GOLDEN, "{\n" + ",\n".join(versions) + "\n}\n")
