"""Numbered pixels and their places, against a plain list."""

import numpy as np
import pytest
from dseg.store.read.interpolation import taps
from dseg.store.sampling.pixel_set import PixelSet
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


@given(arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 7))))
@settings(deadline=None, max_examples=60)
def test_numbers_follow_row_line_and_column(masks):
    pixels = PixelSet.of_masks([7 + i for i in range(len(masks))], range(len(masks)), list(masks))
    position, yx = pixels.locate(np.arange(pixels.n))
    assert np.array_equal(np.column_stack([position, yx]), np.argwhere(masks))


def test_whole_rows_need_no_column_list():
    pixels = PixelSet.whole([3, 9], [0, 1], (5, 6))
    position, yx = pixels.locate(np.array([0, 29, 30, 59]))
    assert position.tolist() == [0, 0, 1, 1]
    assert yx.tolist() == [[0, 0], [4, 5], [0, 0], [4, 5]]
    assert pixels._columns is None


def test_images_of_several_rows_stand_together():
    pixels = PixelSet.whole([0, 1, 2, 5], [0, 0, 0, 4], (2, 2))
    assert pixels.image_starts.tolist() == [0, 12, 16]


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="2 rows, 1 images, pixels of 1"):
        PixelSet.of_masks([0, 1], [0], [np.ones((2, 2), bool)])


@given(arrays(bool, st.tuples(st.integers(2, 5), st.integers(1, 6), st.integers(1, 7))))
@settings(deadline=None, max_examples=60)
def test_pixels_of_some_images_are_those_of_their_masks(masks):
    owners = [i // 2 for i in range(len(masks))]
    pixels = PixelSet.of_masks([7 + i for i in range(len(masks))], owners, list(masks))
    kept = [i for i, owner in enumerate(owners) if owner != 0]
    if not kept:
        return
    some = pixels.of_images(set(owners) - {0})
    again = PixelSet.of_masks(
        [7 + i for i in kept], [owners[i] for i in kept], [masks[i] for i in kept]
    )
    assert some.rows.tolist() == again.rows.tolist()
    assert some.image_starts.tolist() == again.image_starts.tolist()
    for one, other in zip(*(p.locate(np.arange(p.n)) for p in (some, again)), strict=True):
        assert np.array_equal(one, other)


def test_images_without_rows_have_no_pixels():
    with pytest.raises(ValueError, match=r"no row is of the images \[3\]"):
        PixelSet.whole([0, 1], [0, 1], (2, 2)).of_images([3])


@given(arrays(bool, st.tuples(st.integers(2, 5), st.integers(1, 6), st.integers(1, 7))), st.data())
@settings(deadline=None, max_examples=60)
def test_a_subset_has_the_chosen_pixels_in_order(masks, data):
    pixels = PixelSet.of_masks([7 + i for i in range(len(masks))], range(len(masks)), list(masks))
    if not pixels.n:
        return
    chosen = np.array(sorted(data.draw(st.sets(st.integers(0, pixels.n - 1), min_size=1))))
    some = pixels.subset(chosen)
    (position, yx), (before, yx_before) = some.locate(np.arange(some.n)), pixels.locate(chosen)
    assert np.array_equal(some.rows[position], pixels.rows[before])
    assert np.array_equal(yx, yx_before)
    assert set(some.rows) == set(pixels.rows[before])


def test_rows_may_have_finer_grids():
    """A pixel of a grid twice as fine reads between those of the row's own."""
    places = [np.array([0, 5]), np.array([3, 12])]
    pixels = PixelSet([7, 9], [0, 1], places, (2, 3), [1, 2])
    position, yx = pixels.locate(np.arange(4))
    assert position.tolist() == [0, 0, 1, 1]
    assert yx.tolist() == [[0, 0], [1, 2], [0, 3], [2, 0]]
    assert [pixels.grid(0), pixels.grid(1)] == [(2, 3), (4, 6)]
    index, weight = pixels.taps(position, yx, (2, 3))
    for number, (row, grid) in enumerate(zip(yx, [(2, 3)] * 2 + [(4, 6)] * 2, strict=True)):
        one = taps(row[None], grid, (2, 3))
        assert np.array_equal(index[number], one[0][0])
        assert np.array_equal(weight[number], one[1][0])
    alone = pixels.of_images([1])
    assert (alone.grid(0), alone.n) == ((4, 6), 2)
    assert np.array_equal(alone.locate(np.arange(2))[1], yx[2:])
    some = pixels.subset(np.array([1, 3]))
    assert np.array_equal(some.locate(np.arange(2))[1], yx[[1, 3]])


@given(arrays(bool, st.tuples(st.integers(2, 5), st.integers(1, 6), st.integers(1, 7))))
@settings(deadline=None, max_examples=60)
def test_a_set_behind_another_is_the_set_of_both(masks):
    rows, owners = [7 + i for i in range(len(masks))], list(range(len(masks)))
    first = PixelSet.of_masks(rows[:1], owners[:1], list(masks[:1]))
    second = PixelSet.of_masks(rows[1:], owners[1:], list(masks[1:]))
    both, whole = first.followed_by(second), PixelSet.of_masks(rows, owners, list(masks))
    assert both.n == whole.n
    assert both.rows.tolist() == whole.rows.tolist()
    assert both.image_starts.tolist() == whole.image_starts.tolist()
    for one, other in zip(*(p.locate(np.arange(p.n)) for p in (both, whole)), strict=True):
        assert np.array_equal(one, other)


def test_sets_on_other_grids_keep_them():
    fine = PixelSet([0], [0], [np.array([3, 35])], (3, 3), [2])
    both = fine.followed_by(PixelSet.whole([1], [1], (3, 3)))
    assert both.factors.tolist() == [2, 1]
    assert both.locate(np.array([1, 2]))[1].tolist() == [[5, 5], [0, 0]]
    with pytest.raises(ValueError, match="rows of"):
        fine.followed_by(PixelSet.whole([1], [1], (4, 4)))
