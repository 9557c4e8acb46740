"""The picture of a demo shows what it was given, in the colours that its legend names."""

import numpy as np
import pytest
from dseg.demo.picture import COLUMNS, GAP, LINE, Example, draw_picture
from dseg.demo.scenes import CLASSES, COLOURS, draw_scene
from dseg.demo.tint import M1, M2, scale, tinted


def drawn(*given):
    """Return the picture's pixels without the white edge around it."""
    pixels = np.asarray(draw_picture(*given))
    for edge in (pixels[:GAP], pixels[-GAP:], pixels[:, :GAP], pixels[:, -GAP:]):
        assert (edge == 255).all()
    return pixels[GAP:-GAP, GAP:-GAP]


@pytest.fixture
def examples():
    made = []
    for seed in (0, 1):
        scene = draw_scene(seed, (32, 48))
        mask = np.roll(scene.label, 1, axis=1)
        uncertainty = np.random.default_rng(seed).uniform(0, 0.5 + seed, mask.shape)
        made.append(Example(scene.image, mask, scene.label, uncertainty))
    return made


def test_each_panel_is_what_it_is_called(examples):
    picture = drawn(examples, CLASSES, COLOURS)
    zoom = 5  # of 48 pixels to about 256
    top = max(example.uncertainty.max() for example in examples)
    for row, example in enumerate(examples):
        expected = {
            "image": example.image,
            "mask": np.array(COLOURS, np.uint8)[example.mask],
            "truth": np.array(COLOURS, np.uint8)[example.truth],
            "uncertainty": tinted(example.uncertainty, top),
        }
        y = LINE + row * (32 * zoom + GAP)
        for column, name in enumerate(COLUMNS):
            x = column * (48 * zoom + GAP)
            shown = picture[y : y + 32 * zoom, x : x + 48 * zoom]
            assert np.array_equal(shown[::zoom, ::zoom], expected[name]), name
            assert np.array_equal(shown[zoom - 1 :: zoom, zoom - 1 :: zoom], expected[name])


def test_the_legend_names_every_class(examples):
    picture = drawn(examples, CLASSES, COLOURS, "words")
    below = picture[LINE + 2 * (32 * 5 + GAP) :].reshape(-1, 3)
    for colour in COLOURS:
        assert (below == colour).all(-1).sum() > 300
    assert picture.shape[1] == 4 * 48 * 5 + 3 * GAP


def test_the_note_is_written_and_a_longer_legend_takes_more_lines(examples):
    plain = drawn(examples, CLASSES, COLOURS)
    noted = drawn(examples, CLASSES, COLOURS, "12 labelled scenes")
    assert plain.shape == noted.shape
    assert (plain[-LINE:] != noted[-LINE:]).any()
    assert np.array_equal(plain[:-LINE], noted[:-LINE])
    long = [f"{name} of a rather long name" for name in CLASSES]
    assert drawn(examples, long, COLOURS).shape[0] > plain.shape[0]


def test_certain_everywhere_is_the_light_end(examples):
    sure = Example(
        examples[0].image, examples[0].mask, examples[0].truth, np.zeros((32, 48), np.float32)
    )
    picture = drawn([sure], CLASSES, COLOURS)
    panel = picture[LINE : LINE + 32 * 5, 3 * (48 * 5 + GAP) :]
    assert (panel == scale()[0]).all()


def test_the_scale_falls_evenly_in_lightness_and_keeps_its_hue():
    encoded = scale(64) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    lightness, a, b = (np.cbrt(linear @ np.linalg.inv(M1).T) @ np.linalg.inv(M2).T).T
    steps = np.diff(lightness)
    assert (steps < 0).all()
    assert np.ptp(steps) < 0.5 * abs(steps.mean())
    coloured = np.hypot(a, b) > 0.03
    assert np.ptp(np.rad2deg(np.arctan2(b, a))[coloured]) < 10


@pytest.mark.parametrize("top", [0.0, -1.0, float("nan")])
def test_a_scale_without_extent_is_refused(top):
    with pytest.raises(ValueError, match="needs a top above 0"):
        tinted(np.zeros(3), top)
