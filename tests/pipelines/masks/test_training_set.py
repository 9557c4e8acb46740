"""Images that a model has learnt from are told apart from others where they are scored."""

import json
import shutil

import numpy as np
import pytest
from dseg import PixelEnsemble
from dseg.classify.evaluation.metrics import Confusion
from dseg.pipelines.masks.training_set import TrainingSet
from dseg.store.read.reader import FeatureStore
from PIL import Image


def records(folder):
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    return {record["stem"]: record for record in map(json.loads, lines)}


def scores(dseg, masks, truth, *words):
    found = dseg("evaluate", masks, truth, "--json", *words)
    assert found.code == 0, found.err
    return json.loads(found.out)


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_evaluate_scores_the_other_images_too(dseg, world, store, model, tmp_path):
    assert dseg("predict", store, "--model", model).code == 0
    told = {stem: record["learnt"] for stem, record in records(tmp_path / "masks").items()}
    assert told == {stem: i < 3 for i, stem in enumerate(world.stems)}

    found, by_hand = scores(dseg, "masks", world.truth), Confusion(3, 255)
    for stem in world.stems[3:]:
        by_hand.add(read(tmp_path / f"masks/{stem}.png"), read(world.truth / f"{stem}.png"), stem)
    assert (found["images"], found["learnt_from"]) == (6, 3)
    expected = {
        "images": 3,
        "mean_iou": by_hand.mean_iou(),
        "pixel_accuracy": by_hand.pixel_accuracy(),
    }
    assert found["others"] == pytest.approx(expected)
    assert found["mean_iou"] != pytest.approx(by_hand.mean_iou())
    line = dseg("evaluate", "masks", world.truth).out.splitlines()[-1]
    assert line == (
        f"The model was trained on 3 of these images; on the 3 others: "
        f"mIoU {by_hand.mean_iou():.4f}, pixel accuracy {by_hand.pixel_accuracy():.4f}"
    )


def test_all_or_none_of_the_images(dseg, world, store, model, tmp_path):
    assert dseg("predict", store, "--model", model).code == 0
    found = scores(dseg, "masks", world.labels)
    assert (found["learnt_from"], found["others"]["images"]) == (3, 0)
    assert found["others"]["mean_iou"] is None
    told = dseg("evaluate", "masks", world.labels).out
    assert "The model was trained on all 3 images: on other images it may be much worse" in told
    (tmp_path / "test.txt").write_text("p3\np4\np5\n")
    found = scores(dseg, "masks", world.truth, "--list", "test.txt")
    assert (found["learnt_from"], found["others"]) == (0, None)
    assert "trained on" not in dseg("evaluate", "masks", world.truth, "--list", "test.txt").out


def test_an_image_is_known_by_its_content_under_any_name(dseg, world, model, tmp_path):
    photos = tmp_path / "new"
    photos.mkdir()
    shutil.copy(world.photos / "p0.png", photos / "p5.png")  # learnt from, with another's name
    shutil.copy(world.photos / "p5.png", photos / "p0.png")
    assert dseg("predict", photos, "--model", model).code == 0
    told = {stem: record["learnt"] for stem, record in records(tmp_path / "masks").items()}
    assert told == {"p0": False, "p5": True}


def test_masks_of_before_tell_nothing(dseg, world, store, model, tmp_path):
    assert dseg("predict", store, "--model", model).code == 0
    manifest = tmp_path / "masks/predictions.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for line in lines:
        del line["learnt"]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = scores(dseg, "masks", world.truth)
    assert (found["learnt_from"], found["others"]) == (None, None)
    assert "trained on" not in dseg("evaluate", "masks", world.truth).out


def test_a_model_of_before_knows_the_images_of_its_own_store(dseg, world, store, model, tmp_path):
    shutil.copytree(model, tmp_path / "old")
    path = tmp_path / "old/model.json"
    facts = json.loads(path.read_text())
    del facts["extra"]["images_sha256"]
    path.write_text(json.dumps(facts))
    assert dseg("predict", store, "--model", "old", "--out", "a").code == 0
    assert [r["learnt"] for r in records(tmp_path / "a").values()] == 3 * [True] + 3 * [False]
    assert dseg("predict", world.photos, "--model", "old", "--out", "b").code == 0
    assert all("learnt" not in record for record in records(tmp_path / "b").values())


@pytest.mark.parametrize("damaged", [None, 3, {"a": 1}, ["ab", 3]])
def test_what_a_model_does_not_list_is_not_known(damaged):
    assert TrainingSet.of({"images_sha256": damaged}).has("a", "ab") is None


def test_held_out_masks_are_not_learnt_from(dseg, world, store, tmp_path):
    words = ("--members", 2, "--max-steps", 5, "--folds", 3, "--folds-out", "held")
    assert dseg("fit", store, world.labels, *words).code == 0
    assert [r["learnt"] for r in records(tmp_path / "held").values()] == 3 * [False]
    assert scores(dseg, "held", world.labels)["learnt_from"] == 0


def test_fit_asks_for_the_hashes_of_its_images_alone(dseg, world, store, tmp_path):
    shutil.copytree(store, tmp_path / "cut.zarr")
    (tmp_path / "cut.zarr/facts/sha256/c/5/0").unlink()  # of an image without a label map
    words = ("--members", 1, "--max-steps", 2)
    assert dseg("fit", "cut.zarr", world.labels, *words, "--out", "cut").code == 0
    assert dseg("fit", store, world.labels, *words, "--out", "whole").code == 0
    models = (PixelEnsemble.load(tmp_path / name) for name in ("cut", "whole"))
    cut, whole = (TrainingSet.of(model.extra_) for model in models)
    (tmp_path / "cut.zarr/facts/sha256/c/1/0").unlink()
    refused = dseg("fit", "cut.zarr", world.labels, *words, "--out", "none")
    assert refused.code == 1
    assert "'facts/sha256/c/1/0'" in refused.err
    assert "the source file of image 'p1.png' is unknown" in refused.err
    for image in FeatureStore.open(store).images:
        told = [learnt.has(image.stem, image.sha256.hex()) for learnt in (cut, whole)]
        assert told == [image.index < 3] * 2


def test_robustness_warns(dseg, world, model, tmp_path):
    pytest.importorskip("imagecorruptions")
    words = ("--model", model, "--corruptions", "blur", "--severities", 1, "--dry-run", "--json")
    found = dseg("robustness", world.photos, world.truth, *words)
    assert found.code == 0, found.err
    assert f"the model '{model}' was trained on 3 of the 6 images" in found.err
    assert json.loads(found.out)["learnt_from"] == {model.as_posix(): 3}
    (tmp_path / "test.txt").write_text("p3\np4\n")
    found = dseg("robustness", world.photos, world.truth, "--list", "test.txt", *words)
    assert "trained on" not in found.err
