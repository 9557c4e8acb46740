"""Stores and models that earlier versions wrote: every later version reads them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from dseg import FeatureStore, PixelEnsemble
from PIL import Image

FORMAT_1 = Path(__file__).parents[1] / "data" / "format-1"


@pytest.fixture
def archive(tmp_path) -> Path:
    """A copy to work in, so that the archive itself stays as it was written."""
    return shutil.copytree(FORMAT_1, tmp_path / "archive")


def test_a_store_of_format_1_reads_as_it_did():
    then = np.load(FORMAT_1 / "vectors.npz")
    store = FeatureStore.open(FORMAT_1 / "features")
    assert [image.name for image in store.images] == [f"scene_{k}.png" for k in range(3)]
    assert all(image.complete for image in store.images)
    vectors = store.pixels(then["rows"], then["yx"])
    np.testing.assert_allclose(vectors, then["vectors"], rtol=0, atol=1e-6)


def test_a_model_of_format_1_predicts_as_it_did(dseg, archive):
    run = dseg(
        "predict", archive / "features", "--model", archive / "model", "--probabilities",
        "--out", archive / "now",
    )  # fmt: skip
    assert run.code == 0, run.err
    for k in range(3):
        then = np.load(archive / f"masks/probabilities/scene_{k}.npy").astype(np.float32)
        now = np.load(archive / f"now/probabilities/scene_{k}.npy").astype(np.float32)
        np.testing.assert_allclose(now, then, rtol=0, atol=2e-3)  # float16, other kernels
        old, new = (
            np.asarray(Image.open(archive / f / f"scene_{k}.png")) for f in ("masks", "now")
        )
        assert (old == new).mean() > 0.995


def test_a_model_of_format_1_opens_from_python():
    ensemble = PixelEnsemble.load(FORMAT_1 / "model")
    assert ensemble.n_features_in_ == FeatureStore.open(FORMAT_1 / "features").spec.dims


def test_a_store_of_format_1_is_gone_on_with(dseg, archive):
    """The same command finds all images there: what its spec says is what it was."""
    run = dseg(
        "extract", "--images", archive / "images", "--out", archive / "features", "--json",
        "--checkpoint", "builtin:dseg-64", "--size", "32", "--steps", "50", "--blocks", "0,2",
    )  # fmt: skip
    assert run.code == 0, run.err
    told = json.loads(run.out)
    assert (told["extracted"], told["unchanged"]) == (0, 3)
    np.testing.assert_allclose(
        FeatureStore.open(archive / "features").pixels([0], [[7, 9]]),
        np.load(archive / "vectors.npz")["vectors"][1:2],
        rtol=0,
        atol=1e-6,
    )


def test_masks_of_format_1_are_gone_on_with(dseg, archive):
    """Masks know the model by its files' hash and the recipe they record."""
    run = dseg(
        "predict", archive / "features", "--model", archive / "model", "--out", archive / "masks",
        "--json",
    )  # fmt: skip
    assert run.code == 0, run.err
    told = json.loads(run.out)
    assert (told["predicted"], told["unchanged"]) == (0, 3)
