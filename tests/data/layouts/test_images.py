"""Image files as people have them become what a viewer shows; what cannot be read is named, all of it at once."""

import os
import re
import struct
import subprocess
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from data.layouts import digests, images
from data.layouts.decoding import DamagedImage, decode
from data.layouts.digests import contents_digest, noted_digest
from data.layouts.images import AUTOMATIC_SIZE, Files, Reading, fitting_size, listed, read_splits
from data.store import Store
from utils.errors import RunError

UPRIGHT = np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)
ORIENTATION = 274
STORED = {
    1: UPRIGHT, 2: UPRIGHT[:, ::-1], 3: UPRIGHT[::-1, ::-1], 4: UPRIGHT[::-1], 5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT, 1), 7: np.rot90(UPRIGHT, 2).transpose(1, 0, 2), 8: np.rot90(UPRIGHT, -1),
}  # fmt: skip
"""By EXIF orientation: the pixels that a camera stores of a picture that is `UPRIGHT` when it is looked at."""


def put(path, pixels=UPRIGHT, mode=None, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    (image.convert(mode) if mode else image).save(path, **settings)
    return path


def exif(orientation):
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def read_one(paths, **settings):
    """All of `paths` as one split, with labels that number them."""
    count = torch.arange(len(paths))
    (clean,), left_out = read_splits(paths[0].parent, [Files(list(paths), count, count)], Reading(**settings))
    return clean, left_out


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_pictures_are_turned_as_their_exif_orientation_says(tmp_path, orientation, suffix):
    lossless = {"lossless": True} if suffix == "webp" else {}
    path = put(tmp_path / f"x.{suffix}", STORED[orientation], exif=exif(orientation), **lossless)
    assert np.array_equal(decode(path), UPRIGHT)


def test_a_phones_jpeg_is_upright_and_alike_ones_go_together(tmp_path):
    smooth = np.linspace(0, 255, 24 * 16 * 3).reshape(16, 24, 3).astype(np.uint8)
    plain = put(tmp_path / "a.jpg", smooth, quality=95)
    turned = put(tmp_path / "b.jpg", np.rot90(smooth), quality=95, exif=exif(6))
    with Image.open(turned) as image:
        assert image.size == (16, 24)
    clean, _ = read_one([plain, turned])
    assert clean.images.shape == (2, 3, 16, 24)
    assert (clean.images[0].float() - clean.images[1].float()).abs().mean() < 6
    assert fitting_size([plain, turned]) == 0


@pytest.mark.parametrize("junk", [b"Exif\0\0" + b"\xff" * 40, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0"])
def test_a_broken_exif_part_does_not_damage_a_picture(tmp_path, caplog, junk):
    path = put(tmp_path / "x.jpg", UPRIGHT, exif=junk)
    assert read_one([path])[0].images.shape == (1, 3, 5, 8)
    assert all("x.jpg: " in message for message in caplog.messages)


def transparent(colours, alpha):
    return np.concatenate([colours, alpha[..., None]], 2).astype(np.uint8)


HOLE = np.where(np.arange(8) < 4, 0, 255)[None].repeat(5, 0)
"""Transparent on the left, opaque on the right."""


def on_white(colours):
    return np.where(HOLE[..., None] == 0, 255, colours)


def test_junk_under_transparency_is_white(tmp_path):
    for name, settings in (("x.png", {}), ("x.webp", {"lossless": True, "exact": True}), ("x.tif", {})):
        path = put(tmp_path / name, transparent(UPRIGHT, HOLE), **settings)
        with Image.open(path) as image:
            assert (np.asarray(image)[:, :4, :3] != 255).any(), "the junk is in the file"
        assert np.array_equal(decode(path), on_white(UPRIGHT)), name


def test_half_transparent_pixels_are_blended_with_white(tmp_path):
    path = put(tmp_path / "x.png", transparent(np.zeros((5, 8, 3)), np.full((5, 8), 51)))
    assert decode(path).tolist() == np.full((5, 8, 3), 204).tolist()


def test_grey_with_alpha(tmp_path):
    gray = UPRIGHT[..., 0]
    path = put(tmp_path / "x.png", np.stack([gray, HOLE.astype(np.uint8)], 2))
    with Image.open(path) as image:
        assert image.mode == "LA"
    assert np.array_equal(decode(path), on_white(gray[..., None].repeat(3, 2)))


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_transparent_colours_of_a_palette(tmp_path, suffix):
    image = Image.fromarray(np.tile(np.array([0, 1, 2, 1], np.uint8), (5, 2)), "P")
    image.putpalette([9, 9, 9, 200, 0, 0, 0, 0, 200])
    image.save(tmp_path / f"x.{suffix}", transparency=0)
    assert decode(tmp_path / f"x.{suffix}")[0, :4].tolist() == [[255] * 3, [200, 0, 0], [0, 0, 200], [200, 0, 0]]


def test_a_palette_of_half_transparent_colours(tmp_path):
    image = Image.fromarray(np.tile(np.array([0, 1], np.uint8), (5, 4)), "P")
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.save(tmp_path / "x.png", transparency=bytes([51, 255]))
    assert decode(tmp_path / "x.png")[0, :2].tolist() == [[204] * 3, [200, 0, 0]]


@pytest.mark.parametrize(("mode", "key"), [("RGB", (1, 2, 3)), ("L", 7)])
def test_a_colour_that_stands_for_transparency(tmp_path, mode, key):
    image = Image.new(mode, (2, 1), key)
    image.putpixel((1, 0), (9, 9, 9) if mode == "RGB" else 9)
    image.save(tmp_path / "x.png", transparency=key)
    assert decode(tmp_path / "x.png").tolist() == [[[255] * 3, [9] * 3]]


def test_transparency_is_composited_before_squashing(tmp_path):
    """Else junk under transparency would bleed into its neighbours."""
    path = put(tmp_path / "x.png", transparent(np.zeros((8, 8, 3)), np.tile(np.array([0, 255] * 4), (8, 1))))
    assert decode(path, 4).min() > 100


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_of_several_frames_the_first_is_taken(tmp_path, suffix):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200))]
    settings = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"x.{suffix}", save_all=True, append_images=frames[1:], **settings)
    with Image.open(tmp_path / f"x.{suffix}") as image:
        assert image.n_frames == 3
    assert decode(tmp_path / f"x.{suffix}")[0, 0].tolist() == [200, 0, 0]


def test_cmyk_and_black_and_white(tmp_path):
    cmyk = Image.new("CMYK", (6, 4), (255, 0, 0, 0))
    cmyk.save(tmp_path / "x.jpg", quality=95)
    cmyk.save(tmp_path / "x.tif")
    Image.new("1", (6, 4), 1).save(tmp_path / "y.png")
    for name in ("x.jpg", "x.tif"):
        assert np.abs(decode(tmp_path / name)[0, 0].astype(int) - [0, 255, 255]).max() < 8
    assert decode(tmp_path / "y.png").min() == 255


def png(width, height, depth, colour_type, rows):
    """A PNG written by hand: Pillow writes no 16-bit colours."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b"")


def test_colours_of_16_bits_are_their_upper_bytes(tmp_path):
    (tmp_path / "x.png").write_bytes(png(1, 1, 16, 2, [struct.pack(">HHH", 0x1234, 0xFF00, 0x00FF)]))
    assert decode(tmp_path / "x.png").tolist() == [[[0x12, 0xFF, 0]]]


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_grey_of_more_than_8_bits_is_refused_and_not_clipped(tmp_path, kind):
    Image.fromarray(np.full((4, 6), 4000, kind)).save(tmp_path / "x.tif")
    with pytest.raises(DamagedImage, match=r"x\.tif: a pixel has more than 8 bits.*convert the image to 8 bits"):
        decode(tmp_path / "x.tif")


FOREIGN = {
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(x) run\n",
    "a text": b"hello",
    "a web page": b"<!DOCTYPE html><html></html>",
    "portable pixmap": b"P6 1 1 255\n\0\0\0",
    "a pointer to a large file": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "an archive": b"PK\x03\x04" + bytes(60),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_other_content_is_no_image_and_no_program_is_started_for_it(tmp_path, monkeypatch, kind, suffix):
    def refuse(*arguments, **settings):
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(FOREIGN[kind])
    with pytest.raises(DamagedImage, match=rf"cannot read the image .*x\.{suffix}: it is none of PNG, JPEG, BMP"):
        decode(path)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DamagedImage, match="it is no file"):
        decode(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DamagedImage, match="there is no such file"):
        decode(tmp_path / "gone.png")
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    with pytest.raises(DamagedImage):
        decode(tmp_path / "self.png")


def test_a_lack_of_memory_or_of_file_handles_is_no_damage(tmp_path, monkeypatch):
    path = put(tmp_path / "x.png")

    def out_of_memory(*arguments, **settings):
        raise MemoryError

    def too_many(*arguments, **settings):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Image, "open", out_of_memory)
    with pytest.raises(MemoryError):
        decode(path)
    monkeypatch.setattr(Image, "open", too_many)
    with pytest.raises(RunError, match=r"cannot open .*x\.png: Too many open files") as error:
        decode(path)
    assert not isinstance(error.value, DamagedImage)


@pytest.fixture
def mixed(tmp_path):
    """Thirty images of which 25 are damaged, each in one of five ways, and good ones at 0, 7, 14, 21 and 28."""
    paths = []
    for number in range(30):
        path = put(tmp_path / f"{number:02}.jpg", UPRIGHT + np.uint8(number), quality=90)
        if number % 7:
            whole = path.read_bytes()
            path.write_bytes((b"", b"text", whole[:100], whole[: len(whole) - 40], whole[5:])[number % 5])
        paths.append(path)
    return paths


def test_damaged_images_are_named_all_at_once(mixed):
    with pytest.raises(RunError) as error:
        read_one(mixed)
    message = str(error.value)
    assert message.startswith(f"cannot read 25 images: {mixed[1]}: ")
    assert message.count(".jpg: ") == 20
    assert "; and 5 more. Mend or remove them; " in message
    assert "--skip_damaged" in message
    assert "\n" not in message


def test_damaged_images_of_all_splits_are_named_together(tmp_path):
    good = [put(tmp_path / f"{name}/good.png") for name in "abc"]
    bad = [tmp_path / name / "bad.png" for name in "ac"]
    for path in bad:
        path.write_bytes(b"")
    label = torch.zeros(2, dtype=torch.long)
    splits = [Files([good[0], bad[0]], label, label), Files([good[1]], label[:1], label[:1])]
    splits.append(Files([bad[1], good[2]], label, label))
    with pytest.raises(RunError, match=r"cannot read 2 images: .*a/bad\.png: the file is empty; .*c/bad\.png: the"):
        read_splits(tmp_path, splits)


@pytest.mark.parametrize("in_memory", [True, False])
def test_damaged_images_can_be_left_out_with_their_labels_and_names(mixed, in_memory, monkeypatch, caplog):
    monkeypatch.setattr(images, "fits_in_memory", lambda size: in_memory)
    monkeypatch.setattr(images, "CHUNK", 4)
    for _ in range(2):  # the second time from the store
        clean, left_out = read_one(mixed, skip_damaged=True)
        assert isinstance(clean.images, Store) is not in_memory
        assert clean.labels.tolist() == clean.bias_labels.tolist() == [0, 7, 14, 21, 28]
        assert clean.files == ("00.jpg", "07.jpg", "14.jpg", "21.jpg", "28.jpg")
        for image, name in zip(clean.images[:], clean.files, strict=True):
            assert np.array_equal(image.permute(1, 2, 0).numpy(), decode(mixed[0].parent / name))
        assert left_out == ["25 images that cannot be read"]
    assert "01.jpg" in caplog.text


def test_the_first_image_may_be_the_damaged_one(tmp_path):
    paths = [tmp_path / "a.png", put(tmp_path / "b.png")]
    paths[0].write_bytes(b"")
    assert read_one(paths, skip_damaged=True)[0].images.shape == (1, 3, 5, 8)
    with pytest.raises(RunError, match=r"cannot read the image .*a\.png: the file is empty"):
        read_one(paths)


def test_pillows_warnings_name_the_file(tmp_path, monkeypatch, caplog):
    paths = [put(tmp_path / f"{name}.png") for name in "abc"]
    put(paths[1], np.zeros((30, 30, 3), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    read_one(paths, size=4)
    assert re.fullmatch(r".*b\.png: Image size \(900 pixels\) exceeds limit of 500 pixels.*", caplog.messages[0])
    assert len(caplog.messages) == 1
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(RunError, match=r"b\.png: Image size \(900 pixels\) exceeds limit"):
        read_one(paths, size=4)


SIZES = {
    "all alike and small": ([(28, 28)] * 3, 0),
    "small and not square": ([(20, 30)] * 3, 0),
    "the largest that are kept": ([(128, 100)] * 2, 0),
    "alike and large": ([(129, 100)] * 2, AUTOMATIC_SIZE),
    "of several sizes": ([(28, 28), (28, 29)], AUTOMATIC_SIZE),
    "upright and lying": ([(20, 30), (30, 20)], AUTOMATIC_SIZE),
    "one": ([(7, 5)], 0),
}


@pytest.mark.parametrize("case", SIZES)
def test_images_of_one_small_size_keep_it(tmp_path, case):
    sizes, wanted = SIZES[case]
    paths = [put(tmp_path / f"{i}.png", np.zeros((*size[::-1], 3), np.uint8)) for i, size in enumerate(sizes)]
    assert fitting_size(paths) == wanted


def test_the_size_is_found_whatever_is_damaged(tmp_path):
    paths = [put(tmp_path / "a.png"), tmp_path / "b.png", tmp_path / "gone.png"]
    paths[1].write_bytes(paths[0].read_bytes()[:20])
    assert fitting_size(paths) == fitting_size(paths[1:]) == 0


def test_turned_pictures_have_the_size_that_they_are_seen_in(tmp_path):
    paths = [put(tmp_path / "a.tif"), put(tmp_path / "b.tif", STORED[6], exif=exif(6))]
    paths += [put(tmp_path / "c.png", STORED[8], exif=exif(8))]
    assert fitting_size(paths) == 0
    assert fitting_size([*paths, put(tmp_path / "d.png", STORED[8])]) == AUTOMATIC_SIZE


def test_a_digest_names_contents_and_names(tmp_path):
    paths = [put(tmp_path / f"{name}/x.png") for name in "ab"]
    first = contents_digest(paths)
    assert contents_digest(paths) == first
    assert contents_digest(paths, "other rules") != first
    assert contents_digest(paths[::-1]) != first
    before = paths[0].stat()
    content = bytearray(paths[0].read_bytes())
    content[40] ^= 1
    paths[0].write_bytes(content)
    os.utime(paths[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert contents_digest(paths) != first
    moved = [put(tmp_path / "elsewhere" / f"{name}/x.png") for name in "ab"]
    assert contents_digest(moved) == first
    os.rename(moved[1].parent, tmp_path / "elsewhere/c")
    assert contents_digest([moved[0], tmp_path / "elsewhere/c/x.png"]) != first
    moved[0].unlink()
    assert len(contents_digest(moved)) == 64


def test_a_noted_digest_reads_files_once_until_one_changes(tmp_path, monkeypatch):
    paths = [put(tmp_path / f"{name}.png") for name in "ab"]
    first = noted_digest(paths, tmp_path / "notes", "rules")
    assert first == contents_digest(paths, "rules")
    before, content = paths[1].stat(), bytearray(paths[1].read_bytes())
    with monkeypatch.context() as patched:
        patched.setattr(digests, "contents_digest", lambda *arguments: pytest.fail("read again"))
        assert noted_digest(paths, tmp_path / "notes", "rules") == first
    assert noted_digest(paths, tmp_path / "notes", "other rules") == contents_digest(paths, "other rules")
    content[40] ^= 1
    paths[1].write_bytes(content)
    os.utime(paths[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert noted_digest(paths, tmp_path / "notes", "rules") == contents_digest(paths, "rules") != first
    for note in (tmp_path / "notes").iterdir():
        note.write_bytes(b"\xff damaged")
    assert noted_digest(paths, tmp_path / "notes", "rules") == contents_digest(paths, "rules")
    (tmp_path / "file").touch()
    assert noted_digest(paths, tmp_path / "file", "rules") == contents_digest(paths, "rules")


def test_a_file_of_images_goes_where_it_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "fits_in_memory", lambda size: False)
    paths = [put(tmp_path / "photos" / f"{name}.png", UPRIGHT + np.uint8(i)) for i, name in enumerate("abc")]
    there = set((tmp_path / "photos").iterdir())
    clean, _ = read_one(paths, cache_dir=str(tmp_path / "cache"))
    assert clean.images.path.parent == tmp_path / "cache"
    assert set((tmp_path / "photos").iterdir()) == there
    assert read_one(paths)[0].images.path.parent == tmp_path / "photos"


def test_a_place_that_cannot_be_written_is_named_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "fits_in_memory", lambda size: False)
    place = put(tmp_path / "a.png")
    with pytest.raises(RunError, match=r"cannot write .*a\.png/\.images-.*do not fit into memory; .*--cache_dir DIR"):
        read_one([place], cache_dir=str(place))


def test_a_long_list_is_counted():
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(i) for i in range(23)]).endswith("18, 19, and 3 more")
