"""`--dry-run` of extract and predict tells what then happens: bytes, memory of real processes."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from dseg.store.format.codecs import codec_named, stored_arrays
from dseg.store.read.reader import FeatureStore
from dseg.store.spec import FeatureSpec, LayerSpec
from dseg.store.write.stored_size import MeasuringWriter
from dseg.store.write.writer import PlannedImage
from PIL import Image

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="session")
def pile(tmp_path_factory):
    """48 photographs, every other one of a plain colour: more than are probed."""
    folder, rng = tmp_path_factory.mktemp("pile"), np.random.default_rng(0)
    for i in range(48):
        plain = np.full((32, 32, 3), rng.integers(256, size=3))
        noisy = plain + (i % 2) * rng.normal(0, 60, (32, 32, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{i:02}.png")
    return folder


def on_disk(store):
    return sum(file.stat().st_size for file in Path(store).rglob("*") if file.is_file())


def estimate(dseg, *words):
    before = sorted(Path.cwd().rglob("*"))
    told = dseg("extract", *words, "--dry-run", "--json")
    assert told.code == 0, told.err
    assert sorted(Path.cwd().rglob("*")) == before
    return json.loads(told.out)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "codec", ["lz4", "uint8", *(pytest.param(name, marks=SLOW) for name in ("zstd", "none"))]
)
def test_the_bytes_told_are_those_on_disk(dseg, pile, ddpm, codec):
    words = ("--images", pile, "--out", "f.zarr", "--checkpoint", ddpm, "--codec", codec)
    told = estimate(dseg, *words)
    assert dseg("extract", *words).code == 0
    found = on_disk("f.zarr")
    assert told["stored_bytes"] == pytest.approx(found, rel=0.03)
    assert told["n_bytes"] == 48 * FeatureStore.open("f.zarr").spec.bytes_per_row
    if codec != "none":  # so that the size before compression would not do
        assert told["n_bytes"] > 1.05 * found
    again = estimate(dseg, *words)
    assert (again["images"], again["stored_bytes"], again["rows"]) == (0, 0, 0)


@pytest.mark.parametrize("more", [("--tile",), ("--layout", "dense", "--codec", "uint8")])
def test_tiles_and_dense_exports_too(dseg, world, ddpm, more):
    words = ("--images", world.photos, "--out", "f.zarr", "--checkpoint", ddpm, *more)
    told = estimate(dseg, *words)
    assert dseg("extract", *words).code == 0
    assert told["stored_bytes"] == pytest.approx(on_disk("f.zarr"), rel=0.1)


def test_a_store_that_is_there_keeps_its_codec_and_what_it_holds(dseg, pile, ddpm, tmp_path):
    (tmp_path / "list.txt").write_text("\n".join(f"{i:02}" for i in range(20)))
    words = ("--images", pile, "--out", "f.zarr", "--checkpoint", ddpm)
    assert dseg("extract", *words, "--codec", "uint8", "--list", "list.txt").code == 0
    before = on_disk("f.zarr")
    told = estimate(dseg, *words)
    assert told["images"] == 28
    assert dseg("extract", *words).code == 0
    assert told["stored_bytes"] == pytest.approx(on_disk("f.zarr") - before, rel=0.05)


def test_images_that_cannot_be_decoded_do_not_stop_it(dseg, own_world, ddpm):
    for path in sorted(own_world.photos.iterdir())[:4]:
        path.write_bytes(path.read_bytes()[:-200])  # the size can still be read
    words = ("--images", own_world.photos, "--out", "f.zarr", "--checkpoint", ddpm)
    told = estimate(dseg, *words)
    assert told["stored_bytes"] > 0
    assert told["seconds"] > 0


def test_it_says_it_in_words(dseg, world, ddpm):
    words = ("--images", world.photos, "--out", "f.zarr", "--checkpoint", ddpm, "--dry-run")
    said = dseg("extract", *words).out
    assert re.search(
        r"6 images, 6 passes of the network: \d+ MB before compression, about \d+ MB on disk, "
        r"where [\d.]+ GB are free; about \d+ seconds, and \d+ MB of memory for the whole process; "
        r"nothing written",
        said,
    )


@linux
@pytest.mark.slow
def test_the_memory_told_is_what_the_run_takes(measured, pile, ddpm, tmp_path):
    """Batches of large rows, a good part of what the process holds."""
    (tmp_path / "list.txt").write_text("\n".join(f"{i:02}" for i in range(8)))
    words = ("extract", "--images", pile, "--list", tmp_path / "list.txt", "--out", tmp_path / "f")
    words += ("--checkpoint", ddpm, "--steps", 50, "--codec", "none", "--device", "cpu", "--json")
    large = (*words, "--size", 224, "--batch-size", 4)
    _, calls = measured((*words, "--size", 32, "--dry-run"), (*large, "--dry-run"))
    assert not (tmp_path / "f").exists()
    calls += measured(large)[1]  # in a process that holds nothing of the dry run
    small, told, done = (json.loads(call.out) for call in calls)
    imports, (_, probe, taken) = small["peak_memory"], [call.peak for call in calls]
    print(f"told {told['peak_memory'] // 2**20} MiB, held {probe // 2**20}, took {taken // 2**20}")
    assert 1 / 1.5 < told["peak_memory"] / taken < 1.5
    assert probe < 1.1 * taken
    assert told["stored_bytes"] == pytest.approx(done["n_bytes"], rel=0.01)
    print(f"without large rows {imports // 2**20}")
    assert 1 / 1.5 < (told["peak_memory"] - imports) / (taken - imports) < 1.5


def test_a_measuring_writer_keeps_no_row():
    layers = (LayerSpec(50, 5, 4, 8, 8), LayerSpec(50, 6, 2, 16, 16))
    spec = FeatureSpec({"kind": "t", "sha256": "00"}, "here", (16, 16), "squash", 0, 0, layers)
    images = [PlannedImage(f"{i}.png", (16, 16)) for i in range(3)]
    rng = np.random.default_rng(0)
    maps = {"8x8": rng.random((4, 8, 8)), "16x16": rng.random((2, 16, 16))}
    maps = {size: array.astype(np.float16) for size, array in maps.items()}
    for codec in ("none", "uint8"):
        arrays = [
            a for s, m in maps.items() for a in stored_arrays(codec_named(codec), s, m).items()
        ]
        raw = sum(array.nbytes + 4 for name, array in arrays)  # 4 of the checksum
        writer = MeasuringWriter(spec, codec, images)
        empty = writer.store_bytes(0, 0, 0)
        for i in range(3):
            zeros = np.zeros(2, int)
            writer.write_image(i, [maps], sha256=bytes(32), nonfinite=zeros, clipped=zeros)
        assert writer.row_bytes == pytest.approx([raw] * 3, abs=60 if codec == "uint8" else 0)
        assert writer.store_bytes(0, 0) == empty
        assert 0 < writer.store_bytes(1, 0) - empty < 200  # the facts of an image


@pytest.mark.parametrize("source", ["store", "photos"])
def test_predict_tells_the_bytes_of_its_files(dseg, world, store, model, source):
    words = ("predict", {"store": store, "photos": world.photos}[source], "--model", model)
    words += ("--probabilities", "--uncertainty", "--overlay", "--images", world.photos)
    before = sorted(Path.cwd().rglob("*"))
    told = json.loads(dseg(*words, "--dry-run", "--json").out)
    assert sorted(Path.cwd().rglob("*")) == before
    assert dseg(*words).code == 0
    assert told["n_bytes"] == pytest.approx(on_disk("masks"), rel=0.2)
    again = json.loads(dseg(*words, "--dry-run", "--json").out)
    assert (again["n_bytes"], again["seconds"], again["unchanged"]) == (0, 0, 6)


@linux
def test_predict_tells_the_memory_of_the_run(measured, store, model, tmp_path):
    words = ("predict", store, "--model", model, "--out", tmp_path / "masks")
    _, (dry, real) = measured((*words, "--dry-run", "--json"), words)
    assert 1 / 1.5 < json.loads(dry.out)["peak_memory"] / real.peak < 1.5
