"""Features of a network that is not trained: what they are, what names their file, and that it can be completed."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from data import features
from data.augment import Transform
from data.features import Encoder, encoded, features_of, standardised
from data.layouts.decoding import decode
from data.split import Clean, Source, Split
from data.store import ImageFiles
from models.preprocessing import Preprocessing
from models.registry import build_network
from utils.errors import RunError

FITTED = Preprocessing(32, 40, "bicubic", (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
PLAIN = Transform()
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "conv.pt"
    torch.manual_seed(0)
    torch.save(build_network("CONV", (3, 32, 32), 10).state_dict(), path)
    return path


@pytest.fixture
def encoder(weights, tmp_path):
    return Encoder("CONV", weights, FITTED, 0, tmp_path / "features", CPU)


@pytest.fixture
def files(tmp_path):
    """Photographs of several sizes, 35 of them."""
    generator = np.random.default_rng(0)
    (tmp_path / "photographs").mkdir()
    paths = []
    for i in range(35):
        pixels = generator.integers(0, 256, (40 + i % 7, 50 - i % 5, 3), dtype=np.uint8)
        paths.append(tmp_path / "photographs" / f"{i:02d}.png")
        Image.fromarray(pixels).save(paths[-1])
    return ImageFiles(tuple(paths), decode)


@pytest.fixture
def network(weights):
    return build_network("CONV", (3, 32, 32), 2, weights).eval()


def computed(images, encoder, network, transform=PLAIN):
    return features_of(images, encoder, transform, lambda: network, "train")


def refused(*arguments):
    raise AssertionError("the network was built although its features are there")


def test_they_are_the_network_s_own(files, encoder, network):
    found = computed(files, encoder, network)
    assert found.shape == (35, 64, 1, 1)
    assert found.dtype == torch.float16
    for i in (0, 17, 34):
        image = FITTED.fitted(Image.open(files.paths[i]))
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (FITTED.mean, FITTED.std))
        batch = ((torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 - mean) / std)[None]
        with torch.inference_mode():
            torch.testing.assert_close(found[i, :, 0, 0].float(), network.extract(batch)[0], rtol=2e-3, atol=1e-3)


def test_they_are_computed_once_for_the_same_content_network_weights_and_preprocessing(
    files, encoder, network, tmp_path
):
    first = computed(files, encoder, network)
    assert torch.equal(features_of(files, encoder, PLAIN, refused, "train"), first)
    moved = ImageFiles(tuple(tmp_path / "elsewhere" / path.name for path in files.paths), decode)
    shutil.copytree(files.paths[0].parent, tmp_path / "elsewhere")
    assert torch.equal(features_of(moved, encoder, PLAIN, refused, "train"), first)
    Image.open(files.paths[0]).rotate(90).save(moved.paths[0])
    assert not torch.equal(computed(moved, encoder, network)[0], first[0])
    other = replace(encoder, preprocessing=replace(FITTED, interpolation="bilinear"))
    assert not torch.equal(computed(files, other, network), first)
    torch.save({name: -value for name, value in network.state_dict().items()}, tmp_path / "other.pt")
    with pytest.raises(AssertionError, match="the network was built"):
        features_of(files, replace(encoder, weights=tmp_path / "other.pt"), PLAIN, refused, "train")


def test_an_image_that_changes_behind_its_time_stamp_is_noticed(files, encoder, network):
    first = computed(files, encoder, network)
    path = files.paths[0]
    before, content = path.stat(), bytearray(path.read_bytes())
    Image.open(path).rotate(180).save(path)
    path.write_bytes(path.read_bytes().ljust(len(content), b"\0")[: len(content)])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert not torch.equal(computed(files, encoder, network)[0], first[0])


def test_an_interrupted_file_is_completed(files, encoder, network, monkeypatch):
    whole = computed(files, replace(encoder, folder=encoder.folder / "whole", views=2), network)
    seen = []

    def stop_at_the_third(images, rows, *rest):
        seen.append(rows.start)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return inputs(images, rows, *rest)

    inputs, encoder = features._inputs, replace(encoder, views=2)
    monkeypatch.setattr(features, "_inputs", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        computed(files, encoder, network)
    (part,) = encoder.folder.glob("*.part")
    with open(part, "ab") as file:
        file.write(b"half a row")
    done = len(seen)
    assert torch.equal(computed(files, encoder, network), whole)
    assert seen[done] > 0
    assert not list(encoder.folder.glob("*.part"))


def test_views_differ_and_training_draws_from_all_of_them(files, encoder, network):
    found = computed(files, replace(encoder, views=3), network)
    assert found.shape == (35, 64, 4, 1)
    plain = computed(files, encoder, network)
    torch.testing.assert_close(found[:, :, :1], plain, rtol=2e-3, atol=1e-3)
    assert all(not torch.equal(found[:, :, 0], found[:, :, view]) for view in (1, 2, 3))
    transform = standardised(found)
    torch.manual_seed(0)
    drawn = torch.stack([transform.for_training(found) for _ in range(60)])
    choices = torch.stack([transform.standardised(found[:, :, view, 0]) for view in range(4)])
    which = (drawn[:, None] == choices).all(-1).float().mean((0, 2))
    assert which.sum() >= 1
    assert (which > 0.15).all()
    assert torch.equal(transform.for_scoring(found), choices[0])


def test_scored_training_features_have_mean_0_and_variance_1():
    images = (3 + 5 * torch.randn(200, 7, 1, 1)).half()
    images[:, 2] = 4
    scored = standardised(images).for_scoring(images)
    torch.testing.assert_close(scored.mean(0), torch.zeros(7), atol=1e-3, rtol=0)
    wanted = torch.ones(7)
    wanted[2] = 0
    torch.testing.assert_close(scored.std(0, correction=0), wanted, atol=1e-3, rtol=0)


def test_a_network_without_a_preprocessing_sees_what_the_data_set_s_transform_makes(weights, encoder, network):
    images = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8)
    transform = Transform(crop=2, mean=(0.5,) * 3, std=(0.25,) * 3)
    found = computed(images, replace(encoder, preprocessing=None, views=1), network, transform)
    with torch.inference_mode():
        wanted = network.extract(transform.for_scoring(images))
    torch.testing.assert_close(found[:, :, 0, 0].float(), wanted, rtol=2e-3, atol=1e-3)
    assert not torch.equal(found[:, :, 0], found[:, :, 1])


def test_a_source_of_features_makes_splits(files, encoder):
    labels = torch.arange(35) % 2
    clean = Clean(files, labels, torch.full_like(labels, -1))
    source, transform = encoded(
        Source(clean.subset(torch.arange(20)), clean.subset(torch.arange(20, 28)), clean.subset(torch.arange(28, 35)),
               ("a", "b"), "here"), encoder, PLAIN
    )  # fmt: skip
    split = Split(source.train.images, source.train.labels, transform)
    assert len(split.subset(torch.tensor([3, 5])).images) == 2
    assert split.fingerprint() != split.subset(torch.arange(19)).fingerprint()
    assert len(source.test.images) == 7


def test_features_that_are_no_numbers_are_refused(files, encoder, network):
    torch.nn.init.constant_(network.features[0].bias, torch.inf)
    with pytest.raises(RunError, match="no numbers"):
        computed(files, encoder, network)


def test_a_damaged_photograph_is_named(files, encoder, network):
    files.paths[20].write_bytes(b"no image")
    with pytest.raises(RunError, match=r"20\.png"):
        computed(files, encoder, network)


def test_a_file_of_another_size_is_named(files, encoder, network):
    computed(files, encoder, network)
    (path,) = encoder.folder.glob("*.float16")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(RunError, match=rf"{path.name} is damaged"):
        computed(files, encoder, network)


@pytest.mark.parametrize("at", [0, 1000, -1])
def test_a_changed_byte_is_noticed_whatever_the_time_stamp_says(files, encoder, network, at):
    computed(files, encoder, network)
    (path,) = encoder.folder.glob("*.float16")
    before, content = path.stat(), bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(RunError, match=rf"{path.name} is damaged: its numbers are not those that were written"):
        computed(files, encoder, network)


@pytest.mark.parametrize("count", [32, 35])
def test_one_that_was_not_renamed_is_taken(files, encoder, network, count):
    files = files.subset(torch.arange(count))
    whole = computed(files, encoder, network).clone()
    (path,) = encoder.folder.glob("*.float16")
    path.rename(path.with_name(f"{path.name}.part"))
    assert torch.equal(computed(files, encoder, network), whole)
    assert not list(encoder.folder.glob("*.part"))
