"""What every method owes the trainer and the next stage, whichever method it is.

It learns, resumes bit for bit, looks at nothing it must not, and passes on and takes what stages hand to each other.
"""

from dataclasses import replace

import pytest
import torch

from algorithms.base import methods
from algorithms.training.selection import Selection
from data.split import Annotations

SELECTORS = [name for name in methods if methods[name].emits]
LEARNERS = [name for name in methods if methods[name].second is None]


@pytest.fixture(scope="module")
def trained(make, train, tmp_path_factory):
    """A method after its last epoch, and its records; trained once for all tests, so they must not change it."""
    finished = {}

    def get(name):
        if name not in finished:
            method = make(name)
            finished[name] = method, train(method, tmp_path_factory.mktemp(name) / "checkpoint.pt")
        method, records = finished[name]
        return method.eval(), records

    return get


def differing(one, other):
    one, other = one.state_dict(), other.state_dict()
    assert one.keys() == other.keys()
    return {key for key in one if not torch.equal(one[key], other[key])}


def all_finite(records, method):
    losses = torch.tensor([record["train_loss"] for record in records])
    return losses.isfinite().all() and all(parameter.isfinite().all() for parameter in method.parameters())


@pytest.mark.parametrize("name", methods)
def test_learns(name, trained, make, settings):
    method, records = trained(name)
    assert len(records) == settings.epochs
    assert all_finite(records, method)
    optimised = {id(p) for optimizer in method.optimizers for group in optimizer.param_groups for p in group["params"]}
    assert optimised
    wanted = {key for key, parameter in method.named_parameters() if id(parameter) in optimised}
    assert wanted <= differing(method, make(name))


@pytest.mark.parametrize("name", methods)
def test_predicts_a_logit_per_class_also_for_a_single_image(name, trained, tiny):
    method, _ = trained(name)
    images = tiny.test.images[:7].float() / 255
    with torch.inference_mode():
        logits, alone = method.predict(images), method.predict(images[:1])
    assert logits.shape == (7, 10)
    assert logits.isfinite().all()
    torch.testing.assert_close(alone, logits[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SELECTORS)
def test_passes_on_what_it_says(name, trained):
    method, _ = trained(name)
    size = len(method.task.train)
    values, score = method.select()
    assert score.shape == (size,)
    assert score.dtype == torch.float64
    assert score.isfinite().all()
    if method.emits == "kept":
        assert values.dtype == torch.int64
        assert values.tolist() == sorted(set(values.tolist()))
        assert set(values.tolist()) <= set(range(size))
    else:
        assert values.shape == (size,)
        assert values.dtype == (torch.float64 if method.emits == "probabilities" else torch.float32)
        assert (values >= 0).all()
    if method.emits == "probabilities":
        assert float(values.sum()) == pytest.approx(1, abs=1e-12)
    share = Selection(method.emits, values, score, "").share_of_draws()
    assert float(share.sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", SELECTORS)
def test_a_selector_read_from_its_file_selects_the_same(name, trained, make):
    method, _ = trained(name)
    again = make(name).eval()
    again.load_state_dict(method.state_dict())
    for one, other in zip(method.select(), again.select(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", methods)
def test_resuming_changes_no_bit(name, trained, make, train, tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"

    def interrupt(history):
        if len(history) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(make(name), checkpoint, on_epoch=interrupt)
    torch.manual_seed(12345)  # the new process drew other numbers
    resumed = make(name)
    records = train(resumed, checkpoint)
    method, uninterrupted = trained(name)
    assert not differing(method, resumed)
    assert [{**record, "seconds": 0} for record in records] == [{**record, "seconds": 0} for record in uninterrupted]


@pytest.mark.parametrize("name", methods)
def test_rarer_evaluation_changes_no_bit(name, trained, make, train, tmp_path):
    rarely = make(name)
    records = train(rarely, tmp_path / "checkpoint.pt", every=2)
    method, each = trained(name)
    assert not differing(method, rarely)
    evaluated = [{key for key in record if key.startswith(("valid_", "test_"))} for record in records]
    assert list(map(bool, evaluated)) == [False, True, True], "after every second epoch, and after the last"
    for record, full in zip(records, each, strict=True):
        assert {**record, "seconds": 0} == {key: full[key] for key in record} | {"seconds": 0}


@pytest.mark.parametrize("name", methods)
def test_true_labels_and_bias_labels_do_not_reach_it(name, trained, make, train, tiny, tmp_path):
    notes = {
        split: Annotations((notes.true_labels + 3) % 10, (notes.bias_labels * 3 + 1) % 10)
        for split, notes in tiny.annotations.items()
    }
    scrambled = replace(tiny, annotations=notes)
    assert not torch.equal(scrambled.train_groups(), tiny.train_groups())
    other = make(name)
    train(other, tmp_path / "checkpoint.pt", scrambled)
    assert not differing(trained(name)[0], other)


@pytest.mark.parametrize("name", [name for name in LEARNERS if methods[name].first is None])
@pytest.mark.parametrize("passed", ["probabilities", "weights"])
def test_a_learner_follows_an_earlier_selection(name, passed, trained, make, train, tmp_path):
    """A few samples carry nearly all probability, so that batches hold the same sample several times."""
    rare = torch.full((96,), 1e-3, dtype=torch.float64)
    rare[:8] = 1
    follower = make(name, **{passed: rare / rare.sum() if passed == "probabilities" else rare.float()})
    records = train(follower, tmp_path / "checkpoint.pt")
    assert all_finite(records, follower)
    assert differing(follower, trained(name)[0])


@pytest.mark.parametrize("name", methods)
def test_fewer_images_than_a_batch_and_absent_classes(name, make, train, tiny, tmp_path):
    few = replace(tiny, train=tiny.train.subset(torch.arange(5)), annotations={
        **tiny.annotations, "train": Annotations(*2 * [torch.arange(5)])
    })  # fmt: skip
    method = make(name, {"train": few.train})
    assert all_finite(train(method, tmp_path / "checkpoint.pt", few), method)
