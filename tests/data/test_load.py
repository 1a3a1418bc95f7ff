"""From a source to a data set: where noise goes, where validation comes from, and which sources are refused."""

from dataclasses import replace

import pytest
import torch

from data.load import DataSettings, described, load_dataset
from data.noise import STYLES, TYPES, noisy_labels
from data.registry import Defaults, Recipe, datasets
from data.split import Clean, Source
from utils.errors import RunError, UsageError

SETTINGS = DataSettings("toy", "", 0.2, 0.4, "sym", "exact", clean_valid=False, seed=0)


def clean_of(size, seed, classes=10, pixels=4):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(size) % classes
    bias = torch.randint(0, classes, (size,), generator=generator)
    images = torch.randint(0, 256, (size, 3, pixels, pixels), dtype=torch.uint8, generator=generator)
    return Clean(images.contiguous(memory_format=torch.channels_last), labels, bias)


SOURCE = Source(clean_of(500, 0), clean_of(200, 1), clean_of(1001, 2), tuple("abcdefghij"), "by hand")


@pytest.fixture
def load(monkeypatch):
    """Loads a source given by hand, with other settings on demand."""

    def with_settings(source=SOURCE, **settings):
        recipe = Recipe(
            lambda data_dir, bratio, options: source, 10, Defaults("MLP", 1, 8, 0.1, "1", 0.2, 0.4), "by hand"
        )
        datasets.names()
        monkeypatch.setitem(datasets._things, "toy", recipe)
        return load_dataset(replace(SETTINGS, **settings))

    return with_settings


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", [0, 7])
def test_noise_is_on_training_and_validation_labels_and_never_on_test_labels(load, kind, style, seed):
    dataset = load(noise_type=kind, noise_style=style, seed=seed)
    for name in ("train", "valid"):
        clean = getattr(SOURCE, name)
        wanted = noisy_labels(clean, SOURCE.class_names, 0.4, kind, style, seed)
        assert torch.equal(getattr(dataset, name).labels, wanted)
        assert (wanted != clean.labels).any()
    assert torch.equal(dataset.test.labels, SOURCE.test.labels)
    assert dataset.summary()["test"]["effective_nratio"] == 0


def test_annotations_keep_the_truth_and_images_their_order(load):
    dataset = load()
    for name in ("train", "valid", "test"):
        clean = getattr(SOURCE, name)
        assert torch.equal(getattr(dataset, name).images, clean.images)
        assert torch.equal(dataset.annotations[name].true_labels, clean.labels)
        assert torch.equal(dataset.annotations[name].bias_labels, clean.bias_labels)
    assert dataset.num_classes == 10
    assert dataset.summary()["train"]["effective_nratio"] == 0.4


def test_clean_validation_is_a_stratified_half_of_the_test_split(load):
    dataset = load(clean_valid=True)
    halves = [dataset.valid, dataset.test]
    assert [len(half) for half in halves] == [501, 500]
    rows = [{image.numpy().tobytes() for image in half.images} for half in halves]
    assert rows[0].isdisjoint(rows[1])
    assert rows[0] | rows[1] == {image.numpy().tobytes() for image in SOURCE.test.images}
    counts = []
    for name, half in zip(("valid", "test"), halves, strict=True):
        notes = dataset.annotations[name]
        assert torch.equal(half.labels, notes.true_labels)
        counts.append(torch.bincount(10 * notes.true_labels + notes.bias_labels, minlength=100))
    assert (counts[0] - counts[1]).abs().max() <= 1
    assert torch.equal(dataset.train.labels, load().train.labels)


def test_the_halves_are_the_same_for_every_seed_and_keep_images_with_their_labels(load):
    first, second = load(clean_valid=True, seed=0), load(clean_valid=True, seed=1)
    assert first.valid.fingerprint() == second.valid.fingerprint()
    where = {image.numpy().tobytes(): i for i, image in enumerate(SOURCE.test.images)}
    index = torch.tensor([where[image.numpy().tobytes()] for image in first.test.images])
    assert torch.equal(first.test.labels, SOURCE.test.labels[index])
    assert torch.equal(first.annotations["test"].bias_labels, SOURCE.test.bias_labels[index])


def test_the_halves_do_without_bias_labels(load):
    unknown = replace(SOURCE, test=replace(SOURCE.test, bias_labels=torch.full((1001,), -1)))
    dataset = load(unknown, clean_valid=True)
    counts = [torch.bincount(half.labels) for half in (dataset.valid, dataset.test)]
    assert (counts[0] - counts[1]).abs().max() <= 1


NOTHING = SOURCE.train.subset(torch.arange(0))
REFUSED = {
    "empty": (NOTHING, "the valid split is empty"),
    "label too high": (replace(SOURCE.valid, labels=SOURCE.valid.labels + 1), "valid: labels span 1 to 10; wanted 0"),
    "label too low": (replace(SOURCE.valid, labels=SOURCE.valid.labels - 1), "valid: labels span -1 to 8; wanted 0"),
    "bias label too high": (replace(SOURCE.valid, bias_labels=SOURCE.valid.labels + 90), "bias labels span 90 to 99"),
    "bias label too low": (replace(SOURCE.valid, bias_labels=SOURCE.valid.labels - 2), "bias labels span -2 to 7"),
    "true label too high": (replace(SOURCE.valid, true_labels=SOURCE.valid.labels + 1), "true labels span 1 to 10"),
    "other size": (clean_of(20, 3, pixels=5), r"valid images are \[3, 5, 5\], train images \[3, 4, 4\]"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_source_that_does_not_fit_is_refused(load, case):
    valid, message = REFUSED[case]
    with pytest.raises(RunError, match=message):
        load(replace(SOURCE, valid=valid))


def test_an_unknown_data_set_suggests_the_nearest():
    with pytest.raises(UsageError, match=r"unknown data set 'colored_digit'\. Did you mean 'colored_digits'\?"):
        load_dataset(replace(SETTINGS, dataset="colored_digit"))


def test_noise_is_added_to_given_labels_and_the_truth_is_kept_apart(load):
    true = (SOURCE.train.labels + 1) % 10
    dataset = load(replace(SOURCE, train=replace(SOURCE.train, true_labels=true)), nratio=0.0)
    assert torch.equal(dataset.train.labels, SOURCE.train.labels)
    assert torch.equal(dataset.annotations["train"].true_labels, true)
    assert dataset.summary()["train"]["effective_nratio"] == 1


def test_a_paragraph_tells_what_was_read_and_left_out(load, caplog):
    caplog.set_level("INFO")
    load(replace(SOURCE, left_out=("3 hidden files or folders", "2 images that cannot be read")))
    (line,) = [message for message in caplog.messages if message.startswith("read ")]
    assert line.startswith("read 1701 images of 10 classes: train 500 (a 50, b 50,")
    assert "; valid 200 (a 20, " in line
    assert "; test 1001 (a 101, b 100," in line
    assert line.endswith("Left out: 3 hidden files or folders; 2 images that cannot be read.")
    caplog.clear()
    load()
    assert "Left out: nothing." in caplog.text


def test_of_many_classes_the_smallest_and_the_largest_are_told():
    names = tuple(f"c{i}" for i in range(30))
    clean = clean_of(300, 0, 30).subset(torch.arange(1, 300))
    clean = replace(clean, labels=torch.where(clean.labels == 7, 9, clean.labels))
    text = described(Source(clean, clean, clean, names, "by hand"))
    assert "train 299 (from c7 0 to c9 20)" in text


def test_many_classes_of_one_size_are_not_compared():
    clean = clean_of(300, 0, 30)
    text = described(Source(clean, clean, clean, tuple(f"c{i}" for i in range(30)), "by hand"))
    assert "train 300 (10 of each class); valid" in text


def some(counts):
    """A split with so many images of each class."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return Clean(torch.zeros(len(labels), 3, 2, 2, dtype=torch.uint8), labels, torch.full_like(labels, -1))


SMALL = {
    "nothing": ([5, 5, 5], [2, 2, 2], [2, 2, 2], []),
    "a class with one image": ([5, 1, 1], [2, 2, 2], [2, 2, 2], ["classes with a single training image: b, c"]),
    "a class without images": ([5, 5, 0], [2, 2, 2], [2, 2, 2], ["classes with no training image: c"]),
    "two validation images": ([5, 5, 5], [1, 1, 0], [2, 2, 2], ["the valid split has 2 images; the best epoch is"]),
    "one test image": (
        [5, 5, 5], [2, 2, 2], [1, 0, 0], ["the test split has 1 image; its", "classes without test images: b, c"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SMALL)
def test_what_is_too_small_is_said_and_trained_on(load, caplog, case):
    *splits, wanted = SMALL[case]
    load(Source(*map(some, splits), ("a", "b", "c"), "by hand"), nratio=0.0)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    for message, start in zip(warnings, wanted, strict=True):
        assert message.startswith(f"toy: {start}")


def test_names_of_classes_cannot_write_lines_of_their_own(load, caplog):
    caplog.set_level("INFO")
    load(Source(some([5, 1]), some([2, 2]), some([2, 0]), ("a", "b\nerror: \x1b[31m"), "by hand"), nratio=0.0)
    assert sum(r"b\nerror: \x1b[31m" in message for message in caplog.messages) == 3
    assert all(message.isprintable() for message in caplog.messages)


def test_a_single_class_is_refused(load):
    with pytest.raises(RunError, match="toy: wanted two classes or more, found a"):
        load(Source(some([5]), some([5]), some([5]), ("a",), "by hand"), nratio=0.0)


def test_a_single_training_image_is_refused(load):
    with pytest.raises(RunError, match="toy: a single training image is left; a network needs at least two"):
        load(Source(some([1, 0]), some([5, 5]), some([5, 5]), ("a", "b"), "by hand"), nratio=0.0)
