"""Disagreement, with and without, against both published implementations; when which rule applies."""

import pytest
import torch
import torch.nn.functional as F

from algorithms.coteaching_plus import AGREEING_UPDATES
from algorithms.parts.small_loss import disagreement_weights, small_loss_weights


@pytest.mark.parametrize("source", ["deneb", "official"])
def test_golden(golden, close, source):
    """The authors' code takes cross entropy of softmax outputs, divides twice, and falls back in float32."""
    for case in golden("coteaching_plus"):
        logits = [case.given[f"logits{n}"].requires_grad_() for n in (1, 2)]
        outputs = logits if source == "deneb" else [each.softmax(1) for each in logits]
        losses = [F.cross_entropy(each, case.given["labels"], reduction="none") for each in outputs]
        disagree = logits[0].argmax(1) != logits[1].argmax(1)
        assert torch.equal(disagree, case.wanted["disagree_mask"])
        use_all = case.hparams["step"] < AGREEING_UPDATES
        picks = [disagreement_weights(loss, case.hparams["forget_rate"], disagree, use_all) for loss in losses]
        for n, other in ((0, 1), (1, 0)):
            twice = max(int(picks[other].count_nonzero()), 1) if source == "official" and disagree.any() else 1
            loss = (picks[other] * losses[n]).sum() / twice
            gradient = torch.autograd.grad(loss, logits[n], retain_graph=True)[0]
            close(loss, case.wanted[f"{source}_loss{n + 1}"])
            close(gradient, case.wanted[f"{source}_grad{n + 1}"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_disagreement_weights(dtype):
    losses = torch.tensor([0, 3, 2, 1], dtype=dtype)
    some, none = torch.tensor([False, True, True, True]), torch.zeros(4, dtype=torch.bool)
    assert disagreement_weights(losses, 0.3, some, True).tolist() == [0, 0, 0.5, 0.5]
    assert disagreement_weights(losses, 0.9, some, True).tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])
    assert disagreement_weights(losses, 0.3, none, True).tolist() == [0.25] * 4
    assert disagreement_weights(losses, 0.3, none, False).tolist() == [0] * 4
    assert disagreement_weights(losses, 0.3, some, True).dtype == dtype


def test_the_rule_follows_the_epoch_and_the_update(make):
    method = make("coteaching+", warmup=1, forget_rate=0.25, num_gradual=0)
    losses, agree = [torch.arange(8.0)] * 2, torch.zeros(8, dtype=torch.bool)
    method.begin_epoch(0)
    assert torch.equal(method.picks(losses, agree)[0], small_loss_weights(losses[0], 0.25))
    method.begin_epoch(1)
    assert method.updates == 3  # 96 samples in batches of 32
    assert method.picks(losses, agree)[0].unique().tolist() == [1 / 8]
    method.updates = AGREEING_UPDATES
    assert not method.picks(losses, agree)[0].any()


def test_as_many_updates_train_on_all_of_a_batch_on_which_the_networks_agree(make, monkeypatch):
    monkeypatch.setattr("algorithms.coteaching_plus.AGREEING_UPDATES", 2)
    method = make("coteaching+", warmup=0)
    method.partner.load_state_dict(method.network.state_dict())
    method.eval()  # nothing is dropped, and both see the same
    method.begin_epoch(0)
    losses = [float(method.step(batch)[0]) for batch in method.batches(0)]
    assert [loss > 0 for loss in losses] == [True, True, False]
