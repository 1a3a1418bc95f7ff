"""CIFAR-10N and CIFAR-100N: people's labels with the images that they are of."""

from urllib.error import URLError

import numpy as np
import pytest
import torch

from data import cifar_n, prepare
from data.cifar_n import KEYS, Options
from data.load import DataSettings, load_dataset
from data.registry import NoOptions, datasets
from utils.errors import RunError, UsageError


def reader(classes):
    """Stands for torchvision's: 200 + 20 images, each with its number in the red channel."""

    class Batches:
        base_folder, filename = "batches", "batches.tar.gz"

        def __init__(self, root, train, download):
            count = 200 if train else 20
            self.targets = [n % classes for n in range(count)]
            self.classes = [f"class {n}" for n in range(classes)]
            self.data = np.zeros((count, 32, 32, 3), np.uint8)
            self.data[..., 0] = np.arange(count)[:, None, None]

    return Batches


@pytest.fixture
def people(tmp_path, monkeypatch):
    """The two published files, by their keys, with labels of which every fourth to tenth is wrong."""
    monkeypatch.setattr(cifar_n, "CIFAR10", reader(10))
    monkeypatch.setattr(cifar_n, "CIFAR100", reader(20))
    labels = {}
    for classes, name, keys in ((10, "CIFAR-10", tuple(KEYS.values())), (20, "CIFAR-100", ("noisy_label",))):
        truth = np.arange(200) % classes
        labels[name] = {"clean_label": truth}
        for every, key in enumerate(keys, 4):
            labels[name][key] = np.where(np.arange(200) % every == 0, (truth + 1) % classes, truth)
        torch.save(labels[name], tmp_path / f"{name}_human.pt")
    return labels


def build(data_dir, name="cifar10n", bratio=0.0, **options):
    return datasets[name].build(data_dir, bratio, Options(**options) if name == "cifar10n" else NoOptions())


@pytest.mark.parametrize(("name", "choice", "key"), [
    *(("cifar10n", choice, key) for choice, key in KEYS.items()), ("cifar100n", None, "noisy_label")
])  # fmt: skip
def test_every_image_has_its_label(tmp_path, people, name, choice, key):
    given = people[name.removesuffix("n").replace("r1", "r-1").upper()][key]
    source = build(tmp_path, name, **({"human_labels": choice} if choice else {}))
    for clean, size in ((source.train, 180), (source.valid, 20)):
        number = clean.images[:, 0, 3, 3].long()
        assert len(number) == size
        assert torch.equal(clean.labels, torch.from_numpy(given)[number])
        assert torch.equal(clean.truth, number % len(source.class_names))
        assert 0 < (clean.labels != clean.truth).double().mean() < 0.4
        assert (clean.bias_labels == -1).all()
    assert torch.equal(source.test.labels, source.test.truth)


def test_noise_is_known_to_the_evaluator_and_which_images_are_held_out_does_not_depend_on_it(tmp_path, people):
    held = []
    for choice in KEYS:
        settings = DataSettings("cifar10n", str(tmp_path), 0.0, 0.0, "sym", "reference", False, 0,
                                options=Options(human_labels=choice))  # fmt: skip
        loaded = load_dataset(settings)
        every = 4 + list(KEYS).index(choice)
        assert loaded.summary()["train"]["effective_nratio"] == pytest.approx(1 / every, abs=0.03)
        held.append(loaded.valid.images)
    assert all(torch.equal(images, held[0]) for images in held)


def test_labels_of_other_images_are_refused(tmp_path, people):
    file = tmp_path / "CIFAR-10_human.pt"
    torch.save({**people["CIFAR-10"], "clean_label": np.zeros(200, np.int64)}, file)
    with pytest.raises(
        RunError, match=r"'clean_label' are not the labels of CIFAR-10's training images in their order"
    ):
        build(tmp_path)
    for wrong in (np.full(200, 10), np.zeros(7, np.int64)):
        torch.save({**people["CIFAR-10"], "worse_label": wrong}, file)
        with pytest.raises(RunError, match="'worse_label' must hold one of 10 classes for each of 200 images"):
            build(tmp_path)
    torch.save({"clean_label": people["CIFAR-10"]["clean_label"]}, file)
    with pytest.raises(RunError, match="has no 'aggre_label'; found: clean_label"):
        build(tmp_path, human_labels="aggre")


def test_what_is_missing_is_named(tmp_path, people, monkeypatch):
    def offline(*arguments, **settings):
        raise URLError("no network")

    offline.base_folder, offline.filename = "cifar-10-batches-py", "cifar-10-python.tar.gz"
    monkeypatch.setattr(cifar_n, "CIFAR10", offline)
    with pytest.raises(RunError, match=r"no CIFAR-10: .*no network.*Unpack cifar-10-python\.tar\.gz in"):
        build(tmp_path)
    (tmp_path / "CIFAR-10_human.pt").unlink()
    with pytest.raises(RunError, match=r"no .*CIFAR-10_human\.pt: put the benchmark's file there"):
        build(tmp_path)
    with pytest.raises(UsageError, match=r"--bratio 0\.1: CIFAR-10N has no bias"):
        build(tmp_path, bratio=0.1)


def test_what_was_prepared_is_read_and_one_set_of_labels_is_no_other(tmp_path, people):
    wanted = {choice: build(tmp_path, human_labels=choice) for choice in ("worse", "aggre")}
    for choice in ("worse", "aggre"):
        flags = ["--dataset", "cifar10n", "--data_dir", str(tmp_path), "--human_labels", choice, "--format", "pt"]
        assert prepare.main(flags) == 0
    (tmp_path / "CIFAR-10_human.pt").unlink()
    for choice, source in wanted.items():
        again = build(tmp_path, human_labels=choice)
        assert torch.equal(again.train.labels, source.train.labels)
        assert torch.equal(again.train.truth, source.train.truth)
        assert again.class_names == source.class_names
    assert not torch.equal(wanted["worse"].train.labels, wanted["aggre"].train.labels)
