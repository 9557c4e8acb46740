"""What dseg wrote and is not so any more is found, named, and mended."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from dseg.store.claims import claimed
from dseg.store.read.reader import FeatureStore
from dseg.store.seals import sealed
from PIL import Image

OLD = Path(__file__).parents[2] / "data/format-1"


def flip(file, at=0.5):
    content = bytearray(file.read_bytes())
    content[int(at * (len(content) - 1))] ^= 8
    file.write_bytes(content)


def contents(folder):
    return {f.relative_to(folder): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.fixture
def own(store, model, tmp_path):
    """A store, a model and masks that may be damaged."""
    shutil.copytree(store, tmp_path / "f.zarr")
    shutil.copytree(model, tmp_path / "model")
    return tmp_path


@pytest.fixture
def masks(dseg, own):
    assert dseg("predict", "f.zarr", "--uncertainty").code == 0
    return own / "masks"


def found(dseg, path, *more):
    run = dseg("verify", path, "--json", *more)
    assert run.out, run.err
    told = json.loads(run.out)
    assert run.code == (0 if told["whole"] else 1)
    return told


def chunk(store, row):
    return next(iter(sorted((store / "features").glob(f"*/c/{row}/0/0/0"))))


def test_what_is_whole_is_called_so(dseg, masks):
    for path, kind in (("f.zarr", "feature store"), ("model", "model"), ("masks", "masks")):
        run = dseg("verify", path)
        assert run.code == 0, run.out
        assert f"{path}: {kind}" in run.out
        assert "whole, " in run.out


def test_what_older_versions_wrote_is_whole(dseg, tmp_path):
    for name in ("features", "model", "masks"):
        shutil.copytree(OLD / name, tmp_path / name)
        run = dseg("verify", name)
        assert run.code == 0, run.out


HURT = {
    "flipped": (lambda s: flip(chunk(s, 2)), "does not match its checksum"),
    "missing": (lambda s: chunk(s, 2).unlink(), "is missing"),
    "flag alone": (lambda s: [f.unlink() for f in (s / "features").glob("*/c/2/0/0/0")], "missing"),
    "data alone": (lambda s: (s / "complete/c/2").unlink(), "files are of it"),
    "fact": (lambda s: flip(s / "facts/sha256/c/2/0"), "does not match its checksum"),
    "two flags": (lambda s: shutil.copytree(s / "complete/c", s / "failed/c"), "missing"),
}


@pytest.mark.parametrize("how", HURT)
def test_a_damaged_image_is_named_and_extracted_again(dseg, own, world, store, how):
    hurt, words = HURT[how]
    hurt(own / "f.zarr")
    told = found(dseg, "f.zarr")
    fault = next(one for one in told["faults"] if one["image"] == "p2")
    assert words in fault["words"]
    mended = found(dseg, "f.zarr", "--repair", "--images", world.photos)
    assert mended["whole"]
    assert mended["extracted"] == (6 if how == "two flags" else 1)
    assert mended["removed"] == []
    assert contents(own / "f.zarr") == contents(store)
    assert found(dseg, "f.zarr")["faults"] == []


def test_without_the_network_damaged_images_wait_for_the_next_extract(
    dseg, own, world, store, ddpm, tmp_path
):
    flip(chunk(own / "f.zarr", 3))
    (own / "f.zarr/features/x.partial").write_bytes(b"x")
    moved = tmp_path / "moved"
    shutil.copytree(ddpm, moved)
    root = own / "f.zarr/zarr.json"
    document = json.loads(root.read_text())
    attributes = {k: v for k, v in document["attributes"].items() if k != "checksum"}
    attributes["spec"]["source"] = "gone.pt"
    document["attributes"] = sealed(attributes)
    root.write_text(json.dumps(document))
    run = dseg("verify", "f.zarr", "--repair", "--images", world.photos)
    assert run.code == 0, run.out
    assert "are not extracted again: " in run.err
    assert "1 images are to be made again: repeat the same extract command" in run.out
    image = FeatureStore.open("f.zarr").image("p3")
    assert not image.complete
    assert not list((own / "f.zarr").rglob("*.partial"))
    again = dseg("extract", "--images", world.photos, "--checkpoint", moved, "--out", "f.zarr")
    assert "1 images extracted, 5 unchanged" in again.out


TABLES = (
    *("images/name", "images/size", "images/resized", "images/first_row", "images/row_count"),
    *("rows/image", "rows/offset", "layers/array", "layers/channels"),
)


def test_tables_are_computed_again(dseg, own, world, store):
    for table in TABLES:
        file = next(f for f in (own / "f.zarr" / table / "c").rglob("0") if f.is_file())
        flip(file) if table != "rows/image" else file.unlink()
        assert table in dseg("verify", "f.zarr").out
        if table in ("images/name", "images/size"):
            run = dseg("verify", "f.zarr", "--repair")
            assert run.code == 1
            assert "give the folder of its images with --images" in run.out
        mended = found(dseg, "f.zarr", "--repair", "--images", world.photos)
        assert mended["whole"], mended
        assert contents(own / "f.zarr") == contents(store), table


@pytest.mark.parametrize("key", ["zarr.json", "features/zarr.json", "images/size/zarr.json"])
@pytest.mark.parametrize("hurt", [Path.unlink, flip, lambda f: f.write_bytes(b"")])
def test_metadata_are_written_again(dseg, own, store, key, hurt):
    hurt(own / "f.zarr" / key)
    assert dseg("verify", "f.zarr").code == 1
    mended = found(dseg, "f.zarr", "--repair")
    assert mended["whole"], mended
    assert {fault["file"] for fault in mended["faults"]} == {key}
    assert contents(own / "f.zarr") == contents(store)


def test_a_number_of_images_that_is_changed_hides_none(dseg, own):
    root = own / "f.zarr/zarr.json"
    root.write_text(root.read_text().replace('"images": 6', '"images": 4'))
    for words in (("verify", "f.zarr"), ("info", "f.zarr"), ("predict", "f.zarr")):
        run = dseg(*words)
        assert run.code == 1
        assert "do not match their checksum" in run.out + run.err
    assert dseg("verify", "f.zarr", "--repair").code == 0
    assert len(FeatureStore.open("f.zarr").images) == 6


def test_what_belongs_to_nothing_is_removed_and_what_may_be_yours_is_moved(dseg, own, store):
    ours = ["features/x.partial", "complete/c/77", "plan.lock", "facts/reason/c/99"]
    ours.append(f"features/{chunk(own / 'f.zarr', 0).parents[4].name}/c/9/0/0/0")
    for name in (*ours, "notes.txt", "images/size/README"):
        (own / "f.zarr" / name).parent.mkdir(parents=True, exist_ok=True)
        (own / "f.zarr" / name).write_text("x")
    os.utime(own / "f.zarr/plan.lock", (1e9, 1e9))
    told = found(dseg, "f.zarr")
    assert {fault["file"] for fault in told["faults"]} == {*ours, "notes.txt", "images/size/README"}
    mended = found(dseg, "f.zarr", "--repair")
    assert mended["whole"]
    assert contents(own / "f.zarr") == contents(store)
    aside = Path(mended["set_aside"])
    assert sorted(map(str, contents(aside))) == ["images/size/README", "notes.txt"]


def test_rows_that_an_image_gave_up_are_removed(dseg, own_world, ddpm, tmp_path):
    words = ("extract", "--images", own_world.photos, "--checkpoint", ddpm, "--tile", "--out", "f")
    assert dseg(*words).code == 0
    rows = FeatureStore.open("f").n_rows
    with Image.open(own_world.photos / "p1.png") as image:
        image.resize((200, 32)).save(own_world.photos / "p1.png")
    assert dseg(*words).code == 0
    assert FeatureStore.open("f").n_rows > rows
    told = found(dseg, "f")
    assert told["faults"]
    assert all("belongs to no image (any more)" in fault["words"] for fault in told["faults"])
    assert found(dseg, "f", "--repair")["whole"]
    assert found(dseg, "f")["faults"] == []
    assert "6 unchanged" in dseg(*words).out


def test_masks_are_what_their_manifest_says(dseg, masks):
    before = contents(masks)
    corrected = np.asarray(Image.open(masks / "p1.png")).copy()
    corrected[:3] = 0
    Image.fromarray(corrected).save(masks / "p1.png")
    (masks / "p2.png").unlink()
    flip(masks / "uncertainty/p4.npy")
    (masks / "stray.png").write_bytes(b"x")
    lines = (masks / "predictions.jsonl").read_text().replace('"p5.png"', '"p5.pnf"')
    (masks / "predictions.jsonl").write_text(lines)
    told = found(dseg, "masks")
    assert {(fault["file"], fault["image"]) for fault in told["faults"]} == {
        *(("p1.png", "p1"), ("p2.png", "p2"), ("uncertainty/p4.npy", "p4")),
        *(("stray.png", None), ("predictions.jsonl", None), ("p5.png", None)),
        ("uncertainty/p5.npy", None),
    }
    mended = found(dseg, "masks", "--repair")
    assert mended["whole"]
    assert sorted(mended["removed"]) == ["p1", "p2", "p4"]
    assert (Path(mended["set_aside"]) / "p1.png").is_file()  # somebody may have corrected it
    again = dseg("predict", "f.zarr", "--uncertainty")
    assert "4 masks written, 2 unchanged" in again.out
    assert contents(masks) == before


@pytest.mark.parametrize("name", ["model.json", "members.safetensors"])
def test_a_damaged_model_is_found_and_cannot_be_mended(dseg, own, name):
    file = own / "model" / name
    if name == "model.json":
        file.write_text(file.read_text().replace('"sea"', '"sex"'))
    else:
        flip(file, 0.9)
    for more in ((), ("--repair",)):
        run = dseg("verify", "model", *more)
        assert run.code == 1
        assert name in run.out
        assert "Restore it from a copy, or fit again" in run.out


def test_what_killed_runs_left_is_removed_unless_a_run_is_there(dseg, own):
    left = [f".model.{16 * 'a'}.part", ".f.zarr.native", f".masks.{16 * 'b'}.part"]
    for name in left:
        (own / name).mkdir()
        (own / name / "zarr.json").write_text("{}")
    (own / f".model.{16 * 'c'}.{16 * 'd'}.lock").write_text(" {}")
    for path in ("model", "f.zarr", "masks"):  # there are no masks yet
        told = dseg("verify", path)
        assert told.code == 1
        assert "was left by a killed run" in told.out
        with claimed(own / path, None, "a test", in_parent=True):
            if path != "masks":
                assert dseg("verify", path).code == 0
            refused = dseg("verify", path, "--repair")
            assert refused.code == 2
            assert "(a test, for " in refused.err
        assert dseg("verify", path, "--repair").code == 0
    assert sorted(path.name for path in own.iterdir()) == ["f.zarr", "model"]
    assert dseg("verify", "masks").code == 2


def test_bad_calls_end_in_a_line(dseg, own, world):
    for words, told in (
        (("nothing",), "'nothing' does not exist"),
        ((world.photos,), "is nothing that can be verified"),
        (("f.zarr", "--images", world.photos), "add --repair"),
        (("model", "--repair", "--images", world.photos), "--images is for a feature store"),
        (("f.zarr", "--repair", "--checkpoint", "x"), "--checkpoint"),
    ):
        run = dseg("verify", *words)
        assert run.code == 2
        assert told in run.err


def test_an_incomplete_store_is_no_damage(dseg, own):
    group = zarr.open_group(own / "f.zarr", mode="r+")
    assert group["complete"][2]
    for folder in ("features", "facts"):
        for file in (own / "f.zarr" / folder).rglob("*"):
            if file.is_file() and "/c/2" in file.as_posix():
                file.unlink()
    (own / "f.zarr/complete/c/2").unlink()
    assert found(dseg, "f.zarr")["faults"] == []
