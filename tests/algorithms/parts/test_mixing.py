"""MixUp, sharpening, ramps and running averages."""

import pytest
import torch
from torch import nn

from algorithms.parts.mixing import mix, mixup, sharpen, sigmoid_rampup, update_history, update_teacher


def test_mix_golden(golden, close):
    for case in golden("mixup"):
        share = float(case.given["beta_draw"])
        lam = max(share, 1 - share)
        close(lam, case.wanted["lam"])
        close(mix(case.given["x"], case.given["perm"], lam), case.wanted["mixed_x"])
        close(mix(case.given["y"], case.given["perm"], lam), case.wanted["mixed_y"])


def test_mixup_is_determined_by_its_generator_and_keeps_the_larger_share():
    images, targets = torch.rand(8, 3, 4, 4), torch.eye(8)
    draws = [mixup(images, targets, 1.0, torch.Generator().manual_seed(seed)) for seed in (*range(200), 0)]
    shares = torch.tensor([draw[2] for draw in draws])
    assert shares.min() >= 0.5
    assert shares.mean() == pytest.approx(0.75, abs=0.03)  # of max(b, 1 - b) for a uniform b
    mixed, soft, lam, permutation = draws[0]
    assert torch.equal(mixed, draws[-1][0])
    assert torch.equal(mixed, mix(images, permutation, lam))
    assert torch.equal(soft, mix(targets, permutation, lam))
    assert sorted(permutation.tolist()) == list(range(8))


@pytest.mark.parametrize("alpha", [0, -1])
def test_no_mixup(alpha):
    images, targets = torch.rand(4, 3, 2, 2), torch.eye(4)
    mixed, soft, lam, _ = mixup(images, targets, alpha, torch.Generator().manual_seed(0))
    assert lam == 1
    assert torch.equal(mixed, images)
    assert torch.equal(soft, targets)


def test_sharpen(close):
    close(sharpen(torch.tensor([[0.5, 0.3, 0.2]]).double(), 0.5), torch.tensor([[25, 9, 4.0]]) / 38, rtol=1e-6)
    flat = torch.full((1, 100), 1e-2)
    close(sharpen(flat, 0.01), flat, rtol=1e-5)  # 1e-2 ** 100 underflows
    assert sharpen(torch.tensor([[1.0, 0]]), 0.1).tolist() == [[1, 0]]


def test_sigmoid_rampup_golden(golden, close):
    for case in golden("rampups"):
        for length in case.hparams["lengths"]:
            ramp = torch.tensor([sigmoid_rampup(float(t), length) for t in case.given["current"]], dtype=torch.float64)
            close(ramp, case.wanted[f"sigmoid_rampup_len{length}"])


def test_update_teacher_golden(golden, close):
    for case in golden("mean_teacher_ema"):
        student, teacher = (nn.Linear(3, 2).double() for _ in range(2))

        def load(network, name, given=case.given):
            network.load_state_dict({"weight": given[f"{name[0]}_w{name[1]}"], "bias": given[f"{name[0]}_b{name[1]}"]})

        load(teacher, ("teacher", 0))
        for number, step in enumerate(case.hparams["global_steps"], start=1):
            load(student, ("student", number))
            decay = sigmoid_rampup(step + 1, case.hparams["ema_step"]) * case.hparams["alpha"]
            if not case.hparams["ema_update"]:
                decay = min(1 - 1 / (step + 1), case.hparams["alpha"])
            close(decay, case.wanted["alpha_used"][number - 1])
            update_teacher(teacher, student, decay)
            close(teacher.weight, case.wanted[f"teacher_w{number}"])
            close(teacher.bias, case.wanted[f"teacher_b{number}"])


def test_of_a_repeated_sample_the_last_row_wins():
    history = torch.ones(3, 2)
    updated = update_history(history, torch.tensor([2, 0, 2]), torch.tensor([[8.0, 8], [4, 4], [6, 6]]), 0.5)
    assert updated.tolist() == [[3.5, 3.5], [2.5, 2.5], [3.5, 3.5]]
    assert history.tolist() == [[2.5, 2.5], [1, 1], [3.5, 3.5]]
