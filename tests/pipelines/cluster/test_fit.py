"""A Dask cluster of processes reads for a fit: the same model, to the last bit."""

import pytest
from dseg import PixelEnsemble

FIT = ("--members", 3, "--max-steps", 60)


def same(a, b):
    ours, theirs = (PixelEnsemble.load(folder).stack_.state_dict() for folder in (a, b))
    return ours.keys() == theirs.keys() and all((ours[k] == theirs[k]).all() for k in ours)


def least_that_works(dseg, *words):
    """To 10 kB; the message names whole megabytes, in which all of this small world fits."""
    told = dseg(*words, "--memory", "1MB").err
    works = 100 * int(told.split("need at least ")[1].split("MB")[0])
    fails = works - 100
    while works - fails > 1:
        middle = (works + fails) // 2
        if dseg(*words, "--memory", f"{10 * middle}k", "--dry-run").code:
            fails = middle
        else:
            works = middle
    return f"{10 * works}k"


@pytest.mark.parametrize("memory", ["1GB", pytest.param("rounds", marks=pytest.mark.slow)])
def test_a_cluster_gives_the_same_model(dseg, world, store, cluster, memory, tmp_path):
    if memory == "rounds":
        memory = least_that_works(dseg, "fit", store, world.labels, *FIT)
    words = ("fit", store, world.labels, *FIT, "--memory", memory)
    alone = dseg(*words, "--out", "alone")
    assert alone.code == 0, alone.err
    together = dseg(*words, "--out", "together", "--scheduler", cluster)
    assert together.code == 0, together.err
    if memory != "1GB":
        assert "read in rounds of 64 pixels" in alone.err
        assert "read in rounds of 64 pixels" in together.err
    assert same(tmp_path / "alone", tmp_path / "together")


def test_workers_find_a_store_given_by_a_relative_path(dseg, world, store, cluster, tmp_path):
    """The workers run in the folder where they were started, not in the user's."""
    (tmp_path / "near.zarr").symlink_to(store)
    made = dseg("fit", "near.zarr", world.labels, *FIT, "--scheduler", cluster)
    assert made.code == 0, made.err


@pytest.mark.parametrize(
    "address", ["nonsense://x", pytest.param("tcp://127.0.0.1:9", marks=pytest.mark.slow)]
)
def test_a_scheduler_that_does_not_answer(dseg, world, store, address, tmp_path):
    made = dseg("fit", store, world.labels, "--scheduler", address)
    assert made.code == 1
    assert made.err.startswith(f"Error: no Dask scheduler answers at '{address}' within 10 s")
    assert made.err.count("\n") == 1
    assert not (tmp_path / "model").exists()


def test_a_file_that_is_no_scheduler_file(dseg, store, world):
    refused = dseg("fit", store, world.labels, "--scheduler", world.labels / "classes.txt")
    assert refused.code == 2
    assert "is not a scheduler file" in refused.err
