"""A store behaves as the images it holds, and says so when its file is not what was written."""

import os

import pytest
import torch

import data.store
from data.load import _halves
from data.split import Clean, Split
from data.store import Store, digest, fits_in_memory, open_store, read, stored, taken, write_store
from utils.cpu import available_memory
from utils.errors import RunError

CPU = torch.device("cpu")
SHAPE = (50, 3, 12, 10)
IMAGES = torch.randint(0, 256, (50, 12, 10, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
TENSOR = IMAGES.permute(0, 3, 1, 2)
LABELS = torch.arange(50) % 10


def chunks(size=8):
    return TENSOR.split(size)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "train.u8"


@pytest.fixture
def store(path):
    return write_store(path, "here", SHAPE, chunks())


@pytest.mark.parametrize("chunk", [1, 8, 50])
def test_a_store_holds_what_was_written(path, chunk):
    store = write_store(path, "here", SHAPE, chunks(chunk))
    again = open_store(path, "here")
    for images in (store, again):
        assert (images.shape, images.dtype, images.nbytes, len(images)) == (
            TENSOR.shape,
            torch.uint8,
            IMAGES.nbytes,
            50,
        )
        assert torch.equal(images.to(CPU), TENSOR)
    assert path.read_bytes() == IMAGES.numpy().tobytes()


@pytest.mark.parametrize(
    "at", [0, 49, -1, slice(None), slice(0, 7), slice(45, 99), slice(7, 7), torch.tensor([4, 4, 0, 49]), LABELS[:0]]
)
def test_indexing_is_that_of_a_tensor(store, at):
    out, wanted = store[at], TENSOR[at]
    assert torch.equal(out, wanted)
    assert out.movedim(-3, -1).is_contiguous()
    assert torch.equal(store[at], wanted), "nothing that was read before matters"


def test_a_subset_is_a_view_with_the_rows_asked_for(store):
    index = torch.tensor([30, 2, 2, 49])
    subset = taken(store, index)
    assert isinstance(subset, Store)
    assert subset.path == store.path
    assert torch.equal(subset[:], TENSOR[index])
    deeper = taken(subset, torch.tensor([3, 0]))
    assert torch.equal(read(deeper, torch.tensor([1, 0])), TENSOR[torch.tensor([30, 49])])


def test_fingerprints_do_not_depend_on_where_the_images_are(store):
    memory, stored = Split(TENSOR, LABELS), Split(store, LABELS)
    assert stored.fingerprint() == memory.fingerprint()
    index = torch.tensor([3, 1, 44])
    assert stored.subset(index).fingerprint() == memory.subset(index).fingerprint() != stored.fingerprint()


def test_a_whole_stores_digest_is_not_computed_again(path, store, monkeypatch):
    monkeypatch.setattr(Store, "__getitem__", None)
    assert digest(open_store(path, "here")) == store.digest


def test_validation_halves_of_a_store_are_those_of_its_images(store):
    bias = torch.zeros_like(LABELS)
    for memory, half in zip(_halves(Clean(TENSOR, LABELS, bias)), _halves(Clean(store, LABELS, bias)), strict=True):
        assert isinstance(half.images, Store)
        assert torch.equal(half.images[:], memory.images)
        assert torch.equal(half.labels, memory.labels)


def test_half_of_the_free_memory_is_enough(monkeypatch):
    monkeypatch.setattr(data.store, "available_memory", lambda: 2000)
    assert fits_in_memory(999)
    assert not fits_in_memory(1000)


def test_a_store_is_made_once_for_a_source(path, caplog):
    caplog.set_level("INFO")
    assert torch.equal(stored(path, "here", SHAPE, chunks())[:], TENSOR)
    assert str(path) in caplog.text
    assert torch.equal(stored(path, "here", SHAPE, iter(()))[:], TENSOR), "read from the store"
    other = [255 - chunk for chunk in chunks()]
    assert torch.equal(stored(path, "elsewhere", SHAPE, other)[:], 255 - TENSOR)
    assert sorted(file.name for file in path.parent.iterdir()) == ["train.u8", "train.u8.json"]


def test_a_store_that_cannot_be_written_is_an_error(path):
    path.parent.write_text("a file where the folder should be")
    with pytest.raises(RunError, match=r"cannot write .*cache.*do not fit into memory.*--cache_dir DIR"):
        stored(path, "here", SHAPE, chunks())


def test_an_interrupted_store_is_none(path):
    def broken():
        yield TENSOR[:8]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_store(path, "here", SHAPE, broken())
    assert open_store(path, "here") is None
    assert list(path.parent.iterdir()) == []


def test_a_store_without_its_json_is_none(path, store):
    about = path.with_name("train.u8.json")
    about.write_text("{")
    assert open_store(path, "here") is None
    about.unlink()
    assert open_store(path, "here") is None


@pytest.mark.parametrize("size", [0, 100, SHAPE[0] * 360 - 1, SHAPE[0] * 360 + 1])
def test_a_file_of_another_size_is_refused(path, store, size):
    os.truncate(path, size)
    with pytest.raises(RunError, match=f"train.u8 has {size} bytes, but 50 images of 3x12x10 have 18000. Remove it"):
        open_store(path, "here")


def test_changed_pixels_are_refused(path, store):
    content = bytearray(path.read_bytes())
    content[777] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))
    with pytest.raises(RunError, match=r"train\.u8 is damaged"):
        open_store(path, "here")


def test_a_copied_file_is_fine(path, store):
    os.utime(path, ns=(1, 1))
    assert open_store(path, "here").digest == store.digest


def test_too_few_images_are_refused(path):
    with pytest.raises(RunError, match="17280 bytes"):
        write_store(path, "here", SHAPE, TENSOR[:48].split(8))


def test_some_memory_is_available():
    assert 1 << 20 < available_memory() < 1 << 50
