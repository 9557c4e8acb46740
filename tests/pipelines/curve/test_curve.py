"""``dseg curve``: draws are nested and held out, cells are kept, words follow from intervals."""

import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest
from click.testing import CliRunner
from dseg import FeatureStore
from dseg.classify.evaluation.intervals import mean_over_draws
from dseg.pipelines.console.progress import Progress
from dseg.pipelines.curve.plan import chosen_counts, make_draws
from dseg.pipelines.curve.report import points_of, verdict_of
from dseg.pipelines.inputs.labelled_pixels import read_labelled
from dseg.pipelines.main import cli
from dseg.store.errors import InputError
from PIL import Image

WORDS = ("--members", 2, "--max-steps", 20)


@pytest.fixture(scope="module")
def made(world, store, tmp_path_factory):
    """Two draws of all six images, by the command itself: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("curve") / "curve"
    line = ("curve", store, world.truth, *WORDS, "--draws", 2, "--json", "--out", folder)
    ran = CliRunner().invoke(cli, [str(word) for word in line], catch_exceptions=False)
    return folder, json.loads(ran.stdout)


@pytest.fixture(scope="module")
def labelled(world, store):
    return read_labelled(FeatureStore.open(store), world.truth, None, 255, Progress())


def cells_of(folder):
    return json.loads((folder / "curve.json").read_text())["cells"]


def test_a_cell_is_fit_predict_and_evaluate(dseg, made, world, store, tmp_path):
    folder, _ = made
    cell = next(c for c in cells_of(folder) if (c["draw"], c["images"]) == (1, 2))
    for name in ("train", "held_out"):
        (tmp_path / f"{name}.txt").write_text("\n".join(cell[name]))
    words = (*WORDS, "--seed", 1, "--list", "train.txt")
    assert dseg("fit", store, world.truth, *words).code == 0
    assert dseg("predict", store).code == 0
    told = dseg("evaluate", "masks", world.truth, "--list", "held_out.txt", "--json")
    scores = json.loads(told.out)
    assert cell["mean_iou"] == scores["mean_iou"]
    assert cell["iou"] == scores["iou"]


def test_all_is_written_and_said(made):
    folder, summary = made
    assert summary["counts"] == [2, 4]
    assert (summary["cells"], summary["done"]) == (4, 0)
    cells = cells_of(folder)
    for point in summary["points"]:
        scores = [c["mean_iou"] for c in cells if c["images"] == point["images"]]
        assert point["by_draw"] == scores
        assert point["mean_iou"] == pytest.approx(np.mean(scores))
        between = mean_over_draws(scores, overlap=2 / 4)[1]  # held out, and to learn from
        assert point["interval"] == pytest.approx(asdict(between))
    text = (folder / "curve.md").read_text()
    assert summary["verdict"] in text
    assert "| boat |" in text
    assert "Recipe 'default' of 20 steps, 2 members, seed 0" in text
    assert sorted(path.name for path in folder.iterdir()) == [
        "curve.json",
        "curve.md",
        "curve.png",
        "curve.svg",
    ]
    with Image.open(folder / "curve.png") as image:
        assert image.width > 800


def test_what_is_there_is_not_done_again(dseg, made, world, store, tmp_path):
    """A file with some cells is what a killed run leaves."""
    whole = json.loads((made[0] / "curve.json").read_text())
    (tmp_path / "curve").mkdir()
    marked = {**whole["cells"][0], "mean_iou": 0.123}
    part = {**whole, "cells": [marked, whole["cells"][3]]}
    (tmp_path / "curve/curve.json").write_text(json.dumps(part))
    words = ("curve", store, world.truth, *WORDS)
    told = dseg(*words, "--draws", 2, "--memory", "900MB", "--json")
    assert told.code == 0, told.err
    assert json.loads(told.out)["done"] == 2
    cells = cells_of(tmp_path / "curve")
    assert cells[0]["mean_iou"] == 0.123
    assert [c["mean_iou"] for c in cells[1:]] == [c["mean_iou"] for c in whole["cells"][1:]]
    more = json.loads(dseg(*words, "--draws", 2, "--counts", "1,4", "--dry-run", "--json").out)
    assert (more["cells"], more["done"]) == (4, 2)


def test_other_numbers_of_images_join_the_curve(dseg, made, world, store, tmp_path):
    shutil.copytree(made[0], tmp_path / "curve")
    words = ("curve", store, world.truth, *WORDS, "--draws", 2, "--counts", 3)
    told = dseg(*words)
    assert told.code == 0, told.err
    assert "From 2 to 4 labelled images" in told.out
    table = (tmp_path / "curve/curve.md").read_text()
    assert "| class | 2 | 3 | 4 |" in table
    # Of two draws an interval is wide; what is said of it keeps to what an mIoU can be.
    shown = [line.split() for line in told.out.splitlines() if " to " in line][:3]
    assert [line[0] for line in shown] == ["2", "3", "4"]
    assert all(0 <= float(line[2]) <= float(line[4]) <= 1 for line in shown)


def test_other_curves_are_not_mixed(dseg, made, own_world, world, store, tmp_path):
    folder, _ = made
    words = ("curve", store, world.truth, "--out", folder, "--dry-run")
    refused = dseg(*words, "--members", 2, "--max-steps", 21)
    assert refused.code == 2
    assert "contains results that differ in max steps (20 before, 21 now): give" in refused.err
    assert dseg(*words, "--members", 2, "--max-steps", 21, "--overwrite").code == 0
    (tmp_path / "test.txt").write_text("p1\np2\n")
    for told, what in (
        (("--ignore", 2), "ignore (255 before, 2 now)"),
        (("--test-list", "test.txt"), "--test-list"),
        (("--layers", FeatureStore.open(store).spec.layers[0].name), "the features"),
    ):
        refused = dseg(*words, *WORDS, *told)
        assert f"contains results that differ in {what}: give" in refused.err
    with Image.open(own_world.truth / "p0.png") as image:
        Image.fromarray(np.asarray(image) % 2).save(own_world.truth / "p0.png")
    other = dseg("curve", store, own_world.truth, *WORDS, "--out", folder, "--dry-run")
    assert "contains results that differ in images or labels" in other.err
    assert (
        "exists and does not contain results of `dseg"
        in dseg(*words[:3], "--out", world.photos).err
    )
    (tmp_path / "curve").mkdir()
    (tmp_path / "curve/curve.json").write_text("{")
    assert "is damaged" in dseg(*words[:3], *WORDS).err


def test_a_dry_run_counts_and_writes_nothing(dseg, world, store, tmp_path):
    told = dseg("curve", store, world.truth, *WORDS, "--dry-run")
    assert "curve: 10 trainings to do, about" in told.out
    assert list(tmp_path.iterdir()) == []


def test_test_images_are_the_same_in_every_draw(dseg, world, store, tmp_path):
    (tmp_path / "test.txt").write_text("p1\np2\n")
    words = ("curve", store, world.truth, *WORDS, "--draws", 1, "--test-list", "test.txt")
    told = dseg(*words, "--counts", 3)
    assert told.code == 0, told.err
    assert "one point is not a curve" in told.out
    (cell,) = cells_of(tmp_path / "curve")
    assert cell["held_out"] == ["p1", "p2"]
    assert len(set(cell["train"]) - {"p1", "p2"}) == 3
    text = (tmp_path / "curve/curve.md").read_text()
    assert "the 2 images of `test.txt`" in text
    assert "for all 4 training images they cover only the difference between seeds" in text
    both = dseg(*words, "--list", "test.txt")
    assert both.code == 2
    assert "--list and --test-list both contain 'p1', 'p2'" in both.err
    (tmp_path / "test.txt").write_text("p1\np5\n")
    bare = dseg("curve", store, world.labels, "--test-list", "test.txt")
    assert "--test-list contains 'p5', which have no label map" in bare.err


def test_counts_that_cannot_be_are_refused(dseg, world, store):
    words = ("curve", store, world.truth, *WORDS)
    assert "Give numbers from 1 to 4" in dseg(*words, "--counts", "2,5").err
    few = dseg("curve", store, world.labels)
    assert few.code == 2
    assert "3 labelled images are too few for a curve: it needs at least four" in few.err


def test_draws_are_nested_apart_and_depend_on_their_number_alone(labelled):
    draws = make_draws(labelled, 6, 3, None)
    assert draws[:2] == make_draws(labelled, 2, 3, None)
    for draw in draws:
        assert sorted((*draw.order, *draw.held_out)) == sorted(labelled.images)
        assert draw.seed == 3 + draw.number
    for three in (draws[:3], draws[3:]):  # folds of six images in three: each is held out once
        assert sorted(stem for draw in three for stem in draw.held_out) == sorted(labelled.images)
    assert len({draw.order for draw in draws}) > 3
    tested = make_draws(labelled, 6, 3, ("p1", "p2"))
    assert {draw.held_out for draw in tested} == {("p1", "p2")}
    assert len({draw.order for draw in tested}) > 3  # it is the images that are drawn
    assert chosen_counts(labelled, draws, None) == (2, 4)
    assert chosen_counts(labelled, draws, (4, 1, 4)) == (1, 4)


def test_a_ladder_begins_where_there_are_two_classes(labelled, own_world, store):
    for stem in own_world.stems[:4]:
        with Image.open(own_world.truth / f"{stem}.png") as image:
            label = np.zeros(image.size[::-1], np.uint8)
        Image.fromarray(label).save(own_world.truth / f"{stem}.png")
    few = read_labelled(FeatureStore.open(store), own_world.truth, None, 255, Progress())
    draws = make_draws(few, 3, 0, None)
    counts = chosen_counts(few, draws, None)
    assert counts[-1] == 4
    number = {stem: i for i, stem in enumerate(few.images)}
    for draw in draws:
        seen = few.counts_by_image[[number[s] for s in draw.order[: counts[0]]]].sum(axis=0)
        assert (seen > 0).sum() > 1
    with pytest.raises(InputError, match="only one class, so there is nothing to distinguish"):
        chosen_counts(few, draws, (1,))


def cell(draw, images, score):
    iou = {"a": score, "b": None}
    return {
        "draw": draw,
        "images": images,
        "mean_iou": score,
        "pixel_accuracy": score,
        "iou": iou,
    }


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        ((0.10, 0.11, 0.12), "More labelled images are probably worthwhile"),
        ((0.001, 0.002, 0.0), "hardly worth labelling"),
        ((-0.1, 0.1, 0.2), "is uncertain whether"),
        ((0.1,), "A single draw does not show how certain this is"),
    ],
)
def test_words_follow_from_the_interval_of_the_last_doubling(gains, words):
    cells = [cell(d, 4, 0.2 + 0.1 * d) for d in range(len(gains))]
    cells += [cell(d, 8, 0.3 + 0.1 * d) for d in range(len(gains))]
    cells += [cell(d, 16, 0.3 + 0.1 * d + gain) for d, gain in enumerate(gains)]
    told = verdict_of(cells, 0.2)
    assert words in told
    assert "From 8 to 16 labelled images" in told
    point = points_of(cells, 0.2)[0]
    assert point.images == 4
    assert point.iou == {"a": pytest.approx(point.mean_iou), "b": None}


def test_a_step_that_is_no_doubling_gives_no_advice_on_one():
    cells = [cell(d, 10, 0.3) for d in range(3)] + [cell(d, 12, 0.302 + d / 1e4) for d in range(3)]
    told = verdict_of(cells, 0.2)
    assert "From 10 to 12 labelled images" in told
    assert told.endswith(
        "What twice as many images would bring is unknown: choose --counts whose last number is "
        "about twice another."
    )
