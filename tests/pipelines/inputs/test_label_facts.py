"""What is told of label maps is what their files hold, not what the published recipe leaves."""

import json
from pathlib import Path

import numpy as np
import pytest
from dseg.classify.labels.label_grid import LabelGrid
from dseg.classify.labels.label_maps import label_tiles
from dseg.classify.labels.survey import LabelSurvey
from dseg.pipelines.extract.config import ExtractConfig
from dseg.pipelines.extract.run import extract
from dseg.pipelines.inputs.label_facts import LabelFile
from dseg.store.geometry import plan_tiles
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

SIDE = 320  # ten times what the network sees


def spots(pixels, ids=(0, 1), side=SIDE):
    """Draw a label map of one class, with a square of another."""
    label = np.full((side, side), ids[0], np.uint8)
    edge = int(pixels**0.5)
    label[100 : 100 + edge, 100 : 100 + edge] = ids[1]
    return label


@pytest.fixture(scope="module")
def large(tmp_path_factory, ddpm):
    """A store of four photographs of 320 pixels, for a network that sees 32."""
    root, rng = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    (root / "photos").mkdir()
    for name in "abcd":
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"photos/{name}.png")
    extract(ExtractConfig(root / "photos", root / "feats.zarr", (str(ddpm),)))
    return root / "feats.zarr"


@pytest.fixture
def write(tmp_path):
    """Write label maps by name, and the classes' names."""

    def written(names, **labels):
        (tmp_path / "labels").mkdir()
        for name, label in labels.items():
            Image.fromarray(label).save(tmp_path / f"labels/{name}.png")
        if names:
            (tmp_path / "labels/classes.txt").write_text("\n".join(names))

    return written


PAPER = ("--members", 2, "--recipe", "paper")


def test_a_class_too_small_for_the_network_is_named(dseg, large, write):
    both = spots(90000)
    first, second = both.copy(), both.copy()
    first[:20, :10], second[300:, 300:310] = 2, 2  # 200 pixels each, 2 at the network's size
    write(("sky", "tree", "wheel", "lamp"), a=first, b=second, c=both, d=both)
    expected = (
        "Warning: class 'wheel' has 400 pixels in 2 label maps, but at 32x32 fewer than 20 in each "
        "(2 at most), so it is left out of training: extract with a larger --size, with --tile, or "
        "fit without --recipe paper\n"
    )
    absent = (
        "Warning: no label map has a pixel of 'lamp'. The highest id in them is 2, but names are "
        "given up to class 3: does each name belong to its id?\n"
    )
    for command in (("fit", *PAPER), ("curve", "--draws", 1, "--recipe", "paper")):
        told = dseg(command[0], large, "labels", *command[1:], "--dry-run")
        assert told.code == 0, told.err
        assert told.err.count(expected) == told.err.count(absent) == 1, told.err


def test_by_default_no_class_is_too_small(dseg, large, write):
    """Two pixels of the file, of which the network's size would leave none."""
    first = spots(90000)
    first[0, 5:7] = 2
    write(("sky", "tree", "wheel"), a=first, b=spots(90000))
    done = dseg("fit", large, "labels", "--members", 2, "--max-steps", 2, "--json")
    assert done.code == 0, done.err
    assert "wheel" not in done.err
    assert json.loads(done.out)["classes"]["wheel"] >= 2


def test_one_class_left_is_not_one_class_there(dseg, large, write):
    write(("sky", "wheel"), a=spots(400), b=spots(900))
    refused = dseg("fit", large, "labels", *PAPER)
    assert refused.code == 2
    assert (
        "only one class remains for training, 'sky', in the label maps in 'labels': class "
        "'wheel' has 1300 pixels in 2 label maps, but at 32x32 fewer than 20 in each (9 at most), "
        "so it is left out of training: extract with a larger --size, with "
        "--tile, or fit without --recipe paper" in refused.err
    )


def test_ids_of_which_one_is_lost_are_no_grey_values(dseg, large, write):
    """Unlabelled pixels beside class 0 were taken for 0 and 255."""
    write((), a=spots(400), b=spots(400))
    refused = dseg("fit", large, "labels", *PAPER)
    assert refused.code == 2
    assert "grey values" not in refused.err
    assert "class 'class 1' has 800 pixels in 2 label maps" in refused.err


def test_labelled_pixels_that_all_get_lost(dseg, large, write):
    label = spots(1600, (255, 0))
    label[200:203, 200:240] = 1
    write(("sky", "tree"), a=label)
    refused = dseg("fit", large, "labels", *PAPER)
    assert refused.code == 2
    assert "no labelled pixel of the label maps in 'labels' remains for training" in refused.err
    assert "class 'sky' has 1600 pixels in 1 label map, but at 32x32 fewer than 20 (16)" in (
        refused.err
    )
    assert "class 'tree' has 120 pixels in 1 label map, but at 32x32 fewer than 20 (" in refused.err


def test_too_few_pixels_in_the_files_themselves(dseg, large, write):
    label = spots(90000)
    label[0, :9] = 2
    write(("sky", "tree", "dot"), a=label, b=spots(90000))
    told = dseg("fit", large, "labels", *PAPER, "--dry-run")
    assert told.code == 0
    assert "class 'dot' has 9 pixels in 1 label map" in told.err
    assert "so it is left out of training: label more of it" in told.err


def test_many_lost_classes_are_one_line(dseg, large, write):
    label = spots(90000)
    for k in range(2, 8):
        label[5, 40 * k : 40 * k + 30] = k
    write([f"c{k}" for k in range(8)], a=label, b=spots(90000))
    told = dseg("fit", large, "labels", *PAPER, "--dry-run").err
    (line,) = [line for line in told.splitlines() if "left out of training" in line]
    assert line.count("so it is left out of training") == 3
    assert "the same goes for 'c5', 'c6', 'c7': extract with" in line


def test_held_out_images_are_labelled_though_nothing_of_them_is_learnt(
    dseg, large, write, tmp_path
):
    """They are scored at their own size."""
    small = spots(400, (255, 0))
    write(("sky", "tree"), a=spots(90000), b=spots(90000), c=small, d=small)
    (tmp_path / "test.txt").write_text("c\nd\n")
    words = ("--test-list", "test.txt", "--draws", 1, "--dry-run")
    told = dseg("curve", large, "labels", *words)
    assert told.code == 0, told.err


def test_a_fold_tells_what_its_images_hold(dseg, large, write):
    write(("sky", "wheel"), a=spots(90000), b=spots(400), c=spots(900))
    refused = dseg("fit", large, "labels", *PAPER, "--folds", 3)
    assert refused.code == 2
    assert "only one class remains for training, 'sky', in the training images ('b', 'c')" in (
        refused.err
    )
    assert "'wheel' has 1300 pixels in 2 label maps" in refused.err


def test_a_fold_without_a_labelled_pixel(dseg, large, write):
    write(("sky", "tree"), a=spots(90000), b=np.full((SIDE, SIDE), 255, np.uint8))
    refused = dseg("fit", large, "labels", *PAPER, "--folds", 2)
    assert refused.code == 2
    assert "no pixel of the training images ('b') has a class: label some pixels" in refused.err


def test_folds_tell_of_pixels_that_are_not_learnt(dseg, large, write):
    first = spots(90000)
    first[:100, :100] = 2
    second = spots(90000)
    second[:20, :20] = 2
    write(("sky", "tree", "wheel"), a=first, b=second, c=spots(90000))
    told = dseg("fit", large, "labels", *PAPER, "--folds", 3, "--dry-run")
    assert told.code == 0, told.err
    assert "all training pixels of 'wheel' are in the images of one fold" in told.err
    assert "other images also have pixels of 'wheel', but fewer than 20 in each" in told.err


def test_paper_evaluation_tells_what_is_left(dseg, tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "truth").mkdir()
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / "masks/a.png")
    label = np.full((SIDE, SIDE), 255, np.uint8)
    label[101:105, 101:105] = 1
    Image.fromarray(label).save(tmp_path / "truth/a.png")
    refused = dseg("evaluate", "masks", "truth", "--paper")
    assert refused.code == 2
    assert (
        "at the masks' size, to which --paper resizes the label maps, no labelled pixel of 'truth' "
        "remains" in refused.err
    )


@given(st.integers(0, 400), st.integers(1, 40), st.sampled_from([-1, 2, 255]))
def test_counts_are_those_of_the_file(pixels, side, ignore):
    rng = np.random.default_rng(pixels)
    label = rng.integers(0, 4, (side, side + 3)).astype(np.int32)
    label[label == 3] = ignore
    geometry = plan_tiles(label.shape, (8, 8), "squash")
    seen = LabelSurvey("the label maps", ignore).add(Path("a.png"), label)
    cells = LabelGrid.published().cells(label, geometry, ignore, "a")
    file = LabelFile.of(label, seen, [y for _, y in cells], geometry)
    assert file.size == label.size
    ids, counts = np.unique(label[label != ignore], return_counts=True)
    assert file.pixels == dict(zip(ids.tolist(), counts.tolist(), strict=True))
    whole = label_tiles(label, geometry, ignore=ignore, minimum_pixels=1)
    learnt = label_tiles(label, geometry, ignore=ignore)
    assert file.lost == {k: (whole == k).sum() for k in ids if k not in learnt}
