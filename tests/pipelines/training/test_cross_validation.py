"""``dseg fit --folds``: what it says is what fit, predict and evaluate say of held-out images."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from dseg import FeatureStore, PixelEnsemble
from dseg.classify.evaluation.calibration import tempered
from dseg.classify.evaluation.metrics import Confusion
from dseg.classify.inference.mask_files import read_mask
from dseg.pipelines.main import cli
from PIL import Image

SIZES = ((40, 56), (32, 32), (64, 48), (33, 47), (50, 50), (48, 72))  # of the world's images

WORDS = ("--members", 3, "--max-steps", 40)


@pytest.fixture(scope="module")
def held_out(world, store, tmp_path_factory):
    """Three folds of all six images, by the command itself: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("folds")
    line = ["fit", store, world.truth, *WORDS, "--folds", 3, "--json"]
    line += ["--out", folder / "model", "--folds-out", folder / "cv"]
    made = CliRunner().invoke(cli, [str(word) for word in line], catch_exceptions=False)
    return folder, json.loads(made.stdout), made.stderr


def records_of(folder):
    lines = (folder / "cv/predictions.jsonl").read_text().splitlines()
    return {record["stem"]: record for record in map(json.loads, lines)}


def test_out_of_fold_masks_are_those_of_fit_on_the_others_and_predict(
    dseg, held_out, world, store, tmp_path
):
    folder, _, _ = held_out
    records = records_of(folder)
    assert set(records) == set(world.stems)
    own = [stem for stem in world.stems if records[stem]["fold"] == 1]
    assert len(own) == 2
    (tmp_path / "others.txt").write_text("\n".join(sorted(set(world.stems) - set(own))))
    (tmp_path / "own.txt").write_text("\n".join(own))
    assert dseg("fit", store, world.truth, *WORDS, "--list", "others.txt").code == 0
    assert dseg("predict", store, "--list", "own.txt", "--uncertainty").code == 0
    for stem in own:
        for name in (f"{stem}.png", f"uncertainty/{stem}.npy"):
            made, alone = (folder / "cv" / name).read_bytes(), (tmp_path / "masks" / name)
            assert made == alone.read_bytes()


def test_the_folder_of_held_out_masks_can_be_evaluated(dseg, held_out, world):
    folder, summary, _ = held_out
    told = json.loads(dseg("evaluate", folder / "cv", world.truth, "--json").out)
    found = summary["cross_validation"]
    assert found["mean_iou"] == told["mean_iou"]
    assert found["pixel_accuracy"] == told["pixel_accuracy"]
    assert found["iou"] == told["iou"]
    low, high = found["interval"]
    assert low <= told["mean_iou"] <= high
    assert min(found["fold_mean_iou"]) <= told["mean_iou"] <= max(found["fold_mean_iou"])
    for one in found["by_image"]:
        confusion = Confusion(3)
        masks = (read_mask(where / f"{one['stem']}.png") for where in (folder / "cv", world.truth))
        confusion.add(*masks)
        assert one["mean_iou"] == pytest.approx(confusion.mean_iou())
        assert one["uncertainty"] == records_of(folder)[one["stem"]]["image_uncertainty"]


def test_the_model_is_that_of_all_images_and_knows_its_held_out_scores(
    dseg, held_out, world, store, tmp_path
):
    folder, summary, _ = held_out
    assert dseg("fit", store, world.truth, *WORDS).code == 0
    plain, checked = (PixelEnsemble.load(where / "model") for where in (tmp_path, folder))
    for one, other in zip(plain.stack_.parameters(), checked.stack_.parameters(), strict=True):
        assert np.array_equal(one.detach(), other.detach())
    assert checked.extra_["cross_validation"] == summary["cross_validation"]
    assert "cross_validation" not in plain.extra_
    words = dseg("info", folder / "model").out
    assert "on 6 held-out images (3 folds)" in words
    assert "probabilities: calibration error" in words
    facts = json.loads((folder / "cv/cross_validation.json").read_text())
    assert facts == summary["cross_validation"]


def test_the_temperature_changes_probabilities_and_nothing_else(
    dseg, held_out, world, store, tmp_path
):
    folder, summary, _ = held_out
    found = summary["cross_validation"]["calibration"]
    temperature = PixelEnsemble.load(folder / "model").extra_["temperature"]
    assert temperature == found["temperature"] != 1
    assert found["nll"]["after"] < found["nll"]["before"]
    assert dseg("fit", store, world.truth, *WORDS).code == 0
    asked = ("--probabilities", "--uncertainty")
    assert dseg("predict", store, "--out", "plain", *asked).code == 0
    told = dseg("predict", store, "--model", folder / "model", "--out", "tempered", *asked)
    assert told.code == 0
    for stem in world.stems:
        for name in (f"{stem}.png", f"uncertainty/{stem}.npy"):
            made = [(tmp_path / out / name).read_bytes() for out in ("plain", "tempered")]
            assert made[0] == made[1]
        plain, changed = (
            np.load(tmp_path / out / f"probabilities/{stem}.npy").astype(np.float32)
            for out in ("plain", "tempered")
        )
        expected = tempered(plain.reshape(3, -1).T.copy(), temperature)
        assert np.allclose(changed.reshape(3, -1).T, expected, atol=0.02)


def test_figures_and_folders_are_whole(held_out):
    folder, _, words = held_out
    with Image.open(folder / "cv/reliability/reliability.png") as image:
        assert image.width > 800
    assert (folder / "cv/reliability/reliability.svg").read_text().startswith("<?xml")
    assert sorted(path.name for path in folder.iterdir()) == ["cv", "model"]
    assert "3 folds: 4 trainings" in words
    assert "fold 2/3: mIoU" in words


def test_one_image_at_a_time_and_too_many_folds(dseg, world, store, tmp_path):
    made = dseg("fit", store, world.labels, *WORDS, "--folds", 3, "--quiet")
    assert made.code == 0, made.err
    assert "mIoU" in made.out
    assert "on 3 held-out images (3 folds)" in made.out
    refused = dseg("fit", store, world.labels, *WORDS, "--folds", 4, "--out", "other")
    assert refused.code == 2
    assert "3 labelled images cannot be divided into 4 folds: give from 2 to 3" in refused.err
    (tmp_path / "one.txt").write_text("p0\n")
    words = ("fit", store, world.labels, "--folds", 2, "--list", "one.txt", "--out", "other")
    assert "only one labelled image: holding images out needs at least two" in dseg(*words).err
    assert dseg("fit", store, world.labels, "--folds", 1).code == 2


def test_a_dry_run_counts_the_folds_and_writes_nothing(dseg, world, store, tmp_path):
    words = ("fit", store, world.truth, *WORDS, "--dry-run", "--json")
    told = json.loads(dseg(*words, "--folds", 3, "--folds-out", "cv").out)
    assert told["folds"] == 3
    assert told["folds_seconds"] > 3 * told["training_seconds"]
    assert not {"folds", "folds_seconds", "cross_validation"} & json.loads(dseg(*words).out).keys()
    assert list(tmp_path.iterdir()) == []
    assert "3 folds: about" in dseg(*words[:-1], "--folds", 3).out


def test_folders_that_stand_in_the_way_are_refused(dseg, held_out, world, store, tmp_path):
    folder, _, _ = held_out
    words = ("fit", store, world.truth, *WORDS, "--dry-run")
    assert "give the number of folds" in dseg(*words, "--folds-out", "cv").err
    refused = dseg(*words, "--folds", 3, "--folds-out", folder / "cv")
    assert refused.code == 2
    assert "contains held-out masks already" in refused.err
    assert dseg(*words, "--folds", 3, "--folds-out", folder / "cv", "--overwrite").code == 0
    foreign = dseg(*words, "--folds", 3, "--folds-out", world.photos, "--overwrite")
    assert foreign.code == 2
    assert "exists and does not contain held-out masks" in foreign.err
    assert "contains a feature store" in dseg(*words, "--folds", 3, "--folds-out", store).err
    for model, masks in (("a", "a"), ("a", "a/cv"), ("a/model", "a")):
        nested = dseg(*words, "--folds", 3, "--out", model, "--folds-out", masks)
        assert nested.code == 2
        assert "must be separate folders" in nested.err


def test_a_class_of_one_image_is_named(dseg, own_world, store):
    (own_world.truth / "classes.txt").write_text("sea\nsun\nboat\nbuoy\n")
    with Image.open(own_world.truth / "p4.png") as image:
        label = np.array(image)
    label[:8, :12] = 3
    Image.fromarray(label).save(own_world.truth / "p4.png")
    words = ("fit", store, own_world.truth, *WORDS, "--folds", 2)
    assert (
        "all training pixels of 'buoy' are in the images of one fold"
        in dseg(*words, "--dry-run").err
    )
    told = json.loads(dseg(*words, "--json").out)["cross_validation"]
    pixels = sum(height * width for height, width in SIZES)
    assert told["calibration"]["pixels"] == pixels - 8 * 12  # the model will have learnt it


def test_what_is_left_may_have_nothing_to_tell_apart(dseg, own_world, store, tmp_path):
    for stem in ("p0", "p1"):
        with Image.open(own_world.labels / f"{stem}.png") as image:
            label = np.zeros(image.size[::-1], np.uint8)
        Image.fromarray(label).save(own_world.labels / f"{stem}.png")
    refused = dseg("fit", store, own_world.labels, *WORDS, "--folds", 3)
    assert refused.code == 2
    assert "only one class is present, 'sea'" in refused.err
    assert not (tmp_path / "model").exists()


def test_an_unnamed_class_of_a_few_pixels_counts_as_in_evaluate(dseg, own_world, store, tmp_path):
    (own_world.truth / "classes.txt").unlink()
    with Image.open(own_world.truth / "p1.png") as image:
        label = np.array(image)
    label[:2, :3] = 3
    Image.fromarray(label).save(own_world.truth / "p1.png")
    words = ("--folds", 2, "--folds-out", "cv", "--json")
    found = json.loads(dseg("fit", store, own_world.truth, *WORDS, *words).out)["cross_validation"]
    told = json.loads(dseg("evaluate", "cv", own_world.truth, "--json").out)
    assert found["iou"] == told["iou"]
    assert found["iou"]["class 3"] == 0


def test_a_single_member_has_no_uncertainty(dseg, world, store, tmp_path):
    words = ("--members", 1, "--max-steps", 20, "--folds", 2, "--folds-out", "cv", "--json")
    made = dseg("fit", store, world.labels, *words)
    assert made.code == 0, made.err
    found = json.loads(made.out)["cross_validation"]
    assert [one["uncertainty"] for one in found["by_image"]] == [None] * 3
    assert not (tmp_path / "cv/uncertainty").exists()


def test_a_damaged_temperature_is_refused(dseg, held_out, store, tmp_path):
    folder, _, _ = held_out
    shutil.copytree(folder / "model", tmp_path / "broken")
    facts = json.loads((tmp_path / "broken/model.json").read_text())
    facts["extra"]["temperature"] = -1
    (tmp_path / "broken/model.json").write_text(json.dumps(facts))
    refused = dseg("predict", store, "--model", "broken")
    assert refused.code == 2
    assert "the model has the temperature -1: expected a number above 0" in refused.err


def test_folds_that_fail_leave_nothing(dseg, world, store, tmp_path):
    """Every fold reads the damaged image, to learn from it or to score it."""
    shutil.copytree(store, tmp_path / "f.zarr")
    row, size = FeatureStore.open(store).rows("p2")[0], FeatureStore.open(store).spec.map_sizes[0]
    chunk = tmp_path / "f.zarr/features" / size / "c" / str(row) / "0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-7])
    failed = dseg("fit", "f.zarr", world.labels, *WORDS, "--folds", 3, "--folds-out", "cv")
    assert failed.code == 1
    assert "image 'p2.png'" in failed.err
    assert "does not match its checksum" in failed.err
    assert [path.name for path in tmp_path.iterdir()] == ["f.zarr"]
