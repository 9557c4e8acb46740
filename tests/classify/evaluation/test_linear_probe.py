"""The probe: what its components are, that held-out images stay out, that it finds classes."""

from dataclasses import replace

import numpy as np
import pytest
from dseg.classify.evaluation.linear_probe import LinearProbe, PixelTable, seconds_per_fit

IMAGES, EACH = 6, 80


@pytest.fixture(scope="module")
def table() -> PixelTable:
    """Layer "one" carries class 1, "two" class 2, "wide" both in many channels, "noise" none."""
    rng = np.random.default_rng(0)
    n = IMAGES * EACH
    y = rng.choice(3, n, p=(0.6, 0.3, 0.1))

    def layer(signal, channels):
        x = rng.normal(0, 1, (n, channels))
        x[:, : signal.shape[1]] += 3 * signal
        return (100 * x + 7).astype(np.float16)

    is_one, is_two = (y == 1)[:, None], (y == 2)[:, None]
    layers = {
        "one": layer(is_one, 4),
        "two": layer(is_two, 4),
        "wide": layer(np.hstack([is_one] * 50 + [is_two] * 50), 120),
        "noise": layer(np.zeros((n, 0)), 5),
        "flat": np.full((n, 3), 2, np.float16),
    }
    weight = np.where(y == 0, 5.0, 2.0)
    return PixelTable(layers, y, weight, np.repeat(np.arange(IMAGES), EACH), IMAGES, 3)


FOLDS = ((0, 1), (2, 3), (4, 5))


def test_layers_are_told_apart(table):
    names = [("one",), ("two",), ("wide",), ("noise",), ("flat",), ("one", "two")]
    one, two, wide, noise, flat, both = LinearProbe(table, FOLDS).score(names)
    assert one.iou[1] > 0.6 > 0.3 > one.iou[2]
    assert two.iou[2] > 0.5 > 0.3 > two.iou[1]
    assert min(wide.mean_iou, both.mean_iou) > 0.7
    assert max(noise.mean_iou, flat.mean_iou) < 0.35


def test_every_pixel_is_counted_once_with_its_weight(table):
    (found,) = LinearProbe(table, FOLDS).score([("one",)])
    for image in range(IMAGES):
        here = table.image == image
        labels = np.bincount(table.y[here], weights=table.weight[here], minlength=3)
        np.testing.assert_allclose(found.counts[image].sum(axis=1), labels)


def test_nothing_depends_on_a_layers_scale_or_on_how_many_fit_at_once(table):
    (plain,) = LinearProbe(table, FOLDS).score([("one", "noise")])
    scaled = {
        name: (x.astype(np.float32) / 64).astype(np.float16) for name, x in table.layers.items()
    }
    probe = LinearProbe(replace(table, layers=scaled), FOLDS, workers=3)
    probe.cache(["noise"])
    assert probe.score([("one", "noise")])[0].mean_iou == pytest.approx(plain.mean_iou, abs=0.02)


def test_held_out_images_teach_nothing(table):
    """With other features and classes in image 5, its fold's other image is predicted alike."""
    changed = {name: x.copy() for name, x in table.layers.items()}
    last = table.image == 5
    changed["one"][last] *= -3
    y = np.where(last, 2 - table.y, table.y)
    other = replace(table, layers=changed, y=y)
    here, there = (LinearProbe(t, FOLDS).score([("one",)])[0] for t in (table, other))
    np.testing.assert_array_equal(here.counts[4], there.counts[4])
    assert (here.counts[:4] != there.counts[:4]).any()


def test_components_are_the_principal_ones_whitened(table):
    from dseg.classify.evaluation.linear_probe import _Components

    x = table.layers["wide"]
    z = _Components.of(x)(x)
    assert z.shape == (len(x), 32)
    np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(32), atol=0.02)
    standard = x.astype(np.float32)
    standard = (standard - standard.mean(0)) / standard.std(0)
    first = np.linalg.svd(standard, full_matrices=False)[0][:, 0] * np.sqrt(len(x))
    assert abs(np.mean(first * z[:, 0])) == pytest.approx(1, abs=0.01)


def test_a_constant_layer_becomes_nothing(table):
    from dseg.classify.evaluation.linear_probe import _Components

    flat = table.layers["flat"]
    assert not _Components.of(flat)(flat).any()


def test_a_raw_layer_may_divide_classes_by_more_than_a_line():
    rng = np.random.default_rng(0)
    place = rng.uniform(-1, 1, (IMAGES * EACH, 2))
    y = ((place**2).sum(axis=1) < 0.5).astype(int)  # in the middle
    image = np.repeat(np.arange(IMAGES), EACH)
    layers = {"pixels": place.astype(np.float16)}
    table = PixelTable(layers, y, np.ones(len(y)), image, IMAGES, 2)
    raw = replace(table, raw=frozenset(layers))
    line, curve = (LinearProbe(t, FOLDS).score([("pixels",)])[0] for t in (table, raw))
    assert line.mean_iou < 0.5
    assert curve.mean_iou > 0.85


def test_a_fit_can_be_timed():
    assert 0 < seconds_per_fit(200, 3, 2) < 10


def test_weights_decide_where_classes_overlap():
    """The same features are of both classes: the one that stands for more pixels is told."""
    y = np.tile([0, 1], IMAGES * EACH // 2)
    x = np.random.default_rng(0).normal(0, 1, (len(y), 3)).astype(np.float16)
    image = np.repeat(np.arange(IMAGES), EACH)
    for heavy in (0, 1):
        weight = np.where(y == heavy, 30.0, 1.0)
        table = PixelTable({"noise": x}, y, weight, image, IMAGES, 2)
        (found,) = LinearProbe(table, FOLDS).score([("noise",)])
        assert found.counts[:, :, heavy].sum() > 0.99 * found.counts.sum()


def test_a_channel_that_hardly_varies_is_not_blown_up():
    from dseg.classify.evaluation.linear_probe import _Components

    rng = np.random.default_rng(0)
    x = np.hstack([rng.normal(0, 100, (400, 3)), rng.normal(0, 0.01, (400, 1))]).astype(np.float16)
    flat = x.copy()
    flat[:, 3] = 0
    np.testing.assert_allclose(
        np.abs(_Components.of(x)(x)[:, :3]), np.abs(_Components.of(flat)(flat)[:, :3]), atol=0.01
    )


def test_a_fold_without_a_labelled_pixel_counts_nothing(table):
    last = table.image == 5
    rest = PixelTable(
        {name: x[~last] for name, x in table.layers.items()},
        table.y[~last],
        table.weight[~last],
        table.image[~last],
        IMAGES,
        3,
    )
    (found,) = LinearProbe(rest, ((0, 2), (4, 1, 3), (5,))).score([("one",)])
    assert not found.counts[5].any()
    for image in range(5):
        here = rest.image == image
        assert found.counts[image].sum() == pytest.approx(rest.weight[here].sum())


def test_channels_that_say_the_same_are_not_told_apart_by_rounding():
    from dseg.classify.evaluation.linear_probe import _Components

    rng = np.random.default_rng(0)
    two = rng.normal(0, 1, (400, 2)).astype(np.float16)
    z = _Components.of(np.hstack([two, two]))(np.hstack([two, two]))
    assert np.abs(z).max() < 6
    assert np.abs(z[:, 2:]).max() < 0.1


def test_of_many_layers_fewer_components_are_taken_but_of_raw_ones_all(table):
    probe = LinearProbe(replace(table, raw=frozenset({"one"})), FOLDS)
    assert probe._layer(0, "wide", 1).shape[1] == 32
    assert probe._layer(0, "wide", 40).shape[1] == 512 // 40
    assert probe._layer(0, "one", 400).shape[1] == probe._layer(0, "one", 1).shape[1] == 4 + 10
