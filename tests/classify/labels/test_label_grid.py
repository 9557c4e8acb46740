"""Training pixels lie where they are in the image, however large it is."""

import numpy as np
import pytest
from dseg.classify.labels.label_grid import LabelGrid
from dseg.classify.labels.label_maps import IGNORED, label_tiles
from dseg.store.geometry import plan_tiles
from hypothesis import given
from hypothesis import strategies as st


def cells_of(label, geometry, grid=None, ignore=255):
    grid = grid or LabelGrid.of(geometry)
    (cells,) = grid.cells(label, geometry, ignore, "a")
    return *cells, grid.shape(geometry.row_shape)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["squash", "pad"]))
def test_every_pixel_of_the_image_has_a_cell_at_its_position(height, width, fit):
    geometry = plan_tiles((height, width), (8, 12), fit)
    label = np.arange(height * width).reshape(height, width)
    tile = label_tiles(
        label, LabelGrid.of(geometry).geometry(geometry), ignore=-1, minimum_pixels=1
    )[0]
    assert set(np.unique(tile[tile != IGNORED])) == set(range(height * width))
    # the cell's centre, on the image, lies in the pixel that it is of, or next to it
    inside = LabelGrid.of(geometry).shape(geometry.resized)
    y, x = np.nonzero(tile != IGNORED)
    own_y, own_x = np.divmod(tile[y, x].astype(int), width)
    assert np.abs((y + 0.5) * height / inside[0] - (own_y + 0.5)).max() <= 1
    assert np.abs((x + 0.5) * width / inside[1] - (own_x + 0.5)).max() <= 1


def test_images_no_larger_than_the_input_have_its_grid():
    geometry = plan_tiles((6, 8), (8, 8), "squash")
    label = np.random.default_rng(0).integers(0, 3, (6, 8))
    places, y, shape = cells_of(label, geometry)
    assert shape == (8, 8)
    whole = label_tiles(label, geometry, minimum_pixels=1)[0].ravel()
    assert np.array_equal(places, np.arange(64))
    assert np.array_equal(y, whole)


def test_the_published_grid_leaves_out_small_classes():
    geometry = plan_tiles((80, 80), (8, 8), "squash")
    label = np.zeros((80, 80), int)
    label[:40, :40] = 1  # 16 pixels of the input
    _, y, shape = cells_of(label, geometry, LabelGrid.published())
    assert shape == (8, 8)
    assert set(y) == {0}


def test_a_thin_stroke_of_a_large_image_is_kept_whole():
    geometry = plan_tiles((640, 640), (32, 32), "squash")
    label = np.full((640, 640), 255)
    label[101, :100], label[301:303, :100] = 0, 1
    places, y, shape = cells_of(label, geometry)
    assert shape == (1024, 1024)
    y_of, x_of = np.divmod(places, 1024)
    own = (y_of * 640) // 1024, (x_of * 640) // 1024
    assert set(zip(*own, strict=True)) == set(zip(*np.nonzero(label != 255), strict=True))
    assert np.array_equal(y, label[own])


def test_a_large_image_does_not_outweigh_a_small_one():
    counts = [
        len(cells_of(np.zeros((side, side), int), plan_tiles((side, side), (16, 16), "squash"))[0])
        for side in (10, 20, 160)
    ]
    assert counts == [256, 256, 256]


def test_rare_classes_are_not_thinned_away():
    geometry = plan_tiles((640, 640), (32, 32), "squash")
    label = np.zeros((640, 640), int)
    label[5, :20], label[9, :300] = 1, 2
    _, y, _ = cells_of(label, geometry)
    every = label_tiles(label, LabelGrid.of(geometry).geometry(geometry), minimum_pixels=1)
    assert 0 < (every == 1).sum() < 100 < (every == 2).sum()
    assert (y == 1).sum() == (every == 1).sum()
    assert (y == 2).sum() == 100
    assert 1024 <= len(y) <= 1024 + 200


def test_what_is_drawn_depends_on_the_name_only():
    geometry = plan_tiles((90, 90), (8, 8), "squash")
    label = np.zeros((90, 90), int)
    grid = LabelGrid.of(geometry)
    one, again, other = (grid.cells(label, geometry, 255, name)[0][0] for name in "aab")
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(("side", "factor"), [(20000, 16), (100, 1), (257, 2), (513, 4)])
def test_the_grid_is_bounded(side, factor):
    assert LabelGrid.of(plan_tiles((side, side), (256, 256), "squash")).factor == factor
