"""Shapes to pixels, against a slow plain version in exact fractions; and pixels to shapes."""

import math
from collections import Counter
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from dseg.classify.annotations.model import (
    AnnotatedImage,
    Bitmap,
    Lines,
    Points,
    Polygon,
    Shape,
)
from dseg.classify.annotations.outlines import outlines
from dseg.classify.annotations.rasterise import rasterise
from dseg.store.errors import InputError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

IDS = {"a": 1, "b": 2}


def drawn(*shapes, size=(9, 11)):
    return rasterise(AnnotatedImage("7.jpg", shapes), IDS, size, background=0, ignored=255)


def shape(*areas, label="a"):
    return Shape(label, areas)


def polygon(points, *holes):
    return Polygon(np.float64(points), tuple(np.float64(hole) for hole in holes))


def encloses(ring, x, y):
    """Whether an odd number of edges lie to the right of a point, in exact fractions."""
    inside = False
    for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
        if (y0 <= y) != (y1 <= y):
            cut = Fraction(x0) + (y - Fraction(y0)) * Fraction(x1 - x0) / Fraction(y1 - y0)
            inside ^= x < cut
    return inside


def belongs(area, row, column):
    x, y = column + Fraction(1, 2), row + Fraction(1, 2)
    if isinstance(area, Polygon):
        return encloses(area.exterior.tolist(), x, y) and not any(
            encloses(hole.tolist(), x, y) for hole in area.holes
        )
    if isinstance(area, Bitmap):
        r, c = row - area.top, column - area.left
        h, w = area.pixels.shape
        return 0 <= r < h and 0 <= c < w and bool(area.pixels[r, c])
    assert isinstance(area, Points)
    return any(
        (math.floor(cx) == column and math.floor(cy) == row)
        or (x - Fraction(cx)) ** 2 + (y - Fraction(cy)) ** 2 < Fraction(area.radius) ** 2
        for cx, cy in area.centres.tolist()
    )


def slow(shapes, size):
    label_map = np.zeros(size, np.uint16)
    for row, column in np.ndindex(size):
        for one in shapes:
            if any(belongs(area, row, column) for area in one.areas):
                label_map[row, column] = 255 if one.label is None else IDS[one.label]
    return label_map


# Quarters: many corners lie on pixels' centres and edges, where rules differ.
coordinates = st.integers(-12, 60).map(lambda quarters: quarters / 4)
rings = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=7).map(np.float64)
areas = st.one_of(
    st.builds(Polygon, rings, st.lists(rings, max_size=2).map(tuple)),
    st.builds(Points, rings, st.sampled_from([0.0, 0.5, 1.0, 2.25])),
    st.builds(
        Bitmap,
        arrays(np.bool_, st.tuples(st.integers(1, 5), st.integers(1, 5))),
        st.integers(-6, 12),
        st.integers(-6, 12),
    ),
)
drawings = st.lists(
    st.builds(Shape, st.sampled_from(["a", "b", None]), st.lists(areas, max_size=2).map(tuple)),
    max_size=4,
)


@settings(max_examples=80, deadline=None)
@given(drawings)
def test_equals_the_slow_plain_version(shapes):
    np.testing.assert_array_equal(drawn(*shapes), slow(shapes, (9, 11)))


def test_polygons_that_share_an_edge_share_no_pixel_and_leave_none():
    rng = np.random.default_rng(0)
    for _ in range(20):
        (x0, y0), (x1, y1) = rng.uniform(0, 20, (2, 2))
        one = polygon([(-9, -9), (x0, y0), (x1, y1), (-9, 30)])
        other = polygon([(x0, y0), (-9, -9), (30, -9), (30, 30), (-9, 30), (x1, y1)])
        first = drawn(shape(one), size=(20, 20)) > 0
        second = drawn(shape(other), size=(20, 20)) > 0
        if not encloses(other.exterior.tolist(), 25, 25):
            continue
        assert (first ^ second).all()


def test_later_shapes_cover_earlier_ones_and_shapes_without_a_label_are_ignored():
    square = polygon([(0, 0), (4, 0), (4, 4), (0, 4)])
    right = polygon([(2, 0), (4, 0), (4, 4), (2, 4)])
    found = drawn(shape(square), shape(right, label=None), size=(4, 5))
    assert found[0].tolist() == [1, 1, 255, 255, 0]


def test_what_covers_a_shape_of_another_class_is_counted():
    overlaps = Counter()
    shapes = (
        shape(polygon([(0, 0), (4, 0), (4, 4), (0, 4)])),
        shape(polygon([(3, 0), (5, 0), (5, 4), (3, 4)])),
        shape(polygon([(2, 0), (4, 0), (4, 2), (2, 2)]), label="b"),
        shape(polygon([(0, 0), (5, 0), (5, 1), (0, 1)]), label=None),
        shape(polygon([(0, 0), (5, 0), (5, 2), (0, 2)])),
    )
    image = AnnotatedImage("7.jpg", shapes)
    rasterise(image, IDS, (4, 5), background=0, ignored=255, overlaps=overlaps)
    assert overlaps == {("a", "b"): 4, ("b", "a"): 2}


def test_strokes_have_their_width():
    level = Lines(np.float64([(0, 4), (11, 4)]), 2.0)
    assert (drawn(shape(level)) > 0).sum(axis=0).tolist() == [2] * 11
    steep = Lines(np.float64([(1, 0), (7, 9)]), 1.0)
    assert (drawn(shape(steep)) > 0).sum(axis=1).min() >= 1
    dot = Lines(np.float64([(3, 3)]), 0.0)
    assert np.argwhere(drawn(shape(dot))).tolist() == [[3, 3]]


@pytest.mark.parametrize("width", [1.0, 3.0, 5.5])
def test_strokes_hold_what_is_near_their_line(width):
    rng = np.random.default_rng(1)
    vertices = rng.uniform(-3, 30, (5, 2))
    found = drawn(shape(Lines(vertices, width)), size=(30, 28)) > 0
    centres = np.argwhere(np.ones_like(found))[:, ::-1] + 0.5
    distance = np.full(len(centres), np.inf)
    for start, stop in pairwise(vertices):
        along = stop - start
        at = np.clip((centres - start) @ along / (along @ along), 0, 1)
        distance = np.minimum(
            distance, np.linalg.norm(centres - start - at[:, None] * along, axis=1)
        )
    near = (distance < width / 2).reshape(found.shape)
    for x, y in np.floor(vertices).astype(int):
        if 0 <= x < 28 and 0 <= y < 30:
            near[y, x] = True
    np.testing.assert_array_equal(found, near)


@pytest.mark.parametrize(
    ("area", "words"),
    [
        (polygon([(0, 0), (1e30, 0), (3, 3)]), "a coordinate or length is not finite, or beyond"),
        (polygon([(0, 0), (np.nan, 0), (3, 3)]), "a coordinate or length is not finite"),
        (Points(np.float64([(1, 1)]), np.inf), "a coordinate or length is not finite"),
        (Lines(np.float64([(1, 1)]), -2.0), "a coordinate or length is not finite"),
        (Polygon(np.zeros((3, 3))), r"have the shape \(3, 3\): expected \(n, 2\)"),
    ],
)
def test_refuses_coordinates_that_are_none(area, words):
    with pytest.raises(InputError, match=rf"the shapes of '7\.jpg' cannot be drawn: .*{words}"):
        drawn(shape(area))


def test_refuses_labels_without_a_class_and_images_that_are_too_large():
    with pytest.raises(InputError, match="the label 'dog' has no class id"):
        drawn(Shape("dog", ()))
    with pytest.raises(InputError, match="30000×50000 pixels, 178956970 are the most"):
        drawn(size=(50000, 30000))


def test_a_shape_far_larger_than_the_image_costs_no_more_than_the_image():
    huge = polygon([(-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9)])
    assert (drawn(shape(huge), shape(Points(np.float64([(3, 3)]), 1e8))) == 1).all()


def test_refuses_outlines_that_would_take_hours():
    zigzag = np.zeros((1_000_000, 2))
    zigzag[::2] = (3, 2000)
    with pytest.raises(
        InputError, match="cuts rows of pixels 2000000000 times, 268435456 are the most"
    ):
        drawn(shape(Polygon(zigzag)), size=(2000, 10))


def test_refuses_more_than_a_number_of_pixels(monkeypatch):
    monkeypatch.setattr("dseg.classify.annotations.rasterise.MOST_WORK", 200_000)
    whole = polygon([(0, 0), (200, 0), (200, 200), (0, 200)])
    drawn(*[shape(whole)] * 3, size=(200, 200))
    with pytest.raises(InputError, match="together they cover more than 200000 pixels"):
        drawn(*[shape(whole)] * 6, size=(200, 200))


masks = arrays(
    np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2)
)


@settings(max_examples=150, deadline=None)
@given(masks)
def test_outlines_are_exact(mask):
    found = list(outlines(mask, range(3)))
    shapes = [Shape(str(k), (one,)) for k, one in found]
    image = AnnotatedImage("7.jpg", tuple(shapes))
    ids = {str(k): k for k in range(3)}
    again = rasterise(image, ids, mask.shape, background=9, ignored=9)
    np.testing.assert_array_equal(again, mask)
    # Each polygon is an object, none covers another, and no corner is superfluous.
    pixels = [
        rasterise(AnnotatedImage("", (one,)), ids, mask.shape, background=9, ignored=9) != 9
        for one in shapes
    ]
    assert sum(map(np.count_nonzero, pixels)) == mask.size
    assert len(found) == sum(_count(mask == k) for k in range(3))
    for _, one in found:
        for ring in (one.exterior, *one.holes):
            steps = np.roll(ring, -1, axis=0) - ring
            assert ((steps[:, 0] == 0) ^ (steps[:, 1] == 0)).all()
            assert ((steps[:, 0] == 0) != (np.roll(steps, 1, axis=0)[:, 0] == 0)).all()


def _count(inside):
    """Return how many objects there are, connected through sides, one pixel after the other."""
    left, n = {tuple(at) for at in np.argwhere(inside).tolist()}, 0
    while left:
        n += 1
        border = [left.pop()]
        while border:
            y, x = border.pop()
            beside = {(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)} & left
            left -= beside
            border += beside
    return n


def test_outlines_of_a_class_that_does_not_occur():
    assert list(outlines(np.zeros((3, 4), np.uint16), [1, 7, 65000])) == []
