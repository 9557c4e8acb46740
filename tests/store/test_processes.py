"""Runs may be killed anywhere and may run side by side: nothing is lost, nothing is mixed.

The children are real processes, and the kills real SIGKILLs.
"""

import importlib.util
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import zarr
from dseg.store.errors import DsegError
from dseg.store.format.keys import LOCK
from dseg.store.read.reader import FeatureStore

WORKER = Path(__file__).with_name("worker.py")
KILLED = -9
FATAL = (  # keys in the order in which they are written
    "zarr.json",
    "features/8x8/zarr.json",
    "layers/array/c/0",
    "rows/offset/c/0/0",
    "images/size/c/0/0",
    "features/8x8/c/0/0/0/0",
    "facts/clipped/c/0/0",
    "complete/c/0",
    "features/4x4/c/2/0/0/0",
    "facts/sha256/c/3/0",
    "complete/c/3",
)


@pytest.fixture(scope="module")
def worker():
    found = importlib.util.spec_from_file_location("worker", WORKER)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def start(path, n, *words, **pipes):
    line = [str(word) for word in (sys.executable, WORKER, path, n, *words)]
    return subprocess.Popen(line, stderr=subprocess.PIPE, **pipes)


@contextmanager
def killed(path, n):
    """Yield a function that has a run killed in the midst of a key."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with start(path, n, "--killed", **pipes) as runs:

        def run(fatal):
            runs.stdin.write(fatal + "\n")
            runs.stdin.flush()
            return int(runs.stdout.readline())

        yield run


def arrays_of(path):
    """Return every array of a store, without the rows that are not complete."""
    group = zarr.open_group(path, mode="r")
    return {
        name: array[:] for name, array in group.members(max_depth=None) if hasattr(array, "shape")
    }


def assert_same(path, other):
    ours, theirs = arrays_of(path), arrays_of(other)
    assert set(ours) == set(theirs)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@pytest.fixture(scope="module")
def unbroken(worker, tmp_path_factory):
    path = tmp_path_factory.mktemp("unbroken") / "s.zarr"
    assert worker.work(path, 4) == [0, 1, 2, 3]
    return path


def test_a_run_killed_again_and_again_equals_an_unbroken_one(worker, tmp_path, unbroken):
    path = tmp_path / "s.zarr"
    with killed(path, 4) as run:
        for fatal in FATAL:
            assert run(fatal) == KILLED
            for image in readable(path):
                if image.complete:
                    assert_whole(worker, path, image)
    assert not all(image.complete for image in readable(path))
    assert worker.work(path, 4)  # something was left to do
    assert worker.work(path, 4) == []
    assert_same(path, unbroken)
    assert list((path / "features").rglob("*.partial")) == []
    assert list(path.glob("*.partial")) == []  # zarr warns of strangers in a group


def readable(path):
    """Return the images of a store that may not be created to the end yet."""
    try:
        return FeatureStore.open(path).images
    except DsegError as error:
        if "was interrupted" in str(error) or "not a Zarr v3 group" in str(error):
            return ()
        raise


def assert_whole(worker, path, image):
    store, number = FeatureStore.open(path), int(image.stem)
    for row, maps in zip(store.rows(image.index), worker.rows(number), strict=True):
        for size, activation in maps.items():
            np.testing.assert_array_equal(store.map(row, size), activation)


def test_two_processes_write_different_images_at_once(tmp_path, unbroken):
    path = tmp_path / "s.zarr"
    children = [start(path, 4, part, 2) for part in (0, 1)]
    for child in children:
        words = child.communicate()[1]
        assert child.returncode == 0, words.decode()
    assert all(image.complete for image in FeatureStore.open(path).images)
    assert_same(path, unbroken)


def test_two_planners_of_different_lists_both_get_their_images(tmp_path):
    path = tmp_path / "s.zarr"
    children = [start(path, n) for n in (3, 5)]
    for child in children:
        words = child.communicate()[1]
        assert child.returncode == 0, words.decode()
    store = FeatureStore.open(path)
    assert [image.name for image in store.images] == [f"{i}.png" for i in range(5)]
    assert all(image.complete for image in store.images)
    assert not (path / LOCK).exists()
