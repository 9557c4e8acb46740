"""A label is the class of the part at the pixel's centre, and a colour is that part's in light."""

import numpy as np
import pytest
from dseg.demo.canvas import Canvas, Light, Surface

EVEN = Light(0, (1, 1, 1), (0, 0, 0), shadow=0, falloff=(0, 0), blur=0, noise=0)


def plain(kind, colour, **more):
    return Surface(kind, colour, grain=0, blotch=0, **more)


def whole(canvas):
    return [(0, 0), (canvas.width, 0), (canvas.width, 1), (0, 1)]


def test_a_rectangle_on_pixel_edges_labels_exactly_its_pixels():
    canvas = Canvas((32, 48))
    canvas.polygon(whole(canvas), plain(0, (10, 20, 30)))
    canvas.polygon([(0.25, 0.5), (0.75, 0.5), (0.75, 0.75), (0.25, 0.75)], plain(4, (200, 100, 0)))
    expected = np.zeros((32, 48), np.uint8)
    expected[16:24, 8:24] = 4
    assert np.array_equal(canvas.label(), expected)


@pytest.mark.parametrize("radii", [(0.2, 0.2), (0.4, 0.1), (0.07, 0.3)])
def test_an_ellipse_has_its_area(radii):
    canvas = Canvas((128, 128))
    canvas.polygon(whole(canvas), plain(0, (0, 0, 0)))
    canvas.ellipse((0.47, 0.52), radii, plain(1, (255, 255, 255)))
    area, ring = np.pi * radii[0] * radii[1] * 128**2, 2 * np.pi * max(radii) * 128
    # Shapes take in the cells that their edge touches, half a cell on average: 1/6 of a pixel.
    assert abs(np.count_nonzero(canvas.label() == 1) - area - ring / 6) < 0.1 * ring + 4


def test_a_triangle_has_its_area():
    canvas = Canvas((128, 96))
    canvas.polygon(whole(canvas), plain(0, (0, 0, 0)))
    canvas.polygon([(0.1, 0.9), (0.65, 0.8), (0.3, 0.1)], plain(1, (255, 255, 255)))
    area = 0.5 * abs((0.55) * (-0.8) - (0.2) * (-0.1)) * 128**2
    assert np.count_nonzero(canvas.label() == 1) == pytest.approx(area, rel=0.03)


def test_what_is_drawn_later_stands_before():
    canvas = Canvas((64, 64))
    canvas.polygon(whole(canvas), plain(0, (0, 0, 0)))
    canvas.polygon([(0, 0), (0.5, 0), (0.5, 1), (0, 1)], plain(1, (0, 0, 0)))
    left = canvas.label()
    canvas.polygon([(0, 0.5), (1, 0.5), (1, 1), (0, 1)], plain(2, (0, 0, 0)))
    both = canvas.label()
    assert (both[32:] == 2).all()
    assert np.array_equal(both[:31], left[:31])
    assert set(np.unique(both)) == {0, 1, 2}


def test_labels_and_colours_are_of_the_same_parts():
    """In even light a pixel has its part's colour, save where several parts share it."""
    canvas, colours = Canvas((60, 60)), [(10, 20, 30), (200, 100, 0), (0, 250, 120)]
    canvas.polygon(whole(canvas), plain(0, colours[0]))
    canvas.polygon([(0.1, 0.2), (0.8, 0.3), (0.4, 0.9)], plain(1, colours[1]))
    canvas.ellipse((0.5, 0.5), (0.21, 0.13), plain(2, colours[2]))
    label, image = canvas.label(), canvas.photograph(EVEN, np.random.default_rng(0))
    same = (image == np.array(colours, np.uint8)[label]).all(-1)
    mixed = ~same
    assert 0 < np.count_nonzero(mixed) < 0.1 * mixed.size
    inner = np.ones_like(mixed)
    for axis in (0, 1):
        for step in (-1, 1):
            inner &= np.roll(label, step, axis) == label
    assert same[inner].mean() > 0.99  # a sharp corner may reach into a pixel and label none


def test_a_shadow_darkens_what_was_drawn_before_it_only():
    dark = Light(0, (1, 1, 1), (0, 0, 0), shadow=0.5, falloff=(0, 0), blur=0, noise=0)
    canvas = Canvas((64, 64))
    canvas.polygon(whole(canvas), plain(0, (200, 200, 200)))
    canvas.polygon([(0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9)])  # no surface: a shadow
    canvas.polygon([(0.5, 0.2), (0.8, 0.2), (0.8, 0.8), (0.5, 0.8)], plain(1, (200, 200, 200)))
    grey = canvas.photograph(dark, np.random.default_rng(0))[..., 0].astype(int)
    assert grey[32, 16] == pytest.approx(100, abs=2)
    assert grey[32, 42] == pytest.approx(200, abs=2)
    assert grey[2, 2] == 200


def test_haze_gradient_and_falloff_act_as_they_say():
    canvas = Canvas((64, 64))
    canvas.polygon(whole(canvas), plain(0, (100, 100, 100), gradient=(0.5, 0)))
    light = Light(0, (1, 1, 1), (0, 0, 0), shadow=0, falloff=(0, 0), blur=0, noise=0)
    row = canvas.photograph(light, np.random.default_rng(0))[32, :, 0].astype(int)
    assert row[0] == pytest.approx(50, abs=1)
    assert row[-1] == pytest.approx(150, abs=1)
    canvas = Canvas((64, 64))
    canvas.polygon(whole(canvas), plain(0, (100, 100, 100), distance=0.75))
    hazy = Light(0, (1, 1, 1), (200, 0, 20), shadow=0, falloff=(0, 0), blur=0, noise=0)
    image = canvas.photograph(hazy, np.random.default_rng(0))
    assert image[5, 5].tolist() == [175, 25, 40]
