"""Stores and models say which of their images were drawn, by what, from which seeds."""

import json
import shutil

import numpy as np
import pytest
from dseg import FeatureStore
from dseg.generate.sampler import SamplerSettings
from dseg.pipelines.sample.config import SampleConfig
from dseg.pipelines.sample.run import sample
from dseg.store.read.view import join_features
from PIL import Image

QUICK = ("--checkpoint", "builtin:filters", "--size", "32", "--device", "cpu")


@pytest.fixture
def drawn(ddpm, tmp_path):
    """Six images with seeds from 4 on."""
    settings = SamplerSettings(respacing="1", device="cpu")
    sample(SampleConfig(tmp_path / "drawn", 6, str(ddpm), seed=4, settings=settings))
    return tmp_path / "drawn"


def seeds(path):
    images = FeatureStore.open(path).images
    return {i.name: None if i.drawn is None else i.drawn.seed for i in images}


def label(folder, *stems):
    folder.mkdir()
    for stem in stems:
        Image.fromarray(np.repeat(np.uint8([[0], [1]]), 16, axis=0).repeat(32, axis=1)).save(
            folder / f"{stem}.png"
        )


def test_store_and_model_say_what_drew_their_images(dseg, drawn, ddpm, tmp_path):
    done = dseg("extract", "--images", drawn, "--out", "f.zarr", *QUICK)
    assert done.code == 0, done.err
    assert f"6 of 6 images are synthetic, drawn by {ddpm}" in done.err
    assert seeds("f.zarr") == {f"00000{k}.png": 4 + k for k in range(6)}
    told = dseg("info", "f.zarr").out
    assert f"  synthetic 6 images drawn by {ddpm}, seeds 4 to 9\n" in told
    label(tmp_path / "labels", "000001", "000002", "000005")
    assert dseg("fit", "f.zarr", "labels", "--members", 2, "--max-steps", 2).code == 0
    assert f"  synthetic 3 images drawn by {ddpm}, seeds 5 to 6, 9\n" in dseg("info", "model").out
    (kept,) = json.loads(dseg("info", "model", "--json").out)["extra"]["synthetic"]
    assert (kept["images"], kept["seeds"]) == (3, [[5, 6], [9, 9]])
    facts = json.loads((drawn / "samples.json").read_text())
    for name in ("checkpoint_sha256", "sampler", "respacing", "eta", "height", "made_by"):
        assert kept["drawn_by"][name] == facts[name]
    listed = tmp_path / "list.txt"
    listed.write_text("000003\n")
    told = dseg("info", "f.zarr", "--list", listed).out
    assert f"  synthetic 1 images drawn by {ddpm}, seed 7\n" in told


def test_an_image_is_known_by_its_file_not_by_its_name(dseg, drawn, tmp_path):
    (drawn / "000000.png").rename(drawn / "renamed.png")
    Image.new("RGB", (32, 32)).save(drawn / "000001.png")
    shutil.copy(drawn / "000002.png", drawn / "000003.png")
    Image.new("RGB", (40, 40)).save(drawn / "photograph.png")
    assert dseg("extract", "--images", drawn, "--out", "f.zarr", *QUICK).code == 0
    expected = {"000001.png": None, "000002.png": 6, "000003.png": 6, "000004.png": 8}
    assert seeds("f.zarr") == {
        **expected,
        "000005.png": 9,
        "photograph.png": None,
        "renamed.png": 4,
    }


def test_a_store_follows_what_its_images_become(dseg, drawn, tmp_path):
    words = ("extract", "--images", drawn, "--out", "f.zarr", *QUICK)
    first = tmp_path / "first.txt"
    first.write_text("000000\n000001\n")
    assert dseg(*words, "--list", first).code == 0
    assert seeds("f.zarr") == {"000000.png": 4, "000001.png": 5}
    assert dseg(*words).code == 0
    Image.new("RGB", (32, 32)).save(drawn / "000000.png")
    shutil.copy(drawn / "000005.png", drawn / "000001.png")
    assert dseg(*words, "--list", first).code == 0
    expected = {"000000.png": None, "000001.png": 9}
    assert seeds("f.zarr") == expected | {f"00000{k}.png": 4 + k for k in range(2, 6)}
    assert dseg("extract", "--images", drawn / "000002.png", *words[3:]).code == 0
    assert seeds("f.zarr")["000002.png"] == 6
    (drawn / "samples.json").unlink()
    assert "0 images extracted, 6 unchanged" in dseg(*words).out
    assert set(seeds("f.zarr").values()) == {None}
    assert "synthetic" not in dseg("info", "f.zarr").out


def test_features_of_drawn_images_are_those_of_any_others(dseg, drawn, world, tmp_path):
    """Stores join, and a model fitted on photographs takes them."""
    assert dseg("extract", "--images", drawn, "--out", "f.zarr", *QUICK).code == 0
    assert dseg("extract", "--images", world.photos, "--out", "p.zarr", *QUICK).code == 0
    (drawn / "samples.json").rename(tmp_path / "samples.json")
    assert dseg("extract", "--images", drawn, "--out", "plain.zarr", *QUICK).code == 0
    one, plain, photos = (
        FeatureStore.open(tmp_path / name) for name in ("f.zarr", "plain.zarr", "p.zarr")
    )
    assert one.spec.hash == plain.spec.hash == photos.spec.hash
    np.testing.assert_array_equal(one.map(0, "32x32"), plain.map(0, "32x32"))
    assert dseg("fit", "p.zarr", world.labels, "--members", 2, "--max-steps", 2).code == 0
    assert "synthetic" not in dseg("info", "model").out
    assert dseg("predict", "f.zarr").code == 0
    other = ("--checkpoint", "builtin:filters", "--size", "64", "--device", "cpu")
    assert dseg("extract", "--images", drawn, "--out", "wide.zarr", *other).code == 0
    joined = join_features([one, FeatureStore.open(tmp_path / "wide.zarr")])
    assert [image.drawn.seed for image in joined.images] == [4, 5, 6, 7, 8, 9]


def test_a_dense_export_says_it_too(dseg, drawn, tmp_path):
    words = ("--out", "dense.zarr", "--layout", "dense")
    assert dseg("extract", "--images", drawn, *words, *QUICK).code == 0
    attributes = json.loads((tmp_path / "dense.zarr/zarr.json").read_text())["attributes"]
    (entry,) = attributes["synthetic"]
    assert entry["runs"] == [[0, 4, 6]]


def test_damaged_statements_are_named(dseg, drawn, tmp_path):
    words = ("extract", "--images", drawn, "--out", "f.zarr", *QUICK)
    assert dseg(*words).code == 0
    path = tmp_path / "f.zarr/zarr.json"
    plain = json.loads(path.read_text())
    for wrong in (3, [3], [{"drawn_by": {}, "runs": []}], [{"drawn_by": {"checkpoint": "x"}}]):
        plain["attributes"]["synthetic"] = wrong
        path.write_text(json.dumps(plain))
        ended = dseg("info", "f.zarr")
        assert ended.code == 1
        assert "the attributes of 'f.zarr' are damaged" in ended.err
    (drawn / "samples.json").write_text("{")
    ended = dseg("extract", "--images", drawn, "--out", "other.zarr", *QUICK)
    assert ended.code == 2
    assert "samples.json' is damaged" in ended.err
