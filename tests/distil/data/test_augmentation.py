"""Image, target and weight are varied together, and by the generator alone."""

import numpy as np
import pytest
import torch
from dseg.distil.data.augmentation import Augmentation, vary
from dseg.distil.data.examples import UNLABELLED, Loaded, Truth

PLAIN = Augmentation(flip=False, zoom=1.0, colour=0.0)
N_CLASSES = 3


def loaded(height, width, soft):
    """An example whose red channel is what its target says: 80 times the class."""
    rng = np.random.default_rng(height)
    ids = rng.integers(0, N_CLASSES, (height // 8 + 1, width // 8 + 1))
    ids = ids.repeat(8, 0).repeat(8, 1)[:height, :width].astype(np.uint16)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = 80 * ids
    if not soft:
        return Loaded(pixels, Truth(ids=ids))
    probabilities = (255 * (ids == np.arange(N_CLASSES)[:, None, None])).astype(np.uint8)
    certainty = np.full((height, width), 255, np.uint8)
    return Loaded(pixels, Truth(probabilities, certainty=certainty))


def varied(example, crop, augmentation, seed=0):
    return vary(example, crop, augmentation, N_CLASSES, np.random.default_rng(seed))


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("zoom", [1.0, 2.0])
@pytest.mark.parametrize("size", [(40, 56), (24, 70), (70, 24), (32, 48)])
def test_the_target_stays_on_its_pixels(size, zoom, soft):
    augmentation = Augmentation(flip=True, zoom=zoom, colour=0.0)
    for seed in range(6):
        image, target, weight = varied(loaded(*size, soft), (32, 48), augmentation, seed)
        assert image.shape == (3, 32, 48)
        assert target.shape == (N_CLASSES, 32, 48)
        assert weight.shape == (32, 48)
        says = (target * torch.arange(N_CLASSES).view(-1, 1, 1)).sum(0)
        shows = 255 * image[0] / 80
        error = _difference(shows, says, weight)
        assert error < (1e-5 if zoom == 1 else 0.25)  # edges are blurred differently
        for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            assert error < _difference(shows.roll(shift, (0, 1)), says, weight)


def _difference(shows, says, weight):
    return float((shows - says).abs()[weight > 0].mean())


def test_beyond_the_image_nothing_counts():
    image, target, weight = varied(loaded(24, 40, False), (32, 48), PLAIN)
    assert weight[:24, :40].all()
    assert not weight[24:].any()
    assert not weight[:, 40:].any()
    assert not target[:, 24:].any()
    assert torch.equal(image[:, 24:, :40], image[:, 23:24, :40].expand(-1, 8, -1))


def test_pixels_without_a_class_do_not_count():
    example = loaded(32, 48, False)
    example.truth.ids[5] = UNLABELLED
    _, target, weight = varied(example, (32, 48), PLAIN)
    assert not weight[5].any()
    assert weight.sum() == 31 * 48
    assert (target.sum(0) == 1).all()


def test_mirrored_is_the_mirror_image():
    example, seen = loaded(32, 48, True), []
    for seed in range(8):
        image, *_ = varied(example, (32, 48), Augmentation(flip=True, zoom=1.0, colour=0), seed)
        seen.append(image)
    straight = varied(example, (32, 48), PLAIN)[0]
    same = [torch.equal(image, straight) for image in seen]
    mirrored = [torch.equal(image, straight.flip(-1)) for image in seen]
    assert any(same)
    assert any(mirrored)
    assert all(a or b for a, b in zip(same, mirrored, strict=True))


def test_colours_stay_in_range_and_depend_on_the_generator():
    example = loaded(32, 48, False)
    one, again, other = (
        varied(example, (32, 48), Augmentation(colour=0.9), seed)[0] for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert 0 <= float(one.min()) <= float(one.max()) <= 1
