"""Two processes of a command at once: they share the work, or one is refused; nothing is mixed."""

import json
import os
import shutil
import signal
import time

import numpy as np
import pytest
from dseg import FeatureStore
from dseg.pipelines.features.sources import StoreSource
from dseg.pipelines.verify.config import VerifyConfig
from dseg.pipelines.verify.run import verify
from dseg.store.errors import StoreError
from PIL import Image

N_PHOTOS = 24


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(N_PHOTOS):
        pixels = np.random.default_rng(i).integers(0, 255, (32, 32, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return folder


def both(forked, folder, first, second):
    """Start two command lines at once; return what each came to."""
    runs = [forked(folder, *words) for words in (first, second)]
    return [run.result() for run in runs]


def side_by_side(forked, folder, words, results):
    """Run a command line twice at once, so that each makes some of the results: paths of a glob."""

    def made():
        return len(list(folder.glob(results)))

    first = forked(folder, *words)
    first.wait_until(made)
    os.kill(first.pid, signal.SIGSTOP)
    before, second = made(), forked(folder, *words)
    while made() == before:
        assert not second.ended(), second.result()
        time.sleep(0.05)
        # For a moment, lest the second wait for a lock that the first holds.
        os.kill(first.pid, signal.SIGCONT)
        os.kill(first.pid, signal.SIGSTOP)
    os.kill(first.pid, signal.SIGCONT)
    return [run.result() for run in (first, second)]


def contents(folder):
    return {
        file.relative_to(folder): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.name != "zarr.json"  # names the time of nothing, but its writer
    }


def hidden(folder):
    return [path.name for path in folder.rglob(".*")]


def whole(path):
    found = verify(VerifyConfig(path))
    assert found.whole, found.faults
    return True


def test_two_extract_share_the_images(forked, photos, ddpm, tmp_path):
    words = ("extract", "--images", photos, "--checkpoint", ddpm, "--batch-size", 1, "--json")
    for number in range(2):
        out = tmp_path / f"{number}.zarr"
        ended = side_by_side(forked, tmp_path, (*words, "--out", out), f"{out.name}/complete/c/*")
        assert [run.code for run in ended] == [0, 0], ended
        made = [json.loads(run.out) for run in ended]
        assert sum(one["extracted"] for one in made) == N_PHOTOS, made
        assert sum(one["unchanged"] for one in made) == N_PHOTOS, made
        assert min(one["extracted"] for one in made) > 0, made
        assert whole(out)
        assert hidden(tmp_path) == []
    assert contents(tmp_path / "0.zarr") == contents(tmp_path / "1.zarr")


def test_two_predict_share_the_images(forked, photos, model, tmp_path):
    words = ("predict", photos, "--model", model, "--json")
    ended = side_by_side(forked, tmp_path, words, "masks/*.png")
    assert [run.code for run in ended] == [0, 0], ended
    made = [json.loads(run.out) for run in ended]
    assert sum(one["predicted"] for one in made) == N_PHOTOS, made
    assert min(one["predicted"] for one in made) > 0, made
    assert whole(tmp_path / "masks")
    assert hidden(tmp_path) == []


def test_what_a_killed_run_held_is_done_by_the_other(forked, photos, model, tmp_path):
    words = ("predict", photos, "--model", model, "--json")
    first, second = (forked(tmp_path, *words) for _ in range(2))
    masks = tmp_path / "masks"
    first.kill_when(lambda: len(list(masks.glob("*.png"))) >= 3)
    assert second.result().code == 0
    assert len(list(masks.glob("*.png"))) == N_PHOTOS
    found = verify(VerifyConfig(masks))
    left = {fault["words"] for fault in found.faults}
    assert left <= {"was left by a killed run"}  # it was not alone, so it touched none of them
    assert verify(VerifyConfig(masks, repair=True)).whole
    assert hidden(masks) == []
    assert whole(masks)


@pytest.mark.parametrize("command", ["fit", "distil", "synthesize"])
def test_the_second_is_refused_in_words(command, forked, world, store, model, ddpm, tmp_path):
    out = tmp_path / "out"
    options = {
        "fit": (store, world.labels, "--members", 2, "--max-steps", 300),
        "distil": (world.photos, world.labels, "--model", model, "--steps", 20, "--size", 32),
        "synthesize": ("--model", model, "--checkpoint", ddpm, "--count", 4, "--steps", 3),
    }[command]
    words = (command, *options, "--out", out)
    ended = both(forked, tmp_path, words, words)
    assert sorted(run.code for run in ended) == [0, 2], ended
    refused = next(run.err for run in ended if run.code)
    assert f"(dseg {command}, for " in refused
    assert f"is writing into '{out}': wait until it has finished" in refused
    assert whole(out)
    assert hidden(tmp_path) == []


def test_two_sample_share_the_images(forked, ddpm, tmp_path):
    drawn = ("--count", 10, "--steps", 4, "--batch-size", 1)
    words = ("sample", "--checkpoint", ddpm, *drawn, "--json", "--out", "d")
    ended = side_by_side(forked, tmp_path, words, "d/**/*.png")
    assert [run.code for run in ended] == [0, 0], ended
    made = [json.loads(run.out) for run in ended]
    assert sum(one["drawn"] for one in made) == 10, made
    assert min(one["drawn"] for one in made) > 0, made
    assert whole(tmp_path / "d")
    assert hidden(tmp_path) == []


def test_a_repair_and_an_extract_never_write_at_once(forked, photos, ddpm, tmp_path):
    words = ("extract", "--images", photos, "--checkpoint", ddpm, "--out", "f.zarr")
    run = forked(tmp_path, *words)
    flags = tmp_path / "f.zarr/complete/c"
    while not (flags.is_dir() and any(flags.iterdir())):
        assert not run.ended()
        time.sleep(0.001)
    looked = forked(tmp_path, "verify", "f.zarr")
    mended = forked(tmp_path, "verify", "f.zarr", "--repair")
    told = mended.result(), looked.result(), run.result()
    assert told[2].code == 0, told
    if told[0].code:  # it was over by then
        assert told[0].code == 2
        assert "(dseg extract, for " in told[0].err
    assert told[1].code == 0, told
    assert whole(tmp_path / "f.zarr")
    assert len(FeatureStore.open(tmp_path / "f.zarr").images) == N_PHOTOS


@pytest.mark.slow
def test_what_changes_while_it_is_read_is_not_used(forked, own_world, ddpm, model, tmp_path):
    """`extract` writes an image anew while `fit` trains on it: the run ends, and says why."""
    extract = ("extract", "--images", own_world.photos, "--checkpoint", ddpm, "--out", "f.zarr")
    assert forked(tmp_path, *extract).result().code == 0
    words = ("fit", "f.zarr", own_world.labels, "--max-steps", 1500, "--members", 2)
    run = forked(tmp_path, *words)
    while " 1500 steps" not in run.err:
        assert not run.ended()
        time.sleep(0.001)
    pixels = np.asarray(Image.open(own_world.photos / "p1.png"))
    Image.fromarray(255 - pixels).save(own_world.photos / "p1.png")
    assert forked(tmp_path, *extract).result().code == 0
    ended = run.result()
    assert ended.code == 1, ended
    assert "'p1' of 'f.zarr' changed while they were read, by another run: repeat" in ended.err
    assert not (tmp_path / "model").exists()


def test_an_image_that_is_written_while_predict_reads_it_is_not_segmented(store, tmp_path):
    shutil.copytree(store, tmp_path / "f.zarr")
    source = StoreSource(FeatureStore.open(tmp_path / "f.zarr"))
    images = source.images(["p0", "p1", "p2"], lambda *_: False)
    assert len(list(next(images).maps)) == 1
    second = next(images)
    (tmp_path / "f.zarr/complete/c/1").unlink()
    with pytest.raises(StoreError, match=r"'p1.png' of .* changed while they were read"):
        list(second.maps)
    assert len(list(next(images).maps)) == 1
