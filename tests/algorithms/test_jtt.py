"""JTT: the authors' numbers, which errors count, and how long the first model trains."""

from dataclasses import replace

import pytest
import torch

from algorithms.command.arguments import parse_arguments
from algorithms.command.resolve import resolve
from algorithms.jtt import multiplicity
from data.batches import as_probabilities


def test_golden(golden, close):
    for case in golden("jtt_upsample"):
        errors = case.given["logits"].argmax(1) != case.given["labels"]
        assert torch.equal(errors, case.wanted["error_mask"].bool())
        counts = multiplicity(errors, case.hparams["up_weight"])
        assert torch.equal(counts, case.wanted["multiplicity"])
        close(as_probabilities(counts), case.wanted["sampling_prob"])


@pytest.mark.parametrize(("errors", "ratio"), [([False] * 4, 1), ([True] * 4, 1), ([True, False, False, False], 31)])
def test_all_or_no_errors_mean_uniform_draws(errors, ratio):
    probabilities = as_probabilities(multiplicity(torch.tensor(errors), 30))
    assert probabilities.sum() == 1
    torch.testing.assert_close(probabilities[0] / probabilities[3], torch.tensor(float(ratio), dtype=torch.float64))


def test_the_errors_are_those_of_the_final_model_on_plain_images(make):
    method = make("jtt", lbd_up=5)
    method.network.fc.bias.data[3] += 100
    method.eval()
    probabilities, errors = method.select()
    assert torch.equal(errors, (method.task.train.labels != 3).double())
    assert torch.equal(probabilities, as_probabilities(1 + 5 * errors))


def test_online_errors_are_those_made_while_training(make):
    method = make("jtt", online=True)
    method.network.fc.bias.data[3] += 100
    wrong = method.task.train.labels != 3
    method.step(method.task.batch(torch.arange(20)))
    assert torch.equal(method.select()[1], (wrong & (torch.arange(96) < 20)).double())
    method.network.fc.bias.data[4] += 1000
    method.step(method.task.batch(torch.arange(10)))  # seen again: the later prediction counts
    wrong[:10] = method.task.train.labels[:10] != 4
    assert torch.equal(method.select()[1][:20], wrong[:20].double())


def test_online_the_last_smaller_batch_keeps_the_prediction_of_an_earlier_epoch(make, train, tmp_path, settings):
    method = make("jtt", {"settings": replace(settings, batch_size=40, epochs=1)}, online=True)
    served = []
    step = method.step
    method.step = lambda batch: served.append(batch.index) or step(batch)
    train(method, tmp_path / "checkpoint.pt")
    dropped = torch.ones(96, dtype=torch.bool).index_fill_(0, torch.cat(served), False)
    assert dropped.sum() == 16
    assert not method.select()[1][dropped].any()


def config(*flags):
    return resolve(parse_arguments(["--dataset", "colored_digits", *flags], "test"))


def test_bias_epochs_set_the_length_of_the_first_stage_only():
    assert [stage.settings.epochs for stage in config("--alg", "jtt").stages] == [8, 20]
    assert [stage.settings.epochs for stage in config("--alg", "jtt", "--bias_epochs", "50").stages] == [50, 20]
    flags = ("--alg", "jtt_gce", "--bias_epochs", "10", "--epochs", "5")
    assert [stage.settings.epochs for stage in config(*flags).stages] == [10, 5]
    assert [stage.settings.epochs for stage in config("--alg", "aum_jtt", "--bias_epochs", "10").stages] == [8, 10, 20]
