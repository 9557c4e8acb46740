"""Every wrong call ends in one plain message and the right exit code, and leaves nothing broken."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from dseg import FeatureStore
from PIL import Image


def assert_refused(result, *words, code=2):
    assert result.code == code, (result.out, result.err)
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err


def extract(dseg, photos, checkpoint, *more, out="f.zarr"):
    return dseg("extract", "--images", photos, "--out", out, "--checkpoint", checkpoint, *more)


# ---- extract ----


def test_no_images(dseg, ddpm, tmp_path):
    (tmp_path / "empty").mkdir()
    assert_refused(extract(dseg, "empty", ddpm), "no image in 'empty': looked for files ending in")
    assert_refused(extract(dseg, "nowhere", ddpm), "'--images': Path 'nowhere' does not exist")


def test_an_unreadable_image_among_good_ones(dseg, own_world, ddpm, tmp_path):
    (own_world.photos / "a.png").write_text("no picture at all")
    cut = (own_world.photos / "p3.png").read_bytes()
    (own_world.photos / "p3.png").write_bytes(cut[: len(cut) // 2])
    result = extract(dseg, own_world.photos, ddpm)
    assert result.code == 3
    assert "5 images extracted" in result.out
    assert "2 failed" in result.out
    assert "a.png: " in result.err
    assert "p3.png: " in result.err
    store = FeatureStore.open(tmp_path / "f.zarr")
    assert store.image("p3").failed
    assert not store.image("p3").complete
    assert store.image("p4").complete
    # its label map does not stop the others
    Image.fromarray(np.zeros((33, 47), np.uint8)).save(own_world.labels / "p3.png")
    fitted = dseg("fit", "f.zarr", own_world.labels, "--members", 2, "--max-steps", 20)
    assert fitted.code == 0, fitted.err
    assert "'p3' could not be extracted: left out" in fitted.err
    predicted = dseg("predict", "f.zarr")
    assert predicted.code == 3
    assert "5 masks written" in predicted.out


def test_two_images_of_one_stem(dseg, own_world, ddpm):
    shutil.copy(own_world.photos / "p1.png", own_world.photos / "p1.bmp")
    assert_refused(extract(dseg, own_world.photos, ddpm), "'p1.bmp' and 'p1.png' differ only")


def test_a_block_the_network_lacks(dseg, world, ddpm, tmp_path):
    assert_refused(extract(dseg, world.photos, ddpm, "--blocks", "1,99"), "99")
    assert_refused(extract(dseg, world.photos, ddpm, "--steps", "50,1000"), "1000")
    assert_refused(extract(dseg, world.photos, ddpm, "--steps", "50;60"), "50;60")
    assert not (tmp_path / "f.zarr").exists()


def test_a_store_of_another_recipe(dseg, world, ddpm, other_ddpm):
    assert extract(dseg, world.photos, ddpm).code == 0
    again = extract(dseg, world.photos, ddpm, "--steps", "10")
    assert_refused(
        again, "was extracted with another feature spec", "steps: [50, 150, 250] in the store, [10]"
    )
    again = extract(dseg, world.photos, other_ddpm)
    assert_refused(again, "checkpoint sha256")
    assert "6 images extracted" in extract(dseg, world.photos, other_ddpm, "--overwrite").out


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("words.pt", b"Dear Sir, please find enclosed", "text"),
        ("empty.pt", b"", "empty"),
        ("picture.pt", b"\x89PNG\r\n\x1a\n" + bytes(64), "image"),
    ],
)
def test_a_file_that_is_no_checkpoint(dseg, world, tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    assert_refused(extract(dseg, world.photos, name), words, "expected")
    assert_refused(extract(dseg, world.photos, "gone.pt"), "'gone.pt' does not exist")


def test_a_pickled_checkpoint_that_runs_code_does_not_run_it(dseg, world, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"weights": Evil()}))
    assert_refused(extract(dseg, world.photos, "evil.pt"))
    assert not (tmp_path / "ran").exists()


def test_an_output_that_is_something_else(dseg, world, ddpm, tmp_path):
    (tmp_path / "f.zarr").mkdir()
    (tmp_path / "f.zarr/thesis.tex").write_text("years of work")
    assert_refused(extract(dseg, world.photos, ddpm), "not a feature store, but contains")
    refused = extract(dseg, world.photos, ddpm, "--overwrite")
    assert refused.code != 0
    assert (tmp_path / "f.zarr/thesis.tex").read_text() == "years of work"


# ---- fit ----


def fit(dseg, store, labels, *more):
    return dseg("fit", store, labels, "--members", 2, "--max-steps", 5, *more)


def test_a_label_map_of_another_size(dseg, own_world, store, tmp_path):
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(own_world.labels / "p0.png")
    refused = fit(dseg, store, own_world.labels)
    assert_refused(
        refused,
        "label map 'p0.png' is 40×40 but image 'p0.png' is 56×40",
        "Was the image resized or turned?",
    )
    assert not (tmp_path / "model").exists()


def test_a_label_without_an_image(dseg, own_world, store, tmp_path):
    shutil.copy(own_world.labels / "p0.png", own_world.labels / "x9.png")
    assert_refused(fit(dseg, store, own_world.labels), "1 of 4 label maps match none", "'x9'")
    (tmp_path / "list.txt").write_text("p0\np1.png\n")
    assert fit(dseg, store, own_world.labels, "--list", "list.txt").code == 0
    (tmp_path / "list.txt").write_text("p0\nx9\n")
    refused = fit(dseg, store, own_world.labels, "--list", "list.txt", "--overwrite")
    assert_refused(refused, "--list contains 'x9', not found among the 6 images")
    (tmp_path / "list.txt").write_text("p0\np5\n")
    refused = fit(dseg, store, own_world.labels, "--list", "list.txt", "--overwrite")
    assert_refused(refused, "--list contains 'p5', which have no label map")


def test_a_label_id_beyond_the_classes(dseg, own_world, store):
    Image.fromarray(np.full((40, 56), 7, np.uint8)).save(own_world.labels / "p0.png")
    assert_refused(fit(dseg, store, own_world.labels), "p0.png", "7", "3 classes")


def test_labels_all_ignored(dseg, own_world, store):
    for stem, size in (("p0", (40, 56)), ("p1", (32, 32)), ("p2", (64, 48))):
        Image.fromarray(np.full(size, 255, np.uint8)).save(own_world.labels / f"{stem}.png")
    words = "has a class: all are 255, the ignore label. Is the ignore label another id (--ignore)?"
    assert_refused(fit(dseg, store, own_world.labels), words)


def test_one_class_only(dseg, own_world, store):
    for stem, size in (("p0", (40, 56)), ("p1", (32, 32)), ("p2", (64, 48))):
        Image.fromarray(np.full(size, 1, np.uint8)).save(own_world.labels / f"{stem}.png")
    assert_refused(fit(dseg, store, own_world.labels), "only one class is present, 'sun'")


def test_no_label_maps(dseg, store, tmp_path):
    (tmp_path / "labels").mkdir()
    words = "no label maps (.png, .npy, .tif or others) and no annotation file in 'labels'"
    assert_refused(fit(dseg, store, "labels"), words)


def test_two_label_maps_of_one_image(dseg, own_world, store):
    np.save(own_world.labels / "p0.npy", np.zeros((40, 56), np.uint8))
    assert_refused(fit(dseg, store, own_world.labels), "two label maps for 'p0'")


def test_a_colour_image_as_label_map(dseg, own_world, store):
    with Image.open(own_world.photos / "p1.png") as photo:
        photo.resize((56, 40)).save(own_world.labels / "p0.png")
    words = "or more colours, and no file lists which colour is which class"
    assert_refused(fit(dseg, store, own_world.labels), words)


def test_an_existing_model_is_not_replaced(dseg, world, store, tmp_path):
    assert fit(dseg, store, world.labels).code == 0
    before = (tmp_path / "model/model.json").read_bytes()
    assert_refused(fit(dseg, store, world.labels, "--seed", 1), "'model' contains a model already")
    assert (tmp_path / "model/model.json").read_bytes() == before
    assert fit(dseg, store, world.labels, "--seed", 1, "--overwrite").code == 0
    assert (tmp_path / "model/model.json").read_bytes() != before


def test_too_little_memory_is_refused_with_the_least_that_works(dseg, world, store):
    refused = fit(dseg, store, world.labels, "--memory", "1kB")
    assert_refused(refused, "need at least")
    least = re.search(r"need at least (\S+MB)", refused.err)[1]
    assert fit(dseg, store, world.labels, "--memory", least).code == 0
    assert_refused(fit(dseg, store, world.labels, "--memory", "lots"), "'lots' is not a size")


def test_a_store_not_yet_complete(dseg, world, ddpm, tmp_path):
    assert extract(dseg, world.photos, ddpm, "--shard", "1/2").code == 0
    assert_refused(fit(dseg, "f.zarr", world.labels), "not in 'f.zarr' yet", "finish")


def test_things_that_are_no_store(dseg, world, tmp_path):
    (tmp_path / "folder").mkdir()
    for command in ("fit", "select", "curve"):  # as where labels come first
        refused = dseg(command, world.labels, "folder")
        assert_refused(refused, f"'{world.labels}' is not a feature store")
    assert_refused(fit(dseg, "gone.zarr", world.labels), "Directory 'gone.zarr' does not exist")
    assert_refused(dseg("info", "folder"), "neither a feature store nor a model")


# ---- predict ----


def test_a_model_of_another_checkpoint(dseg, world, other_ddpm, model):
    assert extract(dseg, world.photos, other_ddpm).code == 0
    refused = dseg("predict", "f.zarr", "--model", model)
    assert_refused(refused, "the model was fitted on other features", "checkpoint sha256")
    refused = dseg("predict", world.photos, "--model", model, "--checkpoint", other_ddpm)
    assert_refused(refused, "is not the checkpoint that the features were made with", "sha256")


def test_masks_of_another_model_are_not_replaced(dseg, world, store, model, tmp_path):
    assert dseg("predict", store, "--model", model).code == 0
    before = (tmp_path / "masks/p0.png").read_bytes()
    assert fit(dseg, store, world.labels).code == 0
    assert_refused(dseg("predict", store), "masks of", "by another model", "--overwrite")
    assert (tmp_path / "masks/p0.png").read_bytes() == before
    assert "6 masks written" in dseg("predict", store, "--overwrite").out


def test_masks_are_not_written_among_the_images(dseg, own_world, model):
    for out in (own_world.photos, own_world.photos / "masks"):
        refused = dseg("predict", own_world.photos, "--model", model, "--out", out)
        assert_refused(refused, "would be read as images in the next run: give another --out")
    assert sorted(path.stem for path in own_world.photos.iterdir()) == sorted(own_world.stems)


def test_files_of_others_are_not_replaced(dseg, own_world, store, model):
    """Someone predicts into the folder of the label maps."""
    before = (own_world.labels / "p0.png").read_bytes()
    refused = dseg("predict", store, "--model", model, "--out", own_world.labels)
    assert_refused(refused, "contains files that `dseg predict` did not write", "'p0.png'")
    assert (own_world.labels / "p0.png").read_bytes() == before


def test_a_flipped_bit_in_a_chunk(dseg, store, model, tmp_path):
    broken = tmp_path / "broken.zarr"
    shutil.copytree(store, broken)
    image = FeatureStore.open(broken).image("p2")
    chunk = sorted(broken.glob(f"features/*/c/{image.first_row}/**/*"))[-1]
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    result = dseg("predict", broken, "--model", model)
    assert_refused(result, "p2.png", chunk.relative_to(broken).as_posix(), code=3)
    assert "5 masks written" in result.out
    assert not (tmp_path / "masks/p2.png").exists()


def test_overlays_from_a_store_need_the_images(dseg, store, model):
    assert_refused(dseg("predict", store, "--model", model, "--overlay"), "give their folder")


def test_a_damaged_model(dseg, store, model, tmp_path):
    shutil.copytree(model, tmp_path / "bad")
    facts = json.loads((tmp_path / "bad/model.json").read_text())
    (tmp_path / "bad/model.json").write_text(json.dumps(facts)[:-20])
    assert_refused(dseg("predict", store, "--model", "bad"), "'bad' is damaged")
    assert_refused(dseg("predict", store, "--model", store), "is not a model")


def test_a_moved_checkpoint_is_asked_for(dseg, world, ddpm, tmp_path):
    shutil.copytree(ddpm, tmp_path / "ddpm")
    assert extract(dseg, world.photos, "ddpm").code == 0
    assert fit(dseg, "f.zarr", world.labels).code == 0
    (tmp_path / "ddpm").rename(tmp_path / "moved")
    assert_refused(dseg("predict", world.photos), "ddpm", "--checkpoint")
    assert dseg("predict", world.photos, "--checkpoint", "moved").code == 0


# ---- evaluate, settings, the command itself ----


def test_masks_and_labels_of_different_sizes(dseg, own_world, tmp_path):
    shutil.copytree(own_world.truth, tmp_path / "masks")
    Image.fromarray(np.zeros((9, 8), np.uint8)).save(tmp_path / "masks/p1.png")
    assert_refused(dseg("evaluate", "masks", own_world.truth), "mask of 'p1' is 8×9", "32×32")


def test_label_maps_without_masks(dseg, own_world, tmp_path):
    (tmp_path / "masks").mkdir()
    assert_refused(dseg("evaluate", "masks", own_world.truth), "no masks in 'masks'")
    shutil.copy(own_world.truth / "p0.png", tmp_path / "masks/p0.png")
    refused = dseg("evaluate", "masks", own_world.truth)
    assert_refused(refused, "5 of 6 label maps match none of the 1 masks")
    (tmp_path / "list.txt").write_text("p0")
    assert dseg("evaluate", "masks", own_world.truth, "--list", "list.txt").code == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[fti]\nmembers = 2", "'fti', but dseg has no such command"),
        ("[fit]\nmembrs = 2", "sets 'membrs' in [fit]"),
        ("[fit\n", "cannot be read"),
        ("[fit]\nmembers = 'ten'", "'ten' is not a valid integer"),
    ],
)
def test_settings_that_make_no_sense(dseg, store, world, tmp_path, text, words):
    (tmp_path / "dseg.toml").write_text(text)
    assert_refused(dseg("fit", store, world.labels), words)


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "p0\np0\n"])
def test_lists_that_make_no_sense(dseg, store, world, tmp_path, text):
    (tmp_path / "list.txt").write_text(text)
    assert_refused(
        fit(dseg, store, world.labels, "--list", "list.txt"), "--list 'list.txt' contains"
    )


def test_help_is_quick_and_imports_no_torch(tmp_path):
    code = (
        "import sys; sys.argv = ['dseg', '--help']\n"
        "from dseg.pipelines.main import cli\n"
        "cli(standalone_mode=False)\n"
        "print([m for m in ('torch', 'zarr', 'dask', 'sklearn', 'diffusers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_grey_values_for_class_ids(dseg, own_world, store):
    """What image programs make of masks: black, grey and white, which may mean unlabelled."""
    values = (0, 128, 255)
    for folder in (own_world.labels, own_world.labels.parent):
        (folder / "classes.txt").unlink(missing_ok=True)
    for path in own_world.labels.glob("*.png"):
        with Image.open(path) as image:
            label = np.asarray(image)
        Image.fromarray(np.array(values)[label].astype(np.uint8)).save(path)
    refused = fit(dseg, store, own_world.labels)
    assert_refused(refused, "are these grey values?", "renumber them", str(values[0]))


def test_label_maps_taken_for_photographs(dseg, own_world, ddpm):
    whole = own_world.photos.parent
    shutil.rmtree(own_world.truth)
    shutil.rmtree(own_world.labels)
    shutil.copytree(own_world.photos, whole / "labels")
    told = extract(dseg, whole, ddpm)
    assert told.code == 0
    assert "6 of 12 images are in folders named like label maps or masks" in told.err


def test_masks_and_labels_swapped(dseg, world, store, model):
    assert dseg("predict", store, "--model", model).code == 0
    told = dseg("evaluate", world.truth, "masks")
    assert "'masks' was written by `dseg predict`: give the folder of masks first" in told.err


def test_outputs_beside_the_masks_are_no_masks(dseg, world, store, model, tmp_path):
    words = ("--uncertainty", "--probabilities", "--overlay", "--images", world.photos)
    assert dseg("predict", store, "--model", model, *words).code == 0
    (tmp_path / "list.txt").write_text("p9")
    refused = dseg("evaluate", "masks", world.truth, "--list", "list.txt")
    assert_refused(refused, "not found among the 6 masks")


def test_many_failures_are_counted(dseg, own_world, ddpm, model, tmp_path):
    for i in range(30):
        (own_world.photos / f"x{i}.png").write_text("no picture")
    result = extract(dseg, own_world.photos, ddpm)
    assert_refused(result, "30 failed:", "… and 10 more; --json lists all", code=3)
    assert result.err.count("x10.png: ") == 1


def test_a_difference_deep_in_the_architecture_is_named(golden, dseg, world, tmp_path):
    import lzma

    packed = (golden / "guided_diffusion/adm64/model.pt.xz").read_bytes()
    (tmp_path / "net.pt").write_bytes(lzma.decompress(packed))
    refused = extract(dseg, world.photos, "net.pt")
    assert_refused(refused, "cannot be split by 64 head channels", "--head-channels or --heads")
    assert extract(dseg, world.photos, "net.pt", "--head-channels", 16).code == 0
    refused = extract(dseg, world.photos, "net.pt", "--head-channels", 32)
    assert_refused(refused, "backbone head_channels: 16 in the store, 32 in this command")


def test_a_size_beyond_the_memory_is_told_so(dseg, world, ddpm):
    words = ("extract", "--images", world.photos, "--out", "x.zarr", "--checkpoint", ddpm)
    refused = dseg(*words, "--size", 10_000_000)
    assert refused.code == 1
    assert "out of memory: try a smaller --size" in refused.err
