"""Batched transforms do to each image what torchvision does to one, and draw as torchvision draws."""

from dataclasses import replace

import pytest
import torch
from scipy import stats
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from data import augment
from data.augment import Transform

CPU = torch.device("cpu")
COUNT = 24
SIZES = [(28, 28), (20, 26), (27, 17)]


def images(height=12, width=10, count=COUNT):
    generator = torch.Generator().manual_seed(0)
    stored = torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator)
    return stored.permute(0, 3, 1, 2)


def floats(*size):
    """Random colours, with black, white, grey and two equally high channels among them."""
    out = images(*size).float() / 255
    out[0], out[1], out[2], out[3, 0], out[4, 1], out[5, :2] = 0, 1, 0.5, 1, 1, 1
    return out


def one_by_one(function, batch, *parameters):
    return torch.stack([function(image, *values) for image, *values in zip(batch, *parameters, strict=True)])


def spread(low, high):
    return torch.linspace(low, high, COUNT)


def test_crops_are_torchvisions_with_the_same_corners():
    batch, top, left = images(), torch.arange(COUNT) % 9, torch.arange(COUNT) * 5 % 9
    wanted = one_by_one(lambda image, y, x: tv.crop(tv.pad(image, [4]), int(y), int(x), 12, 10), batch, top, left)
    out = augment.cropped(batch, 4, top, left)
    assert torch.equal(out, wanted)
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_flips_mirror_the_chosen_ones():
    batch, chosen = images(), torch.arange(COUNT) % 3 == 0
    wanted = one_by_one(lambda image, flip: tv.horizontal_flip(image) if flip else image, batch, chosen)
    assert torch.equal(augment.flipped(batch, chosen), wanted)


@pytest.mark.parametrize("size", SIZES)
def test_resized_crops_are_torchvisions_with_the_same_boxes(size):
    batch, boxes = floats(*size), augment.draw_boxes(COUNT, size, (0.3, 1.1), CPU)
    assert len(set(zip(*(side.tolist() for side in boxes), strict=True))) > COUNT / 2
    wanted = one_by_one(lambda image, *box: tv.resized_crop(image, *map(int, box), list(size)), batch, *boxes)
    torch.testing.assert_close(augment.resized_crop(batch, *boxes), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_rotations_are_torchvisions_with_the_same_angles(size):
    batch, angles = floats(*size), spread(-10, 10) + 0.0123
    wanted = one_by_one(lambda image, angle: tv.rotate(image, float(angle)), batch, angles)
    differs = (augment.rotated(batch, angles) != wanted).any(1)
    assert differs.float().mean() < 1e-3, "only a pixel halfway between two may be rounded to the other one"


def test_saturation_is_torchvisions_with_the_same_factors():
    batch, factors = floats(), spread(0.5, 1.5)
    wanted = one_by_one(lambda image, factor: tv.adjust_saturation(image, float(factor)), batch, factors)
    torch.testing.assert_close(augment.with_saturation(batch, factors), wanted, rtol=0, atol=1e-6)


def test_hue_is_torchvisions_with_the_same_shifts():
    batch, shifts = floats(), spread(-0.5, 0.5)
    wanted = one_by_one(lambda image, shift: tv.adjust_hue(image, float(shift)), batch, shifts)
    torch.testing.assert_close(augment.with_hue(batch, shifts), wanted, rtol=0, atol=1e-5)


def test_normalisation_is_torchvisions_in_training_and_scoring():
    transform, batch = augment.NORMALISED, images()
    wanted = tv.normalize(batch.float() / 255, [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010])
    for out in (transform.for_training(batch), transform.for_scoring(batch), transform.for_scoring(batch.contiguous())):
        torch.testing.assert_close(out, wanted, rtol=1e-6, atol=1e-6)
        assert out.is_contiguous(memory_format=torch.channels_last)


def corners(count):
    """The offsets and mirrorings that CIFAR's transform really applied, read off images of which each pixel tells."""
    stored = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    stored[:, 0], stored[:, 1] = torch.arange(100, 132), torch.arange(100, 132)[:, None]
    transform = replace(augment.CIFAR["deneb"], mean=(), std=())
    out = (transform.for_training(stored.expand(count, -1, -1, -1)) * 255).round().long()
    x, y = out[:, 0, 16, 12:20], out[:, 1, 12:20, 16]
    flipped = x[:, 0] > x[:, 1]
    left = torch.where(flipped, x[:, 3] - 100 - 16, x[:, 4] - 100 - 16)
    return flipped, left + 4, y[:, 4] - 100 - 16 + 4


def test_every_image_has_its_own_uniform_corner_and_flip():
    torch.manual_seed(0)
    flipped, left, top = corners(20_000)
    cells = torch.bincount((flipped * 9 + left) * 9 + top, minlength=162)
    assert cells.sum() == 20_000
    assert len(cells) == 162
    assert stats.chisquare(cells.numpy()).pvalue > 1e-3
    following = torch.bincount((left[::2] * 9 + left[1::2]), minlength=81).view(9, 9)
    assert stats.chi2_contingency(following.numpy()).pvalue > 1e-3


@pytest.mark.parametrize(("size", "scale"), [((28, 28), (0.9, 1.1)), ((20, 40), (0.5, 1.0)), ((56, 56), (0.08, 1.0))])
def test_boxes_are_drawn_as_torchvision_draws_them(size, scale):
    torch.manual_seed(0)
    theirs = v2.RandomResizedCrop(size, scale=scale)
    count, blank = 3000, torch.zeros(1, *size)
    wanted = [theirs.make_params([blank]) for _ in range(count)]
    drawn = dict(zip(("top", "left", "height", "width"), augment.draw_boxes(count, size, scale, CPU), strict=True))
    whole = sum((box["height"], box["width"]) == size for box in wanted)
    mine = int(((drawn["height"] == size[0]) & (drawn["width"] == size[1])).sum())
    if size == (28, 28):
        assert whole > 100, "ten attempts failed often enough to be compared"
    for name, values in drawn.items():
        assert stats.ks_2samp(values.numpy(), [box[name] for box in wanted]).pvalue > 1e-3
    assert stats.fisher_exact([[whole, count - whole], [mine, count - mine]]).pvalue > 1e-3


@pytest.mark.parametrize("size", [(28, 28), (20, 40), (40, 20)])
def test_where_no_box_fits_the_middle_is_taken(size):
    theirs = v2.RandomResizedCrop(size, scale=(9, 9)).make_params([torch.zeros(1, *size)])
    drawn = augment.draw_boxes(3, size, (9, 9), CPU)
    assert [side.tolist() for side in drawn] == [[theirs[name]] * 3 for name in ("top", "left", "height", "width")]


def theirs_for(transform, size):
    """torchvision's own transform, for one float image."""
    steps = [v2.RandomResizedCrop(size, scale=transform.scale)] if transform.scale else []
    steps += [v2.ColorJitter(hue=transform.hue, saturation=transform.saturation)]
    return v2.Compose([*steps, v2.RandomRotation(transform.degrees)] if transform.degrees else steps)


@pytest.mark.parametrize(
    "transform", [Transform(hue=0.3, saturation=0.9), augment.WARPED], ids=["jitter alone", "all together"]
)
def test_random_images_are_distributed_as_torchvisions(transform):
    """Of one image transformed many times, the values of some pixels have the same distribution."""
    torch.manual_seed(0)
    stored = images(16, 16, 1)
    count, theirs = 1000, theirs_for(transform, (16, 16))
    mine = transform.for_training(stored.expand(count, -1, -1, -1))
    wanted = torch.stack([theirs(stored[0].float() / 255) for _ in range(count)])
    for channel, y, x in ((0, 8, 8), (1, 3, 12), (2, 10, 2), (0, 0, 0)):
        a, b = mine[:, channel, y, x], wanted[:, channel, y, x]
        assert a.std() > 0
        assert stats.ks_2samp(a.numpy(), b.numpy()).pvalue > 1e-3
    torch.testing.assert_close(mine.mean(0), wanted.mean(0), rtol=0, atol=0.05)
    torch.testing.assert_close(mine.std(0), wanted.std(0), rtol=0, atol=0.05)


EVERY = {
    f"{name} {style}": transform
    for name in ("DIGITS", "BIASED_MNIST", "CIFAR", "BAR", "BFFHQ")
    for style, transform in getattr(augment, name).items()
}


@pytest.mark.parametrize("transform", EVERY.values(), ids=EVERY)
def test_images_keep_their_shape_and_draws_come_from_the_global_generator(transform):
    stored, before = images(56, 56), images(56, 56)
    outs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outs.append(transform.for_training(stored))
    assert torch.equal(stored, before)
    assert outs[0].shape == stored.shape
    assert outs[0].dtype == torch.float32
    assert outs[0].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(outs[0], outs[1])
    augments = transform not in (augment.PLAIN, augment.NORMALISED)
    assert torch.equal(outs[0], outs[2]) is not augments
    assert torch.equal(transform.for_training(stored), transform.for_scoring(stored)) is not augments
    assert torch.equal(transform.for_scoring(stored), transform.for_scoring(stored))


@pytest.mark.parametrize("name", [name for name in EVERY if EVERY[name] not in (augment.PLAIN, augment.NORMALISED)])
def test_two_views_of_an_image_differ(name):
    torch.manual_seed(0)
    one = images(56, 56, 1)
    first, second = EVERY[name].for_training(one.repeat(2, 1, 1, 1))
    assert not torch.equal(first, second)


def test_no_augmentation_means_no_draw():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for transform in (augment.PLAIN, augment.NORMALISED):
        transform.for_training(images())
    assert torch.equal(torch.get_rng_state(), before)


def test_what_each_set_of_authors_does():
    """DENEB crops BFFHQ without a flip and only normalises BAR; Disen crops and flips both."""

    def about(transform):
        return transform.crop, transform.flip, bool(transform.mean), transform.scale is not None

    kinds = {name: about(transform) for name, transform in EVERY.items()}
    for name in ("CIFAR deneb", "CIFAR disen", "BAR disen", "BFFHQ disen"):
        assert kinds[name] == (4, True, True, False)
    assert kinds["BFFHQ deneb"] == (4, False, True, False)
    assert kinds["BAR deneb"] == (0, False, True, False)
    assert kinds["BIASED_MNIST deneb"] == kinds["DIGITS pgd"] == (0, False, False, True)
    assert {kind for name, kind in kinds.items() if name.endswith("none")} == {(0, False, False, False)}
