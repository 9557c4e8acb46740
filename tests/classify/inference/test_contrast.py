"""Colours that are seen over an image, measured in CIELAB by another library."""

import numpy as np
import pytest
from dseg.classify.inference.contrast import cielab, overlay_colours
from dseg.classify.inference.legend import write_legend
from dseg.classify.inference.mask_files import write_overlay
from dseg.classify.labels.classes import default_colour
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

skimage_color = pytest.importorskip("skimage.color")

COLOURS = st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=24)
BLACK = (0, 0, 0)


def voc(k):
    """The colour that class k had by default before dseg chose others from the ninth on."""
    bits = [[k >> (3 * s + c) & 1 for s in range(8)] for c in range(3)]
    return tuple(sum(bit << (7 - s) for s, bit in enumerate(channel)) for channel in bits)


def lab(colours):
    return skimage_color.rgb2lab(np.array([colours], np.uint8) / 255)[0]


def nearest(colours):
    """The least distance between any two."""
    places = lab(colours)
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    return apart[~np.eye(len(colours), dtype=bool)].min()


def test_cielab_is_that_of_another_library():
    colours = np.random.default_rng(0).integers(0, 256, (200, 3))
    np.testing.assert_allclose(cielab(colours), lab(colours), atol=0.01)


def test_default_colours_are_apart_from_black_and_from_each_other():
    assert nearest([default_colour(k) for k in range(32)]) > 25  # the first of them is black
    assert min(lab([default_colour(k) for k in range(1, 1000)])[:, 0]) > 30


@pytest.mark.parametrize("n", [1, 2, 8, 11, 20, 32])
def test_overlays_show_no_class_black(n):
    own = [default_colour(k) for k in range(n)]
    shown = overlay_colours(own)
    assert shown[1:] == tuple(own[1:])
    assert nearest([BLACK, *shown]) > 25
    assert nearest([(0, 0, 255), (0, 0, 254)]) < 1  # of what nearest would tell, were they alike


def test_models_of_before_are_shown_in_colours_that_are_told_apart():
    own = [default_colour(k) for k in range(8)] + [voc(k) for k in range(8, 20)]
    assert own[8] == (64, 0, 0)
    assert nearest([BLACK, *own[1:]]) < 17
    assert nearest([BLACK, *overlay_colours(own)]) > 20
    assert min(lab(overlay_colours(own))[:, 0]) > 25


@settings(max_examples=60, deadline=None)
@given(own=COLOURS)
def test_any_colours_somebody_chose(own):
    shown = overlay_colours(own)
    if len(own) > 1:
        assert nearest(shown) > 19.9
    places = lab(own)
    assert lab(shown)[:, 0].min() > 24.9
    for k, colour in enumerate(own):
        alone = k == 0 or np.linalg.norm(places[:k] - places[k], axis=1).min() > 20.1
        if places[k, 0] > 25.1 and alone:
            assert shown[k] == colour


def test_more_classes_than_anybody_tells_apart():
    shown = overlay_colours([BLACK] * 3 + [default_colour(k) for k in range(3, 1000)])
    assert len(shown) == 1000
    assert min(lab(shown)[:, 0]) > 25


def test_black_is_seen_on_an_overlay(tmp_path):
    image = np.full((1, 2, 3), 120, np.uint8)
    mask = np.array([[0, 1]], np.uint8)
    write_overlay(tmp_path / "o.png", image, mask, overlay_colours([BLACK, (230, 159, 0)]))
    with Image.open(tmp_path / "o.png") as written:
        assert np.asarray(written).tolist() == [[[142, 60, 187], [175, 139, 60]]]


class TestLegend:
    def test_each_colour_beside_its_name(self, tmp_path):
        colours = [(165, 0, 255), (230, 159, 0), (86, 180, 233)]
        write_legend(tmp_path / "l.png", ["sky", "", "крыша 名前\n" * 30], colours)
        with Image.open(tmp_path / "l.png") as image:
            pixels = np.asarray(image.convert("RGB"))
        rows = [pixels[10 + 28 * k : 10 + 28 * (k + 1)] for k in range(3)]
        for row, colour in zip(rows, colours, strict=True):
            assert (row[8:20, 12:28] == colour).all()
        assert not (rows[0][:, 60:] == 255).all()  # a number and a name
        assert (rows[1][:, 60:] == 255).all()  # a number alone
        assert pixels.shape[1] < 900  # a long name is cut

    def test_many_classes_stand_in_columns(self, tmp_path):
        colours = overlay_colours([default_colour(k) for k in range(60)])
        write_legend(tmp_path / "l.png", [f"class {k}" for k in range(60)], colours)
        with Image.open(tmp_path / "l.png") as image:
            width, height = image.size
            seen = {tuple(pixel) for pixel in np.asarray(image.convert("RGB")).reshape(-1, 3)}
        assert height < 800
        assert width < 800
        assert set(colours) <= {tuple(map(int, pixel)) for pixel in seen}
