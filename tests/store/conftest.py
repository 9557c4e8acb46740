"""A small feature spec, images of it, and a store filled with them."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dseg.store.spec import FeatureSpec, LayerSpec
from dseg.store.write.writer import FeatureWriter, PlannedImage, plan_store

Maps = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def spec() -> FeatureSpec:
    """Two steps, three blocks; two map sizes, in an order that is not that of the arrays."""
    layers = tuple(
        LayerSpec(step, block, channels, side, side)
        for step in (50, 150)
        for block, channels, side in ((5, 6, 4), (6, 2, 8), (7, 3, 4))
    )
    return FeatureSpec({"kind": "test", "sha256": "00"}, "here", (16, 16), "squash", 0, 0, layers)


def _maps(spec: FeatureSpec, seed: int) -> Maps:
    generator = np.random.default_rng(seed)
    found = {}
    for size in spec.map_sizes:
        found[size] = generator.normal(0, 3, spec.map_shape(size)).astype(np.float16)
    return found


@pytest.fixture(scope="session")
def make_maps() -> Callable[[FeatureSpec, int], Maps]:
    """Return a function (spec, seed) -> one row's maps."""
    return _maps


@pytest.fixture(scope="session")
def sha_of() -> Callable[[int], bytes]:
    """Return a function image number -> sha256."""
    return lambda number: hashlib.sha256(str(number).encode()).digest()


@pytest.fixture(scope="session")
def write_all(sha_of: Callable[[int], bytes]) -> Callable[..., list[Maps]]:
    """Return a function (path, spec, n) that writes n images and returns their maps."""

    def write(path: Path, spec: FeatureSpec, n: int = 3, codec: str = "lz4") -> list[Maps]:
        images = [PlannedImage(f"sub/{i}.png", (20, 30)) for i in range(n)]
        plan_store(path, spec, images, codec=codec)
        writer, zeros = FeatureWriter(path), np.zeros(len(spec.layers), int)
        written = [_maps(spec, i) for i in range(n)]
        for i, maps in enumerate(written):
            writer.write_image(i, [maps], sha256=sha_of(i), nonfinite=zeros, clipped=zeros)
        return written

    return write
