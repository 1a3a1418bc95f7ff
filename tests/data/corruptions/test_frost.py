"""Where frost's textures come from."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.corruptions import frost
from data.corruptions.operators import corrupt
from utils.errors import RunError


class Installed:
    """A file of an installed package."""

    def __init__(self, path):
        self.path, self.name = path, path.name

    def locate(self):
        return self.path


@pytest.fixture(autouse=True)
def forget():
    frost.frost_textures.cache_clear()
    yield
    frost.frost_textures.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Stands for the installed package: six pictures, each of one colour but for the pixels that are kept."""
    for number, name in enumerate([*frost.PICTURES, "frost6.jpg"], start=1):
        pixels = np.zeros((300, 500, 3), np.uint8)
        pixels[2::5, 2::5] = 10 * number
        Image.fromarray(pixels).save(tmp_path / name, format="PNG")
    monkeypatch.setattr(frost, "files", lambda name: [Installed(path) for path in tmp_path.iterdir()])
    return tmp_path


def absent(name):
    raise PackageNotFoundError(name)


def test_photographs_are_reduced_to_a_fifth_and_the_sixth_is_never_shown(package):
    assert frost.frost_source() == "photographs"
    textures = frost.frost_textures()
    assert [texture.shape for texture in textures] == [(60, 100, 3)] * 5
    assert [set(texture.flat) for texture in textures] == [{10}, {20}, {30}, {40}, {50}]


def test_frost_is_a_weighted_sum_with_one_of_the_textures(package):
    images = np.full((300, 32, 32, 3), 100, np.uint8)
    result = corrupt(images, "frost", 5, np.random.default_rng(0))
    assert (result == result[:, :1, :1, :1]).all()
    levels, counts = np.unique(result[:, 0, 0, 0], return_counts=True)
    assert levels.tolist() == [79, 84, 88, 93, 97]  # 75 + 0.45 * 10 = 79.5, ...
    assert counts.min() > 40


def test_without_the_package_or_with_a_part_of_it_textures_are_drawn(package, monkeypatch):
    (package / "frost3.png").unlink()
    assert frost.frost_source() == "procedural"
    monkeypatch.setattr(frost, "files", absent)
    assert frost.frost_source() == "procedural"
    textures = frost.frost_textures()
    assert len(textures) == 5
    for texture in textures:
        assert texture.dtype == np.uint8
        assert min(texture.shape[:2]) > 32
        np.testing.assert_allclose(texture.mean((0, 1)), [146, 167, 179], atol=3)
    assert not (textures[0] == textures[1]).all()


def test_a_damaged_photograph_ends_in_one_line_with_the_mend(package):
    (package / "frost4.jpg").write_bytes(b"no picture")
    with pytest.raises(RunError, match=r"cannot read .*frost4\.jpg: .*pip install --force-reinstall --no-deps"):
        frost.frost_textures()


def test_the_real_package():
    if frost.frost_source() == "procedural":
        pytest.skip(f"{frost.PACKAGE} is not installed")
    textures = frost.frost_textures()
    assert [texture.shape for texture in textures] == [
        (120, 180, 3), (63, 112, 3), (63, 112, 3), (70, 105, 3), (99, 132, 3),
    ]  # fmt: skip
    assert textures[0].mean((0, 1)).argmax() == 2  # blue: channels are not swapped
    assert all(Path(path).suffix in (".png", ".jpg") for path in frost._photographs())
