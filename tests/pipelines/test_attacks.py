"""What careless and hostile users do: nothing ends in a traceback or a silently wrong result."""

import io
import json
import os
import shutil
import sys

import numpy as np
import pytest
import torch
from dseg import FeatureStore
from dseg.pipelines import main as cli
from dseg.pipelines.training.memory import default_memory
from PIL import Image


def extract(dseg, photos, checkpoint, *more):
    return dseg("extract", "--images", photos, "--out", "f.zarr", "--checkpoint", checkpoint, *more)


def assert_refused(result, *words, code=2):
    assert result.code == code, (result.out, result.err)
    for word in words:
        assert word in result.err


# ---- files and names ----


def test_a_pipe_and_a_name_that_is_not_utf8_do_not_stop_the_others(dseg, own_world, ddpm):
    os.mkfifo(own_world.photos / "fifo.png")
    shutil.copy(own_world.photos / "p0.png", os.fsencode(own_world.photos) + b"/bad\xff.png")
    result = extract(dseg, own_world.photos, ddpm)
    assert_refused(result, "'fifo.png' is no regular file", "its name is not valid UTF-8", code=3)
    assert "6 images extracted" in result.out


def test_a_name_as_long_as_can_be(dseg, own_world, model, ddpm, tmp_path):
    name = "n" * 250 + ".png"
    (own_world.photos / "p0.png").rename(own_world.photos / name)
    assert dseg("predict", own_world.photos, "--model", model, "--overlay").code == 0
    assert (tmp_path / "masks" / name).is_file()
    assert (tmp_path / "masks/overlays" / name).is_file()


@pytest.mark.parametrize("name", ["p1.png", "p1.jpg"])
def test_an_image_that_cannot_be_read_any_more_is_not_predicted_from_what_it_was(
    dseg, own_world, ddpm, model, tmp_path, name
):
    assert extract(dseg, own_world.photos, ddpm).code == 0
    (own_world.photos / "p1.png").unlink()
    (own_world.photos / name).write_text("no picture")
    again = extract(dseg, own_world.photos, ddpm)
    assert again.code == 3
    assert ("no longer in the folder" in again.err) == (name != "p1.png")
    image = FeatureStore.open(tmp_path / "f.zarr").image("p1")
    assert not image.complete
    assert "not an image" in image.failed
    assert_refused(dseg("predict", "f.zarr", "--model", model), "p1.png: ", code=3)


def test_unchanged_and_unreadable_images_among_the_tiles_of_others(dseg, own_world, ddpm, tmp_path):
    assert extract(dseg, own_world.photos, ddpm, "--tile").code == 0
    assert dseg("fit", "f.zarr", own_world.labels, "--members", 2, "--max-steps", 30).code == 0
    assert dseg("predict", own_world.photos, "--out", "whole").code == 0
    (own_world.photos / "p3a.png").write_bytes((own_world.photos / "p3.png").read_bytes()[:300])
    (tmp_path / "list.txt").write_text("p1\np5\n")
    assert dseg("predict", own_world.photos, "--out", "parts", "--list", "list.txt").code == 0
    again = dseg("predict", own_world.photos, "--out", "parts", "--batch-size", 7)
    assert again.code == 3
    assert "4 masks written, 2 unchanged, 1 failed" in again.out
    for stem in own_world.stems:
        one, other = (np.asarray(Image.open(f"{out}/{stem}.png")) for out in ("whole", "parts"))
        assert (one == other).mean() > 0.99


# ---- where results go ----


def test_masks_that_would_be_overlays(dseg, own_world, model):
    (own_world.photos / "overlays").mkdir()
    shutil.copy(own_world.photos / "p0.png", own_world.photos / "overlays/p1.png")
    refused = dseg("predict", own_world.photos, "--model", model, "--overlay")
    assert_refused(refused, "both the mask of 'overlays/p1' and the overlay of 'p1'", "rename")
    assert dseg("predict", own_world.photos, "--model", model).code == 0


def test_an_overlay_is_not_drawn_over_another_image(dseg, own_world, store, model, tmp_path):
    Image.new("RGB", (9, 9)).save(own_world.photos / "p1.png")
    extras = ("--overlay", "--images", own_world.photos)
    result = dseg("predict", store, "--model", model, *extras)
    assert_refused(result, "p1.png' is not the image that the features were extracted from", code=3)
    assert "5 masks written" in result.out
    assert not (tmp_path / "masks/p1.png").exists()


def test_masks_into_a_model_or_a_store(dseg, store, model):
    for out, what in ((model, "a model"), (store, "a feature store")):
        refused = dseg("predict", store, "--model", model, "--out", out)
        assert_refused(refused, f"contains {what}: give another folder for the masks")


def test_a_note_beside_a_model_makes_it_no_other_model(dseg, store, model, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    assert dseg("predict", store).code == 0
    (tmp_path / "model/notes.txt").write_text("the good one")
    assert "6 unchanged" in dseg("predict", store).out


def test_shards_that_would_replace_each_other(dseg, world, ddpm):
    for other in (("--overwrite",), ("--layout", "dense")):
        refused = extract(dseg, world.photos, ddpm, "--shard", "0/2", *other)
        assert_refused(refused, "--shard", "would replace what the others wrote")


def test_a_killed_overwrite_does_not_stand_in_the_way_of_another(dseg, world, ddpm, tmp_path):
    assert extract(dseg, world.photos, ddpm).code == 0
    shutil.copytree("f.zarr", ".f.zarr.native")  # as a killed `--overwrite` leaves it
    plain = extract(dseg, world.photos, ddpm)
    assert (plain.code, "6 unchanged" in plain.out) == (0, True)
    assert "Warning: '.f.zarr.native' was left by an interrupted run with --overwrite" in plain.err
    again = extract(dseg, world.photos, ddpm, "--steps", "20", "--overwrite")
    assert again.code == 0, again.err
    assert "was left by an interrupted run" not in again.err
    assert FeatureStore.open("f.zarr").spec.steps == (20,)
    assert not (tmp_path / ".f.zarr.native").exists()


@pytest.mark.parametrize("more", [("--overwrite",), ("--layout", "dense")])
def test_an_empty_folder_is_no_store_to_be_replaced(dseg, world, ddpm, tmp_path, more):
    (tmp_path / "f.zarr").mkdir()
    assert extract(dseg, world.photos, ddpm, "--blocks", "0", *more).code == 0


# ---- labels, lists, classes ----


def test_label_maps_beside_their_images(dseg, own_world, store):
    """As published: 1.png is the image, 1.npy its label map."""
    for path in own_world.truth.glob("p[0-3].png"):
        np.save(own_world.photos / f"{path.stem}.npy", np.asarray(Image.open(path)))
    shutil.copy(own_world.truth / "classes.txt", own_world.photos)
    fitted = dseg("fit", store, own_world.photos, "--members", 2, "--max-steps", 5)
    assert fitted.code == 0, fitted.err
    assert "of 4 images" in fitted.out
    assert dseg("predict", store).code == 0
    beside = json.loads(dseg("evaluate", "masks", own_world.photos, "--json").out)
    for path in own_world.truth.glob("p[45].png"):
        path.unlink()
    assert beside == json.loads(dseg("evaluate", "masks", own_world.truth, "--json").out)
    assert beside["images"] == 4


@pytest.mark.parametrize("entry", ["p0.front", ".", "/", "p0.", "a/p0"])
def test_a_list_that_names_no_image(dseg, store, model, tmp_path, entry):
    (tmp_path / "list.txt").write_text(f"p1\n{entry}\n")
    refused = dseg("predict", store, "--model", model, "--list", "list.txt")
    assert_refused(refused, f"--list contains '{entry}', not found among the 6 images")


def test_an_id_that_is_no_class_does_not_take_all_memory(dseg, own_world):
    (own_world.truth / "classes.txt").unlink()
    shutil.copytree(own_world.truth, "masks")
    Image.fromarray(np.full((40, 56), 40000, np.uint16)).save("masks/p0.png")
    refused = dseg("evaluate", "masks", own_world.truth)
    words = "the masks in 'masks' have only the ids 0, 1, 2, 40000", "in classes.txt"
    assert_refused(refused, *words)


def test_nothing_to_score(dseg, own_world, tmp_path):
    shutil.copytree(own_world.truth, tmp_path / "masks")
    (tmp_path / "masks/predictions.jsonl").write_text('{"stem": "p0"}\n{"stem": []}\n')
    for path in own_world.truth.glob("*.png"):
        Image.fromarray(np.full_like(np.asarray(Image.open(path)), 255)).save(path)
    refused = dseg("evaluate", "masks", own_world.truth)
    assert_refused(refused, "no pixel of the label maps in", "all are 255, the ignore label")


def test_files_nested_beyond_all_bounds(dseg, own_world, store, model, tmp_path):
    (own_world.labels / "classes.json").write_text("[" * 100_000)
    refused = dseg("fit", store, own_world.labels)
    assert_refused(refused, "classes.json' cannot be read")
    shutil.copytree(model, tmp_path / "deep")
    (tmp_path / "deep/model.json").write_text("[" * 100_000)
    assert_refused(
        dseg("info", "deep"), "the model 'deep' is damaged: 'model.json' is not valid JSON"
    )


# ---- options and settings ----


def test_values_beyond_what_can_be(dseg, world, store, ddpm):
    assert_refused(extract(dseg, world.photos, ddpm, "--seed", 2**64), "'--seed'", "range")
    assert_refused(
        extract(dseg, world.photos, ddpm, "--device", "meta"), "there is no device 'meta' here"
    )
    refused = dseg("fit", store, world.labels, "--device", "meta")
    assert_refused(refused, "there is no device 'meta' here")


def test_a_gpu_without_memory(dseg, world, store, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("dseg.pipelines.fit.run.fit", full)
    assert_refused(dseg("fit", store, world.labels), "Error: out of memory: try", code=1)


def test_a_gpu_bounds_the_memory_by_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2_000_000, 8_000_000))
    assert default_memory(torch.device("cuda")) == 1_000_000
    assert default_memory(torch.device("cpu")) > 1_000_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("uncertainty = 1", "uncertainty in [predict] to 1: expected true or false"),
        ("list = ['p0']", "list in [predict] to ['p0']: expected a string or a number"),
        ("out = 2020-01-01", "expected a string or a number"),
        ("out = true", "out in [predict] to True: expected a string or a number"),
        ("batch-size = 0", "'--batch-size': 0 is not in the range"),
        ("x = " + "[" * 5000, "'dseg.toml' cannot be read"),
    ],
)
def test_settings_of_a_wrong_type(dseg, store, tmp_path, text, words):
    (tmp_path / "dseg.toml").write_text(f"[predict]\n{text}\n")
    assert_refused(dseg("predict", store, "--model", store), words)


@pytest.mark.parametrize(("text", "fit"), [("tile = true", "tile"), ("tile = false", "squash")])
def test_a_flag_for_a_value_in_the_settings(dseg, world, ddpm, tmp_path, text, fit):
    (tmp_path / "dseg.toml").write_text(f"[extract]\n{text}\n")
    assert extract(dseg, world.photos, ddpm).code == 0
    assert FeatureStore.open(tmp_path / "f.zarr").spec.fit == fit


def test_settings_are_read_as_words_are(dseg, world, ddpm, store, model, tmp_path):
    (tmp_path / "dseg.toml").write_text(
        f"[extract]\nsteps = [50, 60]\nblocks = 1\nsize = 16\noverlap = 4\n[predict]\n"
        f"out = 3\noverlay = false\nmodel = '{model}'\n"
    )
    assert extract(dseg, world.photos, ddpm).code == 0
    spec = FeatureStore.open(tmp_path / "f.zarr").spec
    assert (spec.steps, spec.blocks, spec.row_shape) == ((50, 60), (1,), (16, 16))
    assert dseg("predict", store).code == 0
    assert (tmp_path / "3/p0.png").is_file()


def test_a_terminal_without_the_signs(model, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "argv", ["dseg", "info", str(model)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert not exit_.value.code
    terminal.flush()
    assert rb"240 \u2192 128" in terminal.buffer.getvalue()


# ---- a store whose parts are lost ----


def test_a_picture_of_the_same_name_but_another_format_is_the_same_image(
    dseg, own_world, ddpm, model, tmp_path
):
    """p0.png, then p0.bmp of other content, then p0.png again: never features of what is gone."""
    words = ("--model", model, "--overwrite")
    first = own_world.photos / "p0.png"
    assert extract(dseg, own_world.photos, ddpm).code == 0
    first.rename(tmp_path / "kept.png")
    with Image.open(own_world.photos / "p4.png") as other:
        other.save(own_world.photos / "p0.bmp")
    assert "1 images extracted, 5 unchanged" in extract(dseg, own_world.photos, ddpm).out
    (own_world.photos / "p0.bmp").unlink()
    (tmp_path / "kept.png").rename(first)
    assert "1 images extracted, 5 unchanged" in extract(dseg, own_world.photos, ddpm).out
    assert len(FeatureStore.open(tmp_path / "f.zarr").images) == 6
    assert dseg("predict", "f.zarr", "--out", "a", *words).code == 0
    assert dseg("predict", own_world.photos, "--out", "b", *words).code == 0
    assert (tmp_path / "a/p0.png").read_bytes() == (tmp_path / "b/p0.png").read_bytes()


def test_a_lost_table_of_names_is_damage(dseg, world, ddpm, model, tmp_path):
    assert extract(dseg, world.photos, ddpm).code == 0
    shutil.rmtree(tmp_path / "f.zarr/images/name/c")
    for result in (extract(dseg, world.photos, ddpm), dseg("predict", "f.zarr", "--model", model)):
        assert_refused(result, "image number 0 has no name", "Extract again with --over", code=1)


def test_a_cut_table_is_damage(dseg, world, ddpm, tmp_path):
    assert extract(dseg, world.photos, ddpm).code == 0
    chunk = tmp_path / "f.zarr/images/size/c/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    assert_refused(extract(dseg, world.photos, ddpm), "does not match its checksum", code=1)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_chunk_that_cannot_be_read_fails_its_image_alone(dseg, store, model, tmp_path):
    broken = tmp_path / "broken.zarr"
    shutil.copytree(store, broken)
    row = FeatureStore.open(broken).image("p2").first_row
    chunk = next(path for path in broken.glob(f"features/*/c/{row}/**/*") if path.is_file())
    chunk.unlink()
    chunk.symlink_to("/proc/self/mem")  # opens, but reading its start is an I/O error
    result = dseg("predict", broken, "--model", model)
    assert_refused(result, "p2.png", "cannot be read: Input/output error", code=3)
    assert "5 masks written" in result.out


def test_a_store_keeps_its_codec_and_says_so(dseg, world, ddpm, tmp_path):
    assert extract(dseg, world.photos, ddpm, "--codec", "zstd").code == 0
    told = extract(dseg, world.photos, ddpm)
    assert "'f.zarr' exists already and keeps its codec, 'zstd'" in told.err
