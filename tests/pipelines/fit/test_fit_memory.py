"""`--memory` bounds what a fit takes above what its imports take: real processes, real stores."""

import json
import re
import subprocess
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

# VmHWM, for ru_maxrss would also count what the parent held when it started this process.
CHILD = r"""
import re, runpy, sys
from pathlib import Path
from dask import threaded
from dseg.pipelines import main as cli
from dseg.pipelines.fit import run as fit
code = 0
if len(sys.argv) > 1:
    sys.argv[0] = "dseg"
    try:
        runpy.run_module("dseg", run_name="__main__")
    except SystemExit as end:
        code = end.code
status = Path("/proc/self/status").read_text()
print("peak", 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1]))
sys.exit(code)
"""

LSUN = ((5, 1024, 32), (6, 512, 32), (7, 512, 32), (8, 512, 64), (12, 256, 128))
WHOLE = ("--reduce", 0)
SMALL = ((5, 256, 32), (6, 128, 64), (7, 64, 64))


def peak(*words):
    """Bytes held at most by a process of these words; none: by the imports alone."""
    made = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, words)], capture_output=True, text=True, timeout=500
    )
    assert made.returncode == 0, made.stderr
    return int(re.search(r"peak (\d+)", made.stdout)[1]), made.stderr


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


@pytest.fixture(scope="module")
def imports() -> int:
    return peak()[0]


def fitted(data, memory, out, *words):
    return peak("fit", data.store, data.labels, "--out", out, "--memory", f"{memory}MB", *words)


def announced(data, memory, out, *words):
    """What a dry run of the same call says, in a process of its own."""
    call = ("fit", data.store, data.labels, "--out", out, "--memory", f"{memory}MB", *words)
    made = subprocess.run(
        [sys.executable, "-m", "dseg", *map(str, call), "--dry-run", "--json"],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert made.returncode == 0, made.stderr
    assert not out.exists()
    return json.loads(made.stdout)


def check(told, taken, imports, model):
    """Memory within a factor of 1.5, even without what the imports take; bytes within 20 %."""
    print(f"told {told['peak_memory'] / 1e6:.0f} MB, took {taken / 1e6:.0f}")
    assert 1 / 1.5 < (told["peak_memory"] - imports) / (taken - imports) < 1.5
    assert min(told["training_seconds"], told["reading_seconds"]) > 0
    on_disk = sum(file.stat().st_size for file in model.iterdir())
    assert told["n_bytes"] == pytest.approx(on_disk, rel=0.2)


@linux
def test_memory_bounds_a_fit_in_rounds(small, imports, tmp_path):
    call = (small, 200, tmp_path / "m", "--members", 4, "--max-steps", 300, *WHOLE)
    told = announced(*call)
    taken, words = fitted(*call)
    assert "read in rounds of" in words
    check(told, taken, imports, tmp_path / "m")
    print(f"took {(taken - imports) / 1e6:.0f} MB")
    assert taken - imports <= 200e6


@linux
def test_memory_bounds_a_resident_fit(small, imports, tmp_path):
    (tmp_path / "list.txt").write_text("\n".join(map(str, range(40))))
    words = ("--members", 4, "--max-steps", 50, "--list", tmp_path / "list.txt", *WHOLE)
    estimate = announced(small, 355, tmp_path / "m", *words)
    taken, told = fitted(small, 355, tmp_path / "m", *words)
    assert "all maps in memory as float16, 168 MB" in told
    check(estimate, taken, imports, tmp_path / "m")
    print(f"took {(taken - imports) / 1e6:.0f} MB")
    assert taken - imports <= 355e6
    assert taken - imports > 0.6 * 355e6  # the bound is no idle one


@linux
@pytest.mark.slow
def test_500_mb_are_enough_for_full_width(imports, tmp_path):
    """D = 8448, ten members, 29 classes: 2 GB of maps in 500 MB, reduced or in rounds."""
    data = random_store(tmp_path, 40, LSUN, (50, 150, 250), 256, 29)
    taken, told = fitted(data, 500, tmp_path / "whole", "--max-steps", 60, *WHOLE)
    assert "8448 channels; read in rounds" in told
    print(f"took {(taken - imports) / 1e6:.0f} MB")
    assert taken - imports <= 500e6
    taken, told = fitted(data, 500, tmp_path / "m", "--max-steps", 60)
    assert "8448 channels reduced to 1689; read in rounds" in told
    print(f"took {(taken - imports) / 1e6:.0f} MB")
    assert taken - imports <= 500e6


@linux
def test_memory_bounds_the_published_recipe(small, imports, tmp_path):
    """Its members stop one by one, and each time those left are copied."""
    (tmp_path / "list.txt").write_text("0\n")
    words = ("--recipe", "paper", "--members", 16, "--batch-size", 256)
    taken, _ = fitted(small, 255, tmp_path / "m", *words, "--list", tmp_path / "list.txt")
    print(f"took {(taken - imports) / 1e6:.0f} MB")
    assert taken - imports <= 255e6


@linux
def test_a_dry_run_tells_the_memory_of_resident_vectors(small, imports, tmp_path):
    """Some pixels of wide maps: 2304 of 16384 an image."""
    labels = tmp_path / "labels"
    labels.mkdir()
    for path in small.labels.glob("?.png"):
        with Image.open(path) as image:
            label = np.array(image)
        label[48:], label[:, 48:] = 255, 255
        Image.fromarray(label).save(labels / path.name)
    few = Data(small.store, labels, small.n_bytes)
    call = (few, 900, tmp_path / "m", "--members", 8, "--max-steps", 20, *WHOLE)
    told = announced(*call)
    assert told["residence"] == "vectors"
    assert told["memory"] == 900e6
    taken, _ = fitted(*call)
    check(told, taken, imports, tmp_path / "m")


def test_too_little_memory_names_the_least_and_the_least_works(dseg, small, tmp_path):
    words = ("fit", small.store, small.labels, "--members", 2, "--max-steps", 3, *WHOLE)
    refused = dseg(*words, "--memory", "20MB")
    assert refused.code == 2
    found = re.search(
        r"--memory 20MB is too little: (\d+)MB need at least 896 channels, 2 members and 5 "
        r"classes",
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
    assert "read in rounds of" in held[0]
    assert "at a time instead of" not in held[0]
    assert "all maps in memory as float16" in held[1]
    assert "all maps in memory as float32" in held[2]


def test_the_number_of_images_does_not_change_the_least(dseg, small, tmp_path):
    """Apart from the labels, 12 bytes a pixel."""
    (tmp_path / "list.txt").write_text("\n".join(map(str, range(60))))
    words = ("fit", small.store, small.labels, "--memory", "1MB", "--dry-run", *WHOLE)
    least = [
        int(re.search(r"(\d+)need at least", dseg(*words, *more).err)[1])
        for more in ((), ("--list", tmp_path / "list.txt"))
    ]
    labels = 60 * 128 * 128 * 12 / 1e6
    assert least[0] - least[1] == pytest.approx(labels, abs=1.5)
    assert FeatureStore.open(small.store).n_rows == 120


@linux
def test_memory_bounds_a_fit_of_reduced_features(small, imports, tmp_path):
    """Reduced, the features of all images fit in what reading in rounds took before."""
    words = ("--members", 4, "--max-steps", 100, "--reduce", 64)
    estimate = announced(small, 290, tmp_path / "m", *words)
    taken, told = fitted(small, 290, tmp_path / "m", *words)
    check(estimate, taken, imports, tmp_path / "m")
    assert "896 channels reduced to 64; all maps in memory" in told
    print(f"took {(taken - imports) / 1e6:.0f} MB")
    assert taken - imports <= 290e6


def test_reduced_the_least_that_is_named_works_too(dseg, small, tmp_path):
    words = ("fit", small.store, small.labels, "--members", 2, "--max-steps", 3, "--reduce", 64)
    refused = dseg(*words, "--memory", "20MB")
    assert refused.code == 2
    least = int(re.search(r"(\d+)MB need at least 64 channels", refused.err)[1])
    assert dseg(*words, "--memory", f"{least - 1}MB", "--dry-run").code == 2
    assert dseg(*words, "--memory", f"{least}MB").code == 0


@linux
@pytest.mark.slow
def test_memory_bounds_cross_validation(small, imports, tmp_path):
    """Each training begins where the masks of the one before have left the process."""
    (tmp_path / "list.txt").write_text("\n".join(map(str, range(60))))
    words = ("--members", 4, "--max-steps", 60, "--folds", 3, "--list", tmp_path / "list.txt")
    taken, told = fitted(small, 230, tmp_path / "m", *words, *WHOLE)
    assert "read in rounds of" in told
    print(f"took {(taken - imports) / 1e6:.0f} MB")
    assert taken - imports <= 230e6
