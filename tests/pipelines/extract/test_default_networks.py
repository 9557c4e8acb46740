"""Without --checkpoint: the diffusion model, and an ImageNet network at two scales."""

from dseg.extract.checkpoints.builtin import BUILTIN, IMAGENET
from dseg.pipelines.extract.networks import default_networks
from dseg.store.read.reader import FeatureStore
from PIL import Image


def test_they_are_three_where_images_are_squashed():
    found = [(one.checkpoint, one.size) for one in default_networks((), "squash")]
    assert found == [(BUILTIN, None), (IMAGENET, (256, 256)), (IMAGENET, (512, 512))]


def test_tiles_have_one_size():
    found = {one.size for one in default_networks((), "tile")}
    assert len(found) == 1
    assert len(default_networks((), "tile")) == 2


def test_sizes_are_of_all(dseg, world, tmp_path):
    """From photographs to masks of others, by what is in the store and by the network itself."""
    made = dseg("extract", "--images", world.photos, "--out", "f.zarr", "--size", "64,96")
    assert made.code == 0, made.err
    spec = FeatureStore.open(tmp_path / "f.zarr").spec
    assert [part.source for part in spec.parts] == [BUILTIN, IMAGENET, IMAGENET]
    assert [part.row_shape for part in spec.parts] == [(64, 64), (64, 64), (96, 96)]
    assert spec.parts[0].steps == (50,)
    assert spec.pixels
    assert dseg("fit", "f.zarr", world.labels, "--members", 2, "--max-steps", 30).code == 0
    assert dseg("predict", "f.zarr", "--out", "stored").code == 0
    assert dseg("predict", world.photos, "--out", "anew").code == 0
    for path in (tmp_path / "stored").glob("*.png"):
        assert Image.open(path).tobytes() == Image.open(tmp_path / "anew" / path.name).tobytes()
    again = dseg("extract", "--images", world.photos, "--out", "g.zarr", "--layers-from", "model")
    assert again.code == 0, again.err
    assert FeatureStore.open(tmp_path / "g.zarr").spec.hash == spec.hash


def test_steps_are_of_the_diffusion_model(dseg, world, tmp_path):
    words = ("--size", 32, "--steps", "5,250")
    made = dseg("extract", "--images", world.photos, "--out", "f.zarr", *words)
    assert made.code == 0, made.err
    assert FeatureStore.open(tmp_path / "f.zarr").spec.steps == (5, 250)


def test_blocks_are_of_one_network(dseg, world):
    refused = dseg("extract", "--images", world.photos, "--out", "f.zarr", "--blocks", 4)
    assert refused.code == 2
    assert (
        f"--blocks describes one network, but there are 2: {BUILTIN}, {IMAGENET}. Name one with "
        "--checkpoint" in refused.err
    )


def test_tiles_of_the_default(dseg, world):
    made = dseg("extract", "--images", world.photos, "--out", "f.zarr", "--tile", "--size", 32)
    assert made.code == 0, made.err
