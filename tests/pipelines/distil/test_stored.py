"""A store of synthetic images gives the very student that the same images as files give."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import zarr
from dseg.generate.sampler import SamplerSettings
from dseg.pipelines.synthesize.config import SynthesizeConfig
from dseg.pipelines.synthesize.run import synthesize

QUICK = ("--size", 32, "--steps", 3, "--batch-size", 2, "--device", "cpu")


@pytest.fixture(scope="module")
def drawn(model, ddpm, tmp_path_factory):
    """Six images of which four are kept, as files and as a store; read only."""
    folder = tmp_path_factory.mktemp("drawn")
    settings = SamplerSettings(respacing="2", device="cpu")
    config = SynthesizeConfig(model, folder / "files", 6, str(ddpm), settings=settings, dropped=0.4)
    for out in ("files", "store.zarr"):
        synthesize(replace(config, out=folder / out))
    return folder


@pytest.fixture
def own(drawn, tmp_path):
    """A store to change."""
    return shutil.copytree(drawn / "store.zarr", tmp_path / "own.zarr")


def test_a_store_gives_the_student_that_a_folder_gives(drawn, world, dseg, tmp_path):
    more = (world.labels, "--images", world.photos, *QUICK, "--precision", "float32")
    for source, out in (("files", "of_files"), ("store.zarr", "of_store")):
        told = dseg("distil", drawn / source, *more, "--out", out)
        assert told.code == 0, told.err
        assert "4 images and 3 labelled ones" in told.out
    for file in ("student.safetensors", "training/state.safetensors"):
        one, other = ((tmp_path / out / file).read_bytes() for out in ("of_files", "of_store"))
        assert one == other
    one, other = (
        json.loads((tmp_path / out / "student.json").read_text())
        for out in ("of_files", "of_store")
    )
    for facts in (one, other):
        for key in ("teacher", "versions", "checksum"):
            facts.pop(key)
        facts["training"].pop("seconds")
    assert one == other
    again = dseg("distil", drawn / "store.zarr", *more, "--out", "of_store")
    assert "is finished: 3 steps" in again.err
    assert not [path for path in (tmp_path / "of_store").rglob("*.png") if path.stem != "curve"]


def test_lists_and_tiles_of_a_store_are_those_of_a_folder(drawn, dseg, tmp_path):
    (tmp_path / "list.txt").write_text("000001\n000004\n")
    for source in ("files", "store.zarr"):
        words = (drawn / source, "--list", "list.txt", "--out", f"of_{source}", *QUICK)
        told = dseg("distil", *words)
        assert told.code == 0, told.err
        assert "2 images" in told.out
    one, other = (
        (tmp_path / f"of_{source}/student.safetensors").read_bytes()
        for source in ("files", "store.zarr")
    )
    assert one == other
    (tmp_path / "list.txt").write_text("000009\n")
    told = dseg("distil", drawn / "store.zarr", "--list", "list.txt", *QUICK)
    assert told.code == 2
    assert "contains '000009', not found among the 6 images in" in told.err


def test_a_store_that_changed_is_another_run(own, dseg):
    words = ("distil", own, *QUICK)
    assert dseg(*words).code == 0
    group = zarr.open_group(own, mode="r+")
    number = int(np.flatnonzero(group["kept"][:])[0])
    group["images"][number] = 255 - group["images"][number]
    told = dseg(*words)
    assert told.code == 2
    assert "differs in the images" in told.err


def test_what_cannot_be_learnt_from_is_said(own, model, world, store, dseg, tmp_path):
    def refused(*words, code=2):
        told = dseg("distil", *words, "--out", "student", *QUICK)
        assert told.code == code, told
        assert "Traceback" not in told.err
        assert not (tmp_path / "student/student.json").exists()
        return told.err

    assert "is a synthetic store, which has labels already" in refused(own, "--model", model)
    assert "is a synthetic store: give the folder of the real" in refused(own, world.labels)
    assert "is a Zarr store, but not of synthetic images" in refused(store)
    group = zarr.open_group(own, mode="r+")
    kept = group["kept"][:]
    group["kept"][:] = False
    assert "keeps none of the 6 images that it holds: finish" in refused(own)
    group["kept"][:] = kept
    number = int(np.flatnonzero(kept)[0])
    mask = group["labels"][number]
    group["labels"][number] = np.full_like(mask, 7)
    assert f"the mask of image '{number:06d}' has the id 7" in refused(own)
    group["labels"][number] = mask
    chunk = own / f"images/c/{number}/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-9])
    assert f"image '{number:06d}' of '{own}' cannot be read (images: " in refused(own, code=1)
    attributes = json.loads((own / "zarr.json").read_text())
    for change, says, code in (
        ({"version": 2}, "of format version 2, but this dseg reads version 1", 2),
        ({"classes": 3}, "are damaged", 1),
        ({"classes": [3]}, "the classes of", 2),
    ):
        plain = {**attributes, "attributes": {**attributes["attributes"], **change}}
        (own / "zarr.json").write_text(json.dumps(plain))
        assert says in refused(own, code=code)


def test_classes_without_a_pixel_are_named(own, dseg):
    group = zarr.open_group(own, mode="r+")
    group["labels"][:] = 1
    told = dseg("distil", own, *QUICK)
    assert told.code == 0
    assert "show no pixel of 'sea', 'boat'" in told.err


def test_other_commands_say_what_it_is(drawn, model, world, dseg, tmp_path):
    store = drawn / "store.zarr"
    for words in (
        ("fit", store, world.labels, "--out", "m"),
        ("predict", store, "--model", model),
        ("info", store),
    ):
        told = dseg(*words)
        assert told.code == 2, told
        assert (
            f"'{store}' holds synthetic images with masks, not features: `dseg distil`" in told.err
        )
    assert not list(tmp_path.iterdir())
