"""What one stage hands to the next: the draws it means, the file it leaves, and what it refuses."""

import numpy as np
import pytest
import torch

from algorithms.training.selection import Selection
from utils.errors import RunError

SCORE = torch.tensor([0.5, 0.0, 1.5, 2.0], dtype=torch.float64)
VALUES = {
    "probabilities": torch.tensor([0.125, 0, 0.375, 0.5], dtype=torch.float64),
    "weights": torch.tensor([1.0, 0, 3, 4]),
    "kept": torch.tensor([3, 1]),
}
SHARES = {"probabilities": [0.125, 0, 0.375, 0.5], "weights": [0.125, 0, 0.375, 0.5], "kept": [0, 0.5, 0, 0.5]}


def selection(kind, values=None):
    return Selection(kind, VALUES[kind] if values is None else values, SCORE, "c0ffee")


@pytest.mark.parametrize("kind", VALUES)
def test_share_of_draws(kind):
    share = selection(kind).share_of_draws()
    assert share.dtype == torch.float64
    assert share.tolist() == SHARES[kind]


@pytest.mark.parametrize("kind", VALUES)
def test_the_file_holds_everything_and_needs_no_unpickling(kind, tmp_path):
    selection(kind).save(tmp_path / "selection.npz", group=np.array([0, 1, 2, 3]))
    assert [path.name for path in tmp_path.iterdir()] == ["selection.npz"]
    with np.load(tmp_path / "selection.npz", allow_pickle=False) as file:
        assert str(file["kind"]) == kind
        assert str(file["fingerprint"]) == "c0ffee"
        assert file["values"].tolist() == VALUES[kind].tolist()
        assert file["score"].tolist() == SCORE.tolist()
        assert file["probability"].tolist() == SHARES[kind]
        assert file["group"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("kept", [[], [2]])
def test_fewer_than_two_kept_samples_are_refused(kept):
    with pytest.raises(RunError, match=rf"keeps {len(kept)} of 4 .* nothing to train on"):
        selection("kept", torch.tensor(kept, dtype=torch.int64))


@pytest.mark.parametrize("kind", ["probabilities", "weights"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_refused(kind, bad):
    values = VALUES[kind].clone()
    values[1] = bad
    with pytest.raises(RunError, match=r"not finite.*--lr"):
        selection(kind, values)
