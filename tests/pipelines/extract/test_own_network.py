"""``--backbone package.module:factory`` from extraction to masks, by the commands."""

import re
from pathlib import Path

import pytest
from dseg.store.read.reader import FeatureStore

DOCS = Path(__file__).parents[3] / "docs" / "own-network.md"
OWN = ("--backbone", "my_network:factory")
SEEDED = "\n\nplain = factory\n\n\ndef factory(checkpoint):\n    torch.manual_seed(0)\n"


@pytest.fixture
def fitted(dseg, world, tmp_path):
    (example,) = re.findall(r"```python\n# my_network.py\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (tmp_path / "my_network.py").write_text(f"{example}{SEEDED}    return plain(checkpoint)\n")
    told = dseg("extract", "--images", world.photos, "--out", "own.zarr", *OWN, "--size", 32)
    assert told.code == 0, told.err
    assert "my_network:factory: a network of your own, blocks 0, 1; 48 channels" in told.err
    words = ("--members", 2, "--max-steps", 5)
    assert dseg("fit", "own.zarr", world.labels, *words).code == 0
    return FeatureStore.open(tmp_path / "own.zarr")


def test_images_are_predicted_when_the_call_names_the_network(dseg, world, fitted, tmp_path):
    assert dseg("predict", "own.zarr", "--out", "of_store").code == 0
    refused = dseg("predict", world.photos, "--out", "of_images")
    assert refused.code == 2
    assert "name it with --backbone my_network:factory if you trust it" in refused.err
    assert not (tmp_path / "of_images").exists()
    made = dseg("predict", world.photos, "--out", "of_images", *OWN)
    assert made.code == 0, made.err
    masks = sorted((tmp_path / "of_store").glob("*.png"))
    assert len(masks) == len(fitted.images)
    for mask in masks:
        assert mask.read_bytes() == (tmp_path / "of_images" / mask.name).read_bytes()
    idle = dseg("predict", "own.zarr", "--out", "x", *OWN)
    assert idle.code == 2
    assert "--backbone has no effect here: the features come from a store" in idle.err


def test_layers_from_a_model_of_it(dseg, world, fitted, tmp_path):
    words = ("extract", "--images", world.photos, "--out", "new.zarr", "--layers-from", "model")
    assert dseg(*words).code == 2
    assert dseg(*words, *OWN).code == 0
    assert FeatureStore.open(tmp_path / "new.zarr").spec.hash == fitted.spec.hash


def test_an_unknown_network_is_refused_before_anything_is_read(dseg, world, tmp_path):
    refused = dseg("extract", "--images", world.photos, "--out", "x.zarr", "--backbone", "nope")
    assert refused.code == 2
    assert "unknown backbone 'nope': use one of handcrafted" in refused.err
    assert not (tmp_path / "x.zarr").exists()
