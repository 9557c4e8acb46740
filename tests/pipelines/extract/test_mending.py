"""``dseg extract`` takes no flag's word for it: what is not whole any more is extracted again."""

import json
import shutil
from pathlib import Path

import pytest
import zarr
from dseg.store.read.reader import FeatureStore


@pytest.fixture
def own_store(store, tmp_path):
    shutil.copytree(store, tmp_path / "feats.zarr")
    return tmp_path / "feats.zarr"


@pytest.fixture
def extract(dseg, world, ddpm, own_store):
    def run(*more):
        return dseg(
            "extract", "--images", world.photos, "--out", own_store, "--checkpoint", ddpm, *more
        )

    return run


def chunk_of(store, image):
    return next((store / "features").glob(f"*/c/{image}/0/0/0"))


def empty(path):
    path.write_bytes(b"")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(content)


def same_as(store, other):
    ours, theirs = FeatureStore.open(store), FeatureStore.open(other)
    return all(image.complete for image in ours.images) and all(
        (ours.map(row, size) == theirs.map(row, size)).all()
        for row in range(theirs.n_rows)
        for size in theirs.spec.map_sizes
    )


@pytest.mark.parametrize("flag", [b"", b"\x01"])
def test_what_is_called_complete_and_failed_is_extracted_again(
    dseg, extract, own_store, store, model, flag
):
    failed = own_store / "failed/c/2"
    failed.parent.mkdir(exist_ok=True)
    failed.write_bytes(flag)
    image = FeatureStore.open(own_store).image(2)
    assert (image.complete, image.failed) == (False, "the reason is lost")
    assert "images    5 of 6 extracted, 1 failed" in dseg("info", own_store).out
    run = extract()
    assert run.code == 0, run.err
    assert "1 images extracted, 5 unchanged, 0 failed" in run.out
    assert same_as(own_store, store)
    assert not failed.exists()
    assert dseg("predict", own_store, "--model", model).code == 0


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("key", "hurt"),
    [
        ("features", Path.unlink),
        ("facts/sha256/c/2/0", empty),
        ("complete/c/2", Path.unlink),
        ("complete/c/2", empty),
        pytest.param("features", empty, marks=SLOW),
        pytest.param("facts/sha256/c/2/0", Path.unlink, marks=SLOW),
        pytest.param("facts/clipped/c/2/0", Path.unlink, marks=SLOW),
        pytest.param("facts/clipped/c/2/0", empty, marks=SLOW),
    ],
)
def test_what_is_missing_or_empty_is_extracted_again(extract, own_store, store, hurt, key):
    hurt(chunk_of(own_store, 2) if key == "features" else own_store / key)
    told = extract("--dry-run")
    assert told.code == 0, told.err
    assert told.out.startswith("1 images, 1 passes of the network")
    run = extract()
    assert run.code == 0, run.err
    assert "1 images extracted, 5 unchanged, 0 failed" in run.out
    if (key, hurt) != ("complete/c/2", Path.unlink):  # an image that was never written
        assert "1 of 6 complete images of" in run.err
        assert "1 with missing or truncated chunks. The first: image 'p2.png': '" in run.err
        assert "1 of 6 complete images of" in told.err
    assert same_as(own_store, store)
    again = extract()
    assert "0 images extracted, 6 unchanged" in again.out
    assert "again" not in again.err


def test_what_is_damaged_is_named_by_predict_and_mended_by_verify(
    dseg, extract, own_store, store, model
):
    flip(chunk_of(own_store, 4))
    predicted = dseg("predict", own_store, "--model", model)
    assert predicted.code == 3
    assert "image 'p4.png'" in predicted.err
    assert (
        "Repeat the same extract command with --verify: it extracts this image again"
        in predicted.err
    )
    assert "0 images extracted, 6 unchanged" in extract().out
    told = extract("--verify", "--dry-run")
    assert told.out.startswith("1 images, 1 passes of the network")
    run = extract("--verify", "--json")
    assert (run.code, json.loads(run.out)["extracted"], json.loads(run.out)["damaged"]) == (0, 1, 1)
    assert "1 of 6 complete images of" in run.err
    assert "1 with damaged chunks. The first: image 'p4.png'" in run.err
    assert "does not match its checksum\n" in run.err
    assert same_as(own_store, store)
    whole = extract("--verify")
    assert "verified: all chunks of 6 complete images of" in whole.err
    assert dseg("predict", own_store, "--model", model).code == 0


@pytest.mark.parametrize("more", [("--overwrite",), ("--layout", "dense")])
def test_nothing_is_verified_that_is_about_to_be_replaced(extract, more):
    run = extract("--verify", *more)
    assert (run.code, run.err.count("--verify checks an existing store")) == (2, 1)


@pytest.mark.parametrize(
    ("key", "hurt"),
    [
        ("images/first_row/c/0", Path.unlink),
        ("images/size/c/0/0", empty),
        ("layers/block/c/0", Path.unlink),
        pytest.param("images/first_row/c/0", empty, marks=SLOW),
        pytest.param("images/size/c/0/0", Path.unlink, marks=SLOW),
        pytest.param("layers/block/c/0", empty, marks=SLOW),
    ],
)
def test_a_lost_table_ends_every_command_in_words(
    dseg, extract, own_store, model, world, key, hurt
):
    hurt(own_store / key)
    name = key.partition("/c/")[0]
    for run in (
        extract(),
        extract("--dry-run"),
        dseg("predict", own_store, "--model", model),
        dseg("fit", own_store, world.labels, "--out", "new"),
        dseg("info", own_store),
    ):
        assert run.code == 1
        assert f"'{name}'" in run.err
        assert "Extract again with --overwrite" in run.err
        assert "unexpected error" not in run.err
    assert not Path("masks").exists()
    assert extract("--overwrite").code == 0
    assert dseg("predict", own_store, "--model", model).code == 0


def test_a_store_from_elsewhere_writes_nowhere_else(dseg, own_store, model, tmp_path):
    zarr.open_array(own_store, path="images/name", mode="r+")[1] = "../../x.png"
    (tmp_path / "in").mkdir()
    run = dseg("predict", own_store, "--model", model, "--out", "in/masks", "--uncertainty")
    assert run.code == 1
    assert "contains an image named '../../x.png'" in run.err
    assert not list(tmp_path.glob("x*")) + list(tmp_path.glob("in/*"))
