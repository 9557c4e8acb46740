"""The picture of a demo shows what it was given, in the colours that its legend names."""

from io import BytesIO

import numpy as np
import pytest
from dseg.demo.picture import COLUMNS, Example, _figure, draw_picture
from dseg.demo.scenes import CLASSES, COLOURS, draw_scene
from PIL import Image

SIZE = (32, 48)


@pytest.fixture
def examples():
    made = []
    for seed in (0, 1):
        scene = draw_scene(seed, SIZE)
        mask = np.roll(scene.label, 1, axis=1)
        uncertainty = np.random.default_rng(seed).uniform(0, 0.5 + seed, mask.shape)
        made.append(Example(scene.image, mask, scene.label, uncertainty))
    return made


def test_each_panel_is_what_it_is_called(examples):
    figure, table = _figure(examples, CLASSES, COLOURS, ""), np.array(COLOURS, np.uint8)
    panels = np.array(figure.axes[:8]).reshape(2, 4)
    assert tuple(axis.get_title() for axis in panels[0]) == COLUMNS
    top = max(example.uncertainty.max() for example in examples)
    for line, example in zip(panels, examples, strict=True):
        shown = [axis.images[0].get_array() for axis in line]
        assert np.array_equal(shown[0], example.image)
        assert np.array_equal(shown[1], table[example.mask])
        assert np.array_equal(shown[2], table[example.truth])
        assert np.array_equal(shown[3], example.uncertainty)
        assert line[3].images[0].get_clim() == (0, top)


def test_the_legend_names_every_class_in_its_colour(examples):
    (legend,) = _figure(examples, CLASSES, COLOURS, "words").legends
    assert tuple(text.get_text() for text in legend.get_texts()) == CLASSES
    patches = [tuple(round(255 * c) for c in p.get_facecolor()[:3]) for p in legend.get_patches()]
    assert tuple(patches) == COLOURS


def test_the_file_holds_classes_in_their_own_colours_and_the_note(examples):
    noted = draw_picture(examples, CLASSES, COLOURS, "12 labelled scenes")
    pixels = np.asarray(Image.open(BytesIO(noted)).convert("RGB")).reshape(-1, 3)
    for colour in COLOURS:
        assert (pixels == colour).all(-1).sum() > 300
    assert noted != draw_picture(examples, CLASSES, COLOURS)


def test_certain_everywhere_is_the_light_end(examples):
    first = examples[0]
    sure = Example(first.image, first.mask, first.truth, np.zeros(SIZE, np.float32))
    image = _figure([sure], CLASSES, COLOURS, "").axes[3].images[0]
    shown = image.to_rgba(image.get_array(), bytes=True)[..., :3]
    assert (shown == shown[0, 0]).all()
    assert shown.min() > 240
