"""`--memory` bounds what a fit takes above what its imports take: real processes, real stores."""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from dseg.store.read.reader import FeatureStore
from dseg.store.spec import FeatureSpec, LayerSpec
from dseg.store.write.writer import FeatureWriter, PlannedImage, plan_store
from PIL import Image

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

LSUN = ((5, 1024, 32), (6, 512, 32), (7, 512, 32), (8, 512, 64), (12, 256, 128))
WHOLE = ("--reduce", 0)
SMALL = ((5, 256, 32), (6, 128, 64), (7, 64, 64))


@dataclass(frozen=True)
class Data:
    store: Path
    labels: Path
    n_bytes: int


def random_store(root, n_images, blocks, steps, side, classes):
    """Maps of random float16 numbers, which do not compress, and random labels of every pixel."""
    layers = tuple(LayerSpec(t, b, c, s, s) for t in steps for b, c, s in blocks)
    spec = FeatureSpec({"kind": "t", "sha256": "00"}, "here", (side, side), "squash", 0, 0, layers)
    data = Data(root / "f.zarr", root / "labels", n_images * spec.bytes_per_row)
    plan_store(data.store, spec, [PlannedImage(f"{i}.png", (side, side)) for i in range(n_images)])
    writer, rng = FeatureWriter(data.store), np.random.default_rng(0)
    maps = {}
    for size in spec.map_sizes:
        channels = sum(layers[i].channels for i in spec.layers_of(size))
        shape = (channels, *map(int, size.split("x")))
        maps[size] = rng.standard_normal(shape, dtype=np.float32).astype(np.float16)
    data.labels.mkdir()
    zeros = np.zeros(len(layers), int)
    for i in range(n_images):
        rolled = {size: np.roll(array, i, axis=0) for size, array in maps.items()}
        writer.write_image(i, [rolled], sha256=bytes(32), nonfinite=zeros, clipped=zeros)
        label = rng.integers(0, classes, (side, side)).astype(np.uint8)
        Image.fromarray(label).save(data.labels / f"{i}.png")
    return data


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Data:
    """503 MB: several times what the fit may take."""
    data = random_store(tmp_path_factory.mktemp("small"), 120, SMALL, (50, 150), 128, 5)
    assert data.n_bytes > 2.3 * 200e6
    return data


@pytest.fixture
def fitted(measured, tmp_path):
    """Fit in a process of its own; return the bytes taken above its imports, and what it says."""

    def run(data, memory, *words):
        call = ("fit", data.store, data.labels, "--out", tmp_path / "m", "--memory", f"{memory}MB")
        imports, (made,) = measured((*call, *words))
        print(f"took {(made.peak - imports) / 1e6:.0f} MB")
        return made.peak - imports, made.err

    return run


@pytest.fixture
def foretold(measured, tmp_path):
    """As `fitted`, after a dry run of the same call, whose estimate must come true."""

    def run(data, memory, *words):
        call = ("fit", data.store, data.labels, "--out", tmp_path / "m", "--memory", f"{memory}MB")
        imports, (dry, made) = measured((*call, *words, "--dry-run", "--json"), (*call, *words))
        told = json.loads(dry.out)
        check(told, made.peak, imports, tmp_path / "m")
        return told, made.peak - imports, made.err

    return run


def check(told, taken, imports, model):
    """Memory within a factor of 1.5, even without what the imports take; bytes within 20 %."""
    told_above, taken_above = told["peak_memory"] - imports, taken - imports
    print(f"told {told_above / 1e6:.0f} MB above the imports, took {taken_above / 1e6:.0f}")
    assert 1 / 1.5 < told_above / taken_above < 1.5
    assert min(told["training_seconds"], told["reading_seconds"]) > 0
    on_disk = sum(file.stat().st_size for file in model.iterdir())
    assert told["n_bytes"] == pytest.approx(on_disk, rel=0.2)


@linux
def test_memory_bounds_a_fit_in_rounds(small, foretold):
    _, taken, words = foretold(small, 200, "--members", 4, "--max-steps", 120, *WHOLE)
    assert "read in rounds of" in words
    assert taken <= 200e6


@linux
@pytest.mark.slow
def test_memory_bounds_a_resident_fit(small, foretold, tmp_path):
    (tmp_path / "list.txt").write_text("\n".join(map(str, range(40))))
    words = ("--members", 4, "--max-steps", 50, "--list", tmp_path / "list.txt", *WHOLE)
    _, taken, words = foretold(small, 355, *words)
    assert "all maps in memory as float16, 168 MB" in words
    assert taken <= 355e6
    assert taken > 0.6 * 355e6  # the bound is no idle one


@linux
@pytest.mark.slow
def test_500_mb_are_enough_for_full_width(fitted, tmp_path):
    """D = 8448, ten members, 29 classes: 2 GB of maps in 500 MB, reduced or in rounds."""
    data = random_store(tmp_path, 40, LSUN, (50, 150, 250), 256, 29)
    taken, words = fitted(data, 500, "--max-steps", 60, *WHOLE)
    assert "8448 channels; read in rounds" in words
    assert taken <= 500e6
    taken, words = fitted(data, 500, "--max-steps", 60, "--overwrite")
    assert "8448 channels reduced to 1689; read in rounds" in words
    assert taken <= 500e6


def corners(data, folder, side, count):
    """Of so many images, label a corner alone."""
    folder.mkdir()
    for i in range(count):
        with Image.open(data.labels / f"{i}.png") as image:
            label = np.array(image)
        label[side:], label[:, side:] = 255, 255
        Image.fromarray(label).save(folder / f"{i}.png")
    return Data(data.store, folder, data.n_bytes)


@linux
@pytest.mark.slow
def test_memory_bounds_the_published_recipe(small, fitted, tmp_path):
    """Its members stop one by one, and each time those left are copied."""
    few = corners(small, tmp_path / "labels", 64, 1)
    words = ("--recipe", "paper", "--members", 16, "--batch-size", 64)
    taken, words = fitted(few, 220, *words)
    assert taken <= 220e6
    assert taken > 0.6 * 220e6


@linux
@pytest.mark.slow
def test_a_dry_run_tells_the_memory_of_resident_vectors(small, foretold, tmp_path):
    """Some pixels of wide maps: 2304 of 16384 an image."""
    few = corners(small, tmp_path / "labels", 48, 10)
    told, _, _ = foretold(few, 900, "--members", 8, "--max-steps", 20, *WHOLE)
    assert told["residence"] == "vectors"
    assert told["memory"] == 900e6


def test_too_little_memory_names_the_least_and_the_least_works(dseg, small, tmp_path):
    words = ("fit", small.store, small.labels, "--members", 2, "--max-steps", 3, *WHOLE)
    refused = dseg(*words, "--memory", "20MB")
    assert refused.code == 2
    found = re.search(
        r"--memory 20MB is too little: 896 channels, 2 members and 5 classes need at least (\d+)MB",
        refused.err,
    )
    assert found, refused.err
    assert not (tmp_path / "model").exists()
    least = int(found[1])
    assert dseg(*words, "--memory", f"{least - 1}MB", "--dry-run").code == 2
    made = dseg(*words, "--memory", f"{least}MB")
    assert made.code == 0, made.err
    assert "read in rounds of" in made.err
    assert (
        "a round of training reads 2 of the 120 images at a time instead of a sample of all"
        in made.err
    )


def test_more_memory_holds_more(dseg, small):
    """The same call, more memory: rounds, then float16 maps, then float32 maps."""
    held = [
        dseg("fit", small.store, small.labels, "--memory", size, "--dry-run", *WHOLE).err
        for size in ("300MB", "800MB", "1300MB")
    ]
    assert list(Path.cwd().iterdir()) == []
    assert "read in rounds of" in held[0]
    assert "at a time instead of" not in held[0]
    assert "all maps in memory as float16" in held[1]
    assert "all maps in memory as float32" in held[2]


def test_the_number_of_images_does_not_change_the_least(dseg, small, tmp_path):
    """Apart from the labels, 12 bytes a pixel."""
    (tmp_path / "list.txt").write_text("\n".join(map(str, range(60))))
    words = ("fit", small.store, small.labels, "--memory", "1MB", "--dry-run", *WHOLE)
    least = [
        int(re.search(r"need at least (\d+)MB", dseg(*words, *more).err)[1])
        for more in ((), ("--list", tmp_path / "list.txt"))
    ]
    labels = 60 * 128 * 128 * 12 / 1e6
    assert least[0] - least[1] == pytest.approx(labels, abs=1.5)
    assert FeatureStore.open(small.store).n_rows == 120


@linux
@pytest.mark.slow
def test_memory_bounds_a_fit_of_reduced_features(small, foretold):
    """Reduced, the features of all images fit in what reading in rounds took before."""
    _, taken, words = foretold(small, 290, "--members", 4, "--max-steps", 100, "--reduce", 64)
    assert "896 channels reduced to 64; all maps in memory" in words
    assert taken <= 290e6


def test_reduced_the_least_that_is_named_works_too(dseg, small, tmp_path):
    words = ("fit", small.store, small.labels, "--members", 2, "--max-steps", 3, "--reduce", 64)
    refused = dseg(*words, "--memory", "20MB")
    assert refused.code == 2
    least = int(re.search(r"64 channels, .* need at least (\d+)MB", refused.err)[1])
    assert dseg(*words, "--memory", f"{least - 1}MB", "--dry-run").code == 2
    assert dseg(*words, "--memory", f"{least}MB").code == 0


@linux
@pytest.mark.slow
def test_memory_bounds_cross_validation(small, fitted, tmp_path):
    """Each training begins where the masks of the one before have left the process."""
    (tmp_path / "list.txt").write_text("\n".join(map(str, range(60))))
    words = ("--members", 4, "--max-steps", 60, "--folds", 3, "--list", tmp_path / "list.txt")
    taken, words = fitted(small, 230, *words, *WHOLE)
    assert "read in rounds of" in words
    assert taken <= 230e6
