"""Corrupted CIFAR-10: which source is taken, what is drawn, and that jobs can run in any order."""

import pickle
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from data import cifar10, corrupted_cifar
from data.corrupted_cifar import Options, generate
from data.corruptions import frost
from data.corruptions.operators import TYPE_0, TYPE_1, corrupt
from data.layouts.pt import pt_files, write_pt
from data.registry import datasets
from data.split import Clean, Source
from utils.errors import RunError, UsageError
from utils.seeds import numpy_generator

NAMES = ("train", "valid", "test")


def build(data_dir, bratio=0.01, **options):
    return datasets["corrupted_cifar"].build(data_dir, bratio, Options(**options))


def photographs(size, seed):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (size, 32, 32, 3), np.uint8), np.arange(size) % 10


def same(one, two):
    return all(
        torch.equal(getattr(getattr(one, name), field), getattr(getattr(two, name), field))
        for name in NAMES
        for field in ("images", "labels", "bias_labels")
    )


@pytest.fixture
def small_cifar(monkeypatch):
    """Stands for CIFAR-10: 100 + 20 images of noise."""
    given = (photographs(100, 0), photographs(20, 1), "noise")
    monkeypatch.setattr(corrupted_cifar, "cifar10_images", lambda data_dir, tried: given)
    return given


@pytest.fixture
def drawn_frost(monkeypatch):
    monkeypatch.setattr(frost, "_photographs", lambda: [])
    frost.frost_textures.cache_clear()
    yield
    frost.frost_textures.cache_clear()


def put_authors_files(data_dir):
    part = {"data": torch.zeros(3, 3, 32, 32), "label": torch.zeros(3).long(), "b_label": torch.zeros(3).long()}
    train, test = pt_files(data_dir / "corrupted_cifar", "corrupted_cifar", 0.01)
    train.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"train": part, "valid": part}, train)
    torch.save(part, test)


def put_disen_folders(data_dir):
    for name in ("1pct/align/0/a_0_0", "1pct/conflict/1/b_1_2", "1pct/valid/3/c_3_3", "test/4/d_4_0"):
        path = data_dir / "cifar10c" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32)).save(path)


def test_the_first_source_that_is_there_is_taken(tmp_path, small_cifar, drawn_frost, caplog):
    recipe = "corrupted_cifar_type0_severity5_frost-procedural"
    generated = build(tmp_path)
    assert generated.origin == f"generated from noise: {recipe}"
    assert "pip install --no-deps imagecorruptions-imaug" in caplog.text
    folder = tmp_path / "corrupted_cifar" / "generated"
    assert sorted(path.name for path in folder.iterdir()) == [f"{recipe}_bias_0.01.pt", f"{recipe}_test.pt"]
    assert same(build(tmp_path), generated)
    put_disen_folders(tmp_path)
    assert build(tmp_path).origin == "Disen folders: cifar10c/1pct"
    assert build(tmp_path, 0.02).origin.startswith("generated")
    put_authors_files(tmp_path)
    assert build(tmp_path).origin == "authors' layout: corrupted_cifar_bias_0.01.pt"
    for options in ({"severity": 4}, {"corruptions": "type1"}):  # which those files do not have
        assert build(tmp_path, **options).origin.startswith("generated")


@pytest.mark.usefixtures("drawn_frost")
def test_each_recipe_has_its_own_cache(tmp_path, small_cifar, monkeypatch):
    first = build(tmp_path)
    assert not same(build(tmp_path, severity=4), first)
    build(tmp_path, corruptions="type1", severity=1)
    monkeypatch.setattr(corrupted_cifar, "frost_source", lambda: "photographs")
    build(tmp_path)
    names = {path.name for path in (tmp_path / "corrupted_cifar" / "generated").iterdir()}
    for recipe in (
        "type0_severity5_frost-procedural", "type0_severity4_frost-procedural", "type1_severity1",
        "type0_severity5_frost-photographs",
    ):  # fmt: skip
        assert f"corrupted_cifar_{recipe}_bias_0.01.pt" in names


@pytest.mark.parametrize(("kind", "names"), [("type0", TYPE_0), ("type1", TYPE_1)])
def test_every_image_has_the_corruption_of_its_bias_label(small_cifar, kind, names):
    train, test, _ = small_cifar
    source = generate(train, test, 0.5, Options(4, kind), "")
    np.testing.assert_array_equal(source.test.labels, test[1])
    for place, name in enumerate(names):
        rows = np.flatnonzero(source.test.bias_labels == place)
        wanted = corrupt(test[0][rows], name, 4, numpy_generator(0, "corrupted_cifar", "test", name, 0))
        np.testing.assert_array_equal(source.test.images[rows].permute(0, 2, 3, 1), wanted)
    for split in NAMES:
        clean = getattr(source, split)
        assert clean.images.dtype == torch.uint8
        assert clean.images.is_contiguous(memory_format=torch.channels_last)
        assert (clean.labels.dtype, clean.bias_labels.dtype) == (torch.int64, torch.int64)


def test_the_jobs_can_run_in_any_order_and_in_other_processes(small_cifar, monkeypatch):
    monkeypatch.setattr(corrupted_cifar, "CHUNK", 3)
    counts = []

    def elsewhere(function, jobs):
        counts.append(len(jobs))
        sent = [pickle.loads(pickle.dumps((function, job))) for job in reversed(jobs)]
        return reversed([function(job) for function, job in sent])

    train, test, _ = small_cifar
    one = generate(train, test, 0.1, Options(), "")
    assert same(one, generate(train, test, 0.1, Options(), "", elsewhere))
    assert counts[0] >= 30


def test_a_smaller_set_has_as_many_images_of_every_class(tmp_path, monkeypatch):
    given = (photographs(200, 0), photographs(40, 1), "noise")
    monkeypatch.setattr(corrupted_cifar, "cifar10_images", lambda data_dir, tried: given)
    small = build(tmp_path, 0.5, corruptions="type1", per_class=10)
    counts = [getattr(small, name).labels.bincount(minlength=10) for name in NAMES]
    assert (counts[0].tolist(), counts[1].tolist(), counts[2].tolist()) == ([9] * 10, [1] * 10, [2] * 10)
    assert small.variant == "_type1_severity5_per_class10"


def test_chunks_of_one_corruption_have_their_own_draws(monkeypatch):
    monkeypatch.setattr(corrupted_cifar, "CHUNK", 2)
    images = np.full((4, 32, 32, 3), 128, np.uint8)
    jobs = corrupted_cifar.jobs_of("train", images, np.zeros(4, int), Options(corruptions="type1"))
    assert [job.rows.tolist() for job in jobs] == [[0, 1], [2, 3]]
    assert not (jobs[0].run() == jobs[1].run()).all()


@pytest.fixture
def unchanged(monkeypatch):
    monkeypatch.setattr(corrupted_cifar, "corrupt", lambda images, *rest: images)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("bratio", [0, 0.3, 1])
def test_bias_ratio(bratio):
    source = generate(photographs(10_000, 0), photographs(2000, 1), bratio, Options(), "")
    for name, size, wanted in (("train", 9000, bratio), ("valid", 1000, bratio), ("test", 2000, 0.9)):
        clean = getattr(source, name)
        assert torch.bincount(clean.labels).tolist() == [size // 10] * 10
        share = (clean.labels != clean.bias_labels).double().mean().item()
        assert share == pytest.approx(wanted, abs=4 * (wanted * (1 - wanted) / size) ** 0.5)


@pytest.mark.usefixtures("unchanged")
def test_all_bias_ratios_have_the_same_images_in_the_same_splits_and_the_same_test_split():
    few, many = (generate(photographs(1000, 0), photographs(200, 1), ratio, Options(), "") for ratio in (0.05, 0.5))
    for name in NAMES:
        assert torch.equal(getattr(few, name).images, getattr(many, name).images)
    assert torch.equal(few.test.bias_labels, many.test.bias_labels)
    conflicting = few.train.labels != few.train.bias_labels
    assert torch.equal(few.train.bias_labels[conflicting], many.train.bias_labels[conflicting])


def test_a_severity_without_spatter_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(UsageError, match="spatter has the severities 4 and 5 only"):
        build(tmp_path, severity=3)


def test_nothing_there_and_offline_names_the_places(tmp_path, monkeypatch):
    def offline(*arguments, **settings):
        raise URLError("no network")

    monkeypatch.setattr(cifar10, "CIFAR10", offline)
    with pytest.raises(RunError) as error:
        build(tmp_path, 0.02)
    for part in (
        tmp_path / "corrupted_cifar" / "corrupted_cifar_bias_0.02.pt", tmp_path / "cifar10c" / "2pct",
        tmp_path / "cifar-10-batches-py", "no network",
    ):  # fmt: skip
        assert str(part) in str(error.value)
    assert not (tmp_path / "corrupted_cifar").exists()


def test_a_cache_that_cannot_be_written_costs_a_warning_only(tmp_path, small_cifar, caplog):
    (tmp_path / "corrupted_cifar").write_text("a file where the folder should be")
    assert len(build(tmp_path, corruptions="type1").train.labels) == 90
    assert "not cached" in caplog.text


def test_what_was_prepared_with_other_options_is_taken_for_them_alone(tmp_path, monkeypatch):
    """`data.prepare` puts the options into the file's name, and building looks for that name."""
    options = Options(severity=4)
    part = Clean(torch.zeros(10, 3, 32, 32, dtype=torch.uint8), torch.arange(10), torch.arange(10))
    files = pt_files(tmp_path / "corrupted_cifar", "corrupted_cifar_type0_severity4", 0.01)
    write_pt(Source(part, part, part, corrupted_cifar.CLASSES, "prepared"), *files)
    source = datasets["corrupted_cifar"].build(tmp_path, 0.01, options)
    assert (source.origin, source.variant) == ("prepared", "_type0_severity4")

    def none(*arguments):
        raise LookupError

    monkeypatch.setattr(corrupted_cifar, "cifar10_images", none)
    with pytest.raises(LookupError):
        datasets["corrupted_cifar"].build(tmp_path, 0.01, Options())
