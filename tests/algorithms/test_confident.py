"""Cross-validated networks by hand: whose outputs count, what is learned from what, and what is removed."""

import pytest
import torch

from algorithms.confident import confident_class, expected_precision, stratified


def test_each_part_has_as_many_of_each_label():
    labels = torch.tensor([0] * 10 + [1] * 7 + [2])
    part = stratified(labels, 3, torch.Generator().manual_seed(0))
    for label in range(3):
        counts = torch.bincount(part[labels == label], minlength=3)
        assert counts.max() - counts.min() <= 1
    assert torch.bincount(part).tolist() == [6, 6, 6]
    assert not torch.equal(part, stratified(labels, 3, torch.Generator().manual_seed(1)))


def test_no_network_learns_from_the_samples_that_it_judges(make):
    """From a batch of one part, that part's network gets no gradient and the others do."""
    method = make("confident", folds=3)
    method.train()
    method.step(method.task.batch((method.part == 1).nonzero().flatten()[:8]))
    assert [bool(network.fc.weight.grad.any()) for network in method.networks] == [True, False, True]


def test_a_sample_is_judged_by_the_network_of_its_part(make):
    method = make("confident", folds=2)
    method.train()
    for number, network in enumerate(method.networks):
        torch.nn.init.zeros_(network.fc.weight)
        with torch.no_grad():
            network.fc.bias.copy_(torch.nn.functional.one_hot(torch.tensor(number), 10) * 5.0)
    index = torch.arange(12)
    batch = method.task.batch(index)
    _, logits = method.step(batch)
    assert logits.argmax(1).tolist() == method.part[index].tolist()
    method.dynamics.observe(batch.index, batch.labels, logits)
    probabilities = method.probabilities()
    assert probabilities[index].argmax(1).tolist() == method.part[index].tolist()
    assert probabilities[12:].isnan().all()
    kept, score = method.select()
    assert set(range(12, 96)) <= set(kept.tolist()), "a sample never served is kept"
    assert score.isfinite().all()


def test_loss_by_hand(make):
    """The mean over the samples outside of the part, of all networks."""
    method = make("confident", folds=2)
    method.train()
    for network in method.networks:
        torch.nn.init.zeros_(network.fc.weight)
        torch.nn.init.zeros_(network.fc.bias)
    loss, _ = method.step(method.task.batch(torch.arange(20)))
    assert float(loss) == pytest.approx(torch.tensor(10.0).log().item(), rel=1e-5)


def test_confident_class_by_hand():
    probabilities = torch.tensor(
        [[0.9, 0.1, 0.0], [0.5, 0.4, 0.1], [0.2, 0.7, 0.1], [0.1, 0.9, 0.0], [0.45, 0.3, 0.25], [torch.nan] * 3]
    )
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    # thresholds: (0.9 + 0.5 + 0.2) / 3 = 0.53, (0.9 + 0.3) / 2 = 0.6, and none for a class without a known sample
    assert confident_class(probabilities, labels).tolist() == [0, 0, 1, 1, 1, 2]


def test_confidence_of_the_network_that_judges_and_of_those_that_learned(make):
    """Three networks that say other things to everything: the label's own network counts as much as the others."""
    method = make("confident", folds=3)
    method.train()
    for number, network in enumerate(method.networks):
        torch.nn.init.zeros_(network.fc.weight)
        with torch.no_grad():
            network.fc.bias.copy_(torch.arange(10.0) * number)
    said = torch.stack([(torch.arange(10.0) * number).softmax(0) for number in range(3)])
    batch = method.task.batch(torch.arange(96))
    method.dynamics.observe(batch.index, batch.labels, method.step(batch)[1])
    columns = method.diagnostics()
    own = said[method.part, method.task.train.labels]
    others = (said[:, method.task.train.labels].sum(0) - own) / 2
    torch.testing.assert_close(columns["out_of_sample_confidence"].float(), own)
    torch.testing.assert_close(columns["cross_validated_confidence"].float(), (own + others) / 2)
    ranked = columns["expected_precision"][columns["cross_validated_confidence"].argsort(stable=True)]
    assert (ranked.diff() <= 0).all(), "the less suspicious, the fewer wrong labels"


def test_expected_precision_finds_planted_labels():
    """Probabilities of a model that knows the truth but for some doubt; a tenth of the labels are wrong."""
    generator = torch.Generator().manual_seed(0)
    true = torch.randint(4, (4000,), generator=generator)
    logits = 3 * torch.nn.functional.one_hot(true, 4) + 1.5 * torch.randn(4000, 4, generator=generator)
    given = torch.where(
        torch.rand(4000, generator=generator) < 0.1,
        (true + torch.randint(1, 4, (4000,), generator=generator)) % 4,
        true,
    )
    probabilities = logits.softmax(1).double()
    probabilities[:3] = torch.nan
    expected = expected_precision(probabilities, given)
    assert expected[:3].isnan().all()
    order = probabilities.gather(1, given[:, None]).squeeze(1)[3:].argsort() + 3
    wrong = (given != true)[order]
    for count in (100, 300, 1000, 3997):
        assert float(expected[order[count - 1]]) == pytest.approx(float(wrong[:count].double().mean()), abs=0.06)
    assert (expected[order].diff() <= 0).all()
