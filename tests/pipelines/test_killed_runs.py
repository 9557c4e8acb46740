"""A run may be killed at any point: what is there is whole, and the same command goes on."""

import json
import signal
import time

import numpy as np
import pytest
from dseg import FeatureStore
from PIL import Image

N_PHOTOS = 30


def flags(store):
    """How many images are complete; zarr's partial files do not count."""
    folder = store / "complete/c"
    return sum(p.name.isdecimal() for p in folder.iterdir()) if folder.is_dir() else 0


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(N_PHOTOS):
        pixels = np.random.default_rng(i).integers(0, 255, (32, 32, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return folder


def test_a_killed_extract_goes_on(dseg, forked, photos, ddpm, tmp_path):
    words = ("--images", photos, "--checkpoint", ddpm, "--out")
    assert dseg("extract", *words, "unbroken.zarr").code == 0
    for wanted in (1, 12):
        run = forked(tmp_path, "extract", *words, "f.zarr")
        run.kill_when(lambda n=wanted: flags(tmp_path / "f.zarr") >= n)
        done = sum(image.complete for image in FeatureStore.open(tmp_path / "f.zarr").images)
        assert wanted <= done < N_PHOTOS
    finished = dseg("extract", *words, "f.zarr")
    assert finished.code == 0
    assert f"{N_PHOTOS} images extracted" not in finished.out
    whole, resumed = (FeatureStore.open(tmp_path / name) for name in ("unbroken.zarr", "f.zarr"))
    assert all(image.complete for image in resumed.images)
    for row in range(whole.n_rows):
        for size in whole.spec.map_sizes:
            assert np.array_equal(whole.map(row, size), resumed.map(row, size))


def test_an_interrupted_run_says_so(forked, photos, ddpm, tmp_path):
    run = forked(tmp_path, "extract", "--images", photos, "--checkpoint", ddpm, "--out", "f.zarr")
    ended = run.kill_when(lambda: flags(tmp_path / "f.zarr") >= 1, signal.SIGINT)
    assert ended.code == 130
    assert "Repeat the command to continue where it stopped" in ended.err
    assert "Traceback" not in ended.err


def test_a_killed_fit_leaves_no_model(dseg, forked, world, store, tmp_path):
    """Nor anything that is seen; the lock of its claim goes with the next run."""
    run = forked(tmp_path, "fit", store, world.labels, "--max-steps", "1000000")
    run.kill_when(lambda: " 1000000 steps" in run.err and not time.sleep(0.5))  # it trains
    assert all(path.name.startswith(".model.") for path in tmp_path.iterdir())
    assert dseg("fit", store, world.labels, "--max-steps", 5, "--members", 2).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_killed_predict_goes_on(dseg, forked, photos, ddpm, world, model, tmp_path):
    run = forked(tmp_path, "predict", photos, "--model", model)
    manifest = tmp_path / "masks/predictions.jsonl"
    run.kill_when(lambda: manifest.is_file() and manifest.read_text().count("\n") >= 5)
    with manifest.open("a") as file:
        file.write('{"stem": "torn')  # what a power cut may leave
    masks = list((tmp_path / "masks").glob("*.png"))
    for mask in masks:
        with Image.open(mask) as image:
            image.load()
    finished = dseg("predict", photos, "--model", model)
    assert finished.code == 0
    assert f"{N_PHOTOS - len(masks)} masks written, {len(masks)} unchanged" in finished.out
    assert f"0 masks written, {N_PHOTOS} unchanged" in dseg("predict", photos, "--model", model).out


def test_a_killed_curve_goes_on(dseg, forked, world, store, tmp_path):
    words = ("curve", store, world.truth, "--members", 2, "--max-steps", 40, "--draws", 3)
    run = forked(tmp_path, *words)
    run.kill_when((tmp_path / "curve/curve.json").is_file)
    done = len(json.loads((tmp_path / "curve/curve.json").read_text())["cells"])
    assert 1 <= done < 6
    finished = dseg(*words, "--json")
    assert finished.code == 0, finished.err
    told = json.loads(finished.out)
    assert (told["cells"], told["done"]) == (6, done)
    assert dseg(*words, "--out", "unbroken", "--json").code == 0
    cells = [
        [{**cell, "seconds": 0} for cell in json.loads(file.read_text())["cells"]]
        for file in (tmp_path / "curve/curve.json", tmp_path / "unbroken/curve.json")
    ]
    assert cells[0] == cells[1]
