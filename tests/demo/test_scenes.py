"""Drawn scenes: a function of their seed, with labels that say what was drawn."""

import hashlib
import itertools

import numpy as np
import pytest
from dseg.demo.canvas import Canvas, Light, Surface
from dseg.demo.car import draw_car
from dseg.demo.house import draw_house
from dseg.demo.kinds import Kind
from dseg.demo.scenes import (
    CLASSES,
    COLOURS,
    DEMO_SEEDS,
    TRAINING_SEEDS_FROM,
    draw_scene,
    write_scenes,
)
from dseg.demo.tree import draw_bush, draw_tree
from PIL import Image

LIGHT = Light(0.7, (1, 1, 1), (200, 200, 200), 0.3, (0, 0), 0.3, 2)
PAINT = ((180, 60, 60), (70, 70, 90), (40, 120, 60))


@pytest.fixture(scope="module")
def labels():
    return np.stack([draw_scene(seed).label for seed in DEMO_SEEDS[:12]])


def test_a_seed_draws_the_same_again_whatever_was_drawn_between():
    first = draw_scene(5)
    np.random.seed(0)  # noqa: NPY002  (global state, which must not count)
    draw_scene(6)
    again = draw_scene(5)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.label, again.label)
    assert not np.array_equal(first.image, draw_scene(6).image)


@pytest.mark.parametrize(
    ("seed", "pixels", "colour"),
    [
        (0, [1043, 730, 351, 132, 0, 6, 107, 382, 1161, 123, 61], [116.3, 109.9, 88.2]),
        (11, [1622, 1092, 527, 368, 105, 35, 150, 0, 84, 74, 39], [137.9, 142.3, 139.7]),
        (71, [812, 1210, 561, 195, 76, 24, 204, 110, 536, 262, 106], [165.8, 145.1, 134.5]),
        (100000, [972, 515, 307, 719, 339, 108, 308, 121, 329, 282, 96], [91.8, 133.8, 143.1]),
        (100001, [494, 1030, 519, 512, 159, 56, 180, 95, 834, 134, 83], [91.8, 98.6, 88.0]),
    ],
)
def test_seeds_draw_what_they_drew_when_the_checkpoint_was_trained(seed, pixels, colour):
    """Pixels of each class and mean colour, not bytes: processors differ in a sine's last bit."""
    scene = draw_scene(seed, (64, 64))
    counted = np.bincount(scene.label.ravel(), minlength=len(CLASSES))
    assert np.abs(counted - pixels).max() <= 1
    assert np.abs(scene.image.mean((0, 1)) - colour).max() < 0.1


@pytest.mark.parametrize("size", [(128, 128), (48, 80), (33, 17)])
def test_a_scene_has_the_size_asked_for(size):
    scene = draw_scene(1, size)
    assert scene.image.shape == (*size, 3)
    assert scene.label.shape == size
    assert scene.image.dtype == scene.label.dtype == np.uint8
    assert scene.label.max() < len(CLASSES)


def test_another_size_is_the_same_scene():
    """A pixel of half the size is one of four of the whole: the same things in the same places."""
    large, small = draw_scene(2, (128, 128)), draw_scene(2, (64, 64))
    corners = [large.label[y::2, x::2] for y in (0, 1) for x in (0, 1)]
    assert np.mean(np.any([corner == small.label for corner in corners], axis=0)) > 0.99


def test_the_labelled_scenes_show_every_class_well(labels):
    for kind in Kind:
        shown = (labels == kind).sum((1, 2))
        assert np.count_nonzero(shown >= 80) >= 9, CLASSES[kind]


def test_colour_and_place_do_not_tell_the_class():
    """Means and ranges overlap: some wall is as the mean roof, some car as the mean door."""
    colours = {kind: [] for kind in Kind}
    for seed in range(40):
        scene = draw_scene(seed, (64, 64))
        for kind in Kind:
            if (scene.label == kind).sum() > 20:
                colours[kind].append(scene.image[scene.label == kind].mean(0))
    painted = (Kind.WALL, Kind.ROOF, Kind.DOOR, Kind.CAR)
    for one, other in itertools.combinations(painted, 2):
        a, b = np.array(colours[one]), np.array(colours[other])
        gap = np.abs(a.mean(0) - b.mean(0))
        assert (gap < a.std(0) + b.std(0)).all(), (one, other)


def test_a_nearer_tree_hides_what_is_behind_it_and_nothing_else():
    def drawn(*with_):
        canvas = Canvas((96, 96))
        canvas.polygon([(0, 0), (1, 0), (1, 1), (0, 1)], Surface(Kind.SKY, (90, 90, 90)))
        if "house" in with_:
            draw_house(canvas, (0.5, 0.8), 0.6, PAINT, LIGHT, np.random.default_rng(3))
        if "tree" in with_:
            draw_tree(canvas, (0.5, 0.95), 0.7, LIGHT, np.random.default_rng(4))
        return canvas.label()

    house, tree, both = drawn("house"), drawn("tree"), drawn("house", "tree")
    covered = tree != Kind.SKY
    assert set(np.unique(tree)) == {Kind.SKY, Kind.TRUNK, Kind.CROWN}
    assert np.isin(house[covered], [Kind.WALL, Kind.ROOF, Kind.DOOR, Kind.WINDOW]).sum() > 200
    assert np.array_equal(both[covered], tree[covered])
    assert np.array_equal(both[~covered], house[~covered])


@pytest.mark.parametrize("seed", range(8))
def test_things_have_their_parts_where_they_belong(seed):
    canvas = Canvas((128, 128))
    canvas.polygon([(0, 0), (1, 0), (1, 1), (0, 1)], Surface(Kind.SKY, (90, 90, 90)))
    draw_car(canvas, (0.5, 0.9), 0.6, PAINT[0], LIGHT, np.random.default_rng(seed))
    label = canvas.label()
    height = {kind: np.nonzero(label == kind)[0].mean() for kind in np.unique(label)}
    assert set(height) == {Kind.SKY, Kind.CAR, Kind.WINDOW, Kind.WHEEL}
    assert height[Kind.WINDOW] < height[Kind.CAR] < height[Kind.WHEEL]
    assert np.nonzero(label == Kind.WHEEL)[0].max() in (114, 115)  # 0.9 of 128 is 115.2
    canvas = Canvas((128, 128))
    canvas.polygon([(0, 0), (1, 0), (1, 1), (0, 1)], Surface(Kind.SKY, (90, 90, 90)))
    draw_house(canvas, (0.5, 0.9), 0.5, PAINT, LIGHT, np.random.default_rng(seed))
    label = canvas.label()
    height = {kind: np.nonzero(label == kind)[0].mean() for kind in np.unique(label)}
    assert set(height) == {Kind.SKY, Kind.WALL, Kind.ROOF, Kind.DOOR, Kind.WINDOW}
    assert height[Kind.ROOF] < height[Kind.WALL] < height[Kind.DOOR]


def test_a_bush_is_a_crown_without_a_trunk():
    canvas = Canvas((64, 64))
    canvas.polygon([(0, 0), (1, 0), (1, 1), (0, 1)], Surface(Kind.GROUND, (90, 90, 90)))
    draw_bush(canvas, (0.5, 0.7), 0.3, LIGHT, np.random.default_rng(0))
    assert set(np.unique(canvas.label())) == {Kind.GROUND, Kind.CROWN}


def test_no_scene_of_the_demo_is_one_of_training():
    assert max(DEMO_SEEDS) < TRAINING_SEEDS_FROM
    training = range(TRAINING_SEEDS_FROM, TRAINING_SEEDS_FROM + 150)

    def digests(seeds):
        return {hashlib.sha256(draw_scene(s, (64, 64)).image.tobytes()).digest() for s in seeds}

    demo = digests(DEMO_SEEDS)
    assert len(demo) == len(DEMO_SEEDS)
    assert not demo & digests(training)


def test_written_scenes_hold_the_pixels_alone(tmp_path):
    write_scenes(tmp_path / "a/b", [7, TRAINING_SEEDS_FROM], (24, 40))
    names = [f"scene_{TRAINING_SEEDS_FROM}.ppm", "scene_7.ppm"]
    assert sorted(path.name for path in (tmp_path / "a/b").iterdir()) == names
    image = draw_scene(7, (24, 40)).image
    content = (tmp_path / "a/b/scene_7.ppm").read_bytes()
    assert content == b"P6\n40 24\n255\n" + image.tobytes()
    with Image.open(tmp_path / "a/b/scene_7.ppm") as read:
        assert np.array_equal(np.asarray(read), image)


# Ottosson, "A perceptual color space for image processing", 2020: Oklab, where equal distances
# look equal.
LINEAR_OF_LMS = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)
LMS_OF_LAB = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
# Machado, Oliveira, Fernandes, "A physiologically-based model for simulation of color vision
# deficiency", 2009, at full strength, on linear RGB.
SEEN_BY = {
    "normal": np.eye(3),
    "protan": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deutan": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritan": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


@pytest.mark.parametrize("eyes", SEEN_BY)
def test_any_two_class_colours_look_different(eyes):
    encoded = np.array(COLOURS) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    seen = (linear @ SEEN_BY[eyes].T).clip(0, 1)
    oklab = np.cbrt(seen @ np.linalg.inv(LINEAR_OF_LMS).T) @ np.linalg.inv(LMS_OF_LAB).T
    apart = np.linalg.norm(oklab[:, None] - oklab[None], axis=-1)
    apart[np.diag_indices(len(apart))] = np.inf
    assert apart.min() > 0.1, np.unravel_index(apart.argmin(), apart.shape)
