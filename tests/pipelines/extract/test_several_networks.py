"""Several networks, and one at several sizes, in one store."""

import json

import numpy as np
import pytest
from dseg.store.read.joined_spec import joined_order
from dseg.store.read.reader import FeatureStore
from PIL import Image


@pytest.fixture
def both(dseg, world, ddpm, other_ddpm, tmp_path):
    """A store of two networks, the first at two sizes, with colour and position once."""
    words = ("--checkpoint", f"{ddpm}@32,48x64", "--checkpoint", other_ddpm, "--steps", "50,5")
    made = dseg("extract", "--images", world.photos, "--out", "both.zarr", *words, "--pixels")
    assert made.code == 0, made.err
    return tmp_path / "both.zarr"


def apart(dseg, world, ddpm, other_ddpm):
    """The same features in stores of their own."""
    calls = [(ddpm, "32", "--pixels"), (ddpm, "48x64", "--no-pixels"), (other_ddpm, "32", "")]
    for n, (checkpoint, size, more) in enumerate(calls):
        words = ("--checkpoint", checkpoint, "--size", size, "--steps", "50,5", *more.split())
        assert dseg("extract", "--images", world.photos, "--out", f"{n}.zarr", *words).code == 0
    return [f"{n}.zarr" for n in range(len(calls))]


def masks(folder):
    return {path.stem: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


def assert_alike(one, other):
    ours, theirs = masks(one), masks(other)
    assert ours.keys() == theirs.keys() != set()
    assert all((ours[stem] == theirs[stem]).mean() > 0.998 for stem in ours)


def test_one_store_holds_what_stores_apart_hold(dseg, world, both, ddpm, other_ddpm, tmp_path):
    names = apart(dseg, world, ddpm, other_ddpm)
    joined, stores = FeatureStore.open(both), [FeatureStore.open(tmp_path / n) for n in names]
    assert [part.hash for part in joined.spec.parts] == [store.spec.hash for store in stores]
    assert joined.spec.layers[-1].is_pixels
    order = joined_order([store.spec for store in stores])
    assert len(order) == len(joined.spec.layers) > 10
    for row in range(joined.n_rows):
        for number, (n, at) in enumerate(order):
            size = joined.spec.layers[number].map_size
            found = joined.map(row, size)[joined.spec.channel_slices[number]]
            own = stores[n].map(row, size)[stores[n].spec.channel_slices[at]]
            assert np.array_equal(found, own)
    words = (world.labels, "--members", 2, "--max-steps", 30)
    assert dseg("fit", "both.zarr", *words, "--out", "m1").code == 0
    assert dseg("fit", *names, *words, "--out", "m2").code == 0
    models = [json.loads((tmp_path / m / "model.json").read_text()) for m in ("m1", "m2")]
    assert models[0]["spec_hash"] == models[1]["spec_hash"]
    assert models[0]["sha256"] == models[1]["sha256"]
    for n, (model, features) in enumerate(
        [("m1", [both]), ("m1", names), ("m2", [both]), ("m1", [world.photos])]
    ):
        done = dseg("predict", *features, "--model", model, "--out", f"masks{n}")
        assert done.code == 0, done.err
        assert_alike(tmp_path / "masks0", tmp_path / f"masks{n}")


def test_it_goes_on_and_takes_in_new_images(dseg, world, both, ddpm, other_ddpm, tmp_path):
    words = ("--checkpoint", f"{ddpm}@32,48x64", "--checkpoint", other_ddpm, "--steps", "50,5")
    call = ("extract", "--images", world.photos, "--out", "both.zarr", *words)
    again = dseg(*call, "--pixels")
    assert "0 images extracted, 6 unchanged" in again.out
    other = dseg(*call, "--no-pixels")
    assert other.code == 2
    assert "colour and position are among the layers of the store only" in other.err


def test_layers_are_named_by_their_network(dseg, world, both, tmp_path):
    told = dseg("info", "both.zarr").out
    assert all(f"part {n}" in told for n in (1, 2, 3))
    words = ("fit", "both.zarr", world.labels, "--members", 2, "--max-steps", 9)
    assert dseg(*words, "--layers", "2/5:0,3/50:4,1/pixels").code == 0
    facts = json.loads((tmp_path / "model" / "model.json").read_text())
    assert [len(part["layers"]) for part in facts["spec"]["parts"]] == [1, 1, 1]
    assert dseg("predict").code == 0
    assert dseg("predict", world.photos, "--out", "fresh").code == 0
    assert_alike(tmp_path / "masks", tmp_path / "fresh")
    assert dseg(*words, "--layers", "3/5:0", "--overwrite").code == 0
    facts = json.loads((tmp_path / "model" / "model.json").read_text())
    assert "parts" not in facts["spec"]
    assert dseg("predict", "--out", "one").code == 0
    refused = dseg(*words, "--layers", "5:0", "--overwrite")
    assert refused.code == 2
    assert "there is no layer '5:0': available are 1/50:" in refused.err


def test_select_compares_the_networks_of_one_store(dseg, world, both, tmp_path):
    done = dseg("select", "both.zarr", world.labels, "--max-steps", 0, "--no-time", "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["stores"] == [f"{'both.zarr'} part {n}" for n in (1, 2, 3)]
    page = (tmp_path / "select" / "select.md").read_text()
    assert "dseg fit both.zarr" in page


def test_tiles_need_one_size(dseg, world, ddpm, other_ddpm, tmp_path):
    words = ("extract", "--images", world.photos, "--out", "t.zarr", "--tile", "--steps", "5")
    refused = dseg(*words, "--checkpoint", f"{ddpm}@32,48")
    assert refused.code == 2
    assert "features can be joined only if" in refused.err
    assert dseg(*words, "--checkpoint", ddpm, "--checkpoint", other_ddpm).code == 0
    store = FeatureStore.open(tmp_path / "t.zarr")
    assert store.n_rows > len(store.images)


def test_settings_may_name_them(dseg, world, ddpm, tmp_path):
    (tmp_path / "dseg.toml").write_text(f'[extract]\ncheckpoint = "{ddpm}"\nsize = "16,32"\n')
    assert dseg("extract", "--images", world.photos, "--out", "f.zarr", "--steps", 5).code == 0
    spec = FeatureStore.open(tmp_path / "f.zarr").spec
    assert [part.row_shape for part in spec.parts] == [(16, 16), (32, 32)]


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (("--size", "32,32"), "is given twice at one size"),
        (("--size", "32,0"), "'32,0' is not a size: give a side such as 256, or HxW"),
        (
            ("--checkpoint", "OTHER", "--blocks", "1"),
            "--blocks describes one network, but there are 2: ",
        ),
        (("--checkpoint", "OTHER", "--backbone", "diffusers"), "--backbone describes one network"),
        (("--checkpoint", "OTHER", "--heads", "2"), "heads cannot be set for these checkpoints"),
        (("--checkpoint", "none.pt"), "checkpoint 'none.pt' does not exist"),
    ],
)
def test_what_cannot_be_is_refused(words, refusal, dseg, world, ddpm, other_ddpm, tmp_path):
    words = [str(other_ddpm) if word == "OTHER" else word for word in words]
    call = ("extract", "--images", world.photos, "--out", "x.zarr", "--checkpoint", ddpm)
    refused = dseg(*call, *words)
    assert refused.code == 2
    assert refusal in refused.err
    assert not (tmp_path / "x.zarr").exists()
