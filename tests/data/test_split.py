"""Splits hold no truth; annotations, groups, fingerprints and the summary say what is there."""

import dataclasses
from dataclasses import replace

import pytest
import torch

from data.split import Annotations, Dataset, Split


def split_of(size=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (size, 3, 4, 5), dtype=torch.uint8, generator=generator)
    return Split(images, torch.randint(0, 3, (size,), generator=generator))


def test_a_split_holds_nothing_but_images_given_labels_and_a_transform():
    assert [field.name for field in dataclasses.fields(Split)] == ["images", "labels", "transform"]


@pytest.mark.parametrize(
    "wrong", [{"images": torch.zeros(12, 3, 4, 5)}, {"labels": torch.zeros(12)}, {"labels": torch.zeros(11).long()}]
)
def test_a_split_refuses_what_it_does_not_document(wrong):
    with pytest.raises(AssertionError):
        replace(split_of(), **wrong)


def test_the_fingerprint_names_images_and_labels_whatever_their_layout():
    split = split_of()
    name = split.fingerprint()
    assert len(name) == 12
    assert int(name, 16) >= 0
    assert replace(split, images=split.images.contiguous(memory_format=torch.channels_last)).fingerprint() == name
    assert split_of(seed=1).fingerprint() != name
    changed = replace(split, images=split.images.clone(), labels=split.labels.clone())
    changed.labels[11] = (changed.labels[11] + 1) % 3
    assert changed.fingerprint() != name
    changed = replace(split, images=split.images.clone())
    changed.images[11, 2, 3, 4] ^= 1
    assert changed.fingerprint() != name
    assert split.subset(torch.arange(11, -1, -1)).fingerprint() != name


def test_a_subset_has_the_samples_asked_for():
    split, index = split_of(), torch.tensor([7, 0, 7])
    subset = split.subset(index)
    assert len(subset) == 3
    assert torch.equal(subset.images, split.images[index])
    assert torch.equal(subset.labels, split.labels[index])


def test_groups_are_judged_by_the_true_label():
    notes = Annotations(torch.tensor([1, 1, 1, 1, -1, 1]), torch.tensor([1, 2, 1, 2, 1, -1]))
    assert notes.wrong(torch.tensor([1, 1, 0, 0, 1, 2])).tolist() == [False, False, True, True, False, True]
    assert notes.groups(torch.tensor([1, 1, 2, 2, 1, 1])).tolist() == [0, 1, 2, 3, -1, -1]


def dataset_of(true, bias, given):
    true, bias, given = map(torch.tensor, (true, bias, given))
    split = Split(torch.zeros(len(given), 3, 2, 2, dtype=torch.uint8), given)
    notes = {name: Annotations(true, bias) for name in ("train", "valid", "test")}
    return Dataset(split, split, split, notes, ("a", "b", "c"), "by hand")


def test_the_summary_counts():
    summary = dataset_of([0, 1, 2, 0], [0, 2, 2, 1], [0, 1, 0, 1]).summary()
    assert summary["origin"] == "by hand"
    assert summary["num_classes"] == 3
    train = summary["train"]
    assert train["size"] == 4
    assert train["effective_nratio"] == 0.5
    assert train["effective_bratio"] == 0.5
    assert list(train["groups"].values()) == [1, 1, 1, 1]


def test_the_summary_leaves_unknown_samples_out():
    train = dataset_of([0, 1, 2, -1], [0, 2, -1, 1], [0, 1, 0, 1]).summary()["train"]
    assert (train["effective_bratio"], train["bratio_known"]) == (0.5, 2)
    assert (train["effective_nratio"], train["nratio_known"]) == (pytest.approx(1 / 3), 3)
    assert list(train["groups"].values()) == [1, 1, 0, 0, 2]
    assert list(train["groups"])[-1] == "unknown"
    unknown = dataset_of([0, 1], [-1, -1], [0, 1]).summary()["train"]
    assert unknown["effective_bratio"] is None
    assert unknown["effective_nratio"] == 0
