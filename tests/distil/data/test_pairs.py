"""What a step sees is a function of the seed and its number."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from dseg.distil.data.augmentation import Augmentation
from dseg.distil.data.examples import UNLABELLED
from dseg.distil.data.pairs import TrainingPairs, crop_of
from dseg.distil.student.view import View
from dseg.extract.images.reading import UnreadableImage, read_image
from dseg.store.errors import InputError
from PIL import Image


def pairs(first, second=(), share=0.25, seed=0, room=10**8):
    return TrainingPairs(first, second, share, (32, 32), Augmentation(), 3, seed, room)


def same(one, other):
    return all(torch.equal(getattr(one, k), getattr(other, k)) for k in ("images", "targets"))


def test_a_batch_does_not_depend_on_threads_memory_or_what_was_seen_before(examples):
    first, second = examples()[:2], examples()[2:]
    expected = pairs(first, second).batch(5, 4)
    with ThreadPoolExecutor(3) as pool:
        warm = pairs(first, second)
        warm.batch(0, 7)
        assert same(expected, warm.batch(5, 4, pool))
    assert same(expected, pairs(first, second, room=0).batch(5, 4))
    assert not same(expected, pairs(first, second, seed=1).batch(5, 4))
    assert not same(expected, pairs(first, second).batch(9, 4))


@pytest.mark.parametrize("share", [0.0, 0.25, 0.3, 1.0])
def test_each_list_has_its_share_and_is_seen_epoch_by_epoch(examples, share):
    first, second = examples()[:1], examples()[1:]
    seen = [pairs(first, second, share).number_at(place) for place in range(120)]
    of_second = [number for which, number in seen if which == 1]
    assert abs(len(of_second) - 120 * share) < 1
    for start in range(0, len(of_second) - 2, 3):
        assert sorted(of_second[start : start + 3]) == [0, 1, 2]
    counts = Counter(which for which, _ in seen[:40])
    assert abs(counts[1] - 40 * share) < 1


def test_a_single_list_has_every_position(examples):
    assert {which for which, _ in map(pairs(examples()).number_at, range(20))} == {0}
    assert {which for which, _ in map(pairs([], examples()).number_at, range(20))} == {1}
    with pytest.raises(InputError, match="no image to learn from"):
        pairs([])


def test_images_that_vanish_are_skipped_and_named(examples, pictures):
    made = pairs(examples())
    for image, _, _ in pictures[1:]:
        image.unlink()
    batch = made.batch(0, 6)
    assert batch.images.shape == (6, 3, 32, 32)
    assert made.lost.keys() <= {image.name for image, _, _ in pictures[1:]}
    assert "is not there any more" in next(iter(made.lost.values()))
    pictures[0][0].unlink()
    with pytest.raises(UnreadableImage, match="none of the images can be read any more"):
        pairs(examples()).batch(0, 1)


@pytest.mark.parametrize("view", [View(24), View(32, "tile"), View(500)])
def test_an_example_is_the_image_and_its_label_map_at_the_view(examples, pictures, view):
    by_image = {}
    for example in examples(view):
        by_image.setdefault(example.image.path, []).append(example)
    for image, label, size in pictures:
        geometry = view.geometry(size)
        whole = np.asarray(
            Image.fromarray(read_image(image)).resize(
                geometry.resized[::-1], Image.Resampling.BILINEAR
            )
        )
        ids = np.asarray(Image.open(label)).astype(np.uint16)
        for example in by_image[image]:
            loaded = example.load()
            (top, left), content = geometry.offsets[example.tile], geometry.content(example.tile)
            assert loaded.pixels.shape == (*content, 3)
            part = whole[top : top + content[0], left : left + content[1]]
            np.testing.assert_array_equal(loaded.pixels, part)
            for y, x in np.random.default_rng(0).integers(0, content, (30, 2)):
                there = [
                    int((start + at + 0.5) * side / to)
                    for start, at, side, to in zip(
                        (top, left), (y, x), size, geometry.resized, strict=True
                    )
                ]
                expected = ids[there[0], there[1]]
                expected = UNLABELLED if expected == 255 else expected
                assert loaded.truth.ids[y, x] == expected


def test_an_image_of_another_size_than_before_is_refused(examples, pictures):
    made = examples()[0]
    Image.new("RGB", (9, 9)).save(pictures[0][0])
    with pytest.raises(UnreadableImage, match="changed while it was used"):
        made.load()


def test_the_crop_is_as_the_middle_example(examples):
    assert crop_of(examples(View(64))) == (64, 64)
    assert crop_of(examples(View(8))) == (32, 32)
