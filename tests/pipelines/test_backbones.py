"""The three commands on other backbones than a diffusion U-Net, and on several at once."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from dseg.store.reader import FeatureStore
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
    from dseg.pipelines.extract import ExtractConfig, extract

    path = tmp_path_factory.mktemp("mae_store") / "mae.zarr"
    extract(ExtractConfig(world.photos, path, str(mae)))
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
    assert "a masked autoencoder (MAE), blocks 0, 1, 2; 48 channels a pixel" in told.err
    refused = dseg(
        *("extract", "--images", world.photos, "--out", "y.zarr", "--checkpoint", mae),
        *("--backbone", "dinov2"),
    )
    assert refused.code == 2
    assert "is a masked autoencoder (MAE), not a DINOv2 transformer" in refused.err


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
    assert "of several stores" in dseg("info", "model").out


def test_the_stores_of_a_joined_model_can_be_made_again(dseg, world, store, mae_store, tmp_path):
    assert dseg("fit", store, mae_store, world.labels, "--members", 2, "--max-steps", 9).code == 0
    again = ("extract", "--images", world.photos, "--layers-from", "model")
    refused = dseg(*again, "--out", "c.zarr")
    assert refused.code == 2
    assert "was fitted on 2 stores: say which is to be made again with --part 1 to 2" in refused.err
    for part, name in ((1, "c.zarr"), (2, "d.zarr")):
        assert dseg(*again, "--out", name, "--part", part).code == 0
    assert (
        FeatureStore.open(tmp_path / "d.zarr").spec.hash == FeatureStore.open(mae_store).spec.hash
    )
    assert dseg("predict", "c.zarr", "d.zarr").code == 0


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
    [("9:9", "there is no layer '9:9': there are "), ("", "is not a list of names")],
)
def test_wrong_layers_are_refused(layers, words, dseg, world, store):
    refused = dseg("fit", store, world.labels, "--layers", layers)
    assert refused.code == 2
    assert words in refused.err


def test_stores_and_folders_do_not_mix(dseg, world, store, model):
    refused = dseg("predict", store, world.photos, "--model", model)
    assert refused.code == 2
    assert "give one folder of images, or feature stores alone" in refused.err
