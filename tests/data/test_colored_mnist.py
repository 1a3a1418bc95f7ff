"""Colored MNIST: which of its possible sources is taken, what is drawn, and what is said where there is none."""

from dataclasses import replace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from data import colored_mnist, mnist
from data.coloring import PALETTES
from data.layouts.pt import pt_files
from data.load import DataSettings, load_dataset
from data.registry import datasets
from utils.errors import RunError
from utils.files import load_tensors

SETTINGS = DataSettings(
    "colored_mnist", "", 0.01, 0.1, "sym", "reference", clean_valid=False, seed=0, options=colored_mnist.Options()
)


def build(data_dir, bratio=0.01, **options):
    return datasets["colored_mnist"].build(data_dir, bratio, colored_mnist.Options(**options))


def digits_of(size, seed):
    draws = np.random.default_rng(seed)
    return draws.integers(0, 256, (size, 28, 28), np.uint8), draws.integers(0, 10, size)


@pytest.fixture
def small_mnist(monkeypatch):
    """Stands for MNIST: 30 training digits, of which 20 are for training, and 10 test digits."""
    monkeypatch.setattr(mnist, "TRAIN_SIZE", 20)
    monkeypatch.setattr(colored_mnist, "read_mnist", lambda *arguments: (digits_of(30, 0), digits_of(10, 1)))


@pytest.fixture
def no_mnist(monkeypatch):
    """Any attempt to read or to download MNIST fails as it does offline."""

    def offline(*arguments, **settings):
        raise URLError("no network")

    monkeypatch.setattr(mnist, "MNIST", offline)


def put_authors_files(data_dir, size):
    def part():
        return {
            "data": torch.zeros(size, 3, 28, 28),
            "label": torch.zeros(size).long(),
            "b_label": torch.zeros(size).long(),
        }

    train, test = pt_files(data_dir / "colored_mnist", "colored_mnist", 0.01)
    train.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"train": part(), "valid": part()}, train)
    torch.save(part(), test)
    return train, test


def put_disen_folders(data_dir, percent="1"):
    for name in (
        f"{percent}pct/align/0/a_0_0",
        f"{percent}pct/conflict/1/b_1_2",
        f"{percent}pct/valid/c_3_3",
        "test/4/d_4_0",
    ):
        path = data_dir / "cmnist" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (28, 28)).save(path)


def test_the_first_source_that_is_there_is_taken(tmp_path, small_mnist):
    assert build(tmp_path).origin == "generated from MNIST, pgd palette, seed 0"
    cached = pt_files(tmp_path / "colored_mnist" / "generated", "colored_mnist", 0.01)
    content = load_tensors(cached[0])
    torch.save({**content, "origin": "our cache"}, cached[0])
    assert build(tmp_path).origin == "our cache"
    put_disen_folders(tmp_path)
    assert build(tmp_path).origin == "Disen folders: cmnist/1pct, rainbow palette"
    put_authors_files(tmp_path, 3)
    source = build(tmp_path)
    assert source.origin == "authors' layout: colored_mnist_bias_0.01.pt, pgd palette"
    assert len(source.train.labels) == 3


@pytest.mark.parametrize(("bratio", "percent"), [(0.005, "0.5"), (0.01, "1"), (0.02, "2"), (0.05, "5"), (0.07, "7")])
def test_disen_folders_are_found_by_percent(tmp_path, no_mnist, bratio, percent):
    put_disen_folders(tmp_path, percent)
    source = build(tmp_path, bratio)
    assert source.origin == f"Disen folders: cmnist/{percent}pct, rainbow palette"
    assert source.train.bias_labels.tolist() == [0, 2]


def test_palettes_are_kept_apart_in_every_layout(tmp_path, small_mnist, caplog):
    """A palette asked for is what one gets, whichever files are there; auto takes what is there."""
    caplog.set_level("INFO")
    put_authors_files(tmp_path, 3)
    put_disen_folders(tmp_path)
    assert build(tmp_path).origin == "authors' layout: colored_mnist_bias_0.01.pt, pgd palette"
    assert "cmnist/1pct is not used" in caplog.text
    assert build(tmp_path, palette="rainbow").origin == "Disen folders: cmnist/1pct, rainbow palette"
    assert "colored_mnist_bias_0.01.pt is not used: it has the pgd palette" in caplog.text
    (tmp_path / "colored_mnist/colored_mnist_bias_0.01.pt").unlink()
    caplog.clear()
    assert build(tmp_path, palette="pgd").origin == "generated from MNIST, pgd palette, seed 0"
    assert "cmnist/1pct is not used: it has the rainbow palette" in caplog.text
    assert build(tmp_path).origin == "Disen folders: cmnist/1pct, rainbow palette"


def test_generated_palettes_and_seeds_have_files_of_their_own(tmp_path, small_mnist):
    made = {
        (palette, seed): build(tmp_path, 0.5, palette=palette, data_seed=seed)
        for palette in ("pgd", "rainbow")
        for seed in (0, 1)
    }
    names = sorted(path.name for path in (tmp_path / "colored_mnist/generated").iterdir())
    assert names == sorted(
        f"colored_mnist{variant}_{kind}.pt"
        for variant in ("", "_rainbow", "_seed1", "_rainbow_seed1")
        for kind in ("bias_0.5", "test")
    )
    for (palette, seed), source in made.items():
        assert source.origin == f"generated from MNIST, {palette} palette, seed {seed}"
        again = build(tmp_path, 0.5, palette=palette, data_seed=seed)
        assert torch.equal(again.train.images, source.train.images)
        colors = torch.tensor(PALETTES[palette])[source.train.bias_labels]
        assert (source.train.images.flatten(2).amax(2) - colors).abs().max() <= 3
    assert torch.equal(made["pgd", 0].train.bias_labels, made["rainbow", 0].train.bias_labels)
    assert not torch.equal(made["pgd", 0].train.bias_labels, made["pgd", 1].train.bias_labels)


def test_files_for_another_bias_ratio_are_not_taken(tmp_path, small_mnist):
    put_authors_files(tmp_path, 3)
    put_disen_folders(tmp_path)
    assert build(tmp_path, 0.02).origin == "generated from MNIST, pgd palette, seed 0"


def test_the_authors_training_file_without_its_test_file_is_an_error(tmp_path, small_mnist):
    _, test = put_authors_files(tmp_path, 3)
    test.unlink()
    with pytest.raises(RunError, match=r"found .*colored_mnist_bias_0\.01\.pt but not .*colored_mnist_test\.pt"):
        build(tmp_path)


def test_half_a_cache_is_made_anew(tmp_path, small_mnist):
    first = build(tmp_path)
    cached = pt_files(tmp_path / "colored_mnist" / "generated", "colored_mnist", 0.01)
    cached[1].unlink()
    assert torch.equal(build(tmp_path).test.images, first.test.images)
    assert cached[1].is_file()


def put_raw(data_dir, content=b"digits"):
    raw = data_dir / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for stem in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{stem}-ubyte").write_bytes(content)
    return raw


def test_a_cache_is_taken_for_the_digits_that_it_was_made_of_only(tmp_path, small_mnist, monkeypatch):
    raw = put_raw(tmp_path)
    first = build(tmp_path)
    monkeypatch.setattr(colored_mnist, "read_mnist", lambda *arguments: (digits_of(30, 5), digits_of(10, 6)))
    assert torch.equal(build(tmp_path).train.images, first.train.images), "the same files: not made again"
    put_raw(tmp_path, b"others")
    other = build(tmp_path)
    assert not torch.equal(other.train.images, first.train.images)
    assert torch.equal(build(tmp_path).train.images, other.train.images)
    for file in raw.iterdir():
        file.unlink()
    assert torch.equal(build(tmp_path).train.images, other.train.images), "alone it is what there is"


def test_the_test_split_of_another_cache_is_not_taken(tmp_path, small_mnist, caplog):
    put_raw(tmp_path)
    build(tmp_path)
    put_raw(tmp_path, b"others")
    build(tmp_path, 0.02)  # replaces the test split that both ratios share
    put_raw(tmp_path)
    build(tmp_path)
    assert "was not made together with" in caplog.text


@pytest.mark.parametrize("which", [0, 1])
def test_a_damaged_cache_is_made_anew(tmp_path, small_mnist, caplog, which):
    first = build(tmp_path)
    file = pt_files(tmp_path / "colored_mnist" / "generated", "colored_mnist", 0.01)[which]
    file.write_bytes(file.read_bytes()[:200])
    assert torch.equal(build(tmp_path).train.images, first.train.images)
    assert "It is generated again." in caplog.text
    assert load_tensors(file)


def test_nothing_there_and_offline_names_the_places_and_the_way_out(tmp_path, no_mnist):
    with pytest.raises(RunError) as error:
        build(tmp_path, 0.02)
    message = str(error.value)
    for part in (
        tmp_path / "colored_mnist" / "colored_mnist_bias_0.02.pt", tmp_path / "cmnist" / "2pct",
        tmp_path / "MNIST" / "raw", "no network", "--data_dir", "--dataset colored_digits",
    ):  # fmt: skip
        assert str(part) in message
    assert "\n" not in message
    assert not (tmp_path / "colored_mnist").exists()


def test_mnist_is_downloaded_only_if_a_file_is_missing(tmp_path, monkeypatch):
    asked = []

    def record(root, train, download):
        asked.append(download)
        raise URLError("no network")

    monkeypatch.setattr(mnist, "MNIST", record)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for stem in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        with pytest.raises(RunError):
            build(tmp_path)
        (raw / f"{stem}-ubyte").write_bytes(b"")
    with pytest.raises(RunError):
        build(tmp_path)
    assert asked == [True] * 4 + [False]


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\x08\x03\0\0\0\x05\0\0\0\x1c\0\0\0\x1c" + bytes(100), b"something else"]
)
def test_damaged_mnist_files_end_in_one_line(tmp_path, content):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for stem in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{stem}-ubyte").write_bytes(content)
    with pytest.raises(RunError, match="a file is damaged"):
        build(tmp_path)


def test_another_mnist_than_the_real_one_is_refused(tmp_path, monkeypatch):
    class Short:
        def __init__(self, root, train, download):
            self.data, self.targets = torch.zeros(100, 28, 28, dtype=torch.uint8), torch.zeros(100).long()

    monkeypatch.setattr(mnist, "MNIST", Short)
    with pytest.raises(RunError, match=r"expected 60000 images of 28x28 and their labels, found \(100, 28, 28\)"):
        build(tmp_path)


def test_a_cache_that_cannot_be_written_costs_a_warning_only(tmp_path, small_mnist, caplog):
    (tmp_path / "colored_mnist").write_text("a file where the folder should be")
    source = build(tmp_path)
    assert len(source.train.labels) == 20
    assert "not cached" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["colored_mnist"]


def test_what_is_generated_is_the_same_every_time_and_from_the_cache(tmp_path, small_mnist):
    torch.manual_seed(1)
    generated = build(tmp_path / "a")
    torch.manual_seed(2)
    again, cached = build(tmp_path / "b"), build(tmp_path / "b")
    for other in (again, cached):
        for name in ("train", "valid", "test"):
            for field in ("images", "labels", "bias_labels"):
                assert torch.equal(getattr(getattr(generated, name), field), getattr(getattr(other, name), field))
    assert cached.train.images.is_contiguous(memory_format=torch.channels_last)


@pytest.fixture
def corners(monkeypatch):
    """3,000 + 1,000 training and 2,000 test digits, of which only a corner is coloured."""
    monkeypatch.setattr(mnist, "TRAIN_SIZE", 3000)
    return [(images[:, :2, :2], labels) for images, labels in (digits_of(4000, 0), digits_of(2000, 1))]


@pytest.mark.parametrize("bratio", [0, 0.3, 1])
def test_bias_ratio(corners, bratio):
    source = colored_mnist.generate(corners, bratio)
    for clean, wanted in ((source.train, bratio), (source.valid, bratio), (source.test, 0.9)):
        share = (clean.labels != clean.bias_labels).double().mean().item()
        assert share == pytest.approx(wanted, abs=4 * (wanted * (1 - wanted) / len(clean.labels)) ** 0.5)


def test_the_last_training_digits_are_for_validation_and_all_wear_the_colour_of_their_bias_label(corners):
    (images, labels), test = corners
    source = colored_mnist.generate(corners, 0.3)
    parts = {"train": (images[:3000], labels[:3000]), "valid": (images[3000:], labels[3000:]), "test": test}
    for name, (gray, wanted) in parts.items():
        clean = getattr(source, name)
        assert clean.labels.tolist() == wanted.tolist()
        color = torch.tensor(PALETTES["pgd"])[clean.bias_labels][:, :, None, None]
        assert (clean.images - torch.from_numpy(gray)[:, None] / 255 * color).abs().max() < 1


def test_real_mnist(mnist_dir):
    """Sizes and shares, and the cache gives the same data bit for bit."""
    settings = replace(SETTINGS, data_dir=str(mnist_dir))
    first = load_dataset(settings).summary()
    assert [first[name]["size"] for name in ("train", "valid", "test")] == [54_000, 6_000, 10_000]
    assert first["train"]["effective_bratio"] == pytest.approx(0.01, abs=0.002)
    assert first["valid"]["effective_bratio"] == pytest.approx(0.01, abs=0.005)
    assert first["test"]["effective_bratio"] == pytest.approx(0.9, abs=0.012)
    assert first["train"]["effective_nratio"] == pytest.approx(0.089, abs=0.004)
    assert first["test"]["effective_nratio"] == 0
    assert first["origin"] == "generated from MNIST, pgd palette, seed 0"
    assert (mnist_dir / "colored_mnist" / "generated" / "colored_mnist_bias_0.01.pt").is_file()
    (mnist_dir / "MNIST" / "raw").unlink()
    assert load_dataset(settings).summary() == first
