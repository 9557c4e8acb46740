"""``dseg convert``: masks and label maps as annotations of other programs, and ``--min-size``."""

import json
import shutil

import numpy as np
import pytest
from dseg.classify.annotations.rasterise import rasterise
from dseg.classify.annotations.registry import open_annotations, writable
from dseg.classify.inference.specks import remove_specks
from dseg.pipelines.convert.command import FORMATS
from dseg.store.names import stem_of
from PIL import Image


@pytest.fixture
def labels(world, tmp_path):
    """Label maps with classes.txt, of which one is partly unlabelled."""
    shutil.copytree(world.truth, tmp_path / "truth")
    partly = np.array(Image.open(tmp_path / "truth/p1.png"))
    partly[:9] = 255
    Image.fromarray(partly).save(tmp_path / "truth/p1.png")
    return tmp_path / "truth"


def read(folder, stem):
    return np.asarray(Image.open(folder / f"{stem}.png"))


def test_the_command_offers_every_format_that_is_written():
    assert set(FORMATS) == set(writable())


@pytest.mark.parametrize("kind", sorted(set(FORMATS) - {"geojson-map", "geotiff", "tiff"}))
def test_every_format_says_what_the_masks_say(dseg, world, labels, tmp_path, kind):
    words = ("truth", "--to", kind, "--out", "out", "--images", world.photos)
    made = dseg("convert", *words)
    assert made.code == 0, made.err
    assert made.out.startswith("out: 6 images, 3 classes")
    if kind == "label-studio":  # where a person accepts the predictions
        tasks = tmp_path / "out/tasks.json"
        tasks.write_text(tasks.read_text().replace('"predictions"', '"annotations"'))
    ids = {"sea": 0, "sun": 1, "boat": 2}
    images = {stem_of(image.name): image for image in open_annotations(tmp_path / "out").images}
    for stem in world.stems:
        mask = read(labels, stem)
        found = rasterise(images[stem], ids, mask.shape, background=255, ignored=254)
        np.testing.assert_array_equal(found, mask)


def test_masks_of_predict_need_nothing_else(dseg, world, model, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    assert dseg("predict", world.photos).code == 0
    made = dseg(
        "convert", "masks", "--to", "coco", "--out", "m.json", "--leave-out", "sea", "--json"
    )
    assert made.code == 0, made.err
    assert json.loads(made.out) == {
        "out": "m.json",
        "to": "coco",
        "images": 6,
        "classes": ["sun", "boat"],
        "left_out": ["sea"],
    }
    value = json.loads((tmp_path / "m.json").read_text())
    assert [image["file_name"] for image in value["images"]] == [f"{s}.png" for s in world.stems]
    assert [(c["id"], c["name"]) for c in value["categories"]] == [(1, "sun"), (2, "boat")]
    listed = tmp_path / "list.txt"
    listed.write_text("p2\n")
    again = ("masks", "--to", "coco", "--out", "m.json", "--list", listed, "--prefix", "photos/")
    assert "exists already: give another --out, or replace it (--ov" in dseg("convert", *again).err
    assert dseg("convert", *again, "--overwrite").code == 0
    value = json.loads((tmp_path / "m.json").read_text())
    assert [image["file_name"] for image in value["images"]] == ["photos/p2.png"]


def test_a_class_called_background_is_left_out(dseg, world, labels, tmp_path):
    (labels / "classes.txt").write_text("Background\nsun\nboat\n")
    words = ("truth", "--to", "cvat", "--out", "out.xml", "--images", world.photos)
    assert "2 classes, without 'Background'" in dseg("convert", *words).out
    classes = open_annotations(tmp_path / "out.xml").classes
    assert [name for name, _ in classes] == ["sun", "boat"]


def test_specks_are_removed_by_predict_and_by_convert_alike(dseg, world, model, store, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    assert dseg("predict", store).code == 0
    small = ("predict", store, "--min-size", 30)
    assert "contains masks of 'p0'" in dseg(*small).err, "masks of another kind are not mixed"
    made = dseg(*small, "--out", "clean")
    assert made.code == 0, made.err
    assert "6 unchanged" in dseg(*small, "--out", "clean").out
    differ = False
    for stem in world.stems:
        raw = read(tmp_path / "masks", stem)
        np.testing.assert_array_equal(read(tmp_path / "clean", stem), remove_specks(raw, 30))
        differ |= bool((read(tmp_path / "clean", stem) != raw).any())
    assert differ, "the model predicts no specks"
    both = [("masks", "--min-size", 30, "--out", "a.json"), ("clean", "--out", "b.json")]
    for words in both:
        assert dseg("convert", *words, "--to", "coco", "--model", "model").code == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_refusals_say_what_to_do(dseg, world, labels, tmp_path):
    def refused(*words):
        made = dseg("convert", *words)
        assert made.code == 2
        return made.err

    coco = ("--to", "coco", "--out", "out.json")
    images = ("--images", world.photos)
    assert "was not written by `dseg predict`" in refused("truth", *coco)
    assert "--leave-out names 'x': the classes are 'sea', 'sun', 'boat'" in refused(
        "truth", *coco, *images, "--leave-out", "x"
    )
    all_out = [word for name in ("sea", "sun", "boat") for word in ("--leave-out", name)]
    assert "all classes are left out" in refused("truth", *coco, *images, *all_out)
    assert "'truth' exists already, and --to labelme writes a folder" in refused(
        "truth", "--to", "labelme", "--out", "truth", *images
    )
    assert "'truth' is a folder, but --to coco writes a file" in refused(
        "truth", "--to", "coco", "--out", "truth", *images
    )
    (labels / "classes.txt").write_text("sea\nsun\n")
    assert "mask 'p0.png' has the id 2 but there are 2 classes" in refused("truth", *coco, *images)
    (labels / "classes.txt").unlink()
    assert "the names of the classes in 'truth' are not known: give the model" in refused(
        "truth", *coco, *images
    )
    (tmp_path / "few").mkdir()
    shutil.copy(world.photos / "p0.png", tmp_path / "few/p0.png")
    (labels / "classes.txt").write_text("sea\nsun\nboat\n")
    assert "'few' has no image for the masks 'p1', 'p2'" in refused(
        "truth", *coco, "--images", "few"
    )
    assert not (tmp_path / "out.json").exists()


def test_masks_of_the_networks_size_are_refused(dseg, store, model, tmp_path):
    assert dseg("predict", store, "--model", model, "--paper").code == 0
    made = dseg("convert", "masks", "--to", "coco", "--out", "out.json", "--model", model)
    assert made.code == 2
    assert "masks of the network's size (predict --paper)" in made.err
