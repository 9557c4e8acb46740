"""The commands as a user types them: three to masks, and what they leave on disk."""

import json
import shlex

import numpy as np
import pytest
from dseg import FeatureStore, PixelEnsemble
from PIL import Image


def read(folder, stem):
    with Image.open(folder / f"{stem}.png") as image:
        return np.asarray(image)


def test_three_commands_make_masks(dseg, world, ddpm, tmp_path):
    made = dseg("extract", "--images", world.photos, "--out", "feats.zarr", "--checkpoint", ddpm)
    assert (made.code, made.err.count("Warning")) == (0, 0), made.err
    assert "6 images extracted, 0 unchanged, 0 failed" in made.out

    made = dseg("fit", "feats.zarr", world.labels, "--members", 4, "--max-steps", 100)
    assert made.code == 0, made.err
    assert "model: fitted on" in made.out

    made = dseg("predict", "feats.zarr")
    assert made.code == 0, made.err
    assert "6 masks written" in made.out
    for stem in world.stems:
        with Image.open(tmp_path / "masks" / f"{stem}.png") as mask:
            assert mask.mode == "P"
        assert read(tmp_path / "masks", stem).shape == read(world.photos, stem).shape[:2]

    scores = dseg("evaluate", "masks", world.truth, "--json")
    assert scores.code == 0, scores.err
    # An untrained network still tells these colours apart: all-background scores .28 here.
    assert json.loads(scores.out)["mean_iou"] > 0.5


def test_masks_from_images_equal_masks_from_the_store(dseg, world, store, model, tmp_path):
    assert dseg("predict", store, "--model", model, "--out", "a").code == 0
    assert dseg("predict", world.photos, "--model", model, "--out", "b").code == 0
    for stem in world.stems:
        assert np.array_equal(read(tmp_path / "a", stem), read(tmp_path / "b", stem))


def test_predict_finds_the_store_of_the_model(dseg, world, model):
    made = dseg("predict", "--model", model)
    assert "6 masks written" in made.out


def test_the_next_command_can_be_pasted(dseg, world, store):
    words = ("--members", 2, "--max-steps", 5, "--out", "my model")
    made = dseg("fit", store, world.labels, *words)
    assert made.code == 0, made.err
    line = made.out.split("Next: dseg ")[1]
    assert "6 masks written" in dseg(*shlex.split(line)).out


def test_each_command_says_what_comes_next(dseg, world, ddpm, tmp_path):
    """Every "Next:" is typed as it stands, but for the folders that only the user knows."""
    for name in ("labels", "truth"):
        (tmp_path / name).symlink_to(getattr(world, name))
    words = ("--images", world.photos, "--out", "my feats.zarr", "--checkpoint", ddpm)
    made = dseg("extract", *words)
    (tmp_path / "dseg.toml").write_text("[fit]\nmembers = 2\nmax-steps = 5")
    for name in ("fit", "predict", "evaluate"):
        assert made.code == 0, made.err
        following = shlex.split(made.out.split("Next: dseg ")[1])
        assert following[0] == name
        made = dseg(*following)
    assert "mIoU" in made.out
    assert "Next" not in made.out


def test_no_next_command_where_nobody_wants_words(dseg, world, ddpm, store, model):
    words = ("--images", world.photos, "--out", "f.zarr", "--checkpoint", ddpm)
    fit = ("fit", store, world.labels, "--members", 2, "--max-steps", 2, "--overwrite")
    predict = ("predict", store, "--model", model)
    for command in (("extract", *words), fit, predict):
        for option in ("--json", "--quiet"):
            made = dseg(*command, option)
            assert made.code == 0, made.err
            assert "Next" not in made.out + made.err
    assert "Next" not in dseg("extract", *words, "--shard", "0/2").out
    assert "Next" in dseg("extract", *words).out


def test_a_store_for_a_model_is_predicted_next(dseg, world, store, model):
    words = ("--images", world.photos, "--out", "new.zarr", "--layers-from", model)
    made = dseg("extract", *words)
    assert made.code == 0, made.err
    assert "6 masks written" in dseg(*shlex.split(made.out.split("Next: dseg ")[1])).out


def test_predict_names_the_images_worth_labelling(dseg, world, store, model, tmp_path):
    made = dseg("predict", store, "--model", model)
    lines = map(json.loads, (tmp_path / "masks/predictions.jsonl").read_text().splitlines())
    scores = {line["stem"]: line["image_uncertainty"] for line in lines}
    unlabelled = sorted(world.stems[3:], key=scores.__getitem__, reverse=True)
    assert f"Most worth labelling next: {str(unlabelled)[1:-1]} (" in made.out
    again = json.loads(dseg("predict", store, "--model", model, "--json").out)
    assert again["most_uncertain"] == unlabelled


def test_the_result_tells_the_bytes_written(dseg, world, store, model, tmp_path):
    words = ("predict", store, "--model", model, "--uncertainty", "--json")
    made = json.loads(dseg(*words).out)
    files = [path for path in (tmp_path / "masks").rglob("*") if path.suffix in (".png", ".npy")]
    assert len(files) == 12
    assert made["n_bytes"] == sum(path.stat().st_size for path in files) > 0
    assert made["peak_memory"] > 50e6
    assert json.loads(dseg(*words).out)["n_bytes"] == 0  # all are there already

    fitted = dseg("fit", store, world.labels, "--members", 2, "--max-steps", 5, "--json")
    made = json.loads(fitted.out)
    assert made["n_bytes"] == sum(path.stat().st_size for path in (tmp_path / "model").iterdir())
    assert made["reading_seconds"] is None  # nobody measured it


def test_the_same_seed_gives_the_same_masks(dseg, world, store, tmp_path):
    words = ("--members", 2, "--max-steps", 40)
    for name in "ab":
        assert dseg("fit", store, world.labels, "--out", f"m{name}", *words).code == 0
        assert dseg("predict", store, "--model", f"m{name}", "--out", name).code == 0
    assert dseg("fit", store, world.labels, "--out", "mc", "--seed", 1, *words).code == 0
    a, b, c = (
        PixelEnsemble.load(tmp_path / f"m{name}").stack_.weights[0].detach().numpy()
        for name in "abc"
    )
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    for stem in world.stems:
        masks = [(tmp_path / name / f"{stem}.png").read_bytes() for name in "ab"]
        assert masks[0] == masks[1]


def test_all_outputs_and_the_manifest(dseg, world, store, model, tmp_path):
    extras = ("--probabilities", "--uncertainty", "--overlay", "--images", world.photos)
    assert dseg("predict", store, "--model", model, *extras).code == 0
    manifest = (tmp_path / "masks/predictions.jsonl").read_text()
    records = [json.loads(line) for line in manifest.splitlines()]
    assert [record["stem"] for record in records] == list(world.stems)
    for record in records:
        mask = read(tmp_path / "masks", record["stem"])
        assert mask.shape == (record["height"], record["width"])
        probabilities = np.load(tmp_path / "masks" / record["probabilities"])
        assert probabilities.shape == (3, *mask.shape)
        assert np.allclose(probabilities.astype(np.float32).sum(0), 1, atol=2e-3)
        uncertainty = np.load(tmp_path / "masks" / record["uncertainty"])
        assert uncertainty.shape == mask.shape
        assert uncertainty.dtype == np.float32
        highest = np.sort(uncertainty.ravel())[-(mask.size // 10) :]
        assert record["image_uncertainty"] == pytest.approx(highest.mean(), rel=1e-4)
        with Image.open(tmp_path / "masks" / record["overlay"]) as overlay:
            assert overlay.size == mask.shape[::-1]


def test_masks_without_their_manifest_are_scored_too(dseg, world, store, model, tmp_path):
    """Other files in their folder, such as uncertainty, are no masks."""
    assert dseg("predict", store, "--model", model, "--uncertainty").code == 0
    with_it = json.loads(dseg("evaluate", "masks", world.truth, "--json").out)
    (tmp_path / "masks/predictions.jsonl").unlink()
    without = dseg("evaluate", "masks", world.truth, "--json")
    assert without.code == 0, without.err
    assert json.loads(without.out)["iou"] == with_it["iou"]


def test_predict_goes_on_where_it_stopped(dseg, world, store, model, tmp_path):
    (tmp_path / "some.txt").write_text("p0\np1\n")
    assert "2 masks written" in dseg("predict", store, "--model", model, "--list", "some.txt").out
    made = dseg("predict", store, "--model", model)
    assert "4 masks written, 2 unchanged" in made.out
    (tmp_path / "masks/p3.png").unlink()
    made = dseg("predict", store, "--model", model)
    assert "1 masks written, 5 unchanged" in made.out
    made = dseg("predict", store, "--model", model, "--uncertainty")
    assert "6 masks written" in made.out


def test_shards_together_are_everything(dseg, world, ddpm, store, model, tmp_path):
    words = ("--images", world.photos, "--out", "parts.zarr", "--checkpoint", ddpm)
    counts = [dseg("extract", *words, "--shard", f"{i}/4").out for i in (2, 0, 3, 1)]
    assert [c.split(": ")[1][0] for c in counts] == ["1", "2", "1", "2"]
    whole, parts = FeatureStore.open(store), FeatureStore.open(tmp_path / "parts.zarr")
    for row in range(whole.n_rows):
        for size in whole.spec.map_sizes:
            assert np.array_equal(whole.map(row, size), parts.map(row, size))
    for i in range(2):
        made = dseg("predict", store, "--model", model, "--shard", f"{i}/2")
        assert "3 masks written" in made.out


def test_paper_masks_have_the_network_size(dseg, world, store, model, tmp_path):
    assert dseg("predict", store, "--model", model, "--paper").code == 0
    assert read(tmp_path / "masks", "p0").shape == (32, 32)
    refused = dseg("evaluate", "masks", world.truth)
    assert refused.code == 2
    assert "If the masks come from `predict --paper`, they have the network's size" in refused.err
    assert dseg("evaluate", "masks", world.truth, "--paper").code == 0


def test_extracting_again_extracts_nothing(dseg, own_world, ddpm, tmp_path):
    words = ("--images", own_world.photos, "--out", "f.zarr", "--checkpoint", ddpm)
    assert "6 images extracted" in dseg("extract", *words).out
    assert "0 images extracted, 6 unchanged" in dseg("extract", *words).out
    (own_world.photos / "p1.png").write_bytes((own_world.photos / "p4.png").read_bytes())
    (own_world.photos / "p5.png").rename(own_world.photos / "q5.png")
    made = dseg("extract", *words)
    assert "2 images extracted, 4 unchanged" in made.out  # p1 changed, q5 is new
    assert "1 images of the store are no longer in the folder" in made.err
    store = FeatureStore.open(tmp_path / "f.zarr")
    size = store.spec.map_sizes[0]
    assert np.array_equal(
        store.map(store.rows("p1")[0], size), store.map(store.rows("p4")[0], size)
    )


@pytest.mark.parametrize("fit", ["pad", "tile"])
def test_padded_and_tiled_images_go_all_the_way(dseg, world, ddpm, fit, tmp_path):
    words = ("--images", world.photos, "--out", "f.zarr", "--checkpoint", ddpm, "--fit", fit)
    assert dseg("extract", *words).code == 0
    fitted = dseg("fit", "f.zarr", world.labels, "--members", 3, "--max-steps", 80)
    assert fitted.code == 0, fitted.err
    assert dseg("predict", "f.zarr", "--out", "a").code == 0
    assert dseg("predict", world.photos, "--out", "b").code == 0
    for stem in world.stems:
        assert np.array_equal(read(tmp_path / "a", stem), read(tmp_path / "b", stem))
    scores = json.loads(dseg("evaluate", "a", world.truth, "--json").out)
    assert scores["mean_iou"] > 0.5


def test_dry_runs_write_nothing(dseg, world, ddpm, store, model, tmp_path):
    words = ("--images", world.photos, "--out", "f.zarr", "--checkpoint", ddpm)
    told = dseg("extract", *words, "--dry-run", "--json")
    estimate = json.loads(told.out)
    spec = FeatureStore.open(store).spec
    assert (estimate["images"], estimate["n_bytes"]) == (6, 6 * spec.bytes_per_row)
    assert estimate["seconds"] > 0
    told = dseg("fit", store, world.labels, "--dry-run", "--json")
    assert json.loads(told.out)["residence"] in ("vectors", "maps32")
    assert "MB of memory for the whole process; nothing written" in (
        dseg("fit", store, world.labels, "--dry-run").out
    )
    told = dseg("predict", store, "--model", model, "--dry-run", "--json")
    assert json.loads(told.out)["images"] == 6
    assert list(tmp_path.iterdir()) == []


def test_info_tells_of_stores_and_models(dseg, store, model):
    words = dseg("info", store).out
    assert "6 of 6 extracted" in words
    assert "  layers    " in words
    facts = json.loads(dseg("info", model, "--json").out)
    assert [entry["name"] for entry in facts["classes"]] == ["sea", "sun", "boat"]
    assert facts["features"]["hash"] == FeatureStore.open(store).spec.hash
    assert "sea, sun, boat" in dseg("info", model).out


def test_settings_stand_under_the_command_line(dseg, world, store, tmp_path):
    (tmp_path / "dseg.toml").write_text('[fit]\nmembers = 2\nmax-steps = 30\nmemory = "1GB"\n')
    assert dseg("fit", store, world.labels).code == 0
    assert PixelEnsemble.load(tmp_path / "model").n_members == 2
    assert dseg("fit", store, world.labels, "--members", 3, "--overwrite").code == 0
    assert PixelEnsemble.load(tmp_path / "model").n_members == 3


def test_the_dense_layout_holds_the_vectors_themselves(dseg, world, ddpm, store, tmp_path):
    import zarr

    words = ("--images", world.photos, "--out", "d.zarr", "--checkpoint", ddpm, "--layout", "dense")
    assert dseg("extract", *words).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["d.zarr"]
    dense = zarr.open_group(tmp_path / "d.zarr", mode="r")["features/dense"]
    yx = np.array([[0, 0], [31, 31], [7, 20]])
    vectors = FeatureStore.open(store).pixels(np.array([4, 4, 4]), yx)
    assert np.array_equal(dense[4][yx[:, 0], yx[:, 1]], vectors.astype(np.float16))
    again = dseg("extract", *words)
    assert again.code == 2
    assert "'d.zarr' exists already" in again.err
    assert "6 images extracted" in dseg("extract", *words, "--overwrite").out


def test_info_of_some_images(dseg, store, model, tmp_path):
    (tmp_path / "some.txt").write_text("p1\np4\n")
    assert "2 of 2 extracted" in dseg("info", store, "--list", "some.txt").out
    refused = dseg("info", model, "--list", "some.txt")
    assert refused.code == 2
    assert f"selects images of a store, but '{model}' is a model" in refused.err


def test_filters_colour_and_place_go_all_the_way(dseg, world, ddpm, tmp_path):
    words = ("extract", "--images", world.photos, "--checkpoint", ddpm, "--filters", "--pixels")
    made = dseg(*words, "--out", "feats.zarr")
    assert made.code == 0, made.err
    assert "filters, colour and position" in made.err
    store = FeatureStore.open(tmp_path / "feats.zarr")
    assert store.spec.extras == ("filters", "colour and position")
    assert [layer.channels for layer in store.spec.layers[-2:]] == [36, 5]
    assert dseg("fit", "feats.zarr", world.labels, "--members", 2, "--max-steps", 10).code == 0
    assert dseg("predict", "feats.zarr", "--out", "a").code == 0
    assert dseg("predict", world.photos, "--out", "b").code == 0
    for stem in world.stems:
        assert np.array_equal(read(tmp_path / "a", stem), read(tmp_path / "b", stem))
    assert ", filters, pixels\n" in dseg("info", "feats.zarr").out
    other = dseg(*words[:-1], "--out", "feats.zarr")
    assert other.code == 2
    assert "colour and position are among the layers of" in other.err
    tiled = dseg(*words, "--out", "tiles.zarr", "--tile")
    assert tiled.code == 2
    assert "--pixels cannot be combined with --tile" in tiled.err


def test_the_built_in_diffusion_model(dseg, world, tmp_path):
    words = ("--checkpoint", "builtin:dseg-64", "--size", 32)
    made = dseg("extract", "--images", world.photos, "--out", "feats.zarr", *words)
    assert made.code == 0, made.err
    assert FeatureStore.open(tmp_path / "feats.zarr").spec.source == "builtin:dseg-64"
    assert dseg("fit", "feats.zarr", world.labels, "--members", 2, "--max-steps", 10).code == 0
    assert dseg("predict", world.photos).code == 0


def test_a_model_of_reduced_features_takes_them_all(dseg, world, store, tmp_path):
    """Store and prediction know nothing of the reduction, and the masks are as good."""
    words = ("fit", store, world.labels, "--members", 4, "--max-steps", 120)
    assert dseg(*words, "--out", "whole").code == 0
    reduced = dseg(*words, "--out", "reduced", "--reduce", 24)
    assert reduced.code == 0, reduced.err
    assert "channels reduced to 24; " in reduced.err
    scores = []
    for model in ("whole", "reduced"):
        assert dseg("predict", store, "--model", model, "--out", f"masks-{model}").code == 0
        told = dseg("evaluate", f"masks-{model}", world.truth, "--json")
        scores.append(json.loads(told.out)["mean_iou"])
    assert scores[1] > 0.9 * scores[0]
    widths = [PixelEnsemble.load(tmp_path / model).n_features_in_ for model in ("whole", "reduced")]
    assert widths[0] == widths[1]


def test_what_cannot_be_reduced_is_a_wrong_call(dseg, world, store):
    too_many = dseg("fit", store, world.labels, "--reduce", 100000)
    assert too_many.code == 2
    assert "channels cannot be reduced to 100000: from" in too_many.err
    published = dseg("fit", store, world.labels, "--reduce", 24, "--recipe", "paper")
    assert published.code == 2
    assert "--reduce is not part of the published recipe" in published.err
