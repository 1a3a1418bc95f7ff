"""The files that users have: what is read, and that everything else ends in one clear line."""

import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from data.layouts import images
from data.layouts.disen import read_disen
from data.layouts.pt import pt_files, read_pt, write_pt
from data.split import Clean, Source
from data.store import Store
from utils.errors import RunError

CLASSES = tuple("0123456789")


def part(size=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "data": torch.randint(0, 256, (size, 3, 5, 4), dtype=torch.uint8, generator=generator),
        "label": torch.randint(0, 10, (size,), generator=generator),
        "b_label": torch.randint(0, 10, (size,), generator=generator),
    }


@pytest.fixture
def files(tmp_path):
    return pt_files(tmp_path, "toy", 0.01)


@pytest.fixture
def read(files):
    """Writes the authors' two files, the training part changed on demand, and reads them."""

    def write_and_read(**changed):
        torch.save({"train": {**part(6, 0), **changed}, "valid": part(4, 1)}, files[0])
        torch.save(part(5, 2), files[1])
        return read_pt(*files, CLASSES)

    return write_and_read


@pytest.mark.parametrize(("bratio", "name"), [(0.01, "0.01"), (1e-3, "0.001"), (0.005, "0.005"), (1, "1.0")])
def test_file_names_are_the_authors(tmp_path, bratio, name):
    wanted = (tmp_path / f"colored_mnist_bias_{name}.pt", tmp_path / "colored_mnist_test.pt")
    assert pt_files(tmp_path, "colored_mnist", bratio) == wanted


def test_uint8_images_are_taken_as_they_are(read):
    source = read()
    for clean, wanted in ((source.train, part(6, 0)), (source.valid, part(4, 1)), (source.test, part(5, 2))):
        assert torch.equal(clean.images, wanted["data"])
        assert clean.images.dtype == torch.uint8
        assert clean.images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(clean.labels, wanted["label"])
        assert torch.equal(clean.bias_labels, wanted["b_label"])
    assert source.class_names == CLASSES
    assert "toy_bias_0.01.pt" in source.origin


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("off", [0, 1e-3, -1e-3])
def test_float_images_in_0_to_1_become_the_nearest_bytes(read, dtype, off):
    images = (part()["data"].to(dtype) / 255 + off).clamp(0, 1)
    assert torch.equal(read(data=images).train.images, part()["data"])


@pytest.mark.parametrize("unknown", [{}, {"anything": torch.zeros(3)}, None])
def test_bias_labels_may_be_a_dict_or_none(read, unknown):
    assert read(b_label=unknown).train.bias_labels.tolist() == [-1] * 6


def test_bias_labels_may_be_missing(files):
    without = {key: value for key, value in part().items() if key != "b_label"}
    torch.save({"train": without, "valid": part()}, files[0])
    torch.save(without, files[1])
    source = read_pt(*files, CLASSES)
    assert source.train.bias_labels.tolist() == source.test.bias_labels.tolist() == [-1] * 6
    assert source.valid.bias_labels.tolist() == part()["b_label"].tolist()


def test_labels_of_any_integer_type_become_int64(read):
    source = read(label=part()["label"].to(torch.uint8), b_label=part()["b_label"].int())
    assert source.train.labels.dtype == source.train.bias_labels.dtype == torch.int64
    assert torch.equal(source.train.labels, part()["label"])


WRONG_PARTS = {
    "floats above 1": ({"data": part()["data"].float()}, r"must lie in \[0, 1\], these span \[.*, 25\d"),
    "floats below 0": ({"data": part()["data"] / 255 - 0.5}, r"must lie in \[0, 1\], these span \[-0\.5"),
    "NaN": ({"data": torch.full((6, 3, 5, 4), torch.nan)}, r"must lie in \[0, 1\].*nan"),
    "NaN among numbers": ({"data": torch.rand(6, 3, 5, 4).index_fill_(0, torch.tensor([3]), torch.nan)}, "nan"),
    "infinity": ({"data": torch.full((6, 3, 5, 4), torch.inf)}, "inf"),
    "one image without its label": (
        {"data": part(7)["data"]},
        r"data is \[7, 3, 5, 4\], labels \[6\], bias labels \[6\]",
    ),
    "too few bias labels": ({"b_label": torch.zeros(5).long()}, r"labels \[6\], bias labels \[5\]"),
    "channels last": (
        {"data": part()["data"].permute(0, 2, 3, 1)},
        r"data is \[6, 5, 4, 3\] \(channels last: permute\(0, 3, 1, 2\) turns them\); wanted \[N, 3, H, W\]",
    ),
    "grey": ({"data": part()["data"][:, :1]}, r"data is \[6, 1, 5, 4\] \(grey images.*wanted \[N, 3, H, W\]"),
    "grey, last": ({"data": part()["data"][:, 0, :, :, None]}, r"data is \[6, 5, 4, 1\] \(grey.*wanted \[N, 3, H, W\]"),
    "with transparency": (
        {"data": torch.zeros(6, 4, 5, 7, dtype=torch.uint8)},
        r"data is \[6, 4, 5, 7\] \(with transparency.*wanted \[N, 3, H, W\]",
    ),
    "two channels": ({"data": torch.zeros(6, 2, 5, 7)}, r"data is \[6, 2, 5, 7\]; wanted \[N, 3, H, W\]"),
    "rows of pixels": ({"data": torch.zeros(6, 3072)}, r"data is \[6, 3072\]; wanted \[N, 3, H, W\]"),
    "video": ({"data": torch.zeros(6, 2, 3, 5, 5)}, r"data is \[6, 2, 3, 5, 5\]; wanted"),
    "no pixels": ({"data": torch.zeros(6, 3, 0, 5)}, r"data is \[6, 3, 0, 5\]; wanted"),
    "a number": ({"data": torch.tensor(1.0)}, r"data is \[\]; wanted"),
    "whole numbers": ({"data": part()["data"].long()}, r"data is int64; wanted uint8, or floats in \[0, 1\]"),
    "complex": ({"data": part()["data"].to(torch.complex64)}, "data is complex64; wanted uint8"),
    "bool images": ({"data": part()["data"] > 99}, "data is bool; wanted uint8"),
    "cut labels": (
        {"label": part()["label"] + 0.5},
        r"labels hold .*\.5 \(at position 0; 6 of 6 are no classes\); wanted",
    ),
    "a label of NaN": ({"label": torch.tensor([0, 1, torch.nan, 3, 4, 5])}, r"labels hold nan \(at position 2; 1 of 6"),
    "an infinite label": ({"label": torch.full((6,), torch.inf)}, "labels hold inf .*wanted whole numbers from 0 to 9"),
    "huge labels": ({"label": torch.tensor([0, 1, 2, 3, 4, 1e30])}, r"labels hold 1e\+30 \(at position 5"),
    "a label too high": ({"label": torch.tensor([0, 1, 2, 3, 4, 10])}, "labels hold 10 .*from 0 to 9, for 10 classes"),
    "a negative label": ({"label": torch.tensor([0, 1, 2, 3, 4, -1])}, "labels hold -1 .*wanted whole numbers from 0"),
    "a negative bias label": ({"b_label": torch.tensor([0, 1, 2, 3, 4, -2])}, "bias labels hold -2 .*numbers from -1"),
    "a true label too high": ({"true_label": torch.tensor([0, 1, 2, 3, 4, 99])}, "true labels hold 99 "),
    "complex labels": ({"label": torch.zeros(6, dtype=torch.complex64)}, "labels are complex64; wanted whole numbers"),
    "too few true labels": ({"true_label": torch.zeros(5).long()}, r"true labels \[5\]; wanted"),
    "no channels": ({"data": part()["data"][:, 0]}, r"data is \[6, 5, 4\].*wanted \[N, 3, H, W\]"),
    "labels as a table": ({"label": torch.zeros(6, 10)}, "wanted"),
    "bias labels as a table": ({"b_label": torch.zeros(6, 2)}, "wanted"),
    "one number as labels": ({"label": torch.tensor(3)}, "wanted"),
    "one number as bias labels": ({"b_label": torch.tensor(3)}, "wanted"),
    "a list of images": ({"data": [[0.5]]}, r"expected train: \{data, label, b_label\} with tensors"),
    "a list of labels": ({"label": [1, 2, 3, 4, 5, 6]}, r"expected train: \{data, label, b_label\} with tensors"),
    "no labels": ({"label": None}, r"expected train: \{data, label, b_label\} with tensors"),
}


@pytest.mark.parametrize("case", WRONG_PARTS)
def test_a_part_that_cannot_be_meant_is_refused(read, case):
    changed, message = WRONG_PARTS[case]
    with pytest.raises(RunError, match=message) as error:
        read(**changed)
    assert "toy_bias_0.01.pt" in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.int8, torch.uint16, torch.uint64, torch.float16])
def test_whole_labels_of_any_type_are_taken(read, dtype):
    labels = torch.tensor([0, 1, 1, 0, 1, 0])
    assert read(label=labels.to(dtype)).train.labels.tolist() == labels.tolist()


def test_parameters_are_tensors_too(read):
    images = torch.nn.Parameter(part()["data"] / 255)
    assert torch.equal(read(data=images).train.images, part()["data"])


def test_splits_of_several_sizes_name_the_files(files):
    torch.save({"train": part(), "valid": part()}, files[0])
    torch.save({**part(), "data": torch.zeros(6, 3, 5, 5)}, files[1])
    with pytest.raises(RunError, match=r"toy_test\.pt, test: images are \[3, 5, 5\], those to train on .* \[3, 5, 4\]"):
        read_pt(*files, CLASSES)


@pytest.mark.parametrize("names", ["ab", 3, [1, 2], ["one"], [], {"a": 1}])
def test_class_names_that_are_none_are_refused(files, names):
    torch.save({"train": part(), "valid": part(), "class_names": names}, files[0])
    torch.save(part(), files[1])
    with pytest.raises(RunError, match="wanted a list of two or more names"):
        read_pt(*files, None)


def test_nobody_is_told_to_load_a_file_unsafely(files):
    for content in (pickle.dumps(Malice("x")), b"PK\x03\x04", b"", b"text"):
        files[0].write_bytes(content)
        torch.save(part(), files[1])
        with pytest.raises(RunError) as error:
            read_pt(*files, CLASSES)
        assert "weights_only" not in str(error.value)
        assert "likely" not in str(error.value)
        assert "\n" not in str(error.value)


WRONG_FILES = {
    "no validation part": {"train": part()},
    "no split level": part(),
    "a list": [part(), part()],
    "a tensor": torch.zeros(3),
    "splits as tensors": {"train": torch.zeros(3), "valid": torch.zeros(3)},
    "empty": {},
    "nothing": None,
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_file_of_another_shape_is_refused(files, case):
    torch.save(WRONG_FILES[case], files[0])
    torch.save(part(), files[1])
    with pytest.raises(RunError, match=r"toy_bias_0\.01\.pt: expected (train|valid): \{data, label, b_label\}"):
        read_pt(*files, CLASSES)


def test_a_missing_test_file_is_named(files):
    torch.save({"train": part(), "valid": part()}, files[0])
    with pytest.raises(RunError, match=r"found .*toy_bias_0\.01\.pt but not .*toy_test\.pt"):
        read_pt(*files, CLASSES)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("share", [0, 0.01, 0.2, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named(read, files, which, share):
    read()
    content = files[which].read_bytes()
    files[which].write_bytes(content[: int(share * len(content))])
    with pytest.raises(RunError, match=f"cannot read {files[which]} as tensors.*damaged"):
        read_pt(*files, CLASSES)


class Malice:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_code_in_a_file_is_refused_and_not_run(files, tmp_path, write):
    write({"train": Malice(tmp_path / "harm"), "valid": part()}, files[0])
    torch.save(part(), files[1])
    with pytest.raises(RunError, match=r"cannot read .*toy_bias_0\.01\.pt"):
        read_pt(*files, CLASSES)
    assert not (tmp_path / "harm").exists()


def test_what_is_written_reads_the_same(files):
    splits = [Clean(*part(4, seed).values()) for seed in range(3)]
    source = Source(*splits, CLASSES, "made up")
    write_pt(source, *files)
    again = read_pt(*files, CLASSES)
    assert again.origin == "made up"
    for name in ("train", "valid", "test"):
        for field in ("images", "labels", "bias_labels"):
            assert torch.equal(getattr(getattr(again, name), field), getattr(getattr(source, name), field))


# The Disen folders.

TREE = (
    "1pct/align/0/a_0_0.png", "1pct/align/2/b_2_2.png", "1pct/conflict/1/c_1_0.png", "1pct/valid/d_3_1.png",
    "test/2/e_2_0.png", "test/0/f_0_0.png",
)  # fmt: skip


def color_of(name):
    """A colour that tells the file."""
    return tuple(np.random.default_rng(list(name.encode())).integers(0, 256, 3).tolist())


def draw(path, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color_of(path.stem)).save(path)


@pytest.fixture
def tree(tmp_path):
    """A small tree in which every file is right; `tree / name` is a path in it."""
    for name in TREE:
        draw(tmp_path / "cmnist" / name)
    return tmp_path / "cmnist"


def read_tree(tree):
    return read_disen(tree, "1pct", CLASSES)


def assert_holds(clean, stems):
    assert [tuple(image[:, 0, 0].tolist()) for image in clean.images] == [color_of(stem) for stem in stems]
    assert clean.labels.tolist() == [int(stem.split("_")[-2]) for stem in stems]
    assert clean.bias_labels.tolist() == [int(stem.split("_")[-1]) for stem in stems]
    assert [file.rsplit("/")[-1] for file in clean.files] == [f"{stem}.png" for stem in stems]
    assert all(file.startswith("cmnist/") for file in clean.files)


def test_disen_folders_with_flat_validation(tree):
    source = read_tree(tree)
    assert_holds(source.train, ["a_0_0", "b_2_2", "c_1_0"])
    assert_holds(source.valid, ["d_3_1"])
    assert_holds(source.test, ["e_2_0", "f_0_0"])
    assert source.train.images.shape == (3, 3, 4, 6)
    assert source.train.images.dtype == torch.uint8
    assert source.train.images.is_contiguous(memory_format=torch.channels_last)
    assert source.origin == "Disen folders: cmnist/1pct"


def test_validation_may_be_nested(tree):
    (tree / "1pct/valid/d_3_1.png").unlink()
    draw(tree / "1pct/valid/4/g_4_4.png")
    draw(tree / "1pct/valid/0/h_0_7.png")
    assert_holds(read_tree(tree).valid, ["g_4_4", "h_0_7"])


def test_the_test_folder_may_lie_inside(tree):
    (tree / "test").rename(tree / "1pct/test")
    assert_holds(read_tree(tree).test, ["e_2_0", "f_0_0"])


@pytest.mark.parametrize("name", ["i_5_5.jpg", "i_5_5.jpeg", "i_5_5.PNG", "many_parts_5_5.png", "my_cat-1_5_5.png"])
def test_other_suffixes_and_longer_names(tree, name):
    draw(tree / "1pct/align/5" / name)
    source = read_tree(tree)
    assert source.train.labels.tolist() == [0, 2, 1, 5]
    wanted = torch.tensor(color_of(name.rsplit(".", 1)[0])).float()
    assert (source.train.images[3, :, 0, 0].float() - wanted).abs().max() <= 4  # JPEG


def test_gray_and_palette_images_become_rgb(tree):
    Image.new("L", (6, 4), 77).save(tree / "1pct/align/0/a_0_0.png")
    Image.new("RGB", (6, 4), (9, 8, 7)).convert("P", palette=Image.Palette.ADAPTIVE).save(
        tree / "1pct/align/2/b_2_2.png"
    )
    images = read_tree(tree).train.images
    assert images[0, :, 0, 0].tolist() == [77] * 3
    assert images[1, :, 0, 0].tolist() == [9, 8, 7]


def test_other_files_are_ignored(tree):
    (tree / "1pct/align/0/Thumbs.db").write_bytes(b"x")
    (tree / "1pct/align/readme.txt").write_text("hello")
    assert len(read_tree(tree).train.labels) == 3


def test_the_order_is_that_of_the_sorted_names_whatever_their_folders(tree):
    for i in (10, 9, 2, 33):
        draw(tree / f"1pct/align/0/{i}_0_0.png")
    draw(tree / "1pct/conflict/0/11_0_5.png")
    assert_holds(read_tree(tree).train, ["10_0_0", "11_0_5", "2_0_0", "33_0_0", "9_0_0", "a_0_0", "b_2_2", "c_1_0"])


@pytest.mark.parametrize("name", ["cat.png", "5_5.png", "a_x_5.png", "a_5_x.png", "a_5_.png", "a__5.png", "a_5_5_.png"])
def test_a_name_without_labels_is_named(tree, name):
    draw(tree / "1pct/align/5" / name)
    with pytest.raises(RunError, match=rf"{name}: the name must end in _<label>_<bias label>"):
        read_tree(tree)


BEYOND = ["a_10_3", "a_3_10", f"a_{'9' * 9}_0", "a_0_123456789"]


@pytest.mark.parametrize("name", BEYOND)
def test_a_label_beyond_the_classes_is_named(tree, name):
    draw(tree / f"1pct/conflict/{name}.png")
    with pytest.raises(RunError, match=rf"{name}\.png: the name says label .*; there are 0 to 9"):
        read_tree(tree)


@pytest.mark.parametrize("name", [f"a_{10**30}_0", f"a_0_{10**30}", "a_-1_0", "a_0_-1", "a_²_0", "a_٣_٣", "a_1_ 1"])
def test_numbers_that_are_no_labels_are_named(tree, name):
    draw(tree / f"1pct/align/{name}.png")
    with pytest.raises(RunError, match=r"the name must end in _<label>_<bias label>"):
        read_tree(tree)


CONTRADICTIONS = {
    "1pct/align/3/x_2_2.png": "the folder says class 3, the name says 2",
    "1pct/valid/3/x_2_2.png": "the folder says class 3, the name says 2",
    "test/0/x_2_2.png": "the folder says class 0, the name says 2",
    "1pct/align/2/x_2_3.png": "lies under align/, but its name says label 2, bias label 3",
    "1pct/align/x_2_3.png": "lies under align/, but its name says label 2, bias label 3",
    "1pct/conflict/2/x_2_2.png": "lies under conflict/, but its name says label 2, bias label 2",
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_folder_that_contradicts_the_name_is_named(tree, name):
    draw(tree / name)
    with pytest.raises(RunError, match=f"{name}: {CONTRADICTIONS[name]}"):
        read_tree(tree)


def test_a_class_folder_with_a_name_is_no_contradiction(tree):
    draw(tree / "1pct/align/²/x_2_2.png")
    assert read_tree(tree).train.labels.tolist() == [0, 2, 1, 2]


@pytest.mark.parametrize("folder", ["1pct/align", "1pct/conflict", "1pct/valid", "test"])
def test_missing_and_empty_folders_are_named(tree, folder):
    for path in sorted((tree / folder).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(RunError, match=rf"{folder} holds no \.png or \.jpg images"):
        read_tree(tree)
    (tree / folder).rmdir()
    with pytest.raises(RunError, match=rf"{folder} is missing; expected align/, conflict/ and valid/"):
        read_tree(tree)


def test_images_of_different_sizes_are_refused(tree):
    draw(tree / "1pct/align/5/x_5_5.png", size=(7, 4))
    with pytest.raises(RunError, match=r"differ in size: .*x_5_5\.png is 7x4, .*a_0_0\.png 6x4.*--image_size"):
        read_tree(tree)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image_is_named(tree, content):
    (tree / "1pct/align/2/b_2_2.png").write_bytes(content)
    with pytest.raises(RunError, match=r"cannot read the image .*b_2_2\.png"):
        read_tree(tree)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_whatever_is_damaged_in_an_image_never_gives_another_error(tree, suffix):
    """Truncated anywhere and with single bytes changed: an image still, or the one clear line."""
    path = tree / f"1pct/align/2/b_2_2.{suffix}"
    (tree / "1pct/align/2/b_2_2.png").unlink()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)).save(path)
    content = path.read_bytes()
    damaged = [content[:length] for length in range(0, len(content), 7)]
    damaged += [content[:i] + bytes([content[i] ^ 255]) + content[i + 1 :] for i in range(0, len(content), 3)]
    refused = 0
    for variant in damaged:
        path.write_bytes(variant)
        try:
            read_tree(tree)
        except RunError as error:
            assert path.name in str(error) or "differ in size" in str(error)  # noqa: PT017
            refused += 1
    assert refused > len(damaged) // 4


def test_damage_between_the_blocks_of_a_large_image(tree):
    """Here Pillow's decoder raises SyntaxError, which nobody expects from reading an image."""
    path = tree / "1pct/align/2/b_2_2.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)).save(path)
    content = path.read_bytes()
    second_block = content.index(b"IDAT", content.index(b"IDAT") + 1)
    path.write_bytes(content[:second_block] + b"\0" + content[second_block + 1 :])
    with pytest.raises(RunError, match=r"cannot read the image .*b_2_2\.png"):
        read_tree(tree)


def test_pixels_of_more_than_8_bits_are_refused_and_not_clipped(tree):
    Image.fromarray(np.full((4, 6), 40_000, np.uint16)).save(tree / "1pct/align/2/b_2_2.png")
    with pytest.raises(RunError, match=r"b_2_2\.png: a pixel has more than 8 bits.*convert the image"):
        read_tree(tree)


def test_hidden_folders_are_left_out_and_other_files_counted(tree):
    draw(tree / "1pct/align/0/.ipynb_checkpoints/x_0_0.png")
    (tree / "test/notes.txt").write_text("x")
    source = read_tree(tree)
    assert len(source.train.labels) == 3
    assert source.left_out[0] == "1 hidden files or folders"
    assert source.left_out[1].endswith("(.txt 1)")


def test_hidden_files_are_no_images(tree):
    (tree / "1pct/align/0/._a_0_0.png").write_bytes(b"metadata of a Macintosh")
    assert len(read_tree(tree).train.labels) == 3


def test_a_folder_that_cannot_be_read_is_named(tree, monkeypatch):
    """Also for an administrator, whom permissions do not stop."""
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("align/2"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(RunError, match=r"cannot read the folder .*align/2: Permission denied"):
        read_tree(tree)


def test_the_misspelt_folder_of_the_readmes_is_pointed_out(tree):
    (tree / "1pct/conflict").rename(tree / "1pct/conlict")
    with pytest.raises(RunError, match=r"1pct/conflict is missing.*Some READMEs write conlict/"):
        read_tree(tree)


def test_validation_may_lie_beside_the_ratio_but_its_own_comes_first(tree):
    draw(tree / "valid/z_1_1.png")
    assert_holds(read_tree(tree).valid, ["d_3_1"])
    (tree / "1pct/valid/d_3_1.png").unlink()
    (tree / "1pct/valid").rmdir()
    assert_holds(read_tree(tree).valid, ["z_1_1"])


def test_true_labels_are_kept_where_labels_may_be_wrong(files):
    splits = [Clean(*part(4, seed).values(), torch.tensor([3, -1, 0, 9])) for seed in range(3)]
    write_pt(Source(*splits, CLASSES, "made up"), *files)
    again = read_pt(*files, None)
    assert again.class_names == CLASSES
    assert again.train.truth.tolist() == again.test.truth.tolist() == [3, -1, 0, 9]


def test_a_file_without_class_names_needs_them_given(read, files):
    read()
    with pytest.raises(RunError, match="class_names are missing"):
        read_pt(*files, None)


def test_images_that_do_not_fit_into_memory_go_into_a_file_beside_them(tree, monkeypatch):
    """The same images, found again the second time, and made anew when a file changes."""
    wanted = read_tree(tree)
    monkeypatch.setattr(images, "fits_in_memory", lambda size: False)
    monkeypatch.setattr(images, "CHUNK", 2)
    for _ in range(2):
        train = read_tree(tree).train
        assert isinstance(train.images, Store)
        assert torch.equal(train.images[:], wanted.train.images)
        assert train.labels.tolist() == wanted.train.labels.tolist()
        assert train.files == wanted.train.files
    assert len(list((tree / "1pct").glob(".images-*.bytes"))) == 1
    file = tree / "1pct/align/0/a_0_0.png"
    before = file.stat()
    Image.new("RGB", (6, 4), (1, 2, 3)).save(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read_tree(tree).train.images[0][:, 0, 0].tolist() == [1, 2, 3], "what counts is the content, not the time"
    assert len(list((tree / "1pct").glob(".images-*.bytes"))) == 2


def test_a_stored_set_is_written_like_any_other(tree, tmp_path, monkeypatch):
    wanted = read_tree(tree)
    monkeypatch.setattr(images, "fits_in_memory", lambda size: False)
    write_pt(read_tree(tree), *pt_files(tmp_path, "toy", None))
    again = read_pt(*pt_files(tmp_path, "toy", None), CLASSES)
    assert torch.equal(again.train.images, wanted.train.images)
