"""The three commands on other backbones than a diffusion U-Net, and on several at once."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from dseg.store.read.reader import FeatureStore
from PIL import Image


@pytest.fixture(scope="module")
def mae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random MAE that sees 48 pixels, another size than the diffusion model's 32."""
    from transformers import ViTMAEConfig, ViTMAEModel

    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("mae")
    ViTMAEModel(
        ViTMAEConfig(
            hidden_size=16,
            num_attention_heads=2,
            num_hidden_layers=3,
            intermediate_size=32,
            image_size=48,
            patch_size=8,
        )
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def mae_store(world, mae, tmp_path_factory) -> Path:
    from dseg.pipelines.extract.config import ExtractConfig
    from dseg.pipelines.extract.run import extract

    path = tmp_path_factory.mktemp("mae_store") / "mae.zarr"
    extract(ExtractConfig(world.photos, path, (str(mae),)))
    return path


def masks(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: np.asarray(Image.open(path)) for path in folder.glob("*.png")}


def assert_same_masks(one: Path, other: Path) -> None:
    """Both ways round the same masks; a pixel may differ where two scores are nearly equal."""
    ours, theirs = masks(one), masks(other)
    assert set(ours) == set(theirs)
    assert ours
    for stem, mask in ours.items():
        assert (mask == theirs[stem]).mean() > 0.998


def test_the_three_commands_on_a_mae(dseg, world, mae_store, mae, tmp_path):
    done = dseg("fit", mae_store, world.labels, "--members", 3, "--max-steps", 60)
    assert done.code == 0, done.err
    assert dseg("predict", mae_store, "--out", "a").code == 0
    assert dseg("predict", world.photos, "--out", "b").code == 0
    assert_same_masks(tmp_path / "a", tmp_path / "b")
    words = dseg("info", "model")
    assert "layers    0, 1, 2" in words.out


def test_extract_tells_what_the_checkpoint_is(dseg, world, mae):
    told = dseg("extract", "--images", world.photos, "--out", "x.zarr", "--checkpoint", mae)
    assert told.code == 0
    assert "a masked autoencoder (MAE), blocks 0, 1, 2; 48 channels per pixel" in told.err
    refused = dseg(
        *("extract", "--images", world.photos, "--out", "y.zarr", "--checkpoint", mae),
        *("--backbone", "dinov2"),
    )
    assert refused.code == 2
    assert "is a masked autoencoder (MAE), not a DINOv2 network" in refused.err


def test_features_of_two_networks_are_joined(dseg, world, store, mae_store, tmp_path):
    done = dseg("fit", store, mae_store, world.labels, "--members", 3, "--max-steps", 60, "--json")
    assert done.code == 0, done.err
    facts = json.loads(dseg("info", "model", "--json").out)
    dims = [FeatureStore.open(path).spec.dims for path in (store, mae_store)]
    assert facts["features"]["channels"] == sum(dims)
    assert dseg("predict", "--out", "recorded").code == 0
    assert dseg("predict", mae_store, store, "--out", "given").code == 0
    assert dseg("predict", world.photos, "--out", "images").code == 0
    assert_same_masks(tmp_path / "recorded", tmp_path / "given")
    assert_same_masks(tmp_path / "recorded", tmp_path / "images")
    told = dseg("info", "model").out
    assert all(words in told for words in ("of several networks", "  part 1    ", "  part 2    "))


def test_another_network_in_place_of_a_models_own(dseg, world, model, mae):
    """What the MAE does not take was asked for by the model, not by whoever types this."""
    extract = ("extract", "--images", world.photos, "--out", "x.zarr", "--layers-from", model)
    for words in (extract, ("predict", world.photos, "--model", model)):
        refused = dseg(*words, "--checkpoint", mae)
        assert refused.code == 2
        assert f"'{mae}' cannot give the features that '" in refused.err
        assert "takes no noise" in refused.err


def test_info_tells_of_averages(dseg, world, ddpm):
    words = ("--images", world.photos, "--out", "x.zarr", "--checkpoint", ddpm, "--steps", 50)
    assert dseg("extract", *words, "--draws", 2, "--flip").code == 0
    told = dseg("info", "x.zarr").out
    assert "; noise seed 0; mean of 2 draws of the noise; mean with the mirror image" in told


def test_the_stores_of_a_joined_model_can_be_made_again(
    dseg, world, store, mae_store, mae, tmp_path
):
    assert dseg("fit", store, mae_store, world.labels, "--members", 2, "--max-steps", 9).code == 0
    again = ("extract", "--images", world.photos, "--layers-from", "model")
    for part, name in ((1, "c.zarr"), (2, "d.zarr")):
        assert dseg(*again, "--out", name, "--part", part).code == 0
    assert (
        FeatureStore.open(tmp_path / "d.zarr").spec.hash == FeatureStore.open(mae_store).spec.hash
    )
    assert dseg("predict", "c.zarr", "d.zarr", "--out", "apart").code == 0
    assert dseg(*again, "--out", "both.zarr").code == 0
    assert dseg("predict", "both.zarr", "--out", "together").code == 0
    assert_same_masks(tmp_path / "apart", tmp_path / "together")
    refused = dseg(*again, "--out", "e.zarr", "--checkpoint", mae, "--checkpoint", mae)
    assert refused.code == 2
    assert "--checkpoint is given 2 times, but with --layers-from" in refused.err


def test_a_layer_that_both_stores_have_needs_a_store_for_each(dseg, world, ddpm, mae, tmp_path):
    for name, checkpoint in (("a.zarr", ddpm), ("b.zarr", mae)):
        words = ("--images", world.photos, "--out", name, "--checkpoint", checkpoint, "--pixels")
        assert dseg("extract", *words).code == 0
    words = ("a.zarr", "b.zarr", world.labels, "--members", 2, "--max-steps", 9)
    assert dseg("fit", *words).code == 0
    again = ("extract", "--images", world.photos, "--layers-from", "model", "--out", "c.zarr")
    refused = dseg(*again)
    assert refused.code == 2
    assert "was fitted on 2 stores: choose the store to extract with --part 1 to 2" in refused.err


def test_a_part_that_there_is_not_is_refused(dseg, world, store, mae_store, model):
    assert dseg("fit", store, mae_store, world.labels, "--members", 2, "--max-steps", 9).code == 0
    again = ("extract", "--images", world.photos, "--out", "c.zarr", "--layers-from")
    refused = dseg(*again, "model", "--part", 3)
    assert refused.code == 2
    assert "on 2 stores, so there is no --part 3: choose the store to extract" in refused.err
    refused = dseg(*again, model, "--part", 1)
    assert refused.code == 2
    assert "was fitted on a single network: leave out --part" in refused.err


def test_joined_models_say_what_to_do_without_a_checkpoint(dseg, world, store, mae, tmp_path):
    """One --checkpoint cannot name two, so that is no advice."""
    shutil.copytree(mae, tmp_path / "mae")
    made = dseg("extract", "--images", world.photos, "--out", "m.zarr", "--checkpoint", "mae")
    assert made.code == 0
    assert dseg("fit", store, "m.zarr", world.labels, "--members", 2, "--max-steps", 9).code == 0
    shutil.move(tmp_path / "mae", tmp_path / "moved")
    for words in (("predict", world.photos), ("predict", world.photos, "--checkpoint", "moved")):
        refused = dseg(*words)
        assert refused.code == 2
        assert "Put it back, or make a store of each network" in refused.err
        assert "Give its new location" not in refused.err
    again = ("extract", "--images", world.photos, "--layers-from", "model", "--part", 2)
    assert dseg(*again, "--out", "n.zarr", "--checkpoint", "moved").code == 0
    assert dseg("predict", store, "n.zarr").code == 0


def test_stores_that_do_not_suit_a_joined_model_are_refused(dseg, world, store, mae_store):
    assert dseg("fit", store, mae_store, world.labels, "--members", 2, "--max-steps", 9).code == 0
    refused = dseg("predict", store)
    assert refused.code == 2
    assert "on the features of 2 networks ('" in refused.err
    assert "but got those of one network: " in refused.err
    twice = dseg("fit", store, store, world.labels, "--out", "m2")
    assert twice.code == 2
    assert "contain features of the same feature spec: give only one of them" in twice.err


def test_a_labelled_image_that_one_store_lacks_is_refused(dseg, world, store, mae, tmp_path):
    (tmp_path / "list.txt").write_text("p0\np1\n")
    few = ("--out", "few.zarr", "--checkpoint", mae, "--list", "list.txt")
    assert dseg("extract", "--images", world.photos, *few).code == 0
    words = ("fit", store, "few.zarr", world.labels, "--members", 2, "--max-steps", 9)
    refused = dseg(*words)
    assert refused.code == 2
    assert re.search(r"features of 'p2' are not in '.*' and 'few.zarr' yet: finish", refused.err)
    assert dseg(*words, "--list", "list.txt").code == 0
    done = dseg("predict")
    assert done.code == 3
    assert re.search(r"p5.png: not in '.*' and '.*few.zarr' yet: finish `dseg", done.err)


def test_models_of_before_several_stores_could_be_joined_find_theirs(dseg, world, store, tmp_path):
    assert dseg("fit", store, world.labels, "--members", 2, "--max-steps", 9).code == 0
    path = tmp_path / "model" / "model.json"
    facts = json.loads(path.read_text())
    facts["extra"]["store"] = facts["extra"].pop("stores")[0]
    path.write_text(json.dumps(facts))
    assert f"store     {store}" in dseg("info", "model").out
    assert dseg("predict").code == 0


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('steps = "50"', ("--steps", 50)),
        ("draws = 2", ("--draws", 2)),
        ("heads = 2", ("--heads", 2)),
    ],
)
def test_what_a_network_does_not_take_yields_in_settings_alone(
    setting, words, dseg, world, mae, tmp_path
):
    call = ("extract", "--images", world.photos, "--out", "x.zarr", "--checkpoint", mae)
    refused = dseg(*call, *words)
    assert refused.code == 2
    assert not (tmp_path / "x.zarr").exists()
    (tmp_path / "dseg.toml").write_text(f"[extract]\n{setting}\n")
    assert dseg(*call, *words).code == 2
    assert dseg(*call).code == 0
    assert FeatureStore.open(tmp_path / "x.zarr").spec.steps == ()


def test_some_layers_of_a_store(dseg, world, store, tmp_path):
    names = [layer.name for layer in FeatureStore.open(store).layers]
    few = f"{names[0]},{names[-1]}"
    assert dseg("fit", store, world.labels, "--layers", few, "--max-steps", 60).code == 0
    assert dseg("predict", store, "--out", "a").code == 0
    assert dseg("predict", world.photos, "--out", "b").code == 0
    assert_same_masks(tmp_path / "a", tmp_path / "b")
    words = ("extract", "--images", world.photos, "--out", "few.zarr", "--layers-from", "model")
    assert dseg(*words).code == 0
    stored = [layer.name for layer in FeatureStore.open(tmp_path / "few.zarr").layers]
    assert stored == few.split(",")
    assert dseg("predict", "few.zarr", "--out", "c").code == 0
    assert_same_masks(tmp_path / "a", tmp_path / "c")


@pytest.mark.parametrize(
    ("layers", "words"),
    [("9:9", "there is no layer '9:9': available are "), ("", "is not a list of names")],
)
def test_wrong_layers_are_refused(layers, words, dseg, world, store):
    refused = dseg("fit", store, world.labels, "--layers", layers)
    assert refused.code == 2
    assert words in refused.err


def test_stores_and_folders_do_not_mix(dseg, world, store, model):
    refused = dseg("predict", store, world.photos, "--model", model)
    assert refused.code == 2
    assert "give one folder of images, images alone, or feature stores alone" in refused.err


@pytest.fixture
def two_sets(ddpm, other_ddpm, tmp_path) -> Path:
    """A training's folder with raw and averaged weights, and a schedule of listed betas."""
    from diffusers import DDPMScheduler

    folder = tmp_path / "checkpoint-9"
    shutil.copytree(ddpm / "unet", folder / "unet")
    shutil.copytree(other_ddpm / "unet", folder / "unet_ema")
    betas = (np.linspace(0.01, 0.14, 1000) ** 2).tolist()
    DDPMScheduler(trained_betas=betas).save_pretrained(folder / "scheduler")
    return folder


def test_averaged_weights_and_listed_betas_from_end_to_end(dseg, world, two_sets, tmp_path):
    """Told when taken and by info; the same are used later, and others never added."""
    extract = ("extract", "--images", world.photos, "--checkpoint", two_sets, "--steps", "50,500")
    dry = dseg(*extract, "--out", "a.zarr", "--dry-run")
    assert dry.code == 0, dry.err
    told = (
        "settings: trained schedule of 1000 steps, the averaged weights, 'unet_ema' (also "
        "available: 'unet', --weights unet)"
    )
    assert told in dry.err
    done = dseg(*extract, "--out", "a.zarr")
    assert done.code == 0, done.err
    assert told in done.err
    assert "weights 'unet_ema'" in dseg("info", "a.zarr").out
    facts = json.loads(dseg("info", "a.zarr", "--json").out)
    assert facts["features"]["backbone"]["schedule"]["name"] == "trained"
    raw = dseg(*extract, "--out", "raw.zarr", "--weights", "unet")
    assert raw.code == 0, raw.err
    assert "the weights 'unet' (also available: 'unet_ema', --weights unet_ema)" in raw.err
    assert dseg("fit", "a.zarr", world.labels, "--members", 3, "--max-steps", 60).code == 0
    assert dseg("predict", "a.zarr", "--out", "a").code == 0
    assert dseg("predict", world.photos, "--out", "b").code == 0
    assert_same_masks(tmp_path / "a", tmp_path / "b")
    refused = dseg(*extract, "--out", "raw.zarr")
    assert refused.code == 2
    assert "backbone weights: not given" in refused.err
    assert '"unet_ema"' in refused.err
    again = dseg("extract", "--images", world.photos, "--out", "c.zarr", "--layers-from", "model")
    assert again.code == 0, again.err
    stores = [FeatureStore.open(tmp_path / name) for name in ("a.zarr", "c.zarr", "raw.zarr")]
    assert stores[0].spec.hash == stores[1].spec.hash != stores[2].spec.hash


def test_weights_that_a_checkpoint_does_not_have(dseg, world, ddpm, tmp_path):
    extract = ("extract", "--images", world.photos, "--checkpoint", ddpm, "--out", "a.zarr")
    refused = dseg(*extract, "--weights", "ema")
    assert refused.code == 2
    assert "has no weights 'ema': it has 'unet'" in refused.err
    (tmp_path / "dseg.toml").write_text('[extract]\nweights = "ema"\n')  # a default yields
    assert dseg(*extract, "--dry-run").code == 0
