"""``dseg labels``: what is understood of other programs' labels, and plain ones made of them."""

import json
import shutil

import numpy as np
import pytest
from dseg.extract.images.files import find_images
from dseg.pipelines.console.progress import Progress
from dseg.pipelines.robustness.scored_images import read_scored_images
from PIL import Image

COLOURS = np.array([[0, 0, 0], [240, 200, 40], [150, 70, 30]], np.uint8)
QUICK = ("--members", 2, "--max-steps", 5)


def assert_refused(result, *words, code=2):
    assert result.code == code, (result.out, result.err)
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err


def label_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def coloured(own_world):
    """Label maps of three images as RGB masks, with names and colours as CVAT writes them."""
    folder = own_world.photos.parent / "cvat" / "SegmentationClass"
    folder.mkdir(parents=True)
    for path in own_world.labels.glob("*.png"):
        Image.fromarray(COLOURS[label_of(path)]).save(folder / path.name)
    lines = ("boat:150,70,30::", "sun:240,200,40::", "background:0,0,0::")
    (folder.parent / "labelmap.txt").write_text("\n".join(lines))
    return folder


def coco(world, path, stems=("p0", "p1", "p2")):
    """Write a COCO file with a rectangle on each image; return what it means."""
    images, annotations, meant = [], [], {}
    for number, stem in enumerate(stems, 1):
        height, width = label_of(world.truth / f"{stem}.png").shape
        images.append(
            {"id": number, "file_name": f"x/{stem}.jpg", "height": height, "width": width}
        )
        corners = [5, 6, 20, 6, 20, 18, 5, 18]
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 7,
                "iscrowd": 0,
                "segmentation": [corners],
                "area": 180,
                "bbox": [5, 6, 15, 12],
            }
        )
        meant[stem] = np.zeros((height, width), np.uint8)
        meant[stem][6:18, 5:20] = 2
    categories = [{"id": 3, "name": "sun"}, {"id": 7, "name": "boat"}]
    whole = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(whole))
    return meant


# ---- check ----


def test_check_of_plain_label_maps(dseg, world):
    done = dseg("labels", "check", world.photos, world.labels)
    assert done.code == 0, done.err
    assert "plain label maps" in done.out
    assert "3 of 6 images have a label map that can be used" in done.out
    pixels = sum((label_of(path) == 1).sum() for path in world.labels.glob("*.png"))
    (line,) = (line for line in done.out.splitlines() if line.strip().startswith("sun"))
    assert f"{pixels} pixels" in line


def test_check_counts_an_ignored_id_once(dseg, own_world):
    for path in own_world.labels.glob("*.png"):
        Image.fromarray((label_of(path) == 1).astype(np.uint8)).save(path)
    call = ("labels", "check", own_world.photos, own_world.labels, "--ignore", 1, "--json")
    told = json.loads(dseg(*call).out)
    labels = np.concatenate([label_of(path).ravel() for path in own_world.labels.glob("*.png")])
    assert [one["pixels"] for one in told["classes"].values()] == [np.sum(labels == 0), 0, 0]
    assert told["unlabelled"] == np.sum(labels == 1)


def test_check_tells_all_that_is_wrong(dseg, own_world):
    labels = own_world.labels
    Image.fromarray(np.zeros((9, 8), np.uint8)).save(labels / "p0.png")
    Image.fromarray(np.full((32, 32), 7, np.uint8)).save(labels / "p1.png")
    shutil.copy(labels / "p2.png", labels / "x9.png")
    done = dseg("labels", "check", own_world.photos, labels, "--json")
    assert done.code == 1
    told = json.loads(done.out)
    assert [one["file"] for one in told["problems"]] == [None, "p0.png", "p1.png"]
    words = " ".join(one["words"] for one in told["problems"])
    assert "1 of 4 label maps match none of the 6 images" in words
    assert "is 8×9 but image 'p0.png' is 56×40" in words
    assert "has the id 7 but there are 3 classes" in words
    assert told["labelled"] == 1
    assert "Problem: p0.png: label map" in dseg("labels", "check", own_world.photos, labels).out


def test_check_of_what_is_not_clear(dseg, own_world):
    (own_world.labels / "classes.txt").unlink()
    for path in own_world.labels.glob("*.png"):
        Image.fromarray(np.array([0, 128, 255], np.uint8)[label_of(path)]).save(path)
    done = dseg("labels", "check", own_world.photos, own_world.labels)
    assert done.code == 1
    assert "are these grey values?" in done.out
    assert '{"id": 128, "name": …}' in done.out


def test_check_by_a_store(dseg, coloured, store):
    done = dseg("labels", "check", store, coloured, "--json")
    told = json.loads(done.out)
    assert told["described"] == "RGB masks (png), colours as in labelmap.txt, 3 of 3 label maps"
    assert list(told["classes"]) == ["background", "boat", "sun"]
    assert not told["problems"]
    assert told["unlabelled"] == 0


def test_check_of_a_list(dseg, coloured, own_world, tmp_path):
    (tmp_path / "list.txt").write_text("p1\np5")
    done = dseg("labels", "check", own_world.photos, coloured, "--list", "list.txt", "--json")
    told = json.loads(done.out)
    assert told["labelled"] == 1
    assert "--list contains 'p5', which have no label map" in told["problems"][0]["words"]


@pytest.mark.parametrize("zipped", [False, True])
def test_an_export_of_cvat_as_it_is(dseg, coloured, store, tmp_path, zipped):
    shutil.copytree(coloured, coloured.parent / "SegmentationObject")
    given = coloured.parent
    if zipped:
        given = shutil.make_archive("cvat", "zip", given)
    told = json.loads(dseg("labels", "check", store, given, "--json").out)
    assert told["described"] == "RGB masks (png), colours as in labelmap.txt, 3 of 3 label maps"
    assert not told["problems"]


# ---- convert ----


def test_convert_gives_what_was_meant(dseg, coloured, own_world, store):
    done = dseg("labels", "convert", own_world.photos, coloured, "--out", "plain")
    assert done.code == 0, done.err
    assert "plain: 3 label maps, 3 classes (RGB masks (png)" in done.out
    written = json.loads((own_world.photos.parents[1] / "plain/classes.json").read_text())
    assert [one["name"] for one in written] == ["background", "boat", "sun"]
    for path in own_world.labels.glob("*.png"):
        expected = np.array([0, 2, 1])[label_of(path)]
        np.testing.assert_array_equal(label_of(f"plain/{path.name}"), expected)
    assert dseg("labels", "check", own_world.photos, "plain").code == 0
    one = dseg("fit", store, coloured, *QUICK, "--out", "a")
    assert one.code == 0, one.err
    assert "RGB masks (png), colours as in labelmap.txt, 3 of 3 label maps" in one.err
    assert dseg("fit", store, "plain", *QUICK, "--out", "b").code == 0
    weights = [sorted(own_world.photos.parents[1].glob(f"{m}/*.safetensors")) for m in "ab"]
    assert weights[0]
    for path, other in zip(*weights, strict=True):
        assert path.read_bytes() == other.read_bytes()


def test_convert_does_not_replace(dseg, coloured, own_world, tmp_path):
    call = ("labels", "convert", own_world.photos, coloured, "--out", "plain")
    assert dseg(*call).code == 0
    assert_refused(dseg(*call), "'plain' exists already", "--overwrite")
    assert dseg(*call, "--overwrite").code == 0
    (tmp_path / "plain/mine.doc").touch()
    assert_refused(dseg(*call, "--overwrite"), "is no folder that `dseg labels convert` wrote")
    for out in (coloured, own_world.photos / "plain"):
        refused = dseg("labels", "convert", own_world.photos, coloured, "--out", out)
        assert_refused(refused, "must be separate")


def test_convert_writes_nothing_if_a_label_map_is_wrong(dseg, coloured, own_world, tmp_path):
    Image.fromarray(np.zeros((9, 8, 3), np.uint8)).save(coloured / "p0.png")
    refused = dseg("labels", "convert", own_world.photos, coloured, "--out", "plain")
    assert_refused(refused, "label map 'p0.png' is 8×9")
    assert not (tmp_path / "plain").exists()


def test_convert_with_a_background_that_is_not_labelled(dseg, own_world, tmp_path):
    (own_world.labels / "classes.txt").unlink()
    for path in own_world.labels.glob("*.png"):
        Image.fromarray(np.where(label_of(path) > 0, 255, 0).astype(np.uint8)).save(path)
    done = dseg(
        *("labels", "convert", own_world.photos, own_world.labels),
        *("--out", "plain", "--background", "unlabelled"),
    )
    assert done.code == 0, done.err
    for path in own_world.labels.glob("*.png"):
        expected = np.where(label_of(path) > 0, 0, 255)
        np.testing.assert_array_equal(label_of(tmp_path / "plain" / path.name), expected)


def test_convert_by_another_list_of_classes(dseg, own_world, tmp_path):
    listed = [{"id": 2, "name": "ship"}, {"id": 0, "name": "void"}, {"id": 1, "name": "star"}]
    (tmp_path / "mine.json").write_text(json.dumps([listed[0], listed[2]]))
    done = dseg(
        *("labels", "convert", own_world.photos, own_world.labels),
        *("--out", "plain", "--classes", "mine.json", "--background", "water"),
    )
    assert done.code == 0, done.err
    names = [one["name"] for one in json.loads((tmp_path / "plain/classes.json").read_text())]
    assert names == ["star", "ship", "water"]
    ids = label_of(tmp_path / "plain/p0.png")
    np.testing.assert_array_equal(ids, np.array([2, 0, 1])[label_of(own_world.labels / "p0.png")])


def test_convert_to_annotations_and_back(dseg, coloured, own_world, tmp_path):
    call = ("labels", "convert", own_world.photos)
    assert dseg(*call, coloured, "--out", "out.json", "--to", "coco").code == 0
    assert_refused(dseg(*call, coloured, "--out", "out.json", "--to", "coco"), "exists already")
    assert_refused(dseg(*call, coloured, "--out", "b", "--to", "nothing"), "give one of coco")
    assert dseg(*call, coloured, "--out", "out.json", "--to", "coco", "--overwrite").code == 0
    (tmp_path / "there").mkdir()
    (tmp_path / "there/mine.json").touch()
    for form, words in (("coco", "writes a file"), ("labelme", "writes a folder")):
        refused = dseg(*call, coloured, "--out", "there", "--to", form, "--overwrite")
        assert_refused(refused, f"--to {form} {words}")
    done = dseg(*call, "out.json", "--out", "plain")
    assert done.code == 0, done.err
    written = json.loads((tmp_path / "plain/classes.json").read_text())
    assert [one["name"] for one in written] == ["background", "boat", "sun"]
    for path in own_world.labels.glob("*.png"):
        expected = np.array([0, 2, 1])[label_of(path)]
        np.testing.assert_array_equal(label_of(tmp_path / "plain" / path.name), expected)


# ---- images turned by EXIF ----


@pytest.mark.parametrize("turned", [True, False])
def test_label_maps_of_stored_pixels(dseg, own_world, tmp_path, turned):
    """Labelled by a program that does not turn photographs, or by one that does."""
    label = label_of(own_world.labels / "p0.png")
    with Image.open(own_world.photos / "p0.png") as image:
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(own_world.photos / "p0.png", exif=exif)
    shown = np.rot90(label, -1)
    Image.fromarray(shown if turned else label).save(own_world.labels / "p0.png")
    call = (own_world.photos, own_world.labels)
    told = json.loads(dseg("labels", "check", *call, "--json").out)
    assert not told["problems"]
    assert ("have the size of the stored pixels" in " ".join(told["notes"])) != turned
    assert dseg("labels", "convert", *call, "--out", "plain").code == 0
    np.testing.assert_array_equal(label_of(tmp_path / "plain/p0.png"), shown)


# ---- annotation files, through other commands ----


def test_fit_and_evaluate_take_an_annotation_file(dseg, own_world, store, tmp_path):
    meant = coco(own_world, tmp_path / "coco.json")
    fitted = dseg("fit", store, "coco.json", *QUICK, "--json")
    assert fitted.code == 0, fitted.err
    assert "COCO annotations, 2 classes, what no shape covers is 'background', 3 of 3" in fitted.err
    assert list(json.loads(fitted.out)["classes"]) == ["background", "sun", "boat"]
    assert "no label map has a pixel of 'sun'" in fitted.err
    (tmp_path / "masks").mkdir()
    for stem, ids in meant.items():
        Image.fromarray(ids).save(tmp_path / f"masks/{stem}.png")
    scored = dseg("evaluate", "masks", "coco.json", "--json")
    assert scored.code == 0, scored.err
    assert json.loads(scored.out)["mean_iou"] == 1


def test_annotations_of_other_images_are_told(dseg, own_world, store, tmp_path):
    coco(own_world, tmp_path / "coco.json")
    whole = json.loads((tmp_path / "coco.json").read_text())
    whole["images"][0]["file_name"] = "elsewhere.jpg"
    (tmp_path / "coco.json").write_text(json.dumps(whole))
    fitted = dseg("fit", store, "coco.json", *QUICK)
    assert fitted.code == 0, fitted.err
    assert "'coco.json' is also about 'elsewhere.jpg', not among the images in" in fitted.err
    told = json.loads(dseg("labels", "check", store, "coco.json", "--json").out)
    assert "'elsewhere.jpg' are not among the images" in " ".join(told["notes"])
    assert not told["problems"]
    for image in whole["images"]:
        image["file_name"] = f"z{image['id']}.jpg"
    (tmp_path / "coco.json").write_text(json.dumps(whole))
    refused = dseg("fit", store, "coco.json", *QUICK, "--out", "other")
    assert_refused(refused, "none of which is among the 6 images in")


def test_annotations_of_an_image_of_another_size(dseg, own_world, store, tmp_path):
    coco(own_world, tmp_path / "coco.json")
    whole = json.loads((tmp_path / "coco.json").read_text())
    whole["images"][0]["height"] = 99
    (tmp_path / "coco.json").write_text(json.dumps(whole))
    refused = dseg("fit", store, "coco.json", *QUICK)
    assert_refused(refused, "label map 'coco.json: x/p0.jpg' is 56×99 but image 'p0.png' is 56×40")


def test_a_file_that_is_no_annotation_file(dseg, store, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    refused = dseg("fit", store, "notes.txt", *QUICK)
    assert_refused(refused, "'notes.txt' is no annotation file that dseg reads")


def test_a_folder_of_labelme_files_beside_the_photographs(dseg, own_world, store):
    for stem in ("p0", "p1"):
        height, width = label_of(own_world.truth / f"{stem}.png").shape
        shape = {"label": "boat", "points": [[5, 6], [20, 18]], "shape_type": "rectangle"}
        whole = {
            "version": "5.5.0",
            "flags": {},
            "imagePath": f"{stem}.png",
            "imageData": None,
            "shapes": [shape],
            "imageHeight": height,
            "imageWidth": width,
        }
        (own_world.photos / f"{stem}.json").write_text(json.dumps(whole))
    fitted = dseg("fit", store, own_world.photos, *QUICK, "--json")
    assert fitted.code == 0, fitted.err
    assert list(json.loads(fitted.out)["classes"]) == ["background", "boat"]


@pytest.mark.parametrize("zipped", [False, True])
def test_annotations_with_other_copies_of_the_images(dseg, own_world, store, tmp_path, zipped):
    """As tools export them: these photographs are no masks."""
    (tmp_path / "export/images").mkdir(parents=True)
    coco(own_world, tmp_path / "export/coco.json")
    for stem in ("p0", "p1"):
        with Image.open(own_world.photos / f"{stem}.png") as photo:
            photo.save(tmp_path / f"export/{'images/' if zipped else ''}{stem}.jpg")
    given = shutil.make_archive("export", "zip", "export") if zipped else "export"
    fitted = dseg("fit", store, given, *QUICK)
    assert fitted.code == 0, fitted.err
    assert "COCO annotations, 2 classes" in fitted.err


def test_robustness_turns_label_maps_of_stored_pixels(own_world):
    """Where photographs are at hand; without the corruptions, which need an extra."""
    label = label_of(own_world.labels / "p0.png")
    with Image.open(own_world.photos / "p0.png") as image:
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(own_world.photos / "p0.png", exif=exif)
    files = find_images([own_world.photos])
    scored = read_scored_images(
        files, own_world.labels, None, 255, smallest=1, n_classes=3, progress=Progress()
    )
    np.testing.assert_array_equal(scored.labels["p0"].read(), np.rot90(label, -1))
    assert (scored.classes.names, scored.ignore) == (("sea", "sun", "boat"), 255)


def test_distil_takes_masks_of_other_programs(dseg, coloured, own_world, store, tmp_path):
    """Its teacher was trained on plain label maps, whose classes are in another order."""
    (own_world.labels / "classes.txt").write_text("background\nsun\nboat")
    assert dseg("fit", store, own_world.labels, *QUICK).code == 0
    done = dseg(
        *("distil", own_world.photos, coloured, "--model", "model", "--out", "student"),
        *("--steps", 1, "--size", 32, "--dry-run", "--json"),
    )
    assert done.code == 0, done.err
    assert "RGB masks (png), colours as in labelmap.txt" in done.err
