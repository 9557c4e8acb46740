"""The figures: nothing hides what is drawn, and a colour means one thing."""

import numpy as np
import pytest
from dseg.classify.evaluation.intervals import Interval
from dseg.pipelines.console import figures
from dseg.pipelines.curve.report import Point, draw_curve
from dseg.pipelines.select import plot
from dseg.pipelines.select.config import ScoredSet, SelectSummary
from matplotlib.backends.backend_agg import FigureCanvasAgg

MEANS = (0.31, 0.39, 0.45, 0.48)


@pytest.fixture
def drawn(monkeypatch):
    """Keep the figures that are made, to look at what is in them."""
    from matplotlib import figure

    made = []

    class Kept(figure.Figure):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            made.append(self)

    monkeypatch.setattr(figure, "Figure", Kept)
    return made


def assert_no_legend_over_axes(made):
    renderer = FigureCanvasAgg(made).get_renderer()
    legends = [*made.legends, *(legend for a in made.axes if (legend := a.get_legend()))]
    assert legends
    for legend in legends:
        place = legend.get_window_extent(renderer)
        assert not any(place.overlaps(axes.get_window_extent(renderer)) for axes in made.axes)
        assert made.bbox.x0 <= place.x0
        assert place.x1 <= made.bbox.x1


def test_the_legend_of_a_curve_hides_no_interval(drawn, tmp_path):
    intervals = [Interval(m - w, m + w) for m, w in zip(MEANS, (0.22, 0.2, 0.1, 0.08), strict=True)]
    draws = [[m + d for d in (-0.05, -0.02, 0.0, 0.03)] for m in MEANS]
    points = [
        Point(n, mean, interval, tuple(scores), 0.5, {})
        for n, mean, interval, scores in zip((3, 6, 12, 24), MEANS, intervals, draws, strict=True)
    ]
    draw_curve(points, tmp_path)
    assert_no_legend_over_axes(drawn[0])
    text = (tmp_path / "curve.svg").read_text()
    for words in ("mean of the draws", "95 % interval", "one draw"):
        assert f">{words}<" in text


def test_the_legend_of_reliability_hides_no_line(drawn, tmp_path):
    said = np.linspace(0.05, 0.95, 10)
    bins = [{"confidence": c, "accuracy": c**0.2, "share": 0.1} for c in said]
    calibration = {
        "temperature": 1.5,
        "reliability": {"before": bins, "after": bins},
        "calibration_error": {"before": 0.2, "after": 0.1},
    }
    figures.draw_reliability(calibration, tmp_path)
    assert_no_legend_over_axes(drawn[0])


def summary(scores):
    """A summary of layers alone, each with an IoU of each class."""
    alone = []
    for name, iou in scores.items():
        known = [value for value in iou.values() if value is not None]
        mean = sum(known) / len(known)
        alone.append(ScoredSet(name, (name,), mean, iou, 1, 0.1, 1, None, 0.1))
    classes = dict.fromkeys(next(iter(scores.values())), 9)
    counts = (28, 5, classes, 100, 1, len(alone))
    return SelectSummary("select", ("f.zarr",), *counts, tuple(alone), sets=(alone[0],))


def test_a_class_that_no_layer_finds_is_dark_throughout(drawn, tmp_path):
    scores = {
        "50:1": {"sky": 0.8, "pole": 0.02, "nowhere": None},
        "50:2": {"sky": 0.4, "pole": 0.01, "nowhere": None},
    }
    plot.draw_classes(summary(scores), tmp_path / "select-classes")
    image = drawn[0].axes[0].images[0]
    values = np.asarray(image.get_array())
    colours = image.to_rgba(values)[..., :3].mean(axis=-1)
    assert colours[0, 1] < colours[1, 0] < colours[0, 0]  # .02, .4, .8
    assert image.get_clim() == (0, 0.8)
    frames = {(round(p.get_x()), round(p.get_y())) for p in drawn[0].axes[0].patches}
    assert frames == {(0, 0), (1, 0)}  # each class's best layer, none of the class without pixels
    assert "best layer" in (tmp_path / "select-classes.svg").read_text()


def test_of_few_layers_the_whole_label_is_seen(drawn, tmp_path):
    plot.draw_classes(summary({"50:1": {"sky": 0.8}, "50:2": {"sky": 0.4}}), tmp_path / "few")
    label = drawn[0].axes[1].yaxis.label.get_window_extent()
    assert label.y0 >= 0
    assert label.y1 <= drawn[0].bbox.height


def test_layers_that_hardly_differ_look_alike(drawn, tmp_path):
    scores = {f"50:{block}": {"sky": 0.4 + 0.001 * block} for block in range(3)}
    plot.draw_layers(summary(scores), tmp_path / "select")
    low, high = drawn[0].axes[0].images[0].get_clim()
    assert high - low == pytest.approx(0.05)
