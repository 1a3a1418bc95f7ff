"""The user's own images: splits, what the CSV adds, and one clear line for everything that can be wrong with them."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import train_mix
from data import prepare
from data.folder import Options
from data.load import DataSettings, load_dataset
from data.registry import datasets
from utils.audit.samples import read_samples
from utils.errors import RunError, UsageError
from utils.files import read_json

SPLITS = ("train", "valid", "test")


def draw(path, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(list("/".join(path.parts[-3:]).encode())).integers(
        0, 256, (size[1], size[0], 3), np.uint8
    )
    Image.fromarray(pixels).save(path)


@pytest.fixture
def tree(tmp_path):
    """Two classes: 40 and 20 images to train, 4 and 4 to validate, 6 and 6 to test."""
    for split, counts in (("train", (40, 20)), ("valid", (4, 4)), ("test", (6, 6))):
        for name, count in zip(("cat", "dog"), counts, strict=True):
            for i in range(count):
                draw(tmp_path / split / name / f"{i:02}.png")
    return tmp_path


def build(tree, annotations="", image_size=0, bratio=None):
    return datasets["folder"].build(Path(tree), bratio, Options(str(annotations), image_size))


def remove(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def table(tree, text):
    path = tree / "labels.csv"
    path.write_text(text)
    return path


def test_folders_give_labels_and_nothing_else_is_known(tree):
    source = build(tree)
    assert source.class_names == ("cat", "dog")
    assert [len(getattr(source, name).labels) for name in SPLITS] == [60, 8, 12]
    assert source.train.labels.tolist() == [0] * 40 + [1] * 20
    assert source.train.truth.tolist() == [-1] * 60
    assert source.valid.truth.tolist() == [-1] * 8
    assert source.test.truth.tolist() == source.test.labels.tolist() == [0] * 6 + [1] * 6
    assert all((getattr(source, name).bias_labels == -1).all() for name in SPLITS)
    assert "stratified" not in source.origin
    wanted = np.asarray(Image.open(tree / "train/dog/03.png"))
    assert torch.equal(source.train.images[43].permute(1, 2, 0), torch.from_numpy(wanted.copy()))
    assert source.train.files[43] == "train/dog/03.png"
    assert source.test.files == tuple(f"test/{name}/{i:02}.png" for name in ("cat", "dog") for i in range(6))


def test_a_test_split_and_a_validation_split_are_held_out_by_class_and_the_log_says_so(tree):
    remove(tree / "valid")
    remove(tree / "test")
    source = build(tree)
    assert [torch.bincount(getattr(source, name).labels).tolist() for name in SPLITS] == [[29, 14], [3, 2], [8, 4]]
    assert "test: a stratified fifth of the training images, whose folders are taken as true" in source.origin
    assert "validation: a stratified tenth of the training images" in source.origin
    assert source.test.truth.tolist() == source.test.labels.tolist()
    assert source.valid.truth.unique().tolist() == [-1]
    rows = [{image.numpy().tobytes() for image in getattr(source, name).images} for name in SPLITS]
    assert sum(map(len, rows)) == len(set.union(*rows)) == 60
    assert torch.equal(build(tree).test.images, source.test.images)


def test_the_csv_tells_true_labels_biases_and_splits(tree):
    file = table(
        tree,
        "file,true_label,bias_label,split\n"
        "train/cat/00.png,dog,cat,\ntrain/cat/01.png,,dog,valid\ntrain/dog/05.png,-1,-1,test\ntest/cat/00.png,dog,,\n",
    )
    source = build(tree, file)
    assert [len(getattr(source, name).labels) for name in SPLITS] == [58, 9, 13]
    train, valid, test = (getattr(source, name) for name in SPLITS)
    assert (train.labels[0], train.truth[0], train.bias_labels[0]) == (0, 1, 0)
    assert train.truth[1:].unique().tolist() == train.bias_labels[1:].unique().tolist() == [-1]
    assert (valid.labels[0], valid.truth[0], valid.bias_labels[0]) == (0, -1, 1)
    assert test.labels.tolist() == [1] + [0] * 6 + [1] * 6
    assert test.truth.tolist() == [-1] + [1] + [0] * 5 + [1] * 6


def test_columns_stand_in_any_order_and_may_be_missing(tree):
    file = table(tree, "\ufefftrue_label,file\r\ndog,train/cat/02.png\r\n")
    source = build(tree, file)
    assert source.train.truth[2] == 1
    assert source.train.bias_labels.unique().tolist() == [-1]


def test_what_is_known_reaches_the_annotations_and_noise_is_added_to_given_labels(tree):
    file = table(tree, "file,true_label,bias_label\ntrain/cat/00.png,dog,cat\ntrain/cat/01.png,cat,dog\n")
    settings = DataSettings(
        "folder", str(tree), None, 0.0, "sym", "exact", clean_valid=False, seed=0, options=Options(str(file))
    )
    dataset = load_dataset(settings)
    assert dataset.train.labels[:2].tolist() == [0, 0]
    assert dataset.annotations["train"].true_labels[:3].tolist() == [1, 0, -1]
    train = dataset.summary()["train"]
    assert (train["effective_nratio"], train["effective_bratio"]) == (0.5, 1.0)
    assert train["groups"] == {
        "aligned-clean": 0, "conflicting-clean": 1, "aligned-noisy": 0, "conflicting-noisy": 1, "unknown": 58
    }  # fmt: skip


def test_a_given_label_corrects_the_folder_and_moves_no_image_between_splits(tree):
    for name in ("valid", "test"):
        remove(tree / name)
    before = build(tree)
    kept = {name: getattr(before, name) for name in SPLITS}
    chosen = {name: kept[name].files[0] for name in SPLITS}
    assert all(file.startswith("train/cat/") for file in chosen.values())
    rows = "".join(f"{file},dog,\n" for file in chosen.values())
    after = build(tree, table(tree, f"file,given_label,true_label\n{rows}train/cat/39.png,-1,\n"))
    for name in SPLITS:
        split = getattr(after, name)
        assert split.files == kept[name].files
        assert split.labels[0] == 1
        assert torch.equal(split.labels[1:], kept[name].labels[1:])
    assert after.train.truth[0] == -1, "correcting a label says nothing about the truth"
    assert after.test.truth[0] == 1, "but of test images given labels are taken as true"


@pytest.mark.parametrize("cell", ["=1+1", "'=1+1"])
def test_a_class_that_a_spreadsheet_takes_for_a_formula_may_be_marked_as_text(tree, cell):
    (tree / "train" / "dog").rename(tree / "train" / "=1+1")
    for name in ("valid", "test"):
        remove(tree / name)
    file = build(tree).train.files[-1]
    assert file.startswith("train/cat/")
    after = build(tree, table(tree, f"file,given_label\n{file},{cell}\n"))
    assert after.train.labels[after.train.files.index(file)] == 0, "the first class, of two in their order"


def test_a_class_can_be_corrected_away(tree):
    rows = "".join(f"train/dog/{i:02}.png,cat\n" for i in range(20))
    with pytest.raises(RunError, match=r"annotations leave no image of .*dog"):
        build(tree, table(tree, "file,given_label\n" + rows))


def test_a_class_whose_other_images_are_held_out_can_be_corrected_away(tree):
    remove(tree / "test")
    built = build(tree)
    rows = "".join(f"{file},cat\n" for file in built.train.files if "/dog/" in file)
    with pytest.raises(RunError, match=r"annotations leave no image of .*dog"):
        build(tree, table(tree, "file,given_label\n" + rows))


def test_clean_validation_takes_true_labels_where_they_are_known(tree):
    rows = "".join(f"test/cat/{i:02}.png,dog\n" for i in range(6))
    settings = DataSettings(
        "folder", str(tree), None, 0.0, "sym", "exact", clean_valid=True, seed=0,
        options=Options(str(table(tree, "file,true_label\n" + rows))),
    )  # fmt: skip
    assert load_dataset(settings).valid.labels.tolist() == [1] * 6


@pytest.mark.parametrize("size", [(6, 4), (9, 5)])
def test_image_size_squashes_whatever_the_sizes_are(tree, size):
    draw(tree / "train/cat/zz.jpg", size=size)
    source = build(tree, image_size=8)
    assert source.train.images.shape == (61, 3, 8, 8)
    with Image.open(tree / "train/cat/zz.jpg") as image:
        wanted = np.asarray(image.convert("RGB").resize((8, 8), Image.Resampling.BILINEAR))
    assert torch.equal(source.train.images[40].permute(1, 2, 0), torch.from_numpy(wanted.copy()))


def test_hidden_files_and_other_files_are_no_images(tree):
    (tree / "train/cat/._00.png").write_bytes(b"metadata of a Macintosh")
    (tree / "train/.cache").mkdir()
    (tree / "train/cat/notes.txt").write_text("x")
    assert len(build(tree).train.labels) == 60


def test_linked_folders_and_deeper_ones_are_read(tree, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    draw(elsewhere / "deep/er/x.png")
    (tree / "train/dog/more").symlink_to(elsewhere, target_is_directory=True)
    assert len(build(tree).train.labels) == 61


def damage(name, content):
    return lambda tree: (tree / name).write_bytes(content)


def no_permission(tree):
    if os.geteuid() == 0:
        pytest.skip("the administrator may read everything")
    (tree / "train/cat").chmod(0)


def loop(tree):
    (tree / "train/cat/loop").symlink_to(tree / "train/cat", target_is_directory=True)


def sixteen_bits(tree):
    Image.fromarray(np.full((4, 6), 40_000, np.uint16)).save(tree / "train/cat/00.png")


WRONG = {
    "no train folder": (lambda tree: remove(tree / "train"), r"train is missing: wanted --data_dir DIR with"),
    "one class": (lambda tree: remove(tree / "train/dog"), "train holds 1 folders; a folder per class is needed"),
    "an empty class": (lambda tree: (tree / "train/owl").mkdir(), r"train/owl holds no images\. Remove the folder"),
    "an empty valid": (lambda tree: remove(tree / "valid/cat") or remove(tree / "valid/dog"), "valid holds no .png"),
    "no class folder": (lambda tree: draw(tree / "train/x.png"), r"train/x\.png: lies in no class folder; wanted"),
    "a new class": (
        lambda tree: draw(tree / "test/owl/x.png"), r"test/owl/x\.png: owl is no class of .*train \(cat, dog\)"
    ),
    "an empty file": (damage("train/cat/00.png", b""), r"cannot read the image .*train/cat/00\.png"),
    "a text": (damage("valid/dog/01.png", b"hello"), r"cannot read the image .*valid/dog/01\.png"),
    "half an image": (
        lambda tree: (tree / "test/dog/01.png").write_bytes((tree / "test/dog/02.png").read_bytes()[:60]),
        r"cannot read the image .*test/dog/01\.png",
    ),
    "a dangling link": (
        lambda tree: (tree / "train/cat/y.png").symlink_to(tree / "gone"), r"cannot read the image .*y\.png"
    ),
    "no permission": (no_permission, r"cannot read the folder .*train/cat: Permission denied"),
    "a loop of links": (loop, "cat/loop is a link to a folder that it lies in"),
    "16 bits": (sixteen_bits, r"cannot read the image .*00\.png: a pixel has more than 8 bits"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_images_that_cannot_be_meant_end_in_one_line(tree, case):
    change, message = WRONG[case]
    change(tree)
    with pytest.raises(RunError, match=message) as error:
        build(tree)
    assert "\n" not in str(error.value)


WRONG_CSV = {
    "no file column": ("name,true_label\n", r"line 1: the columns are name, true_label; wanted file and any of"),
    "a column too many": ("file,label\n", r"line 1: the columns are file, label; wanted file and any of"),
    "a column twice": ("file,split,split\n", r"line 1: the columns are file, split, split; wanted .*, each once\."),
    "empty": ("", "line 1: the columns are none; wanted file"),
    "unknown file": ("file\ntrain/cat/77.png\n", r"line 2: no image 'train/cat/77\.png' in .*such as train/"),
    "a file twice": ("file\ntrain/cat/00.png\ntrain/cat/00.png\n", r"line 3: train/cat/00\.png is there a second time"),
    "true label": ("file,true_label\ntrain/cat/00.png,owl\n", r"line 2, true_label: 'owl' is no class; there are"),
    "bias label": ("file,bias_label\ntrain/cat/00.png,1\n", r"line 2, bias_label: '1' is no class.*and -1"),
    "split": ("file,split\ntrain/cat/00.png,dev\n", r"line 2: 'dev' is no split; there are train, valid, test"),
    "a cell too few": ("file,true_label\ntrain/cat/00.png\n", r"line 2: wanted 2 cells"),
    "a cell too many": ("file,true_label\ntrain/cat/00.png,cat,cat\n", r"line 2: wanted 2 cells"),
    "not text": (b"file\n\xff\xfe\n", "cannot read --annotations .*codec"),
    "a quote left open": ('file\n"train/cat/00.png\n', "cannot read --annotations .*unexpected end"),
    "nothing left": (
        "file,split\n" + "".join(f"train/{name}/{i:02}.png,test\n" for name in ("cat", "dog") for i in range(40)
                                if name == "cat" or i < 20),
        "the annotations leave no image of .*train/cat to train on",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_CSV)
def test_a_csv_that_cannot_be_meant_ends_in_one_line(tree, case):
    content, message = WRONG_CSV[case]
    path = tree / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunError, match=message) as error:
        build(tree, path)
    assert "labels.csv" in str(error.value) or case == "nothing left"
    assert "\n" not in str(error.value)


def test_a_missing_csv_and_a_ratio_are_refused(tree):
    with pytest.raises(RunError, match=r"cannot read --annotations .*gone\.csv"):
        build(tree, tree / "gone.csv")
    with pytest.raises(UsageError, match=r"--bratio 0.1: your images have the bias that they have"):
        build(tree, bratio=0.1)


def split_rows(rows):
    return "file,split\n" + "".join(f"train/{name},{split}\n" for name, split in rows)


def test_one_row_of_a_split_does_not_turn_off_the_holding_out(tree):
    remove(tree / "valid")
    remove(tree / "test")
    source = build(tree, table(tree, split_rows([("cat/00.png", "test"), ("dog/00.png", "valid")])))
    assert [len(getattr(source, name).labels) for name in SPLITS] == [41, 6, 13]
    assert "train/cat/00.png" in source.test.files
    assert "train/dog/00.png" in source.valid.files
    assert "test: a stratified fifth of the training images" in source.origin
    assert "true labels, besides the 1 that the annotations name" in source.origin
    assert "validation: a stratified tenth of the training images, besides the 1" in source.origin


def test_a_split_that_the_csv_gives_enough_images_is_taken_as_it_is(tree):
    remove(tree / "valid")
    remove(tree / "test")
    rows = [(f"{name}/{i:02}.png", "test") for name in ("cat", "dog") for i in range(6)]
    rows += [(f"{name}/{i:02}.png", "val") for name in ("cat", "dog") for i in range(6, 10)]
    source = build(tree, table(tree, split_rows(rows)))
    assert [len(getattr(source, name).labels) for name in SPLITS] == [40, 8, 12]
    assert "stratified" not in source.origin


def test_images_that_the_csv_wants_trained_on_are_not_held_out(tree):
    remove(tree / "valid")
    remove(tree / "test")
    rows = [("cat/00.png", "test"), ("cat/01.png", "valid")]
    rows += [(f"cat/{i:02}.png", "train") for i in range(2, 40)] + [(f"dog/{i:02}.png", "train") for i in range(20)]
    source = build(tree, table(tree, split_rows(rows)))
    assert [len(getattr(source, name).labels) for name in SPLITS] == [58, 1, 1]
    with pytest.raises(RunError, match="none is left for the valid split"):
        build(tree, table(tree, split_rows([row for row in rows if row[1] != "valid"])))


@pytest.mark.parametrize("name", ["val", "validation"])
def test_other_names_of_the_validation_folder(tree, name):
    wanted = build(tree)
    (tree / "valid").rename(tree / name)
    source = build(tree)
    assert torch.equal(source.valid.images, wanted.valid.images)
    assert source.valid.files[0] == f"{name}/cat/00.png"
    assert "stratified" not in source.origin
    assert source.left_out == ()
    (tree / "valid").mkdir()
    with pytest.raises(RunError, match=f"holds valid and {name}, which mean the same split. Keep one"):
        build(tree)


def test_folders_that_are_no_split_are_named(tree):
    draw(tree / "extra/cat/x.png")
    (tree / "Validation").mkdir()
    (tree / ".cache").mkdir()
    assert build(tree).left_out == ("folders that are no split: Validation, extra",)


def test_what_is_hidden_or_of_another_format_is_left_out_and_counted(tree):
    wanted = build(tree)
    for name in ("train/cat/.ipynb_checkpoints/x.png", "train/.ipynb_checkpoints/x.png", "valid/__MACOSX/cat/x.png"):
        draw(tree / name)
    (tree / "test/Thumbs.db").write_bytes(b"")
    for name in ("train/cat/a.heic", "train/dog/b.heic", "test/dog/c.TXT"):
        (tree / name).write_bytes(b"")
    source = build(tree)
    assert source.class_names == ("cat", "dog")
    for name in SPLITS:
        assert torch.equal(getattr(source, name).images, getattr(wanted, name).images)
    hidden, others = source.left_out
    assert hidden == "4 hidden files or folders"
    assert others.startswith("3 files that are not .png")
    assert others.endswith("(.heic 2, .txt 1)")


def test_damaged_images_are_left_out_where_that_is_wanted(tree):
    wanted = build(tree)
    for name in ("train/cat/03.png", "test/dog/05.png"):
        (tree / name).write_bytes(b"")
    with pytest.raises(RunError, match=r"cannot read 2 images: .*cat/03\.png: the file is empty; .*dog/05\.png"):
        build(tree)
    source = datasets["folder"].build(tree, None, Options(skip_damaged=True))
    assert source.train.files == tuple(name for name in wanted.train.files if name != "train/cat/03.png")
    assert torch.equal(source.train.images[3], wanted.train.images[4])
    assert len(source.test.labels) == 11
    assert source.left_out == ("2 images that cannot be read",)


def test_a_class_that_damage_empties_is_an_error(tree):
    for path in (tree / "train/dog").iterdir():
        path.write_bytes(b"")
    with pytest.raises(RunError, match=r"none of the images of .*train/dog that are to be trained on can be read"):
        datasets["folder"].build(tree, None, Options(skip_damaged=True))


TWINS = [("a", "A"), ("Straße", "STRASSE"), ("caf\u00e9", "cafe\u0301"), ("x", " x"), ("two words", "two  words")]


@pytest.mark.parametrize("names", TWINS)
def test_class_folders_that_look_alike_are_named(tree, caplog, names):
    for name in names:
        for i in range(5):
            draw(tree / "train" / name / f"{i}.png")
    if len(list((tree / "train").iterdir())) < 4:
        pytest.skip("this disk takes the two names for one")
    source = build(tree)
    assert set(names) < set(source.class_names)
    (warning,) = [record.getMessage() for record in caplog.records if "look alike" in record.getMessage()]
    assert all(repr(name) in warning for name in names)


def test_images_of_several_sizes_are_squashed_unless_a_size_is_given(tree):
    draw(tree / "train/cat/x.png", size=(7, 4))
    source = build(tree)
    assert source.train.images.shape == (61, 3, 96, 96)
    assert "images squashed to 96x96 pixels (--image_size)" in source.origin
    with Image.open(tree / "train/cat/x.png") as image:
        wanted = np.asarray(image.resize((96, 96), Image.Resampling.BILINEAR))
    assert np.array_equal(source.train.images[40].permute(1, 2, 0).numpy(), wanted)
    assert "squashed" not in build(tree, image_size=8).origin


def test_a_size_beyond_reason_is_refused_before_anything_is_read(tmp_path, capsys):
    for dataset in ("folder", "bar", "bffhq"):
        arguments = ["--dataset", dataset, "--data_dir", str(tmp_path / "nowhere"), "--image_size", "1000000"]
        assert train_mix.main(arguments) == 2
        assert "1000000 is not a whole number at least 0 and at most 4096" in capsys.readouterr().err


SPELLINGS = {
    "semicolons": "file;true_label;split\ntrain/cat/02.png;dog;test\n",
    "tabs": "file\ttrue_label\tsplit\ntrain/cat/02.png\tdog\ttest\n",
    "Excel's": "\ufefffile;true_label;split\r\ntrain/cat/02.png;dog;test\r\n;;\r\n",
    "quoted": '"file","true_label","split"\n"train/cat/02.png","dog","test"\n',
    "backslashes": "file,true_label,split\ntrain\\cat\\02.png,dog,test\n",
    "blanks and capitals": "File, True_Label ,SPLIT\n train/cat/02.png , dog, Test\n",
    "a dot in front": "file,true_label,split\n./train/cat/02.png,dog,test\n",
    "an empty line": "file,true_label,split\n\ntrain/cat/02.png,dog,test\n\n",
    "carriage returns": "file,true_label,split\rtrain/cat/02.png,dog,test\r",
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_tables_as_other_programs_write_them(tree, case):
    path = tree / "labels.csv"
    path.write_bytes(SPELLINGS[case].encode())
    source = build(tree, path)
    assert [len(getattr(source, name).labels) for name in SPLITS] == [59, 8, 13]
    at = source.test.files.index("train/cat/02.png")
    assert (source.test.labels[at], source.test.truth[at]) == (0, 1)


def test_names_are_found_in_either_form_of_unicode_and_as_bytes(tree):
    composed, raw = "train/cat/caf\u00e9.png", os.fsdecode(b"train/cat/caf\xe9.png")
    draw(tree / "plain.png")
    for name in (composed, raw):
        os.link(tree / "plain.png", tree / name)
    path = tree / "labels.csv"
    path.write_bytes("file,true_label\ntrain/cat/cafe\u0301.png,dog\n".encode() + b"train/cat/caf\xe9.png,dog\n")
    source = build(tree, path)
    known = [name for name, true in zip(source.train.files, source.train.truth.tolist(), strict=True) if true == 1]
    assert sorted(known) == sorted([composed, raw])


def test_a_table_in_utf16_says_what_is_wanted(tree):
    path = tree / "labels.csv"
    for content in ("file\ntrain/cat/00.png\n".encode("utf-16"), b"PK\x03\x04\0\0\0"):
        path.write_bytes(content)
        with pytest.raises(
            RunError, match=r"labels\.csv: it is UTF-16 or no text\. Save it as CSV in UTF-8 \(in Excel"
        ):
            build(tree, path)


def test_a_table_that_empties_a_class_is_an_error_as_an_empty_folder_is(tree):
    rows = [(f"dog/{i:02}.png", "test" if i % 2 else "valid") for i in range(20)]
    with pytest.raises(RunError, match=r"the annotations leave no image of .*train/dog to train on"):
        build(tree, table(tree, split_rows(rows)))


def test_bias_labels_without_true_labels_give_a_hint(tree, caplog):
    build(tree, table(tree, "file,bias_label\ntrain/cat/00.png,dog\ntrain/cat/01.png,cat\n"))
    assert "bias labels of 2 training images and true labels of none" in caplog.text
    assert "A column true_label tells them" in caplog.text
    caplog.clear()
    build(tree, table(tree, "file,bias_label,true_label\ntrain/cat/00.png,dog,cat\ntrain/cat/01.png,cat,\n"))
    build(tree, table(tree, "file,true_label\ntrain/cat/00.png,dog\n"))
    assert caplog.text == ""


def test_a_prepared_set_is_taken_for_the_images_that_it_was_made_of_only(tree, caplog):
    wanted = build(tree)
    arguments = ["--dataset", "folder", "--data_dir", str(tree), "--workers", "1"]
    assert prepare.main(arguments) == 0
    assert (tree / "folder/folder.pt").is_file()
    source = build(tree)
    assert source.left_out == ()
    for name in SPLITS:
        assert torch.equal(getattr(source, name).images, getattr(wanted, name).images)
        assert torch.equal(getattr(source, name).truth, getattr(wanted, name).truth)
    draw(tree / "train/cat/00.png", size=(4, 6))
    with pytest.raises(
        RunError, match=r"folder\.pt was not made of the images that are in .* now\. Remove it, or prep"
    ):
        build(tree)
    (tree / "train").rename(tree / "elsewhere")
    assert torch.equal(build(tree).train.images, wanted.train.images), "alone it is what there is"


def test_folders_without_train_are_named(tree):
    (tree / "train").rename(tree / "Train")
    with pytest.raises(RunError, match=r"train is missing: .*Folders that are there: Train, test, valid"):
        build(tree)


@pytest.mark.filterwarnings("error")
def test_a_run_on_images_of_which_nothing_is_known(tree, tmp_path, capsys):
    """All the way: groups are reported as unknown, and never as 0."""
    rows = "".join(f"test/{name}/{i:02}.png,-1\n" for name in ("cat", "dog") for i in range(6))
    arguments = [
        "--dataset", "folder", "--data_dir", str(tree), "--annotations", str(table(tree, "file,true_label\n" + rows)),
        "--image_size", "8", "--alg", "deneb_vanilla", "--model", "MLP", "--epochs", "2", "--batch_size", "16",
        "--log_dir", str(tmp_path / "log"), "--gpu", "cpu",
    ]  # fmt: skip
    assert train_mix.main(arguments) == 0
    folder = tmp_path / "log/folder/deneb_vanilla/0.0_given/0"
    result = read_json(folder / "result.json")
    for when in ("end", "best"):
        assert [result[when][f"test_{key}"] for key in ("accuracy", "aligned", "conflicting", "worst_group")] == [
            None
        ] * 4
        assert result[when]["valid_accuracy"] is not None
    assert set(result["stages"][0]["mass"].values()) == set(result["stages"][0]["share"].values()) == {None}
    assert result["stages"][0]["auroc_noisy"] is None
    for name in SPLITS:
        assert result["data"][name]["effective_nratio"] is result["data"][name]["effective_bratio"] is None
        assert result["data"][name]["groups"]["unknown"] == result["data"][name]["size"]
    samples = read_samples(folder)
    assert samples["file"].tolist() == [f"train/cat/{i:02}.png" for i in range(40)] + [
        f"train/dog/{i:02}.png" for i in range(20)
    ]
    assert samples["given_label"].tolist() == ["cat"] * 40 + ["dog"] * 20
    assert set(samples["true_label"]) == set(samples["bias_label"]) == set(samples["group"]) == {""}
    printed = capsys.readouterr().out
    assert "noisy unknown, conflicting unknown (unknown 60)" in printed
    assert "n/a" in printed
    assert f"--annotations {tree / 'labels.csv'}" in printed.split("baseline to compare with")[1]
    assert "--bratio" not in printed.split("baseline to compare with")[1]
