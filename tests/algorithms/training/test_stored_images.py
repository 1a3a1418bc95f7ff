"""Images in a file instead of memory change nothing but where they are."""

from dataclasses import replace

import pytest
import torch

from algorithms.task import over_split
from algorithms.training.trainer import train_epoch
from data.augment import CROPPED_FLIPPED
from data.store import write_store

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["vanilla", "deneb", "dividemix"])
def test_training_from_a_store_is_bit_identical(tiny, make, tmp_path, name):
    """With augmentation, whose draws must not depend on when images were read."""
    images = tiny.train.images
    store = write_store(tmp_path / "train.u8", "", tuple(images.shape), [images])
    results = []
    for there in (images, store):
        split = replace(tiny.train, images=there, transform=CROPPED_FLIPPED)
        method = make(name, task={"train": split})
        for epoch in range(2):
            train_epoch(method, epoch)
        method.eval()
        results.append([*method.parameters(), over_split(method.predict, split.subset(torch.arange(9, 70)), CPU)])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
