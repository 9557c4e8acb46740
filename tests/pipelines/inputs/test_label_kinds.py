"""Label maps and masks that hold something else than classes, through the commands."""

import json
import shutil

import numpy as np
import pytest
from dseg.demo.scenes import COLOURS, draw_scene
from PIL import Image

QUICK = ("--members", 2, "--max-steps", 5)


def assert_refused(result, *words):
    assert result.code == 2, (result.out, result.err)
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err


def change(folder, how):
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            label = np.asarray(image)
        changed = how(label)
        picture = changed if isinstance(changed, Image.Image) else Image.fromarray(changed)
        picture.save(path)


def unname(*folders):
    for folder in folders:
        (folder / "classes.txt").unlink()


def white_objects(label):
    return np.where(label > 0, 255, 0).astype(np.uint8)


def grey_values(label):
    return np.array([0, 128, 255], np.uint8)[label]


def softened(label):
    """Grey objects with the borders of an anti-aliasing program."""
    height, width = label.shape
    large = Image.fromarray((100 * label).astype(np.uint8)).resize((8 * width, 8 * height), 0)
    return large.rotate(3).resize((width, height), Image.Resampling.LANCZOS)


def softened_white(label):
    height, width = label.shape
    large = Image.fromarray(white_objects(label)).resize((8 * width, 8 * height), 0)
    return large.resize((width, height), Image.Resampling.LANCZOS)


def own_palette(label):
    """As programs save coloured pictures: each file numbers the colours anew."""
    order = np.roll(np.arange(3), len(label) % 3)
    picture = Image.fromarray(np.argsort(order)[label].astype(np.uint8)).convert("P")
    picture.putdata(np.argsort(order)[label].ravel().tolist())
    picture.putpalette([v for k in order for v in COLOURS[k]])
    return picture


def fit(dseg, store, labels, *more):
    return dseg("fit", store, labels, *QUICK, *more)


# ---- what reads label maps to learn from them, or to score by them ----


@pytest.mark.parametrize("command", ["fit", "folds", "select", "curve", "robustness", "evaluate"])
@pytest.mark.parametrize(
    ("how", "words"),
    [
        (grey_values, "have only the ids 0, 128, 255: are these grey values?"),
        (softened, "only along the borders of others"),
        (own_palette, "palettes that contradict each other"),
    ],
)
def test_each_command_refuses(dseg, own_world, store, model, tmp_path, command, how, words):
    if command == "robustness":
        pytest.importorskip("imagecorruptions", reason="corruptions need dseg[robustness]")
    truth = own_world.truth
    shutil.copytree(truth, tmp_path / "sharp")
    unname(truth)
    change(truth, how)
    calls = {
        "fit": ("fit", store, truth, *QUICK),
        "folds": ("fit", store, truth, "--folds", 2, *QUICK),
        "select": ("select", store, truth, "--max-steps", 5),
        "curve": ("curve", store, truth, *QUICK),
        "robustness": ("robustness", own_world.photos, truth, "--model", model),
        "evaluate": ("evaluate", "sharp", truth),
    }
    assert_refused(dseg(*calls[command]), "the label maps in", words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sharp", "world"]


@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("fit", white_objects),
        ("folds", softened_white),
        ("curve", white_objects),
        ("robustness", softened_white),
        ("evaluate", white_objects),
        ("evaluate", softened_white),
    ],
)
def test_each_command_takes_black_and_white(dseg, own_world, store, model, tmp_path, command, how):
    if command == "robustness":
        pytest.importorskip("imagecorruptions", reason="corruptions need dseg[robustness]")
    truth = own_world.truth
    shutil.copytree(truth, tmp_path / "sharp")
    unname(truth, tmp_path / "sharp")
    change(tmp_path / "sharp", lambda label: (label > 0).astype(np.uint8))
    change(truth, how)
    calls = {
        "fit": ("fit", store, truth, *QUICK),
        "folds": ("fit", store, truth, "--folds", 2, *QUICK),
        "curve": ("curve", store, truth, "--draws", 1, *QUICK),
        "robustness": ("robustness", own_world.photos, truth, "--model", model),
        "evaluate": ("evaluate", "sharp", truth, "--json"),
    }
    done = dseg(*calls[command])
    assert done.code == 0, done.err
    assert "0 is 'background', 255 is 'object', 6 of 6 label maps" in done.err
    if command == "evaluate":
        assert json.loads(done.out)["mean_iou"] > 0.9


def test_names_make_ids_meant(dseg, own_world, store):
    names = "\n".join(f"c{k}" for k in range(255))
    (own_world.labels / "classes.txt").write_text(names)
    change(own_world.labels, softened)
    told = fit(dseg, store, own_world.labels)
    assert told.code == 0, told.err
    assert "only along the borders of others" in told.err


def test_a_size_at_which_a_class_is_lost_makes_no_grey_values(dseg, own_world, store):
    """Class 1 has too few pixels at the network's size; no pixel of the files is 255."""
    unname(own_world.labels)

    def rare(label):
        few = np.zeros_like(label)
        few[:3, :3] = 1
        return few

    change(own_world.labels, rare)
    refused = dseg("fit", store, own_world.labels, "--recipe", "paper")
    assert_refused(refused, "only one class remains for training, 'class 0'", "27 pixels")
    assert "grey values" not in refused.err


# ---- marks of unlabelled pixels ----


@pytest.mark.parametrize(("mark", "dtype"), [(65535, np.uint16), (-1, np.int64)])
@pytest.mark.parametrize("named", [True, False])
def test_a_mark_of_unlabelled_pixels(dseg, own_world, store, mark, dtype, named):
    labels = own_world.labels
    if not named:
        unname(labels)
    for path in sorted(labels.glob("*.png")):
        with Image.open(path) as image:
            label = np.asarray(image).astype(dtype)
        label[:4] = mark
        path.unlink()
        np.save(path.with_suffix(".npy"), label)
    refused = fit(dseg, store, labels)
    assert_refused(refused, f"has the id {mark}, which is not a class", f"use --ignore {mark};")
    shutil.copytree(own_world.truth, "masks")
    listed = labels.parent / "list.txt"
    listed.write_text("p0\np1\np2\n")
    words = ("evaluate", "masks", labels, "--list", listed)
    assert_refused(dseg(*words), f"label map 'p0.npy' has the id {mark}", f"--ignore {mark};")
    scored = dseg(*words, "--ignore", mark, "--json")
    assert scored.code == 0, scored.err
    assert json.loads(scored.out)["mean_iou"] == 1
    fitted = fit(dseg, store, labels, "--ignore", mark, "--json")
    assert fitted.code == 0, fitted.err
    assert 0.8 < json.loads(fitted.out)["labelled"] < 0.95
    assert len(json.loads(fitted.out)["classes"]) == 3


# ---- masks ----


def test_white_masks_are_not_scored(dseg, own_world, tmp_path):
    shutil.copytree(own_world.truth, tmp_path / "masks")
    change(own_world.truth, lambda label: (label > 0).astype(np.uint8))
    change(tmp_path / "masks", white_objects)
    words = "the masks in 'masks' have only the ids 0, 255: are these grey values?"
    assert_refused(dseg("evaluate", "masks", own_world.truth), words)
    unname(own_world.truth, tmp_path / "masks")
    scored = dseg("evaluate", "masks", own_world.truth, "--json")
    assert scored.code == 0, scored.err
    assert "'masks': grey masks (png), two values, 0 and 255" in scored.err
    assert json.loads(scored.out)["mean_iou"] == 1


def test_masks_are_called_masks(dseg, own_world, tmp_path):
    shutil.copytree(own_world.truth, tmp_path / "masks")
    whole = (tmp_path / "masks/p0.png").read_bytes()
    (tmp_path / "masks/p0.png").write_bytes(whole[:60])
    refused = dseg("evaluate", "masks", own_world.truth)
    assert_refused(refused, "mask 'masks/p0.png' cannot be read")
    np.save("masks/p0.npy", np.zeros((56, 40), np.uint8))
    assert_refused(dseg("evaluate", "masks", own_world.truth), "two masks for 'p0'")


@pytest.mark.parametrize("paper", [(), ("--paper",)])
def test_names_do_not_change_the_scores(dseg, own_world, tmp_path, paper):
    shutil.copytree(own_world.truth, tmp_path / "masks")
    change(tmp_path / "masks", lambda label: np.roll(label, 3))
    scores = []
    for change_names in (lambda: None, lambda: unname(own_world.truth)):
        change_names()
        scored = dseg("evaluate", "masks", own_world.truth, "--json", *paper)
        assert scored.code == 0, scored.err
        scores.append(list(json.loads(scored.out)["iou"].values()))
    assert scores[0] == scores[1]
    assert len(scores[0]) == 3


def test_white_truth_with_names_is_told(dseg, own_world, tmp_path):
    shutil.copytree(own_world.truth, tmp_path / "masks")
    change(own_world.truth, white_objects)
    told = dseg("evaluate", "masks", own_world.truth)
    assert told.code == 0
    assert "have only the ids 0 ('sea') and 255, which means unlabelled" in told.err


def test_masks_of_another_palette_than_the_truth(dseg, own_world, tmp_path):
    shutil.copytree(own_world.truth, tmp_path / "masks")
    for folder, colours in ((own_world.truth, COLOURS), (tmp_path / "masks", COLOURS[::-1])):

        def paint(label, colours=colours):
            image = Image.fromarray(label).convert("P")
            image.putdata(label.ravel().tolist())
            image.putpalette([v for colour in colours for v in colour])
            return image

        change(folder, paint)
    scored = dseg("evaluate", "masks", own_world.truth, "--json")
    assert scored.code == 0, scored.err
    assert json.loads(scored.out)["mean_iou"] == 1
    change(tmp_path / "masks", own_palette)
    refused = dseg("evaluate", "masks", own_world.truth)
    assert_refused(refused, "the masks in 'masks' have palettes that contradict each other")


def test_masks_that_dseg_wrote_are_scored_as_they_are(dseg, world, store, model):
    assert dseg("predict", store, "--model", model).code == 0
    scored = dseg("evaluate", "masks", world.truth)
    assert scored.code == 0
    assert "Warning" not in scored.err


def test_softened_masks(dseg, tmp_path):
    for name in ("truth", "masks"):
        (tmp_path / name).mkdir()
    for seed in range(3):
        label = draw_scene(seed).label
        Image.fromarray(label).save(tmp_path / f"truth/{seed}.png")
        rule = Image.Resampling.BILINEAR
        soft = Image.fromarray(label).resize((64, 64), rule).resize((128, 128), rule)
        soft.save(tmp_path / f"masks/{seed}.png")
    told = dseg("evaluate", "masks", "truth")
    assert told.code == 0
    assert "the masks in 'masks' have 11 ids, 0 to 10" in told.err
    assert "only along the borders of others" in told.err
    change(tmp_path / "truth", lambda label: np.minimum(label, 2))  # where masks have other ids
    refused = dseg("evaluate", "masks", "truth")
    assert_refused(refused, "the masks in 'masks' have", "only along the borders of others")
