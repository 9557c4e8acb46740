"""Images, names, links and lists as people have them: understood and said, or refused."""

import shutil
import unicodedata

import numpy as np
import pytest
from dseg import FeatureStore
from dseg.extract.images.reading_spec import ReadingSpec
from PIL import Image

NFC = unicodedata.normalize("NFC", "prélèvement")
NFD = unicodedata.normalize("NFD", NFC)


def assert_refused(result, *words, code=2):
    assert result.code == code, (result.out, result.err)
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err


def extract(dseg, photos, checkpoint, *more, out="f.zarr"):
    return dseg("extract", "--images", photos, "--out", out, "--checkpoint", checkpoint, *more)


def features(path, stem="p3"):
    store = FeatureStore.open(path)
    return store.map(store.rows(stem)[0], store.spec.map_sizes[0]).astype(np.float32)


# ---- 16-bit images that use fewer bits ----


@pytest.fixture
def of_8_bits(own_world):
    """The photographs in grey."""
    for path in own_world.photos.glob("*.png"):
        with Image.open(path) as image:
            image.convert("L").save(path)
    return own_world


@pytest.fixture
def of_12_bits(of_8_bits, tmp_path):
    """The same, as 12-bit values in 16-bit files."""
    (tmp_path / "deep").mkdir()
    for path in of_8_bits.photos.glob("*.png"):
        with Image.open(path) as image:
            grey = np.asarray(image).astype(np.uint32)
        deep = np.rint(grey * 4095 / 255).astype(np.uint16)
        Image.fromarray(deep).save(tmp_path / f"deep/{path.stem}.tif")
    return tmp_path / "deep"


def test_12_bits_in_16_bit_files_give_the_features_of_8(dseg, of_8_bits, of_12_bits, ddpm):
    assert extract(dseg, of_8_bits.photos, ddpm, out="8.zarr").code == 0
    told = extract(dseg, of_12_bits, ddpm, out="12.zarr")
    assert told.code == 0, told.err
    assert "6 of 6 images have 16 bits per channel but no value above" in told.err
    assert "all are read as 12-bit images, in which 4095 is white" in told.err
    assert "use --white 65535" in told.err
    assert np.array_equal(features("8.zarr"), features("12.zarr"))
    dark = extract(dseg, of_12_bits, ddpm, "--white", 65535, out="dark.zarr")
    assert "white" not in dark.err
    assert not np.allclose(features("dark.zarr"), features("8.zarr"), atol=0.05)


def test_bit_depths_that_are_mixed_are_told(dseg, of_12_bits, ddpm):
    """One image that uses all 16 bits makes the others nearly black."""
    path = of_12_bits / "p2.tif"
    with Image.open(path) as image:
        values = np.asarray(image).astype(np.uint32)
    for other in of_12_bits.glob("*.tif"):  # 8 bits of 16
        with Image.open(other) as image:
            dim = (np.asarray(image) // 16).astype(np.uint16)
        Image.fromarray(dim).save(other)
    assert "mixed" not in extract(dseg, of_12_bits, ddpm, "--dry-run").err
    Image.fromarray((values * 16).astype(np.uint16)).save(path)
    told = extract(dseg, of_12_bits, ddpm, "--dry-run")
    assert told.code == 0, told.err
    assert "5 of 6 inspected images of 16 bits per channel, such as 'p0.tif'" in told.err
    assert "they are nearly black. Are images of different bit depths mixed?" in told.err


def test_white_is_kept_with_the_features_and_the_model(dseg, of_8_bits, of_12_bits, ddpm, tmp_path):
    assert extract(dseg, of_12_bits, ddpm).code == 0
    assert ReadingSpec.of(FeatureStore.open(tmp_path / "f.zarr").spec.preprocessing).white == 4095
    fitted = dseg("fit", "f.zarr", of_8_bits.labels, "--members", 2, "--max-steps", 20)
    assert fitted.code == 0, fitted.err
    one = tmp_path / "one"
    one.mkdir()
    with Image.open(of_12_bits / "p4.tif") as image:
        Image.fromarray(np.asarray(image) // 5).save(one / "p4.tif")  # alone it seems of 10 bits
    assert dseg("predict", of_12_bits, "--out", "all", "--overlay").code == 0
    assert (
        dseg("predict", "f.zarr", "--out", "stored", "--overlay", "--images", of_12_bits).code == 0
    )
    for kind in (".", "overlays"):
        masks = [(tmp_path / f"{out}/{kind}/p4.png").read_bytes() for out in ("all", "stored")]
        assert masks[0] == masks[1]
    told = dseg("predict", one, "--out", "dim")
    assert told.code == 0
    assert "read as dark" not in told.err
    again = extract(dseg, one, ddpm, "--layers-from", "model", out="one.zarr")
    assert again.code == 0, again.err
    assert ReadingSpec.of(FeatureStore.open(tmp_path / "one.zarr").spec.preprocessing).white == 4095


def test_a_brighter_image_than_white_is_refused_alone(dseg, of_12_bits, ddpm):
    assert extract(dseg, of_12_bits, ddpm).code == 0
    Image.fromarray(np.full((40, 40), 60000, np.uint16)).save(of_12_bits / "new.tif")
    told = extract(dseg, of_12_bits, ddpm)
    assert_refused(
        told,
        "new.tif",
        "values up to 60000, but in this run 4095 is white: use --white 65535",
        code=3,
    )
    assert "--white 65535" in told.err


def test_another_white_is_another_recipe(dseg, of_12_bits, ddpm):
    assert extract(dseg, of_12_bits, ddpm).code == 0
    refused = extract(dseg, of_12_bits, ddpm, "--white", 16383)
    assert_refused(
        refused, "another feature spec", "white: 4095 in the store, 16383 in this command"
    )


def test_features_of_ordinary_images_keep_their_hash(dseg, own_world, ddpm, store, tmp_path):
    """Also of 16-bit images whose values use all bits."""
    for i, path in enumerate(sorted(own_world.photos.glob("*.png"))):
        with Image.open(path) as image:
            grey = np.asarray(image.convert("L")).astype(np.uint16)
        if i == 5:
            Image.fromarray(np.uint16(300) * (grey % 218)).save(path)
    assert extract(dseg, own_world.photos, ddpm).code == 0
    spec = FeatureStore.open(tmp_path / "f.zarr").spec
    assert spec.hash == FeatureStore.open(store).spec.hash
    assert "white" not in spec.preprocessing


def test_a_model_of_8_bit_images_takes_12_bits_for_dark_and_says_so(
    dseg, of_8_bits, of_12_bits, ddpm, tmp_path
):
    assert extract(dseg, of_8_bits.photos, ddpm).code == 0
    words = ("--members", 2, "--max-steps", 20)
    assert dseg("fit", "f.zarr", of_8_bits.labels, *words).code == 0
    told = dseg("predict", of_12_bits, "--out", "dark")
    assert "the model has 65535 as white: they are read as dark" in told.err
    assert "use --white 4095" in told.err
    right = dseg("predict", of_12_bits, "--out", "right", "--white", 4095)
    assert right.code == 0
    assert "dark" not in right.err
    assert dseg("predict", of_8_bits.photos, "--out", "eight").code == 0
    for stem in of_8_bits.stems:
        masks = [(tmp_path / f"{out}/{stem}.png").read_bytes() for out in ("right", "eight")]
        assert masks[0] == masks[1]
    assert_refused(
        dseg("predict", "f.zarr", "--white", 4095), "--white determines how images are read"
    )


def test_pretraining_finds_white_too(dseg, of_12_bits, ddpm):
    words = ("--init", ddpm, "--steps", 1, "--batch-size", 2, "--sheets", 0, "--device", "cpu")
    told = dseg("pretrain", "--images", of_12_bits, "--out", "net", *words)
    assert told.code == 0, told.err
    assert "all are read as 12-bit images, in which 4095 is white" in told.err


# ---- several pages ----


def test_further_pages_are_told(dseg, own_world, ddpm, model, tmp_path):
    frames = [Image.new("RGB", (40, 40), (50 * i, 90, 90)) for i in range(3)]
    frames[0].save(own_world.photos / "stack.tif", save_all=True, append_images=frames[1:])
    words = "1 of 7 images have more than one page or frame (1 .tif), such as 'stack.tif'"
    for told in (
        extract(dseg, own_world.photos, ddpm),
        dseg("predict", own_world.photos, "--model", model),
        dseg("pretrain", "--images", own_world.photos, "--out", "net", "--init", ddpm, "--dry-run"),
    ):
        assert told.code == 0, told.err
        assert words in told.err


# ---- names ----


def test_names_in_either_unicode_form_meet(dseg, own_world, ddpm, tmp_path):
    """A folder from macOS, labels, lists and truth from elsewhere."""
    photos, labels, truth = own_world.photos, own_world.labels, own_world.truth
    (photos / "p0.png").rename(photos / f"{NFD}.png")
    (labels / "p0.png").rename(labels / f"{NFC}.png")
    (truth / "p0.png").rename(truth / f"{NFC}.png")
    (tmp_path / "list.txt").write_text(f"{NFC}\np1\np2\n", encoding="utf-8")
    assert extract(dseg, photos, ddpm).code == 0
    fit = ("--members", 2, "--max-steps", 20, "--list", "list.txt")
    fitted = dseg("fit", "f.zarr", labels, *fit)
    assert fitted.code == 0, fitted.err
    for source in ("f.zarr", photos):
        words = ("--overlay", "--images", photos) if source == "f.zarr" else ("--overlay",)
        assert dseg("predict", source, "--overwrite", *words).code == 0
        assert "6 unchanged" in dseg("predict", source, *words).out
    assert (photos / f"{NFD}.png").is_file()
    assert dseg("evaluate", "masks", truth).code == 0
    assert dseg("info", "f.zarr", "--list", "list.txt").code == 0
    shutil.copytree(photos, tmp_path / "copied")
    (tmp_path / f"copied/{NFD}.png").rename(tmp_path / f"copied/{NFC}.png")
    assert "0 images extracted, 6 unchanged" in extract(dseg, tmp_path / "copied", ddpm).out


def test_an_image_beside_its_label_map_in_the_other_form(dseg, own_world, ddpm):
    """As published, where images and label maps stand in one folder."""
    photos, labels = own_world.photos, own_world.labels
    (photos / "p0.png").rename(photos / f"{NFD}.png")
    shutil.copy(photos / f"{NFD}.png", labels / f"{NFC}.png")
    with Image.open(labels / "p0.png") as label:
        np.save(labels / f"{NFC}.npy", np.asarray(label))
    (labels / "p0.png").unlink()
    assert extract(dseg, photos, ddpm).code == 0
    fitted = dseg("fit", "f.zarr", labels, "--members", 2, "--max-steps", 20)
    assert fitted.code == 0, fitted.err


def test_two_names_that_differ_only_in_form_are_refused(dseg, own_world, ddpm, store):
    shutil.copy(own_world.photos / "p0.png", own_world.photos / f"{NFD}.png")
    shutil.copy(own_world.photos / "p0.png", own_world.photos / f"{NFC}.png")
    assert_refused(extract(dseg, own_world.photos, ddpm), "Unicode form of their names")
    for form in (NFC, NFD):
        shutil.copy(own_world.labels / "p0.png", own_world.labels / f"{form}.png")
    assert_refused(dseg("fit", store, own_world.labels), "two label maps for")


def test_links_to_folders_are_followed(dseg, own_world, ddpm, tmp_path):
    disk = tmp_path / "disk"
    shutil.move(own_world.photos, disk)
    own_world.photos.mkdir()
    (own_world.photos / "day1").symlink_to(disk)
    (own_world.photos / "day1again").symlink_to(disk)
    (disk / "loop").symlink_to(own_world.photos)
    told = extract(dseg, own_world.photos, ddpm)
    assert "6 images extracted" in told.out, told.err
    assert f"has links to '{disk}'; the images there are included" in told.err
    assert "2 links to folders that are included already" in told.err
    (own_world.photos.parent / "linked").mkdir()
    (own_world.photos.parent / "linked/day1").symlink_to(own_world.labels)
    fit = ("--members", 2, "--max-steps", 20)
    assert dseg("fit", "f.zarr", own_world.photos.parent / "linked", *fit).code == 0
    refused = dseg("predict", own_world.photos, "--out", disk / "masks")
    assert_refused(refused, "would be read as images in the next run")


# ---- lists ----


@pytest.mark.parametrize("form", ["photos/{}.png", "/x/y/{}.png", "./{}.png", "x\\y\\{}.png", "{}"])
def test_a_list_of_paths(dseg, store, model, tmp_path, form):
    lines = "\r\n".join(form.format(stem) for stem in ("p1", "p4"))
    (tmp_path / "list.txt").write_bytes(lines.encode())
    told = dseg("predict", store, "--model", model, "--list", "list.txt")
    assert told.code == 0, told.err
    assert {path.stem for path in (tmp_path / "masks").glob("*.png")} == {"p1", "p4"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_with_a_byte_order_mark(dseg, store, model, tmp_path, encoding):
    (tmp_path / "list.txt").write_text("p1\r\np4\r\n", encoding=encoding, newline="")
    assert "2 masks" in dseg("predict", store, "--model", model, "--list", "list.txt").out


def test_paths_of_several_folders_are_not_one_list(dseg, store, model, tmp_path):
    (tmp_path / "list.txt").write_text("train/p1.png\ntest/p2.png\n")
    refused = dseg("predict", store, "--model", model, "--list", "list.txt")
    assert_refused(refused, "paths in several folders", "'train/p1.png', 'test/p2.png'")


def test_sub_folders_count_in_paths(dseg, own_world, ddpm, tmp_path):
    for name in ("a", "b"):
        (own_world.photos / name).mkdir()
        shutil.copy(own_world.photos / "p0.png", own_world.photos / name / "p0.png")
    (tmp_path / "list.txt").write_text("photos/a/p0.png\nphotos/p1.png\n")
    assert extract(dseg, own_world.photos, ddpm, "--list", "list.txt").code == 0
    images = FeatureStore.open(tmp_path / "f.zarr").images
    assert [image.name for image in images] == ["a/p0.png", "p1.png"]
    (tmp_path / "list.txt").write_text("c/p0\np1\n")
    refused = extract(dseg, own_world.photos, ddpm, "--list", "list.txt", out="g.zarr")
    assert_refused(refused, "contains 'c/p0', not found among the 8 images", "did you mean 'a/p0'?")


def test_the_nearest_name_is_told(dseg, store, model, tmp_path):
    (tmp_path / "list.txt").write_text("p1\np33\n")
    refused = dseg("predict", store, "--model", model, "--list", "list.txt")
    assert_refused(refused, "contains 'p33', not found among the 6 images; did you mean 'p3'?")


# ---- what is skipped in ----


def test_files_passed_over_are_told(dseg, own_world, ddpm, model):
    for name in ("a.CR2", "b.cr2", "c.raw", ".d.png", "Thumbs.db", "notes.txt"):
        (own_world.photos / name).write_bytes(b"x")
    words = f"skipped in '{own_world.photos}': 2 .cr2, 1 .raw, 1 hidden"
    for told in (
        extract(dseg, own_world.photos, ddpm),
        dseg("predict", own_world.photos, "--model", model),
        dseg("pretrain", "--images", own_world.photos, "--out", "net", "--init", ddpm, "--dry-run"),
    ):
        assert told.code == 0, told.err
        assert words in told.err


def test_nothing_is_told_where_nothing_is_missed(dseg, own_world, ddpm, model):
    (own_world.photos / "Thumbs.db").write_bytes(b"x")
    told = extract(dseg, own_world.photos, ddpm)
    assert "skipped in" not in told.err
    fitted = dseg("fit", "f.zarr", own_world.labels, "--members", 2, "--max-steps", 20)
    assert "skipped in" not in fitted.err


def test_only_other_kinds_of_files(dseg, tmp_path, ddpm):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.cr2").write_bytes(b"x")
    refused = extract(dseg, tmp_path / "photos", ddpm)
    assert_refused(refused, "no image in", "skipped: 1 .cr2")


def test_label_files_that_are_not_read_are_told(dseg, own_world, store, tmp_path):
    for stem in ("p3", "p4"):
        with Image.open(own_world.truth / f"{stem}.png") as label:
            label.save(own_world.labels / f"{stem}.jpg")
    fit = ("--members", 2, "--max-steps", 20)
    told = dseg("fit", store, own_world.labels, *fit, "--out", "one")
    assert told.code == 0, told.err
    assert "2 .jpg (label maps of one kind are read, here .png" in told.err
    for path in own_world.labels.glob("*.png"):
        path.unlink()
    refused = dseg("fit", store, own_world.labels, *fit)
    assert_refused(refused, "are grey masks (jpg), but a JPEG cannot store exact class ids")


# ---- single images ----


def test_single_images_are_predicted(dseg, world, model, tmp_path):
    told = dseg("predict", world.photos / "p1.png", "--model", model, "--overlay")
    assert told.code == 0, told.err
    assert {path.name for path in (tmp_path / "masks").glob("*.png")} == {"p1.png"}
    assert (tmp_path / "masks/overlays/p1.png").is_file()
    several = [world.photos / f"p{i}.png" for i in (2, 3)]
    assert "2 masks written" in dseg("predict", *several, "--model", model).out
    assert dseg("predict", world.photos, "--model", model, "--out", "all").code == 0
    for stem in ("p1", "p2", "p3"):
        masks = [(tmp_path / f"{out}/{stem}.png").read_bytes() for out in ("masks", "all")]
        assert masks[0] == masks[1]


def test_a_single_image_is_extracted(dseg, world, ddpm, tmp_path):
    assert extract(dseg, world.photos / "p1.png", ddpm).code == 0
    assert [image.name for image in FeatureStore.open(tmp_path / "f.zarr").images] == ["p1.png"]


def test_files_that_are_no_images_are_refused(dseg, world, model, store, tmp_path):
    (tmp_path / "x.tar").write_bytes(b"x")
    refused = dseg("predict", "x.tar", "--model", model)
    assert_refused(refused, "'x.tar' is not an image file")
    (tmp_path / "x.zip").write_bytes(b"x")
    refused = dseg("predict", "x.zip", "--model", model)
    assert_refused(refused, "x.zip' is no zip file, or is damaged")
    refused = dseg("predict", world.photos, world.photos / "p1.png", "--model", model)
    assert_refused(refused, "give one folder of images, images alone, or feature stores alone")


def test_a_mask_never_takes_the_place_of_its_image(dseg, own_world, model, tmp_path):
    image = own_world.photos / "p1.png"
    before = image.read_bytes()
    words = ("--model", model, "--out", own_world.photos, "--overwrite")
    assert_refused(dseg("predict", image, *words), "would replace the image itself")
    assert image.read_bytes() == before


def test_masks_of_single_images_are_not_written_among_them(dseg, own_world, model):
    image = own_world.photos / "p1.png"
    photo = own_world.photos / "photo.jpg"
    Image.open(image).convert("RGB").save(photo)
    words = ("--model", model, "--out", own_world.photos, "--overwrite")
    refused = dseg("predict", photo, *words)
    assert_refused(refused, "contains the image 'photo.jpg'", "give another --out")
    assert not (own_world.photos / "photo.png").exists()
    inside = own_world.photos / "masks"  # as the default is, called in the images' folder
    assert dseg("predict", photo, "--model", model, "--out", inside).code == 0
    assert (inside / "photo.png").is_file()


def test_the_next_command_is_told_only_if_there_is_something_for_it(dseg, of_12_bits, ddpm):
    told = extract(dseg, of_12_bits, ddpm, "--white", 2000)
    assert told.code == 3
    assert "0 images extracted, 0 unchanged, 6 failed" in told.out
    assert "Next:" not in told.out
    assert "Next: dseg fit" in extract(dseg, of_12_bits, ddpm, out="good.zarr").out


def test_single_files_in_place_of_folders_are_refused_in_plain_words(dseg, world, model):
    image, label = world.photos / "p1.png", world.truth / "p1.png"
    for words in (
        ("evaluate", label, label),
        ("robustness", image, label, "--model", model),
        ("pretrain", "--images", image, "--out", "net"),
    ):
        refused = dseg(*words)
        assert_refused(refused, "is a file")


def test_the_kinds_meet_in_robustness(dseg, own_world, model):
    pytest.importorskip("imagecorruptions", reason="corruptions need dseg[robustness]")
    (own_world.photos / "a.cr2").write_bytes(b"x")
    for folder in (own_world.photos, own_world.truth):
        (folder / "p0.png").rename(folder / f"{NFC if folder == own_world.truth else NFD}.png")
    words = ("--model", model, "--corruptions", "fog", "--severities", "1", "--dry-run")
    told = dseg("robustness", own_world.photos, own_world.truth, *words)
    assert told.code == 0, told.err
    assert "1 .cr2" in told.err


def test_a_dangling_link_is_told_so(dseg, own_world, ddpm, tmp_path):
    (own_world.photos / "gone.png").symlink_to(tmp_path / "nowhere.png")
    refused = extract(dseg, own_world.photos, ddpm)
    assert_refused(refused, "'gone.png' is a broken link", code=3)
