"""Without --checkpoint: filters, colour and position, and an ImageNet network at two scales."""

import pytest
from dseg.extract.backbone import load_backbone
from dseg.extract.checkpoints.builtin import BUILTIN, FILTERS, IMAGENET
from dseg.extract.networks.options import UnsupportedOptionError
from dseg.pipelines.extract.networks import default_networks
from dseg.store.errors import InputError
from dseg.store.read.reader import FeatureStore
from PIL import Image


def test_masks_are_made_on_a_grid_of_128():
    found = [(one.checkpoint, one.size) for one in default_networks((), "squash")]
    assert found == [(FILTERS, (128, 128)), (IMAGENET, (256, 256)), (IMAGENET, (512, 512))]


def test_tiles_have_one_size():
    found = [(one.checkpoint, one.size) for one in default_networks((), "tile")]
    assert found == [(FILTERS, (256, 256)), (IMAGENET, (256, 256))]


def test_from_photographs_to_masks(dseg, world, tmp_path):
    """By what is in the store, and by the networks themselves."""
    made = dseg("extract", "--images", world.photos, "--out", "f.zarr", "--size", "64,96")
    assert made.code == 0, made.err
    spec = FeatureStore.open(tmp_path / "f.zarr").spec
    assert [part.source for part in spec.parts] == [FILTERS, IMAGENET, IMAGENET]
    assert [part.row_shape for part in spec.parts] == [(64, 64), (64, 64), (96, 96)]
    assert [layer.name for layer in spec.parts[0].layers] == ["filters", "pixels"]
    assert (spec.steps, spec.filters, spec.pixels) == ((), True, True)
    assert dseg("fit", "f.zarr", world.labels, "--members", 2, "--max-steps", 30).code == 0
    assert dseg("predict", "f.zarr", "--out", "stored").code == 0
    assert dseg("predict", world.photos, "--out", "anew").code == 0
    for path in (tmp_path / "stored").glob("*.png"):
        assert Image.open(path).tobytes() == Image.open(tmp_path / "anew" / path.name).tobytes()
    again = dseg("extract", "--images", world.photos, "--out", "g.zarr", "--layers-from", "model")
    assert again.code == 0, again.err
    assert FeatureStore.open(tmp_path / "g.zarr").spec.hash == spec.hash
    shown = dseg("info", "f.zarr")
    assert shown.code == 0
    assert "no network" in made.err + shown.out


def test_tiles_from_end_to_end(dseg, world, tmp_path):
    made = dseg("extract", "--images", world.photos, "--out", "f.zarr", "--tile", "--size", 32)
    assert made.code == 0, made.err
    assert not FeatureStore.open(tmp_path / "f.zarr").spec.pixels
    assert dseg("fit", "f.zarr", world.labels, "--members", 2, "--max-steps", 10).code == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--blocks", "5"), f"--blocks describes one network, but there are 2: {FILTERS}, "),
        (("--steps", "50"), "steps cannot be set for these checkpoints: none supports it"),
        (("--checkpoint", FILTERS, "--flip"), "it has no network"),
        (("--checkpoint", FILTERS, "--no-filters", "--no-pixels"), "leave out --no-filters or"),
        (("--size", "40"), "must be multiples of 32: got 40x40"),
        (("--size", "64,64"), "is given twice at one size"),
    ],
)
def test_what_does_not_fit_is_refused(dseg, world, words, expected):
    refused = dseg("extract", "--images", world.photos, "--out", "f.zarr", *words)
    assert refused.code == 2
    assert expected in refused.err


def test_filters_alone_are_those_beside_a_network(dseg, world, tmp_path):
    words = ("--images", world.photos, "--size", 32)
    assert dseg("extract", *words, "--out", "f.zarr", "--checkpoint", FILTERS).code == 0
    assert dseg("extract", *words, "--out", "d.zarr", "--checkpoint", BUILTIN).code == 0
    alone, beside = (FeatureStore.open(tmp_path / name) for name in ("f.zarr", "d.zarr"))
    assert (alone.map(0, "32x32") == beside.map(0, "32x32")[-41:]).all()


def test_from_python():
    backbone = load_backbone(FILTERS, device="cpu")
    assert backbone.row_shape == (128, 128)
    assert [layer.name for layer in backbone.layers] == ["filters", "pixels"]
    with pytest.raises(UnsupportedOptionError, match="steps cannot be set"):
        load_backbone(FILTERS, steps=[50])
    with pytest.raises(InputError, match="leave out --no-filters"):
        load_backbone(FILTERS, filters=False, pixels=False)
