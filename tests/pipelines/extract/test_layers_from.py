"""`dseg extract --layers-from`: the features that a model needs, whatever the defaults are."""

import shutil

import numpy as np
import pytest
from dseg.classify.ensemble.ensemble import PixelEnsemble
from dseg.classify.inference.mask_files import read_mask
from dseg.store.read.reader import FeatureStore

# as far from every default as this network allows
UNUSUAL = ("--steps", "30,200", "--blocks", "1,3", "--size", "48x32", "--fit", "tile")
MORE = ("--overlap", "12", "--seed", "7", "--filters")


@pytest.fixture
def unusual(dseg, world, ddpm, tmp_path):
    """A store of an unusual recipe and a model of it."""
    words = ("--images", world.photos, "--checkpoint", ddpm)
    assert dseg("extract", *words, "--out", "f.zarr", *UNUSUAL, *MORE).code == 0
    made = dseg("fit", "f.zarr", world.labels, "--members", 2, "--max-steps", 20)
    assert made.code == 0, made.err
    return tmp_path / "model"


def test_the_store_is_the_one_that_the_model_was_fitted_on(dseg, world, unusual, tmp_path):
    made = dseg("extract", "--images", world.photos, "--out", "g.zarr", "--layers-from", "model")
    assert made.code == 0, made.err
    one, two = FeatureStore.open(tmp_path / "f.zarr"), FeatureStore.open(tmp_path / "g.zarr")
    assert one.spec.hash == two.spec.hash == PixelEnsemble.load(unusual).spec_.hash
    assert one.n_rows == two.n_rows > len(world.stems)  # tiles
    for size in one.spec.map_sizes:
        assert np.array_equal(one.map(3, size), two.map(3, size))
    for source, out in (("f.zarr", "a"), ("g.zarr", "b")):
        assert dseg("predict", source, "--model", "model", "--out", out).code == 0
    for stem in world.stems:
        masks = [read_mask(tmp_path / out / f"{stem}.png") for out in "ab"]
        assert np.array_equal(*masks)


def test_the_checkpoint_may_have_moved_but_not_changed(dseg, world, ddpm, other_ddpm, tmp_path):
    own = shutil.copytree(ddpm, tmp_path / "own")
    words = ("extract", "--images", world.photos, "--layers-from", "m")
    with_own = ("--images", world.photos, "--checkpoint", own, "--blocks", 1)
    assert dseg("extract", *with_own, "--out", "h.zarr").code == 0
    fitted = ("fit", "h.zarr", world.labels, "--out", "m", "--members", 2, "--max-steps", 5)
    assert dseg(*fitted).code == 0
    own.rename(tmp_path / "moved")
    lost = dseg(*words, "--out", "i.zarr")
    assert lost.code == 2
    assert f"was at '{own}'" in lost.err
    assert "Give its new location with --checkpoint" in lost.err
    other = dseg(*words, "--out", "i.zarr", "--checkpoint", other_ddpm)
    assert other.code == 2
    assert "is not the checkpoint that the features were made with" in other.err
    assert not (tmp_path / "i.zarr").exists()
    assert dseg(*words, "--out", "i.zarr", "--checkpoint", "moved").code == 0
    hashes = {FeatureStore.open(tmp_path / f"{name}.zarr").spec.hash for name in "hi"}
    assert len(hashes) == 1


CONTRADICTIONS = {
    "--steps": ("--steps", "50"),
    "--blocks": ("--blocks", "1"),
    "--size": ("--size", "32"),
    "--fit/--tile": ("--fit", "squash"),  # even the default, if it is said
    "--overlap": ("--overlap", "4"),
    "--seed": ("--seed", "0"),
    "--filters/--no-filters": ("--no-filters",),
    "--pixels/--no-pixels": ("--pixels",),
    "--head-channels": ("--head-channels", "64"),
    "--heads": ("--heads", "4"),
    "--attention-order": ("--attention-order", "legacy"),
    "--schedule": ("--schedule", "linear"),
    "--diffusion-steps": ("--diffusion-steps", "1000"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_what_the_model_says_cannot_be_said_too(dseg, world, model, tmp_path, name):
    words = ("--images", world.photos, "--out", "f.zarr", "--layers-from", model)
    refused = dseg("extract", *words, *CONTRADICTIONS[name])
    assert refused.code == 2
    assert (
        f"Error: {name} cannot be combined with --layers-from: the model determines it"
        in refused.err
    )
    assert not (tmp_path / "f.zarr").exists()


def test_all_contradictions_are_named_at_once(dseg, world, model):
    words = ("--images", world.photos, "--out", "f.zarr", "--layers-from", model)
    refused = dseg("extract", *words, "--tile", "--seed", 1, "--steps", 5)
    assert "Error: --steps, --seed, --fit/--tile cannot be combined" in refused.err


def test_settings_yield_to_a_model(dseg, world, model, tmp_path):
    """dseg.toml holds defaults, for extractions without a model too."""
    (tmp_path / "dseg.toml").write_text(
        '[extract]\nsteps = [1]\nsize = 64\ntile = true\nfilters = true\ncheckpoint = "gone/"\n'
    )
    words = ("--images", world.photos, "--out", "f.zarr", "--layers-from", model)
    assert dseg("extract", *words, "--seed", 1).code == 2
    made = dseg("extract", *words)
    assert made.code == 0, made.err
    assert FeatureStore.open(tmp_path / "f.zarr").spec.hash == PixelEnsemble.load(model).spec_.hash


def test_settings_that_name_the_model_do_not_contradict_it(dseg, world, model, tmp_path):
    (tmp_path / "dseg.toml").write_text(f'[extract]\nlayers-from = "{model}"\nsteps = [1]\n')
    words = ("extract", "--images", world.photos, "--out", "f.zarr")
    refused = dseg(*words)
    assert refused.code == 2
    assert "--steps cannot be combined with --layers-from" in refused.err
    (tmp_path / "dseg.toml").write_text(f'[extract]\nlayers-from = "{model}"\n')
    assert "--seed cannot be combined" in dseg(*words, "--seed", 1).err
    assert dseg(*words).code == 0


def test_a_model_that_does_not_know_its_features_is_refused(dseg, save_published, world, tmp_path):
    X, y = np.random.default_rng(0).normal(size=(64, 5)), np.arange(64) % 2
    ensemble = PixelEnsemble(n_members=1, max_steps=2).fit(X, y)
    save_published(ensemble, tmp_path / "published")
    ensemble.save(tmp_path / "saved")
    for model in ("published", "saved"):
        words = ("--images", world.photos, "--out", "f.zarr", "--layers-from", model)
        refused = dseg("extract", *words)
        assert refused.code == 2
        assert (
            f"the model '{model}' does not record which features it was trained on" in refused.err
        )
    (tmp_path / "none").mkdir()
    refused = dseg("extract", *words[:-1], "none")
    assert refused.code == 2
    assert "'none' is not a model" in refused.err
