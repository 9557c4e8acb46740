"""Which images are seen when, and how each is cut."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from dseg.extract.images.network_input import ImageRows
from dseg.extract.images.reading import UnreadableImage
from dseg.pretrain.data.images import Augmentation, TrainingImages
from dseg.store.geometry import plan_tiles
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

PLENTY = 10**9


def training_images(folder, augmentation=None, *, seed=3, cache=PLENTY, size=8):
    paths = sorted(folder.iterdir())
    return TrainingImages(paths, size, augmentation or Augmentation(), seed, cache)


@given(st.integers(1, 60), st.integers(0, 2**63 - 1), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_each_epoch_is_a_permutation(count, seed, epoch):
    images = TrainingImages(list(range(count)), 8, Augmentation(), seed, 0)
    numbers = [images._number(epoch * count + within) for within in range(count)]
    assert sorted(numbers) == list(range(count))


def test_epochs_and_seeds_differ(photos):
    one, other = training_images(photos), training_images(photos, seed=4)
    first, second = ([one._number(10 * e + i) for i in range(10)] for e in (0, 1))
    assert first != second
    assert first != [other._number(i) for i in range(10)]


@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation(0.3, flip=True)])
def test_what_is_seen_does_not_depend_on_batches_threads_or_memory(photos, augmentation):
    expected = training_images(photos, augmentation).batch(7, 24)
    assert expected.shape == (24, 3, 8, 8)
    assert expected.dtype == np.float32
    again = training_images(photos, augmentation, cache=0)
    with ThreadPoolExecutor(3) as pool:
        parts = [again.batch(7, 5, pool), again.batch(12, 1), again.batch(13, 18, pool)]
    assert np.array_equal(np.concatenate(parts), expected)
    little = training_images(photos, augmentation, cache=1000)
    assert np.array_equal(little.batch(7, 24), expected)
    assert sum(kept.nbytes for kept in little._kept._kept.values()) <= 1000


@pytest.mark.parametrize("shape", [(8, 8), (5, 7), (64, 64)])
def test_a_whole_image_is_what_extraction_sees(tmp_path, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    rows = ImageRows(image, plan_tiles(shape, (8, 8), "squash", 0))
    images = training_images(tmp_path)
    assert np.array_equal(images.whole(0), rows[0])
    assert np.array_equal(images.batch(0, 1)[0], rows[0])


def test_a_wide_image_is_near_what_extraction_sees(tmp_path, picture):
    """It is reduced in two steps there, so that less of it is kept."""
    image = picture(1, 40, 90)
    Image.fromarray(image).save(tmp_path / "a.png")
    rows = ImageRows(image, plan_tiles((40, 90), (8, 8), "squash", 0))
    np.testing.assert_allclose(training_images(tmp_path).whole(0), rows[0], atol=0.03)


def test_cut_outs_lie_within_the_image_and_keep_its_shape(tmp_path):
    """An image whose colours are its coordinates tells where it was cut."""
    y, x = np.mgrid[:200, :100]
    image = np.stack([x * 2, y, np.zeros_like(x)], -1).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    seen = training_images(tmp_path, Augmentation(crop=0.25), size=25).batch(0, 200)
    x_side, y_side = (127.5 * np.ptp(seen[:, c], axis=(1, 2)) * 25 / 24 / 200 for c in (0, 1))
    np.testing.assert_allclose(x_side, y_side, atol=0.02)
    assert 0.22 < x_side.min() < 0.3
    assert 0.9 < x_side.max() < 1.04
    assert abs(np.median(x_side) - 0.5) < 0.06  # evenly spread on a logarithmic scale
    place = 127.5 * (seen.mean((2, 3)) + 1)
    assert place[:, 0].std() > 10
    assert place[:, 1].std() > 10


def test_every_other_image_is_mirrored(tmp_path, picture):
    Image.fromarray(picture(2)).save(tmp_path / "a.png")
    straight = training_images(tmp_path).whole(0)
    seen = training_images(tmp_path, Augmentation(flip=True)).batch(0, 200)
    mirrored = np.array([np.array_equal(image, straight[:, :, ::-1]) for image in seen])
    assert all(np.array_equal(image, straight) for image in seen[~mirrored])
    assert 70 < mirrored.sum() < 130
    assert not np.array_equal(straight, straight[:, :, ::-1])


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 2)])
def test_images_of_odd_shapes_are_cut(tmp_path, picture, shape):
    Image.fromarray(picture(3, *shape)).save(tmp_path / "a.png")
    seen = training_images(tmp_path, Augmentation(crop=0.01, flip=True)).batch(0, 30)
    assert seen.shape == (30, 3, 8, 8)
    assert np.abs(seen).max() <= 1


def test_a_batch_may_be_larger_than_the_folder(photos):
    images = training_images(photos)
    assert np.array_equal(
        np.sort(images.batch(0, 30)[10:20], axis=0), np.sort(images.batch(0, 30)[:10], axis=0)
    )


def test_the_next_image_stands_in_for_one_that_is_lost(photos):
    expected = training_images(photos).batch(0, 30)
    images = training_images(photos, cache=0)
    at = images._number(3)
    sorted(photos.iterdir())[at].unlink()
    again = training_images(photos, cache=0)  # its list is the same but for the lost one
    assert len(again) == 9
    seen = images.batch(0, 30)
    assert np.array_equal(seen, images.batch(0, 30))
    assert list(images.lost) == [at]
    assert "is not there any more" in images.lost[at]
    same = [place for place in range(30) if np.array_equal(seen[place], expected[place])]
    assert same == [place for place in range(30) if images._number(place) != at]


def test_no_image_at_all_is_an_error(photos):
    images = training_images(photos, cache=0)
    for path in photos.iterdir():
        path.write_bytes(b"")
    with pytest.raises(UnreadableImage, match="none of the 10 images can be read any more"):
        images.batch(0, 2)
