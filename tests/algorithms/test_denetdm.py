"""DeNetDM: its distillation by hand, what either stage trains, the schedule that begins again, and where it ends."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from algorithms.denetdm import distillation
from utils.errors import UsageError


def test_distillation_by_hand(close):
    """At temperature 2 logits 2 log(3, 1) become probabilities 3/4 and 1/4, 2 log(1, 1) one half each."""
    logits = 2 * torch.tensor([[3.0, 1.0]], dtype=torch.float64).log()
    uniform = torch.zeros(1, 2, dtype=torch.float64)
    close(distillation(logits, uniform, 2)[0], -2 * math.log(3 / 4) - 2 * math.log(1 / 4))
    close(distillation(uniform, logits, 2)[0], 4 * math.log(2))
    close(distillation(logits, logits, 2)[0], -3 * math.log(3 / 4) - math.log(1 / 4))


def test_the_first_stages_loss_is_that_of_the_sum_of_both_branches(make):
    method = make("denetdm")
    batch = method.task.batch(torch.arange(20))
    torch.manual_seed(0)
    loss, logits = method.step(batch)
    again = make("denetdm")
    torch.manual_seed(0)
    features = again.deep.extract(batch.images) + again.shallow.extract(batch.images)
    wanted = F.linear(features, again.shallow.fc.weight, again.shallow.fc.bias)
    torch.testing.assert_close(logits, wanted)
    torch.testing.assert_close(loss, F.cross_entropy(wanted, batch.labels))
    assert not torch.equal(method.shallow.fc.weight, again.shallow.fc.weight)
    assert torch.equal(method.network.fc.weight, again.network.fc.weight)


def test_the_second_stage_trains_the_new_branch_alone_beside_the_fixed_ones(make):
    method = make("denetdm", split_epochs=1)
    batch = method.task.batch(torch.arange(20))
    method.step(batch)
    method.begin_epoch(1)
    assert torch.equal(method.network.fc.weight, method.shallow.fc.weight)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    torch.manual_seed(0)
    with torch.no_grad():
        biased, taught = method.deep.extract(batch.images), method.shallow(batch.images)
        features = method.network.extract(batch.images)
        both = F.cross_entropy(method.network.predict(biased + features), batch.labels)
        wanted = both + distillation(method.network.predict(features), taught, 2).mean()
    method.network.load_state_dict({k[8:]: v for k, v in before.items() if k.startswith("network.")})
    torch.manual_seed(0)
    loss, _ = method.step(batch)
    torch.testing.assert_close(loss, wanted)
    changed = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("network.") for name in changed)


def test_it_predicts_by_the_teacher_until_there_is_a_target(make):
    method = make("denetdm", split_epochs=1).eval()
    images = method.task.batch(torch.arange(5)).images
    assert torch.equal(method.predict(images), method.shallow(images))
    method.begin_epoch(1)
    assert torch.equal(method.predict(images), method.network(images))
    again = make("denetdm", split_epochs=1).eval()
    again.load_state_dict(method.state_dict())
    assert torch.equal(again.predict(images), method.network(images))


def test_the_schedule_begins_again_with_the_second_stage(make, settings, train, tmp_path):
    stepped = replace(settings, epochs=7, lr=0.1, lr_decay="StepLR", lr_decay_opt="2")
    records = train(make("denetdm", {"settings": stepped}, split_epochs=3), tmp_path / "checkpoint.pt")
    assert [record["lr"] for record in records] == pytest.approx([0.1, 0.1, 0.01, 0.1, 0.1, 0.01, 0.01])


def stages(*flags):
    return resolve(parse_arguments(["--alg", "denetdm", "--dataset", "colored_digits", *flags], "")).stages


def test_both_stages_have_the_epochs_that_flags_say():
    assert [stage.settings.epochs for stage in stages("--epochs", "5")] == [10]
    assert [stage.settings.epochs for stage in stages("--epochs", "5", "--split_epochs", "2")] == [7]


def test_features_that_are_not_trained_have_no_depth():
    with pytest.raises(UsageError, match="denetdm needs networks of two depths"):
        stages("--frozen", "--model", "pretrained_ResNet18")
