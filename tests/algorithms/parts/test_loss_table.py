"""Running losses and their class maxima against the authors' code and against brute force."""

import pytest
import torch

from algorithms.parts.loss_table import FailureWeights, LossTable


def test_golden(golden, close):
    for case in golden("sample_ema"):
        table = LossTable(case.given["label"], 2, case.hparams["alpha"], torch.float64)
        for step in range(4):
            table.update(case.given[f"index{step}"], case.given[f"value{step}"])
            close(table.values, case.wanted[f"table{step}"])
            close(table.class_maxima(), case.wanted[f"classmax{step}"])


@pytest.mark.parametrize("alpha", [0, 0.7, 1])
@pytest.mark.parametrize(("size", "classes"), [(1, 2), (50, 2), (3000, 10), (3000, 1), (500, 100)])
def test_class_maxima_are_exact_at_every_step(alpha, size, classes):
    """Losses fall over time, so that maxima do; batches repeat samples; one class is absent, sizes differ widely."""
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(size, generator=generator) ** 3 * classes).long()
    labels[labels == classes // 2] = 0
    table = LossTable(labels, classes, alpha)
    for step in range(60):
        index = torch.randint(size, (int(torch.randint(1, 65, (), generator=generator)),), generator=generator)
        losses = torch.rand(len(index), generator=generator) * 0.98**step
        former, seen = table.values.clone(), table.seen.clone()
        table.update(index, losses)
        for i, loss in dict(zip(index.tolist(), losses, strict=True)).items():  # the last of a repeated sample's
            wanted = alpha * former[i] + (1 - alpha) * loss if seen[i] else loss
            torch.testing.assert_close(table.values[i], wanted)
        brute = [max(table.values[labels == c].tolist(), default=0) for c in range(classes)]
        assert table.class_maxima().tolist() == brute
        assert (table.relative(index) <= 1).all()


def test_a_table_read_from_a_file_goes_on_equally():
    labels = torch.arange(200) % 3
    one, other = LossTable(labels, 3, 0.7), LossTable(labels, 3, 0.7)
    one.update(torch.arange(100), torch.rand(100))
    other.load_state_dict(one.state_dict())
    for table in (one, other):
        table.update(torch.arange(50, 150), torch.linspace(0, 1, 100))
    assert torch.equal(one.values, other.values)
    assert torch.equal(one.class_maxima(), other.class_maxima())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_nothing_tells_branches_apart_the_weight_is_a_half(dtype):
    weights = FailureWeights(torch.tensor([0, 0, 1, 1]), 4, 0.7, dtype)
    assert weights.everywhere().tolist() == [0.5] * 4
    zeros = torch.zeros(2, dtype=dtype)
    assert weights.update(torch.tensor([0, 2]), zeros, zeros).tolist() == [0.5, 0.5]
    assert weights.update(torch.tensor([0, 2]), zeros + 3, zeros).tolist() == pytest.approx([1, 1])
    assert weights.everywhere().tolist() == pytest.approx([1, 0.5, 1, 0.5])


def test_weights_pass_no_gradient():
    weights = FailureWeights(torch.zeros(3, dtype=torch.long), 1, 0.7)
    losses = torch.ones(3, requires_grad=True)
    assert not weights.update(torch.arange(3), losses * 2, losses).requires_grad
