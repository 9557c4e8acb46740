"""The memory of a run: bounded by the largest image, whatever their number."""

import sys

import numpy as np
import pytest
import zarr
from dseg.classify.inference.prediction import Prediction
from dseg.classify.labels.classes import default_classes
from dseg.pipelines.synthesize.target import SyntheticImage
from dseg.pipelines.synthesize.zarr_target import SyntheticStore
from PIL import Image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]
WORKERS = 2
QUICK = ("--steps", 3, "--batch-size", 2, "--workers", WORKERS, "--device", "cpu", "--quiet")


def photographs(root, world, size):
    """Write the world's six scenes at a size as JPEGs, with label maps of the first three."""
    (root / "photos").mkdir(parents=True)
    (root / "labels").mkdir()
    for stem in world.stems:
        with Image.open(world.photos / f"{stem}.png") as image:
            image.resize(size).save(root / "photos" / f"{stem}.jpg")
    for stem in world.stems[:3]:
        with Image.open(world.truth / f"{stem}.png") as label:
            label.resize(size, Image.Resampling.NEAREST).save(root / "labels" / f"{stem}.png")
    (root / "labels/classes.txt").write_text((world.truth / "classes.txt").read_text())
    return root


def test_large_photographs_take_a_few_copies_of_one(measured, world, model, tmp_path):
    """docs/distilling.md states the bound: 25 bytes a pixel of the largest image and thread."""
    calls = []
    for name, size in (("warm", (400, 300)), ("small", (400, 300)), ("large", (4000, 3000))):
        root = photographs(tmp_path / name, world, size)
        words = ("distil", root / "photos", root / "labels", "--model", model)
        calls.append((*words, "--out", tmp_path / f"of_{name}", *QUICK))
    imports, (_, small, large) = measured(*calls)
    took, pixels = large.peak - small.peak, 3000 * 4000
    print([f"{held / 1e6:.0f} MB" for held in (imports, small.peak, large.peak)])
    print(f"{took / 1e6:.0f} MB more, {took / pixels:.1f} bytes a pixel")
    assert took < WORKERS * 25 * pixels


def test_a_store_is_read_image_by_image(measured, tmp_path):
    side, counts = 512, (4, 4, 84)
    for k, count in enumerate(counts):
        rng = np.random.default_rng(0)
        store = SyntheticStore.open(
            tmp_path / f"{k}.zarr", {}, default_classes(2), count, (side, side), overwrite=False
        )
        for number in range(count):
            pixels = rng.integers(0, 256, (side, side, 3), np.uint8)
            mask = (pixels[..., 0] > 99).astype(np.uint8)
            uncertainty = rng.random((side, side), np.float32)
            found = Prediction(mask, None, uncertainty, score=0.5)
            store.write(SyntheticImage(number, number, pixels, found))
        store.keep(range(count))
        assert zarr.open_group(tmp_path / f"{k}.zarr", mode="r")["kept"][:].all()
    calls = [
        ("distil", tmp_path / f"{k}.zarr", "--out", tmp_path / f"s{k}", "--size", 32, *QUICK)
        for k in range(3)
    ]
    _, (_, few, many) = measured(*calls)
    of_all = 80 * side * side * 8
    print(f"{(many.peak - few.peak) / 1e6:.0f} MB more of {of_all / 1e6:.0f}")
    assert many.peak - few.peak < of_all / 3
