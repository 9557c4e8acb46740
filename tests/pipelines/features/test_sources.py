"""Activations of images in turn, whoever takes them and however many."""

import numpy as np
from dseg import FeatureStore
from dseg.pipelines.features.sources import StoreSource
from dseg.store.spec import FeatureSpec, LayerSpec
from dseg.store.write.writer import FeatureWriter, PlannedImage, plan_store


def test_rows_that_nobody_took_are_not_the_next_images(tmp_path):
    """An image may be given up at its first tile, where activations are not finite."""
    layers = (LayerSpec(50, 5, 1, 4, 4),)
    spec = FeatureSpec({"kind": "test", "sha256": "0"}, "here", (16, 16), "tile", 4, 0, layers)
    planned = [PlannedImage(f"{i}.png", (16, 28)) for i in range(3)]
    plan_store(tmp_path / "f.zarr", spec, planned, codec="none")
    writer, zeros = FeatureWriter(tmp_path / "f.zarr"), np.zeros(1, int)
    for i in range(3):
        tiles = [{"4x4": np.full((1, 4, 4), 10 * i + tile, np.float16)} for tile in range(2)]
        writer.write_image(i, tiles, sha256=bytes(32), nonfinite=zeros, clipped=zeros)
    source = StoreSource(FeatureStore.open(tmp_path / "f.zarr"))
    seen = {}
    for taken, image in zip((0, 1, 2), source.images("012", lambda *_: False), strict=True):
        maps = iter(image.maps)
        seen[image.stem] = [next(maps)["4x4"].max() for _ in range(taken)]
    assert seen == {"0": [], "1": [10], "2": [20, 21]}
