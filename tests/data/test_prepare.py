"""`python -m data.prepare`: what it writes reads back bit for bit, whatever the layout and the number of processes."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data import colored_mnist, mnist, prepare
from data.layouts import output
from data.layouts.disen import read_disen
from data.layouts.pt import pt_files, read_pt, write_pt
from data.registry import datasets
from data.split import Clean, Source
from utils.errors import RunError
from utils.files import replacing

CLASSES = tuple("0123456789")
SPLITS = ("train", "valid", "test")


def clean_of(size, seed, classes=10):
    draws = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (size, 3, 5, 4), dtype=torch.uint8, generator=draws)
    labels = torch.randint(0, classes, (size,), generator=draws)
    bias = torch.where(torch.rand(size, generator=draws) < 0.7, labels, (labels + 1) % classes)
    return Clean(images.contiguous(memory_format=torch.channels_last), labels, bias)


SOURCE = Source(clean_of(300, 0), clean_of(40, 1), clean_of(30, 2), CLASSES, "made up")


@pytest.fixture
def data_dir(tmp_path):
    """Holds the authors' files of colored_mnist."""
    write_pt(SOURCE, *pt_files(tmp_path / "in" / "colored_mnist", "colored_mnist", 0.01))
    return tmp_path / "in"


def run(data_dir, out, *arguments, dataset="colored_mnist"):
    given = ["--dataset", dataset, "--data_dir", str(data_dir), "--out", str(out), "--workers", "1", *arguments]
    return prepare.main(given)


def build(data_dir, name="colored_mnist", bratio=0.01):
    recipe = datasets[name]
    return recipe.build(Path(data_dir), bratio, recipe.options())


def assert_same(one, other):
    for name in SPLITS:
        for field in ("images", "labels", "bias_labels", "truth"):
            assert torch.equal(getattr(getattr(one, name), field), getattr(getattr(other, name), field)), (name, field)


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.p*") if path.is_file()}


def test_a_round_trip_keeps_every_bit_and_the_order(data_dir, tmp_path):
    assert run(data_dir, tmp_path / "folders", "--format", "folder") == 0
    assert_same(build(tmp_path / "folders"), SOURCE)
    assert run(tmp_path / "folders", tmp_path / "again", "--format", "pt") == 0
    assert_same(build(tmp_path / "again"), SOURCE)
    assert run(tmp_path / "again", tmp_path / "folders2", "--format", "folder") == 0
    assert files_of(tmp_path / "folders") == files_of(tmp_path / "folders2")


def test_the_two_palettes_stay_apart_on_a_round_trip(data_dir, tmp_path):
    """The Disen authors' folder name stands for their palette: other colours do not go there."""
    assert run(data_dir, tmp_path / "out", "--format", "folder") == 0
    assert (tmp_path / "out/colored_mnist/0pct").is_dir() is (tmp_path / "out/cmnist").is_dir() is False
    assert (tmp_path / "out/colored_mnist/1pct/align").is_dir()
    (tmp_path / "out/colored_mnist").rename(tmp_path / "out/cmnist")
    assert run(tmp_path / "out", tmp_path / "pt") == 0
    assert (tmp_path / "pt/colored_mnist/colored_mnist_rainbow_bias_0.01.pt").is_file()
    assert run(tmp_path / "pt", tmp_path / "back", "--format", "folder") == 0
    names = [path.name for path in sorted((tmp_path / "back/cmnist/1pct/valid").iterdir())]
    assert names[0].startswith("00_")
    assert len(names) == 40
    assert_same(build(tmp_path / "back"), SOURCE)


def test_folders_are_the_disen_authors(data_dir, tmp_path):
    run(data_dir, tmp_path / "out", "--format", "folder")
    for path in (tmp_path / "out/colored_mnist/1pct").rglob("align/*/*.png"):
        assert re.fullmatch(r"\d{3}_(\d)_\1\.png", path.name)
        assert path.parent.name == path.name.split("_")[1]
    position, label, bias = 17, int(SOURCE.test.labels[17]), int(SOURCE.test.bias_labels[17])
    with Image.open(tmp_path / f"out/colored_mnist/test/{label}/{position}_{label}_{bias}.png") as image:
        assert np.array_equal(np.asarray(image), SOURCE.test.images[17].permute(1, 2, 0).numpy())


def test_the_number_of_processes_changes_nothing(data_dir, tmp_path, monkeypatch):
    run(data_dir, tmp_path / "one", "--format", "folder")
    run(data_dir, tmp_path / "two", "--format", "folder", "--workers", "2")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    sums = [(tmp_path / place / "colored_mnist/SHA256SUMS").read_text() for place in ("one", "two")]
    assert sums[0] == sums[1]
    assert len(sums[0].splitlines()) == 370


def test_pt_files_are_the_same_bytes_every_time(data_dir, tmp_path):
    for place in ("one", "two"):
        run(data_dir, tmp_path / place)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two") != {}


def test_several_ratios_share_the_test_split(data_dir, tmp_path):
    write_pt(SOURCE, *pt_files(data_dir / "colored_mnist", "colored_mnist", 0.05))
    assert run(data_dir, tmp_path, "--bratio", "0.01,0.05", "--format", "folder") == 0
    assert {path.name for path in (tmp_path / "colored_mnist").iterdir()} >= {"1pct", "5pct", "test", "SHA256SUMS"}
    assert run(data_dir, tmp_path, "--bratio", "0.01,0.05") == 0
    sums = (tmp_path / "colored_mnist/SHA256SUMS").read_text().splitlines()
    assert len(sums) == 2 * 340 + 30 + 3


@pytest.mark.parametrize("layout", ["pt", "folder"])
def test_what_is_there_is_compared_and_kept(data_dir, tmp_path, layout):
    run(data_dir, tmp_path / "out", "--format", layout)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.p*")}
    victim = sorted(before)[3 if layout == "folder" else 0]
    victim.unlink()
    run(data_dir, tmp_path / "out", "--format", layout)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.p*")}
    assert {path for path in before if before[path] != after[path]} == {victim}


def damaged(path):
    path.write_bytes(path.read_bytes()[:70])


def changed(path):
    if path.suffix == ".pt":
        content = torch.load(path)
        content["label"][0] = (content["label"][0] + 1) % 10
        torch.save(content, path)
    else:
        Image.new("RGB", (4, 5)).save(path)


@pytest.mark.parametrize("layout", ["pt", "folder"])
@pytest.mark.parametrize(("harm", "words"), [(damaged, "is damaged"), (changed, "holds something else")])
def test_nothing_is_overwritten_unless_that_is_asked_for(data_dir, tmp_path, capsys, layout, harm, words):
    run(data_dir, tmp_path / "out", "--format", layout)
    root = tmp_path / "out/colored_mnist"
    victim = root / "colored_mnist_test.pt" if layout == "pt" else next((root / "test").rglob("*.png"))
    good = victim.read_bytes()
    harm(victim)
    bad = victim.read_bytes()
    assert run(data_dir, tmp_path / "out", "--format", layout) == 1
    assert re.search(rf"error: {victim} is already there and {words}.*--overwrite", capsys.readouterr().err)
    assert victim.read_bytes() == bad
    assert run(data_dir, tmp_path / "out", "--verify") == 1
    assert re.search(rf"error: {victim} is changed, 1 of \d+ files", capsys.readouterr().err)
    assert run(data_dir, tmp_path / "out", "--format", layout, "--overwrite") == 0
    assert victim.read_bytes() == good
    assert run(data_dir, tmp_path / "out", "--verify") == 0


def test_images_of_another_set_are_not_mixed_with_ours(data_dir, tmp_path, capsys):
    stranger = tmp_path / "out/colored_mnist/1pct/align/3/photo_3_3.png"
    stranger.parent.mkdir(parents=True)
    Image.new("RGB", (4, 5)).save(stranger)
    assert run(data_dir, tmp_path / "out", "--format", "folder") == 1
    assert f"{stranger} and 0 other images are in the way" in capsys.readouterr().err
    assert run(data_dir, tmp_path / "out", "--format", "folder", "--overwrite") == 0
    assert not stranger.exists()
    assert_same(build(tmp_path / "out"), SOURCE)


def test_verify_names_what_is_missing_and_needs_checksums(data_dir, tmp_path, capsys):
    assert run(data_dir, tmp_path / "out", "--verify") == 2
    assert "no SHA256SUMS of colored_mnist" in capsys.readouterr().err
    run(data_dir, tmp_path / "out", "--format", "folder")
    assert run(data_dir, tmp_path / "out", "--verify") == 0
    assert "all 370 files are as they were written" in capsys.readouterr().out
    root = tmp_path / "out/colored_mnist"
    for path in list((root / "test").rglob("*.png"))[:2]:
        path.unlink()
    assert run(data_dir, tmp_path / "out", "--verify") == 1
    assert re.search(r"\.png is missing, 2 of 370 files", capsys.readouterr().err)
    (root / "SHA256SUMS").write_text("nonsense\n")
    assert run(data_dir, tmp_path / "out", "--verify") == 1
    assert "SHA256SUMS is damaged" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_the_checksums_are_those_of_sha256sum(data_dir, tmp_path):
    run(data_dir, tmp_path / "out", "--format", "folder")
    command = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    assert subprocess.run(command, cwd=tmp_path / "out/colored_mnist", check=True, capture_output=True).stdout == b""


UNTOLD = {
    "bias labels unknown": {"bias_labels": torch.full((300,), -1)},
    "labels may be wrong": {"true_labels": (SOURCE.train.labels + 1) % 10},
}


@pytest.mark.parametrize("case", UNTOLD)
def test_folders_cannot_say_everything_and_pt_files_can(tmp_path, monkeypatch, capsys, case):
    fields = {"bias_labels": SOURCE.train.bias_labels, "true_labels": None} | UNTOLD[case]
    source = Source(Clean(SOURCE.train.images, SOURCE.train.labels, **fields), SOURCE.valid, SOURCE.test, CLASSES, "x")
    write_pt(source, *pt_files(tmp_path / "in/folder", "folder", None))
    assert run(tmp_path / "in", tmp_path / "out", "--format", "folder", dataset="folder") == 1
    assert "Use --format pt" in capsys.readouterr().err
    assert run(tmp_path / "in", tmp_path / "out", dataset="folder") == 0
    again = build(tmp_path / "out", "folder", None)
    assert_same(again, source)
    assert again.class_names == CLASSES


@pytest.mark.parametrize(("name", "classes"), [("bar", 6), ("bffhq", 2)])
def test_a_set_without_a_ratio_is_written_under_the_one_that_it_has(tmp_path, name, classes):
    source = Source(*(clean_of(size, size, classes) for size in (200, 30, 20)), CLASSES[:classes], "made up")
    write_pt(source, *pt_files(tmp_path / "in" / name, name, None))
    options = ["--image_size", "0"]
    assert run(tmp_path / "in", tmp_path / "out", "--format", "folder", *options, dataset=name) == 0
    share = (source.train.labels != source.train.bias_labels).double().mean().item()
    (folder,) = (tmp_path / "out" / name).glob("*pct")
    assert float(folder.name.removesuffix("pct")) == pytest.approx(100 * share, abs=0.5)
    assert run(tmp_path / "out", tmp_path / "again", *options, dataset=name) == 0
    assert (tmp_path / "again" / name / f"{name}.pt").is_file()
    assert_same(read_pt(*pt_files(tmp_path / "again" / name, name, None), CLASSES[:classes]), source)


def test_stats_count_classes_and_groups_and_draw_a_sheet(data_dir, tmp_path, capsys):
    assert run(data_dir, tmp_path / "out", "--stats", "--format", "none") == 0
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.split("train\n")[1].split("\n\n")[0].splitlines()]
    assert rows[0] == ["images", "aligned-clean", "conflicting-clean"]
    for label in range(10):
        mine = SOURCE.train.labels == label
        aligned = int((mine & (SOURCE.train.bias_labels == label)).sum())
        assert rows[1 + label] == [str(label), str(int(mine.sum())), str(aligned), str(int(mine.sum()) - aligned)]
    assert rows[11][:2] == ["all", "300"]
    sheet = tmp_path / "out/colored_mnist/colored_mnist_bias_0.01.png"
    with Image.open(sheet) as image:
        assert min(image.size) > 500
    assert [path.name for path in (tmp_path / "out/colored_mnist").iterdir()] == [sheet.name]


def test_examples_are_of_the_class_and_kind_that_they_say():
    shown = prepare.examples(SOURCE.train)
    assert list(shown) == ["aligned", "conflicting"]
    where = {image.permute(1, 2, 0).numpy().tobytes(): i for i, image in enumerate(SOURCE.train.images)}
    for kind, rows in shown.items():
        assert len(rows) == 10
        for label, images in enumerate(rows):
            index = torch.tensor([where[image.tobytes()] for image in images])
            assert 0 < len(index) <= prepare.SHOWN
            assert (SOURCE.train.labels[index] == label).all()
            assert ((SOURCE.train.bias_labels[index] == label) == (kind == "aligned")).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bratio", "0.01,2"], "2 is not a number at least 0 and at most 1"),
        (["--bratio", "a"], "'a' is not a number"),
        (["--workers", "0"], "0 is not a whole number at least 1"),
        (["--format", "zip"], "invalid choice: 'zip'"),
        (["--pallette", "pgd"], "Did you mean --palette"),
        (["--dataset", "colored_mnits"], "Did you mean 'colored_mnist'"),
    ],
)
def test_a_command_that_cannot_be_meant(data_dir, tmp_path, capsys, arguments, message):
    assert run(data_dir, tmp_path / "out", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_data_set_has_to_be_named(capsys):
    assert prepare.main([]) == 2
    assert "--dataset" in capsys.readouterr().err


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_keeps_finished_files_and_continues(data_dir, tmp_path, monkeypatch, capsys, stop):
    """Stopped in the middle of its second image; started again it ends with the same files as an undisturbed one."""
    run(data_dir, tmp_path / "undisturbed", "--format", "folder")

    def replacing_until_stopped(path, durable):
        if path.name.startswith("001_"):
            os.kill(os.getpid(), stop)
        return replacing(path, durable)

    monkeypatch.setattr(output, "replacing", replacing_until_stopped)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored where the tests run in the background
    assert run(data_dir, tmp_path / "out", "--format", "folder") == 130
    assert (
        "interrupted; finished files are kept. To continue: python -m data.prepare --dataset" in capsys.readouterr().err
    )
    assert len(list((tmp_path / "out").rglob("*.png"))) == 1
    assert not list((tmp_path / "out").rglob("*.tmp"))
    monkeypatch.undo()
    assert run(data_dir, tmp_path / "out", "--format", "folder") == 0
    assert files_of(tmp_path / "out") == files_of(tmp_path / "undisturbed")


def test_a_process_that_dies_ends_in_one_line(monkeypatch):
    with pytest.raises(RunError, match="a process ended before its work was done"):
        list(output._each(os._exit, [1, 1], 2, "dying"))


def test_real_mnist_in_both_layouts(mnist_dir, tmp_path, monkeypatch):
    """A thousandth part of the real images, generated, as folders, and back."""
    monkeypatch.setattr(mnist, "TRAIN_SIZE", 60)
    read = mnist.read_mnist
    few = lambda *arguments: tuple((images[:80], labels[:80]) for images, labels in read(*arguments))  # noqa: E731
    monkeypatch.setattr(colored_mnist, "read_mnist", few)
    for palette, folder in (("pgd", "colored_mnist"), ("rainbow", "cmnist")):
        options = ["--palette", palette, "--bratio", "0.3"]
        assert run(mnist_dir, tmp_path / "folders", "--format", "folder", *options) == 0
        assert run(tmp_path / "folders", tmp_path / "pt", *options) == 0
        recipe = datasets["colored_mnist"]
        generated = recipe.build(mnist_dir, 0.3, colored_mnist.Options(palette))
        assert_same(recipe.build(tmp_path / "pt", 0.3, colored_mnist.Options(palette)), generated)
        assert_same(read_disen(tmp_path / "folders" / folder, "30pct", CLASSES), generated)


def test_no_more_processes_than_windows_takes(monkeypatch):
    counts = []

    class Pool:
        def __init__(self, count, *rest):
            counts.append(count)

        map = staticmethod(map)

        def shutdown(self, cancel_futures):
            pass

    monkeypatch.setattr(output, "ProcessPoolExecutor", Pool)
    assert list(output._each(abs, list(range(-100, 0)), workers=96, what="counting")) == list(range(100, 0, -1))
    assert counts == [61]
