"""Which images a run is of."""

import os

import numpy as np
import pytest
from dseg.pretrain.data.dataset import read_dataset, read_listing
from dseg.pretrain.train.heldout_loss import split
from PIL import Image


def read(folder, here, **more):
    return read_dataset(folder, sorted(folder.iterdir()), here, **more)


def cut_short(path):
    """A JPEG whose header is whole."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])


def test_what_cannot_be_decoded_is_left_out(photos, here):
    good = read(photos, here)
    cut_short(photos / "cut.jpg")
    (photos / "words.png").write_text("no picture")
    os.mkfifo(photos / "pipe.png")
    told = []
    dataset = read(photos, here, advance=told.append)
    assert sum(told) == 13
    assert dataset.files == good.files
    assert dataset.sha256 == good.sha256
    assert set(dataset.refused) == {"cut.jpg", "words.png", "pipe.png"}
    assert "cannot be decoded" in dataset.refused["cut.jpg"]
    assert "no regular file" in dataset.refused["pipe.png"]


def test_the_hash_is_of_the_images_not_their_names(photos, here):
    before = read(photos, here).sha256
    (photos / "0.png").rename(photos / "z.png")
    assert read(photos, here).sha256 == before
    Image.new("RGB", (8, 8)).save(photos / "z.png")
    assert read(photos, here).sha256 != before


def test_images_that_were_decoded_before_are_not_again(photos, here, tmp_path):
    cut_short(photos / "cut.jpg")
    everything = read(photos, here)
    listing = tmp_path / "list"
    listing.write_text(everything.listing())
    known = read_listing(listing)
    assert known == set(everything.hashes.values())
    assert read(photos, here, known=known).refused == everything.refused
    from dseg.extract.images.reading import sha256_of

    trusted = {*known, sha256_of(photos / "cut.jpg").hex()}
    assert read(photos, here, known=trusted).refused == {}
    assert read_listing(tmp_path / "none") == frozenset()


def test_names_that_are_no_text_are_listed(photos, here):
    try:
        os.rename(photos / "0.png", os.fsdecode(os.fsencode(photos) + b"/\xff.png"))  # noqa: PTH104
    except OSError:
        pytest.skip("this file system has no such names")
    listing = read(photos, here).listing()
    assert listing.encode(errors="surrogateescape").count(b"\xff.png") == 1


def test_images_are_either_trained_on_or_held_out():
    for count in (1, 3, 19, 20, 21, 500, 5000):
        seen, out = split(count, seed=1)
        assert sorted([*seen, *out]) == list(range(count))
        assert len(out) == (0 if count < 20 else min(64, count // 20))
    assert split(100, seed=1) == split(100, seed=1)
    assert split(100, seed=1) != split(100, seed=2)
