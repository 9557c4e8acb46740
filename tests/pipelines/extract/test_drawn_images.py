"""Images that a StyleGAN drew: their features are found by their seeds, from extract to masks."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.networks.generators.latents import latents_of
from dseg.pipelines.sample.config import SampleConfig
from dseg.pipelines.sample.run import sample
from dseg.store.read.reader import FeatureStore
from PIL import Image

GENERATOR = Path(__file__).parents[2] / "data" / "golden" / "stylegan2" / "generator.pt"
FIRST = 40  # seed
SMALL = ("--members", 2, "--max-steps", 30)


def draw(folder: Path, seeds: range) -> Path:
    """Draw images into a folder by `dseg sample`; its last run was killed."""
    sample(SampleConfig(folder, len(seeds), str(GENERATOR), seeds[0]))
    with (folder / "samples.jsonl").open("a") as file:
        file.write('{"name": "of a killed run')
    return folder


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Path:
    """Read only: six images, the first three with label maps."""
    folder = draw(tmp_path_factory.mktemp("drawn") / "samples", range(FIRST, FIRST + 6))
    labels = folder.with_name("labels")
    labels.mkdir()
    for path in sorted(folder.glob("*.png"))[:3]:
        bright = np.asarray(Image.open(path)).mean(axis=2)
        Image.fromarray((bright > np.median(bright)).astype(np.uint8)).save(labels / path.name)
    return folder


@pytest.fixture
def extracted(dseg, samples, tmp_path) -> FeatureStore:
    made = dseg("extract", "--images", samples, "--out", "f.zarr", "--checkpoint", GENERATOR)
    assert made.code == 0, made.err
    assert "a StyleGAN2, blocks 0, 1, 2, 3, 4, 5, 6, 7; 48 channels" in made.err
    assert "of its own images, 32x32" in made.err
    return FeatureStore.open(tmp_path / "f.zarr")


def test_features_are_those_of_each_images_seed(extracted):
    backbone = load_backbone(GENERATOR, device="cpu")
    for image in extracted.images:
        seed = FIRST + int(Path(image.name).stem)
        for layer, found in zip(backbone.layers, backbone(latents_of([seed], 16)), strict=True):
            number = extracted.spec.layers.index(layer)
            channels = extracted.spec.channel_slices[number]
            stored = np.asarray(extracted.map(image.index, layer.map_size))[channels]
            np.testing.assert_array_equal(stored, found[0].half().numpy())


def test_a_model_predicts_drawn_images_from_the_store_and_from_their_folder(
    dseg, samples, extracted, tmp_path
):
    fitted = dseg("fit", "f.zarr", samples.with_name("labels"), *SMALL)
    assert fitted.code == 0, fitted.err
    assert dseg("predict", "f.zarr", "--out", "of_store").code == 0
    made = dseg("predict", samples, "--out", "of_images")
    assert made.code == 0, made.err
    masks = sorted((tmp_path / "of_store").glob("*.png"))
    assert len(masks) == 6
    for mask in masks:
        assert mask.read_bytes() == (tmp_path / "of_images" / mask.name).read_bytes()
    new = draw(tmp_path / "new", range(3))
    assert dseg("predict", new, "--out", "of_new").code == 0
    assert len(list((tmp_path / "of_new").glob("*.png"))) == 3


def test_robustness_of_such_a_model_has_no_meaning(dseg, samples, extracted):
    pytest.importorskip("imagecorruptions")
    assert dseg("fit", "f.zarr", samples.with_name("labels"), *SMALL).code == 0
    words = ("robustness", samples, samples.with_name("labels"), "--model", "model", "--out", "r")
    refused = dseg(*words)
    assert refused.code == 2
    assert "no corruption would change them" in refused.err


def test_images_that_it_did_not_draw_are_refused_one_by_one(dseg, tmp_path):
    folder = draw(tmp_path / "samples", range(2))
    again = np.asarray(Image.open(folder / "000001.png"))
    Image.fromarray(again[::-1].copy()).save(folder / "000001.png")
    made = dseg("extract", "--images", folder, "--out", "f.zarr", "--checkpoint", GENERATOR)
    assert made.code == 3
    assert "1 images extracted, 0 unchanged, 1 failed" in made.out
    assert "000001.png' was not drawn by this generator, or was changed since" in made.err
    words = ("extract", "--images", folder, "--out", "g.zarr", "--checkpoint", GENERATOR)
    raw = dseg(*words, "--weights", "g")
    assert raw.code == 3
    assert "was drawn with other weights of this checkpoint, 'g_ema' by" in raw.err
    path = folder / "samples.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "checkpoint_sha256": "0" * 64}))
    other = dseg(*words, "--overwrite")
    assert other.code == 3
    assert "was drawn by a checkpoint of sha256 000000000000…" in other.err
    path.write_text("3")
    damaged = dseg(*words, "--overwrite")
    assert damaged.code == 2
    assert "samples.json' is damaged" in damaged.err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--tile",), "of the whole images that it drew: got --fit tile"),
        (("--size", 64), "images have one size, 32x32: leave out --size"),
        (("--flip",), "flip cannot be set for this checkpoint"),
        (("--steps", 5), "a generator takes no noised image"),
        (("--filters",), "sees latents, not images. Add --checkpoint builtin:filters"),
        (("--precision", "float16"), "its normalisation needs float32"),
        (("--heads", 2), "no attention and no timesteps"),
        (("--blocks", 8), "the network has no blocks [8]: it has 0 to 7"),
    ],
)
def test_options_of_other_networks_are_refused(dseg, samples, tmp_path, words, reason):
    call = ("extract", "--images", samples, "--out", "x.zarr", "--checkpoint", GENERATOR, *words)
    refused = dseg(*call)
    assert refused.code == 2
    assert reason in refused.err.replace("\n", " ")
    assert not (tmp_path / "x.zarr").exists()


def test_a_generator_beside_a_network_that_sees_images(dseg, samples, extracted, tmp_path):
    words = ("--checkpoint", "builtin:filters@64", "--checkpoint", GENERATOR)
    made = dseg("extract", "--images", samples, "--out", "both.zarr", *words)
    assert made.code == 0, made.err
    both = FeatureStore.open(tmp_path / "both.zarr")
    alone = np.asarray(extracted.map(0, "8x8"))
    assert torch.equal(torch.from_numpy(np.asarray(both.map(0, "8x8"))), torch.from_numpy(alone))
    fitted = dseg("fit", "both.zarr", samples.with_name("labels"), *SMALL)
    assert fitted.code == 0, fitted.err
    made = dseg("predict", samples, "--out", "masks")
    assert made.code == 0, made.err
    assert len(list((tmp_path / "masks").glob("*.png"))) == 6
