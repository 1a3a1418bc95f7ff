"""LC's joint, correction, partners and loss by hand, and that it says which network predicts."""

import math
from dataclasses import replace

import pytest
import torch

from algorithms.lc import FLOOR, group_partners, joint_distribution, mixing_share


def logs(*rows):
    """Logits whose softmax are these rows."""
    return torch.tensor(rows, dtype=torch.float64).log()


def test_the_joint_by_hand(close):
    cues = torch.tensor([[0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.6, 0.4]], dtype=torch.float64)
    wanted = torch.tensor([[(0.7 + 0.1) / 4, (0.3 + 0.9) / 4], [(0.2 + 0.6) / 4, (0.8 + 0.4) / 4]])
    close(joint_distribution(torch.tensor([0, 1, 0, 1]), cues), wanted, rtol=1e-6)


def test_the_moving_average_and_the_correction_by_hand(make, close):
    """The first batch is copied, the second has the share 1/4; a row is the joint's column of the image's cue."""
    method = make("lc", {"num_classes": 2}, alpha=0.75).double()
    first = method.correction(logs([0.9, 0.1], [0.4, 0.6]), torch.tensor([0, 0]))
    close(method.joint, torch.tensor([[0.65, 0.35], [0, 0]]), rtol=1e-6)
    close(first, (torch.tensor([[0.65, 0], [0.35, 0]]) + FLOOR).log(), rtol=1e-6)
    second = method.correction(logs([0.8, 0.2]), torch.tensor([1]))
    joint = torch.tensor([[0.75 * 0.65, 0.75 * 0.35], [0.25 * 0.8, 0.25 * 0.2]])
    close(method.joint, joint, rtol=1e-6)
    close(second, (joint[:, 0] + FLOOR).log().unsqueeze(0), rtol=1e-6)


def test_partners_have_the_label_and_another_cue_where_there_is_one():
    """Label 0 has two rare rows, label 1 one, label 2 none: its rows are permuted among themselves."""
    labels, cues = torch.tensor([0, 1, 0, 2, 0, 1, 2, 2]), torch.tensor([0, 0, 1, 2, 2, 1, 2, 2])
    torch.manual_seed(0)
    draws = torch.stack([group_partners(labels, cues) for _ in range(200)])
    for row, allowed in enumerate([{2, 4}, {1}, {2, 4}, {3, 6, 7}, {2, 4}, {1}, {3, 6, 7}, {3, 6, 7}]):
        assert set(draws[:, row].tolist()) == allowed
    assert (draws[:, [3, 6, 7]].sort(1).values == torch.tensor([3, 6, 7])).all()
    assert 60 < int((draws[:, 0] == 2).sum()) < 140


@pytest.mark.parametrize(
    ("update", "ramp", "t"),
    [(0, 0, 0.5), (7, 0, 0.5), (0, 100, math.exp(-5) / 2), (50, 100, math.exp(-1.25) / 2), (200, 100, 0.5)],
)
def test_the_share_grows_from_hardly_mixed_to_half(update, ramp, t):
    torch.manual_seed(0)
    shares = torch.stack([mixing_share(torch.tensor(float(update)), ramp) for _ in range(500)])
    assert 1 - 2 * t <= float(shares.min()) < 1 - 2 * t + 0.02 * t
    assert 1 - t - 0.02 * t < float(shares.max()) <= 1 - t


class Fixed(torch.nn.Module):
    """A network whose logits are given; its parameter has no say in them."""

    def __init__(self, logits):
        super().__init__()
        self.given, self.seen, self.idle = logits, None, torch.nn.Parameter(torch.zeros(()))

    def forward(self, images):
        self.seen = images
        return self.given + 0 * self.idle


def fixed(method, logits, biased):
    method.network, method.biased_network = Fixed(logits), Fixed(biased)
    return method


def test_the_loss_by_hand(make, close):
    """One image of class 0 and cue 1; b gives it 1/5 for class 0, d gives 2/3, and P(., 1) = (.8, 0)."""
    method = fixed(make("lc", {"num_classes": 2}, group_mixup=False).double(), logs([2, 1]), logs([0.2, 0.8]))
    loss, logits = method.step(method.task.batch((method.task.train.labels == 0).nonzero()[0]))
    corrected = -math.log(2 * (0.8 + FLOOR) / (2 * (0.8 + FLOOR) + FLOOR))
    close(loss, corrected + 0.7 * 0.2**0.7 * -math.log(0.2), rtol=1e-6)
    close(logits, logs([2, 1]))


def test_images_and_corrections_are_mixed_alike(make, close, monkeypatch):
    """Two images of class 0, one with cue 1, which is the partner of both: a fourth of the first stays."""
    monkeypatch.setattr("algorithms.lc.mixing_share", lambda *about: torch.tensor(0.25, dtype=torch.float64))
    method = make("lc", {"num_classes": 2}, lambda_b=0.0).double()
    fixed(method, logs([2, 1], [2, 1]), logs([0.8, 0.2], [0.4, 0.6]))
    batch = method.task.batch((method.task.train.labels == 0).nonzero().flatten()[:2])
    images = batch.images.double()
    loss, _ = method.step(replace(batch, images=images))
    close(method.network.seen, torch.stack([0.25 * images[0] + 0.75 * images[1], images[1]]))
    rows = torch.tensor([[0.6, 0], [0.4, 0]], dtype=torch.float64).add(FLOOR).log()
    corrections = torch.stack([0.25 * rows[0] + 0.75 * rows[1], rows[1]])
    close(loss, -(logs([2, 1]) + corrections).log_softmax(1)[:, 0].mean(), rtol=1e-6)


def test_the_biased_network_learns_slowly_and_apart(make):
    """d learns nothing from b's loss, nor b from d's, and b's rate is its share of the run's."""
    method = make("lc", lambda_b=0.0)
    assert [optimizer.param_groups[0]["lr"] for optimizer in method.optimizers] == pytest.approx([0.05, 0.005])
    method.step(method.task.batch(torch.arange(32)))
    assert all(float(p.grad.abs().sum()) == 0 for p in method.biased_network.parameters())
    assert any(float(p.grad.abs().sum()) > 0 for p in method.network.parameters())


def test_the_uncorrected_network_predicts(make):
    method = make("lc").eval()
    images = method.task.batch(torch.arange(4)).images
    assert torch.equal(method.predict(images), method.network(images))
