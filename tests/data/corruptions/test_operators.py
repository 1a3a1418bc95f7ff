"""The corruptions of CIFAR-10-C: by hand, against hashes and against the figures of the original program."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats

from data.corruptions import operators as corruptions
from data.corruptions.blurs import disk, motion_blur, sample, zoom_matrix
from data.corruptions.operators import CONSTANTS, TYPE_0, TYPE_1, corrupt
from utils.errors import UsageError

CIFAR_JPEG = Path(__file__).parents[4] / "shared" / "data" / "cifar10_jpeg.npz"
DETERMINISTIC = {
    "brightness", "contrast", "jpeg", "pixelate", "saturate", "gaussian_blur", "defocus_blur", "zoom_blur", "original",
}  # fmt: skip
ALL = [
    (name, severity)
    for name, constants in CONSTANTS.items()
    for severity in range(1, 6)
    if constants[severity - 1] is not None or name == "original"
]


def draws(seed=0):
    return np.random.default_rng(seed)


def waves(count=6):
    """Smooth colours with edges, from a formula; the first image has black, grey and white parts."""
    n, y, x, c = np.ogrid[:count, :32, :32, :3]
    images = ((7 * n + 5 * x + 3 * y) * (c + 1) + 40 * ((x // 8 + y // 8) % 2)) % 256
    images[0, :8], images[0, 8:12], images[0, 12:16] = 0, 128, 255
    return images.astype(np.uint8)


def plain(*color, count=4):
    return np.broadcast_to(np.array(color, np.uint8), (count, 32, 32, 3))


@pytest.mark.parametrize(("name", "severity"), ALL)
def test_every_corruption_repeats_its_draw_and_treats_each_image_alone(name, severity):
    images = np.repeat(waves(2), 3, 0)
    before = images.copy()
    first, second = (corrupt(images, name, severity, draws(1)) for _ in range(2))
    assert first.dtype == np.uint8
    assert first.shape == images.shape
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(images, before)
    for one, two in ((0, 1), (1, 2), (3, 4)):
        assert (first[one] == first[two]).all() == (name in DETERMINISTIC)
    assert (first != images).any() == (name != "original")
    if name in DETERMINISTIC:
        np.testing.assert_array_equal(corrupt(images[3:4], name, severity, draws(2)), first[3:4])
    assert corrupt(images[:0], name, severity, draws()).shape == (0, 32, 32, 3)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("contrast", "2cb0193039cb7949"),
        ("pixelate", "cf0244c7069b3813"),
        ("brightness", "0ec8e385ad5d6b92"),
        ("saturate", "0ee73d7bd270666f"),
    ],
)
def test_golden_hashes(name, wanted):
    """All five severities of the exact ones. The original gives the same pixels for contrast and pixelate."""
    images = waves(20)
    result = b"".join(corrupt(images, name, severity, draws()).tobytes() for severity in range(1, 6))
    assert hashlib.sha256(result).hexdigest()[:16] == wanted


@pytest.fixture(scope="module")
def photographs():
    """300 of CIFAR-10's test images, those that the original program was measured on."""
    if not CIFAR_JPEG.is_file():
        pytest.skip(f"the real CIFAR-10 is not here: {CIFAR_JPEG} is missing")
    with np.load(CIFAR_JPEG) as file:
        data, offset = file["test_jpeg"], file["test_offset"]
    chosen = draws().permutation(10_000)[:300]
    return np.stack([np.asarray(Image.open(io.BytesIO(data[offset[i] : offset[i + 1]].tobytes()))) for i in chosen])


@pytest.mark.parametrize(
    ("name", "mean", "change"),
    [
        ("snow", 173.8, 55.5), ("frost", 163.4, 48.9), ("fog", 121.1, 47.8), ("brightness", 178.9, 59.9),
        ("contrast", 122.7, 45.3), ("spatter", 118.3, 23.5), ("elastic", 122.5, 22.4), ("jpeg", 123.1, 9.6),
        ("pixelate", 123.5, 14.1), ("saturate", 93.4, 44.5),
    ],
)  # fmt: skip
def test_severity_5_is_as_bright_and_as_far_from_the_clean_image_as_the_original(photographs, name, mean, change):
    """Mean grey level and root mean square of the change, both within 3 levels of the original program's."""
    result = corrupt(photographs, name, 5, draws()).astype(float)
    assert result.mean() == pytest.approx(mean, abs=3)
    assert np.sqrt(((result - photographs) ** 2).mean()) == pytest.approx(change, abs=3)


def test_the_two_sets_hold_every_corruption_once():
    assert sorted(TYPE_0 + TYPE_1) == sorted(CONSTANTS)
    assert len(TYPE_0) == len(TYPE_1) == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "snwo"}, "unknown corruption 'snwo'. Did you mean 'snow'?"),
        ({"severity": 0}, "the severity of a corruption is 1 to 5, not 0"),
        ({"severity": 6}, "the severity of a corruption is 1 to 5, not 6"),
        ({"name": "spatter", "severity": 3}, "spatter has the severities 4 and 5 only"),
        ({"images": waves() / 255}, "uint8 images [N, 32, 32, 3], not float64 [6, 32, 32, 3]"),
        ({"images": waves().transpose(0, 3, 1, 2)}, "not uint8 [6, 3, 32, 32]"),
        ({"images": waves()[:, :28, :28]}, "not uint8 [6, 28, 28, 3]"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(change, message):
    with pytest.raises(UsageError) as error:
        corrupt(**({"images": waves(), "name": "snow", "severity": 5, "generator": draws()} | change))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "severity", "color", "wanted"),
    [
        ("brightness", 5, (100, 50, 0), (176, 88, 0)),  # value 100 + 76.5; 88.25
        ("brightness", 5, (0, 0, 0), (76, 76, 76)),
        ("brightness", 5, (240, 120, 60), (255, 127, 63)),  # held at white: times 255 / 240
        ("saturate", 5, (200, 180, 180), (200, 109, 109)),  # saturation 0.1 * 2.5 + 0.2: 200 * 0.55 = 110 less a hair
        ("saturate", 5, (100, 100, 100), (100, 80, 80)),  # grey turns reddish
        ("saturate", 5, (0, 0, 0), (0, 0, 0)),
        ("saturate", 5, (10, 200, 105), (0, 200, 100)),  # saturation held at 1; blue stays halfway
        ("saturate", 1, (200, 100, 150), (200, 170, 185)),  # saturation 0.5 * 0.3
        ("original", 5, (1, 2, 3), (1, 2, 3)),
    ],
)
def test_single_colours_by_hand(name, severity, color, wanted):
    result = corrupt(plain(*color), name, severity, draws())
    assert (result == result[0, 0, 0]).all()
    np.testing.assert_allclose(result[0, 0, 0].astype(int), wanted, atol=1)


def test_contrast_is_truncated_and_not_rounded():
    images = np.zeros((1, 32, 32, 3), np.uint8)
    images[:, :16] = 255
    result = corrupt(images, "contrast", 5, draws())
    assert (result[:, :16] == 146).all()  # 127.5 + 0.15 * 127.5 = 146.625
    assert (result[:, 16:] == 108).all()  # 108.375


@pytest.mark.parametrize(("severity", "cells"), [(1, 30), (2, 28), (3, 27), (4, 24), (5, 20)])
def test_pixelate_keeps_so_many_columns(severity, cells):
    ramp = np.broadcast_to((8 * np.arange(32)).astype(np.uint8)[:, None], (1, 32, 32, 3))
    result = corrupt(ramp, "pixelate", severity, draws())
    assert (result == result[:, :1]).all()
    assert len(np.unique(result[0, 0, :, 0])) >= cells
    assert result.mean() == pytest.approx(ramp.mean(), abs=1)


def test_fog_hides_and_never_brightens_beyond_the_brightest_pixel():
    images = plain(200, 150, 100, count=200)
    result = corrupt(images, "fog", 5, draws()).astype(float)
    assert result.max() == 200
    # The map has 0 and 1 somewhere, so the fog is between (100 + 0) and (200 + 382.5) times 200 / (200 + 382.5).
    bound = 200 / (200 + 1.5 * 255)
    assert (result.min((1, 2))[:, 2] == int(100 * bound)).all()
    assert (result.max((1, 2))[:, 0] >= 199).all()


def test_plasma_fills_zero_to_one_on_a_torus_and_is_smoother_the_more_the_decay():
    heights = [corruptions._plasma(300, decay, draws()) for decay in (1.75, 3)]
    for height in heights:
        assert height.shape == (300, 32, 32)
        assert (height.min((1, 2)) == 0).all()
        assert (height.max((1, 2)) == 1).all()
        assert len(np.unique(height[0])) == 32 * 32
        steps = np.abs(height - np.roll(height, 1, 2)).mean((0, 1))  # the first column follows the last
        assert steps.max() < 2 * steps.min()
    rough, smooth = (np.abs(np.diff(height)).mean() for height in heights)
    assert smooth < 0.8 * rough


def test_snow_falls_downwards_and_is_mirrored():
    result = corrupt(plain(0, 0, 0, count=400), "snow", 5, draws()).astype(int)
    np.testing.assert_array_equal(result, result[:, ::-1, ::-1])
    assert result.min() == 25  # black turns into 0.2 * 0.5 where no flake is
    along, across = (np.abs(np.diff(result[..., 0], axis=axis)).mean() for axis in (1, 2))
    assert along < across / 2


def test_spatter_is_mud_brown_or_nothing():
    result = corrupt(plain(200, 200, 200, count=100), "spatter", 5, draws()).reshape(-1, 3).astype(int)
    clean = (result == 200).all(1)
    assert 0.5 < clean.mean() < 0.97
    mud = (200 - result[~clean]) / (200 - np.array([63, 42, 20]))
    assert mud.min() > 0.79
    assert mud.max() <= 1.01


def test_elastic_moves_pixels_and_makes_no_new_colours():
    ramp = np.broadcast_to((4 * np.arange(32) + 60).astype(np.uint8)[:, None], (300, 32, 32, 3))
    result = corrupt(ramp, "elastic", 5, draws()).astype(float)
    assert result.min() >= 59
    assert result.max() <= 60 + 4 * 31
    away = (result + 0.5 - ramp)[:, 8:24, 8:24, 0] / 4  # pixels, to the left; half a level is lost by truncation
    assert away.mean() == pytest.approx(0, abs=0.06)
    # In the middle: a mean of shifts uniform in 0.96 px, and 3.2 times the blurred uniform noise.
    weights = ndimage.gaussian_filter(np.eye(33)[16], 0.96, truncate=3)
    noise = 3.2 * (weights @ weights) / 3**0.5
    lone = away[:, 8, 8].std()
    assert noise < lone < (noise**2 + 0.96**2) ** 0.5


@pytest.mark.parametrize(
    ("name", "spread"),
    [
        ("gaussian_noise", lambda c: 255 * c),
        ("shot_noise", lambda c: 255 * (128 / 255 / c) ** 0.5),
        ("speckle_noise", lambda c: 128 * c),
    ],
)
@pytest.mark.parametrize("severity", [1, 5])
def test_noise_has_the_spread_of_its_constant(name, spread, severity):
    result = corrupt(plain(128, 128, 128, count=30), name, severity, draws()).astype(float)
    assert result.mean() == pytest.approx(127.5, abs=0.3)  # truncated
    assert result.std() == pytest.approx(spread(CONSTANTS[name][severity - 1]), rel=0.02)
    assert abs(np.corrcoef(result.reshape(-1, 3).T)[0, 1]) < 0.02  # every channel has its own


def test_impulse_noise_is_black_and_white_alike():
    result = corrupt(plain(128, 128, 128, count=30), "impulse_noise", 5, draws())
    black, kept, white = ((result == level).sum() for level in (0, 128, 255))
    assert black + kept + white == result.size
    assert stats.binomtest(int(black + white), result.size, 0.07).pvalue > 1e-3
    assert stats.binomtest(int(black), int(black + white)).pvalue > 1e-3


@pytest.mark.parametrize("name", ["gaussian_blur", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"])
def test_blurs_leave_one_colour_alone_and_reach_no_further_than_they_should(name):
    result = corrupt(plain(200, 100, 7), name, 5, draws())
    np.testing.assert_allclose(result, plain(200, 100, 7), atol=1)
    point = np.zeros((200, 32, 32, 3), np.uint8)
    point[:, 18, 14] = 255
    spot = corrupt(point, name, 5, draws()).astype(int).sum((0, 3)) > 0
    reach = {"gaussian_blur": 4, "defocus_blur": 1, "glass_blur": 6, "motion_blur": 19, "zoom_blur": 4}[name]
    far = np.maximum(*np.abs(np.indices((32, 32)) - np.array([18, 14])[:, None, None]))
    assert spot.any()
    assert not spot[far > reach].any()


def test_glass_blur_takes_pixels_from_above_and_from_the_left():
    place = np.zeros((50, 32, 32, 3), np.uint8)
    place[..., 0], place[..., 1] = np.indices((32, 32)) * 8
    result = corrupt(place, "glass_blur", 1, draws()).astype(int)  # its sigma of 0.05 px blurs nothing
    down, right = ((place.astype(int) - result)[..., :2] / 8).round().astype(int).transpose(3, 0, 1, 2)
    for move in (down, right):
        assert set(np.unique(move)) == {0, 1}
        assert not move[:, :2].any()
        assert not move[:, :, :2].any()
        assert move[:, 2:, 2:].mean() == pytest.approx(0.5, abs=0.02)


def test_motion_blur_by_hand():
    """A point spreads along one side only, with Gaussian weights; a diagonal takes both coordinates."""
    point = np.zeros((3, 9, 9, 1), np.uint8)
    point[:, 4, 4] = 200
    weights = np.exp(-(np.arange(5) ** 2) / 8)
    levels = np.floor(200 * weights / weights.sum())
    result = motion_blur(point, 2, 2.0, np.array([0.0, 90.0, -45.0]))[..., 0]
    wanted = np.zeros((3, 9, 9))
    for step, level in enumerate(levels):
        wanted[0, 4, 4 - step] = level
        wanted[1, 4 - step, 4] = level
    for step, diagonal in enumerate((0, 1, 1, 2, 3)):  # steps of length 1 on a grid
        wanted[2, 4 + diagonal, 4 - diagonal] += 200 * weights[step] / weights.sum()
    np.testing.assert_array_equal(result, np.floor(wanted + 1e-9))


def test_zoom_matrix():
    np.testing.assert_array_equal(zoom_matrix(32, 1.0), np.eye(32))
    for factor in (1.1, 1.25, 2.25):
        matrix = zoom_matrix(32, factor)
        assert matrix.shape == (32, 32)
        np.testing.assert_allclose(matrix.sum(1), 1)
        place = matrix @ np.arange(32)
        assert (np.diff(place) > 0).all()
        assert np.diff(place).mean() == pytest.approx(1 / factor, rel=0.06)
    half = zoom_matrix(4, 2.0)  # the middle two of four become four
    np.testing.assert_allclose(half @ np.arange(4), [1, 4 / 3, 5 / 3, 2])


def test_disk():
    np.testing.assert_allclose(disk(1.5, 0.01)[1:-1, 1:-1], np.full((3, 3), 1 / 9), rtol=1e-6)
    np.testing.assert_allclose(disk(1, 0.01)[1:-1, 1:-1], np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]) / 5, rtol=1e-6)
    edge = np.exp(-1 / (2 * 0.4**2))
    row = np.array([edge, 1, edge]) / (1 + 2 * edge)
    np.testing.assert_allclose(disk(0.3, 0.4), np.outer(row, row), rtol=1e-6)


@pytest.mark.parametrize("edge", ["reflect", "symmetric"])
def test_sample_agrees_with_scipy(edge):
    images = draws().random((3, 8, 8, 2))
    rows, columns = draws(1).uniform(-12, 20, (2, 3, 8, 8))
    result = sample(images, rows, columns, edge)
    mode = {"reflect": "mirror", "symmetric": "reflect"}[edge]
    for n in range(3):
        for channel in range(2):
            wanted = ndimage.map_coordinates(images[n, ..., channel], (rows[n], columns[n]), order=1, mode=mode)
            np.testing.assert_allclose(result[n, ..., channel], wanted, atol=1e-12)
