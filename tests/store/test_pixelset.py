"""Numbered pixels and their places, against a plain list."""

import numpy as np
import pytest
from dseg.store.pixelset import PixelSet
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


@given(arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 7))))
@settings(deadline=None, max_examples=60)
def test_numbers_follow_row_line_and_column(masks):
    pixels = PixelSet([7 + i for i in range(len(masks))], range(len(masks)), list(masks))
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
    with pytest.raises(ValueError, match="2 rows, 1 images, 1 masks"):
        PixelSet([0, 1], [0], [np.ones((2, 2), bool)])
