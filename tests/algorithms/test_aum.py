"""AUM: the authors' margins and flags, who is judged by whom, and what is never seen."""

import pytest
import torch
from torch import nn

from algorithms.aum import flagged, threshold_samples
from algorithms.parts.losses import margins
from data.batches import Batch

NAN = float("nan")


class Fixed(nn.Module):
    """A network with these outputs, whatever it is shown."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = nn.Parameter(outputs)

    def forward(self, images):
        return self.outputs


def step(method, outputs, labels, index):
    """One step with given outputs of both networks."""
    method.network, method.partner = Fixed(outputs[0]), Fixed(outputs[1])
    return method.step(Batch(torch.zeros(len(index), 3, 28, 28), labels, index))


def test_golden_margins(golden, close, make):
    for case in golden("aum"):
        size = case.hparams["num_examp"]
        method = make("aum")
        method.threshold.zero_()
        method.begin_epoch(1)
        for number in range(case.hparams["steps"]):
            logits, labels, index = (case.given[f"{name}{number}"] for name in ("logits", "labels", "ids"))
            close(margins(logits, labels), case.wanted[f"margin{number}"])
            step(method, (logits, logits), labels, index)
        assert torch.equal(method.updates[:size].long(), case.wanted["count"])
        seen = case.wanted["count"] > 0
        for areas in method.margin_sums / method.updates:
            close(areas[:size][seen], case.wanted["aum"][seen])
            assert areas[:size][~seen].isnan().all()
            assert areas[size:].isnan().all()


def test_golden_flags(golden):
    for case in golden("aum_threshold"):
        threshold = case.given["assigned_targets"] == case.hparams["num_classes"]
        assert torch.equal(threshold, case.wanted["is_threshold"].bool())
        assert int(threshold.sum()) == case.hparams["num_threshold_samples"]
        assert torch.equal(flagged(case.given["aum"], threshold, 99), case.wanted["remove_mask"].bool())


@pytest.mark.parametrize(
    ("percentile", "wanted"), [(0, 0), (1, 1), (10, 10), (50, 50), (99, 99), (100, 100), (99.5, 100)]
)
def test_the_percentile_counts_threshold_samples(percentile, wanted):
    """Judged by threshold samples at 0.5, 1.5, ..., 99.5, a sample at a whole number k has 100 - k above it."""
    areas = torch.cat([torch.arange(100) + 0.5, torch.arange(101.0)])
    flags = flagged(areas, torch.arange(201) < 100, percentile)[100:]
    assert flags.tolist() == [k < wanted for k in range(101)]


def test_what_is_not_seen_is_not_flagged_and_flags_nothing():
    threshold = torch.tensor([True, True, False, False, False])
    assert flagged(torch.tensor([1.0, NAN, 0.0, 2.0, NAN]), threshold, 99).tolist() == [
        False,
        False,
        True,
        False,
        False,
    ]
    assert not flagged(torch.full((5,), NAN), threshold, 99).any()
    assert not flagged(torch.zeros(5), torch.zeros(5, dtype=torch.bool), 99).any()


@pytest.mark.parametrize(("size", "classes", "each"), [(96, 10, 8), (5, 10, 0), (3, 2, 1), (300, 2, 100)])
def test_threshold_samples_are_disjoint(size, classes, each):
    first, second = threshold_samples(size, classes, torch.Generator().manual_seed(0))
    assert first.sum() == second.sum() == each
    assert not (first & second).any()


def test_threshold_samples_get_the_label_of_no_class(make):
    """Their margin is that of the extra output; everyone else's that of the given label."""
    method = make("aum")
    method.begin_epoch(1)
    index = torch.arange(96)
    labels = method.task.train.labels
    outputs = torch.zeros(96, 11)
    outputs[:, 10] = 3
    loss, logits = step(method, (outputs, outputs), labels, index)
    assert torch.equal(method.margin_sums, torch.where(method.threshold, 3.0, -3.0).double())
    assert logits.shape == (96, 10)
    assert loss.isfinite()


def test_margins_count_from_the_second_epoch_on(make):
    method = make("aum")
    for epoch, updates in ((0, 0), (1, 1), (2, 2)):
        method.begin_epoch(epoch)
        step(method, (torch.zeros(4, 11),) * 2, torch.zeros(4, dtype=torch.int64), torch.arange(4))
        assert method.updates[:5].tolist() == [updates] * 4 + [0]


def test_after_a_single_epoch_everything_is_kept(make):
    kept, score = make("aum").select()
    assert kept.tolist() == list(range(96))
    assert not score.any()


def test_removed_is_what_all_runs_flag_that_judge_it(make):
    method = make("aum", perc=50)
    method.threshold.zero_()
    method.threshold[0, :4] = method.threshold[1, 4:8] = True
    method.updates.fill_(2)
    method.margin_sums.fill_(6)  # an AUM of 3 is better than that of the threshold samples
    method.margin_sums[method.threshold] = 2
    method.margin_sums[1, 0] = -2  # a threshold sample of the first run: the second alone judges it
    method.margin_sums[0, 5] = -2
    method.margin_sums[0, 8] = -2  # flagged by one of two
    method.margin_sums[:, 9] = -2  # flagged by both
    kept, score = method.select()
    assert sorted(set(range(96)) - set(kept.tolist())) == [0, 5, 9]
    assert score[[0, 8, 9, 10]].tolist() == [1, -1, 1, -3]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [2, 3, 101])
def test_margins_of_extreme_logits_and_a_batch_of_one(dtype, classes):
    logits = torch.full((1, classes), -300.0, dtype=dtype)
    logits[0, 0] = 300
    assert margins(logits, torch.tensor([0])).tolist() == [600]
    assert margins(logits, torch.tensor([1])).tolist() == [-600]
    assert margins(logits, torch.tensor([1])).dtype == dtype


def test_other_logits_that_are_all_negative():
    """DENEB's copy lets the label's own place compete as a zero, and would say -1 here."""
    assert margins(torch.tensor([[-1.0, -2.0, -3.0]]), torch.tensor([0])).tolist() == [1]


def test_where_the_margin_of_deneb_s_copy_differs(golden, close):
    """There the label's own slot competes as 0, which hides how far a label leads when all others are negative."""
    for case in golden("deneb_margin_buggy"):
        logits, labels = case.given["logits"], case.given["labels"]
        own = logits.gather(1, labels[:, None]).squeeze(1)
        others = own - margins(logits, labels)
        close(own - others.clamp(min=0), case.wanted["deneb_margin"])
