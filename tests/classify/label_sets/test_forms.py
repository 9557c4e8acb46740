"""Label maps of many forms, each read to the ids that it was made from."""

import json
import zipfile
from io import BytesIO

import numpy as np
import pytest
from dseg.classify.label_sets import pixels
from dseg.classify.label_sets.label_set import LabelOptions
from dseg.classify.label_sets.opening import open_label_set
from dseg.classify.labels.classes import named_classes
from dseg.store.errors import InputError
from PIL import Image, ImageOps

COLOURS = np.array([[0, 0, 0], [128, 0, 0], [0, 200, 50]], np.uint8)
LISTED = [
    {"name": "ground", "colour": "#000000"},
    {"name": "cat", "colour": [128, 0, 0]},
    {"name": "dog", "colour": [0, 200, 50]},
]


def label(seed=0, size=(60, 80)):
    """Two rectangles: of class 1, and of class 2."""
    found = np.zeros(size, np.uint8)
    found[10:30, 10 + seed : 40] = 1
    found[35:55, 40:70] = 2
    return found


@pytest.fixture
def maps(tmp_path):
    """Write three label maps, each changed, in a format; return their folder."""

    def write(how, suffix="png", **options):
        folder = tmp_path / "labels"
        folder.mkdir(exist_ok=True)
        for seed in range(3):
            changed, path = how(label(seed)), folder / f"{seed}.{suffix}"
            if suffix == "npy":
                np.save(path, changed)
            elif suffix == "npz":
                np.savez_compressed(path, changed)
            else:
                image = changed if isinstance(changed, Image.Image) else Image.fromarray(changed)
                image.save(path, **options)
        return folder

    return write


def read(folder, options=None, **kwargs):
    found = open_label_set(folder, [f"{seed}" for seed in range(3)], (), options, **kwargs)
    return found, [found.entries[f"{seed}"].read() for seed in range(3)]


def assert_exact(folder, *words, ids=lambda made: made, options=None):
    found, made = read(folder, options)
    for seed, one in enumerate(made):
        np.testing.assert_array_equal(one, ids(label(seed)))
        assert np.issubdtype(one.dtype, np.integer)
    for word in words:
        assert word in found.described
    return found


def coloured(made):
    return COLOURS[made]


def enlarged_and_back(made, rule=Image.Resampling.LANCZOS):
    """Smooth the borders of a picture, as anti-aliasing does."""
    image = Image.fromarray(made)
    height, width = made.shape[:2]
    return image.resize((4 * width, 4 * height), 0).rotate(0.4).resize((width, height), rule)


# ---- plain ones are left alone ----


def test_plain_label_maps_are_looked_at_once_only(maps, monkeypatch):
    folder = maps(lambda made: made)
    (folder / "2.png").write_bytes(b"damaged")
    found = open_label_set(folder, ["0", "1", "2"])
    assert found.described == ""
    assert found.is_plain
    np.testing.assert_array_equal(found.entries["0"].read(), label())
    with pytest.raises(InputError, match=r"2\.png' cannot be read"):
        found.entries["2"].read()


# ---- one number a pixel ----


@pytest.mark.parametrize("suffix", ["tif", "bmp", "png"])
def test_formats_of_numbers(maps, suffix):
    assert_exact(maps(lambda made: made, suffix))


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.uint16])
def test_wide_tiffs(maps, dtype):
    assert_exact(maps(lambda made: made.astype(dtype), "tif"), "grey masks (tif)")


def test_grey_pictures_in_three_channels(maps):
    """As OpenCV writes masks."""
    assert_exact(maps(lambda made: np.stack([made] * 3, axis=2)), "one class id a pixel, 3 of 3")


@pytest.mark.parametrize(
    ("how", "suffix"),
    [
        (lambda made: np.eye(3, dtype=bool)[made], "npy"),
        (lambda made: np.eye(3, dtype=np.float32)[made].transpose(2, 0, 1), "npy"),
        (lambda made: np.eye(3, dtype=np.uint8)[made], "npz"),
        (lambda made: made.astype(np.float64), "npy"),
        (lambda made: made[None].astype(np.int64), "npz"),
    ],
)
def test_arrays(maps, how, suffix):
    assert_exact(maps(how, suffix), f"arrays ({suffix})")


def test_a_boolean_array(maps):
    found = assert_exact(maps(lambda made: made > 0, "npy"), ids=lambda made: made > 0)
    assert found.is_plain


def test_one_hot_without_a_class_here_and_there(maps):
    folder = maps(lambda made: np.eye(3, dtype=bool)[made] * (made[..., None] > 0), "npy")
    assert_exact(folder)  # what marks no class is the background
    unlabelled = LabelOptions(background="unlabelled")
    assert_exact(folder, ids=lambda made: np.where(made > 0, made, 255), options=unlabelled)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda made: np.stack([made > 0] * 3, axis=2), "neither one-hot"),
        (lambda made: made + 0.5, "fractions or NaN"),
        (lambda made: np.full((2, 2, 2, 2), made.max()), r"has the shape \(2, 2, 2, 2\)"),
    ],
)
def test_arrays_that_are_no_label_maps(maps, how, words):
    with pytest.raises(InputError, match=words):
        read(maps(how, "npy"))


def test_npz_of_two_arrays(tmp_path):
    np.savez(tmp_path / "0.npz", a=label(), b=label())
    with pytest.raises(InputError, match=r"holds 2 arrays \(a\.npy, b\.npy\): expected one"):
        open_label_set(tmp_path, ["0"])


def test_a_tiff_of_several_pages_is_refused(tmp_path):
    page = Image.fromarray(label())
    page.save(tmp_path / "0.tif", save_all=True, append_images=[page])
    with pytest.raises(InputError, match="has 2 pages or frames: expected one"):
        open_label_set(tmp_path, ["0"])


# ---- black and white ----


@pytest.mark.parametrize("white", [255, 65535, 200])
def test_two_grey_values(maps, white):
    dtype = np.uint16 if white > 255 else np.uint8
    folder = maps(lambda made: np.where(made > 0, white, 0).astype(dtype))
    found = assert_exact(folder, f"0 is 'background', {white} is 'object'", ids=lambda m: m > 0)
    assert found.classes == named_classes(["background", "object"])


@pytest.mark.parametrize(
    ("names", "expected"),
    [("cell", ("background", "cell")), ("ground\ncell", ("ground", "cell"))],
)
def test_two_grey_values_with_names(maps, names, expected):
    folder = maps(lambda made: np.where(made > 0, 255, 0).astype(np.uint8))
    (folder / "classes.txt").write_text(names)
    found = assert_exact(folder, ids=lambda made: made > 0)
    assert found.classes.names == expected


def test_two_grey_values_among_three_names_stay(maps):
    """255 means unlabelled then, as ever."""
    folder = maps(lambda made: np.where(made > 0, 255, 0).astype(np.uint8))
    (folder / "classes.txt").write_text("a\nb\nc")
    assert open_label_set(folder).is_plain


def test_a_background_that_is_not_labelled(maps):
    folder = maps(lambda made: np.where(made > 0, 255, 0).astype(np.uint8))
    found = assert_exact(
        folder,
        "0 is unlabelled",
        ids=lambda made: np.where(made > 0, 0, 255),
        options=LabelOptions(background="unlabelled"),
    )
    assert found.classes.names == ("object",)


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_masks_in_jpeg(maps, quality):
    folder = maps(lambda made: np.where(made > 0, 255, 0).astype(np.uint8), "jpg", quality=quality)
    assert_exact(folder, "black and white with soft borders", ids=lambda made: made > 0)


@pytest.mark.parametrize("rule", ["BILINEAR", "LANCZOS"])
def test_masks_in_black_and_white_with_soft_borders(maps, rule):
    rule = Image.Resampling[rule]
    folder = maps(lambda m: enlarged_and_back(np.where(m > 0, 255, 0).astype(np.uint8), rule))
    _, made = read(folder)
    for seed, one in enumerate(made):
        assert (one != (label(seed) > 0)).mean() < 0.01
        assert set(np.unique(one)) == {0, 1}


def test_three_grey_values_with_soft_borders_stay(maps):
    """Between black and white lies grey: such a pixel may be of any class."""
    folder = maps(lambda m: enlarged_and_back((100 * m).astype(np.uint8)))
    assert open_label_set(folder).is_plain  # which the checks refuse when it is used


def test_grey_values_that_a_list_gives_as_colours(maps):
    folder = maps(lambda m: enlarged_and_back((100 * m).astype(np.uint8)))
    listed = [{"name": name, "colour": [v] * 3} for name, v in (("a", 0), ("b", 100), ("c", 200))]
    (folder / "classes.json").write_text(json.dumps(listed))
    found, made = read(folder)
    assert found.described.startswith("grey masks, colours as in classes.json")
    for seed, one in enumerate(made):
        assert (one != label(seed)).mean() < 0.01


# ---- ids that are no classes ----


def test_ids_with_gaps(maps):
    found = assert_exact(
        maps(lambda made: np.array([3, 40, 90], np.uint8)[made]), "ids with gaps, 3, 40, 90"
    )
    assert found.classes.names == ("class 3", "class 40", "class 90")


@pytest.mark.parametrize("ids", [(0, 128, 255), (0, 1, 254), (2, 1000, 255)])
def test_ids_of_which_one_may_be_unlabelled_stay(maps, ids):
    folder = maps(lambda made: np.array(ids, np.uint16)[made])
    assert open_label_set(folder).is_plain


def test_ids_of_classes_json(maps):
    folder = maps(lambda made: np.array([7, 300, 255], np.uint16)[made])
    listed = [{"id": 300, "name": "cat"}, {"id": 255, "name": "dog"}, {"id": 7, "name": "sea"}]
    (folder / "classes.json").write_text(json.dumps(listed))
    found = assert_exact(folder, "ids as in classes.json", ids=lambda m: np.array([0, 2, 1])[m])
    assert found.classes.names == ("sea", "dog", "cat")
    assert found.ignore == 255


def test_an_id_that_classes_json_does_not_list(maps):
    folder = maps(lambda made: np.array([7, 8, 9], np.uint8)[made])
    listed = [{"id": 7, "name": "sea"}, {"id": 8, "name": "cat"}]
    (folder / "classes.json").write_text(json.dumps(listed))
    with pytest.raises(InputError, match=r"has the id 9, but the ids of the classes are 7, 8"):
        read(folder)
    listed.append({"id": 9, "name": "unlabelled"})
    (folder / "classes.json").write_text(json.dumps(listed))
    assert_exact(folder, ids=lambda made: np.array([0, 1, 255])[made])


def test_ids_from_one_on(maps):
    folder = maps(lambda made: made + 1)
    (folder / "classes.txt").write_text("sea\ncat\ndog")
    assert_exact(folder, "ids that begin at 1, named by classes.txt")


def test_objects_from_one_on_beside_a_background(maps):
    """As COCO's categories: 0 is no category."""
    folder = maps(lambda made: made)
    listed = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    (folder / "classes.json").write_text(json.dumps(listed))
    found = assert_exact(folder, ids=lambda made: np.array([2, 0, 1])[made])
    assert found.classes.names == ("cat", "dog", "background")
    found = assert_exact(
        folder, ids=lambda made: np.array([65535, 0, 1])[made], options=LabelOptions(ignore=0)
    )
    assert found.classes.names == ("cat", "dog")


# ---- colours ----


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif"])
def test_colours_one_by_one(maps, suffix):
    found = assert_exact(
        maps(coloured, suffix), "3 colours, each a class", ids=lambda m: np.array([0, 2, 1])[m]
    )
    assert found.classes.names == ("#000000", "#00c832", "#800000")
    assert found.classes.colours[1] == (0, 200, 50)


def test_a_lossless_webp(maps):
    folder = maps(coloured, "webp", lossless=True)
    assert_exact(folder, "RGB masks (webp)", ids=lambda m: np.array([0, 2, 1])[m])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.json", json.dumps(LISTED)),
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\ncat:128,0,0::\nground:0,0,0::\ndog:0,200,50::",
        ),
        ("class_dict.csv", "name,r,g,b\nground, 0, 0, 0\ncat,128,0,0\ndog,0,200,50"),
    ],
)
@pytest.mark.parametrize("above", [False, True])
def test_colours_that_a_file_lists(maps, name, text, above):
    folder = maps(coloured)
    ((folder.parent if above else folder) / name).write_text(text)
    found, made = read(folder)
    assert found.described == f"RGB masks (png), colours as in {name}, 3 of 3 label maps"
    assert set(found.classes.names) == {"ground", "cat", "dog"}
    for seed, one in enumerate(made):
        names = np.array(found.classes.names)[one]
        np.testing.assert_array_equal(names, np.array(["ground", "cat", "dog"])[label(seed)])


def test_a_list_from_somewhere_else(maps, tmp_path):
    folder = maps(coloured)
    (tmp_path / "mine.json").write_text(json.dumps(LISTED))
    assert_exact(folder, options=LabelOptions(classes_file=tmp_path / "mine.json"))


def test_black_that_no_list_names_is_the_background(maps):
    folder = maps(coloured)
    (folder / "classes.json").write_text(json.dumps(LISTED[1:]))
    found = assert_exact(folder, ids=lambda made: np.array([2, 0, 1])[made])
    assert found.classes.names == ("cat", "dog", "background")
    unlabelled = LabelOptions(background="unlabelled")
    assert_exact(folder, ids=lambda m: np.array([255, 0, 1])[m], options=unlabelled)


def test_black_is_the_background_that_a_list_names(maps):
    folder = maps(coloured)
    listed = [{"name": "background", "colour": [9, 90, 200]}, *LISTED[1:]]
    (folder / "classes.json").write_text(json.dumps(listed))
    found = assert_exact(folder)
    assert found.classes.names == ("background", "cat", "dog")


def test_an_area_of_a_colour_that_no_list_names(maps):
    folder = maps(coloured)
    (folder / "classes.json").write_text(json.dumps(LISTED[:2]))
    with pytest.raises(InputError, match=r"has the colour #00c832 in 600 pixels, which is in cl"):
        read(folder)


@pytest.mark.parametrize("quality", [75, 95])
def test_colours_in_jpeg(maps, quality):
    folder = maps(coloured, "jpg", quality=quality)
    with pytest.raises(InputError, match="no file lists which colour is which class") as error:
        read(folder)
    assert "#000000" in str(error.value)
    (folder / "classes.json").write_text(json.dumps(LISTED))
    found, made = read(folder)
    assert "colour that is not listed" in " ".join(found.notes)
    for seed, one in enumerate(made):
        assert (one != label(seed)).mean() < 0.02


@pytest.mark.parametrize("listed", [True, False])
def test_colours_with_soft_borders(maps, listed):
    """Between red and green lies brown, between black and white grey: no classes of their own."""
    folder = maps(lambda made: enlarged_and_back(coloured(made)))
    if listed:
        (folder / "classes.json").write_text(json.dumps(LISTED))
    found, made = read(folder)
    assert len(found.classes) == 3
    ids = (0, 1, 2) if listed else (0, 2, 1)
    for seed, one in enumerate(made):
        assert (one != np.array(ids)[label(seed)]).mean() < 0.01


def test_a_border_of_two_classes_is_of_no_third(tmp_path):
    """Grey lies between black and white."""
    made = np.zeros((40, 60, 3), np.uint8)
    made[:, 30:] = 255
    made[10:20, 5:15] = 128
    made[:, 29], made[:, 30] = 100, 160
    Image.fromarray(made).save(tmp_path / "0.tif")
    greys = [{"name": f"{v}", "colour": [v, v, v]} for v in (0, 128, 255)]
    greys.append({"name": "red", "colour": [255, 0, 0]})
    made[:5, :5] = (255, 0, 0)
    Image.fromarray(made).save(tmp_path / "0.tif")
    (tmp_path / "classes.json").write_text(json.dumps(greys))
    ids = open_label_set(tmp_path, ["0"]).entries["0"].read()
    assert set(np.unique(ids[:, 25:])) == {0, 2}


def test_voc_palette_in_rgb(maps):
    voc = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 128]], np.uint8)

    def with_border(made):
        picture = voc[made]
        picture[9, :] = (224, 224, 192)
        return picture

    def ids(made):
        numbers = np.array([0, 1, 6])[made]
        numbers[9, :] = 255
        return numbers

    found = assert_exact(maps(with_border), "colours of VOC's palette", ids=ids)
    assert found.classes is None  # as of palette PNGs: by number


def test_photographs_are_refused(maps):
    rng = np.random.default_rng(0)
    folder = maps(lambda made: rng.integers(0, 255, (*made.shape, 3), np.uint8))
    with pytest.raises(InputError, match="if they are photographs, give the folder of label maps"):
        read(folder)
    (folder / "classes.json").write_text(json.dumps(LISTED))
    with pytest.raises(InputError, match=r"has other colours than classes\.json in 100 % of its"):
        read(folder)


def test_names_without_colours_are_not_guessed(maps):
    folder = maps(coloured)
    (folder / "classes.txt").write_text("sea\ncat\ndog")
    with pytest.raises(InputError, match=r'which class: .* \[\{"name": …, "colour": \[0, 0, 0\]'):
        read(folder)


def test_a_colour_for_each_object_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    for seed in range(4):
        made = np.zeros((40, 40, 3), np.uint8)
        for k in range(3):
            made[3 + 12 * k : 12 + 12 * k, 5:30] = rng.integers(60, 255, 3)
        Image.fromarray(made).save(tmp_path / f"{seed}.png")
    with pytest.raises(InputError, match="does each object have its own colour"):
        open_label_set(tmp_path)


@pytest.mark.parametrize("background", ["background", "unlabelled"])
def test_transparent_pixels(maps, background):
    folder = maps(
        lambda made: np.dstack([coloured(made), np.where(made > 0, 255, 0).astype(np.uint8)])
    )
    options = LabelOptions(background=background)
    first = 0 if background == "background" else 255
    shift = int(first == 0)
    found = assert_exact(
        folder, ids=lambda m: np.array([first, 1 + shift, shift])[m], options=options
    )
    assert f"transparent is {'unlabelled' if first else repr(background)}" in found.described


def test_grey_with_alpha(maps):
    folder = maps(lambda made: np.dstack([made, np.where(made > 0, 255, 0).astype(np.uint8)]))
    assert_exact(folder, "grey masks (png), one class id a pixel")


@pytest.mark.parametrize("ignore", [-1, 255, 65535, 70000])
def test_transparent_grey_that_is_not_labelled(maps, ignore):
    folder = maps(lambda made: np.dstack([made, np.where(made > 0, 255, 0).astype(np.uint8)]))
    options = LabelOptions(ignore, background="unlabelled")
    assert_exact(folder, ids=lambda made: np.array([ignore, 1, 2])[made], options=options)


# ---- palettes ----


def own_palette(made):
    """As programs save coloured pictures: each file numbers the colours anew."""
    order = np.roll(np.arange(3), int(made.sum()) % 3)
    image = Image.fromarray(np.argsort(order)[made].astype(np.uint8)).convert("P")
    image.putdata(np.argsort(order)[made].ravel().tolist())
    image.putpalette([int(v) for k in order for v in COLOURS[k]])
    return image


def test_palettes_that_contradict_each_other(maps):
    folder = maps(own_palette)
    assert open_label_set(folder).is_plain  # which the checks refuse when it is used
    (folder / "classes.json").write_text(json.dumps(LISTED))
    assert_exact(folder, "palette masks, colours as in classes.json")


def test_of_palettes_that_agree_the_index_counts(maps):
    def swapped(made):
        image = Image.fromarray(made).convert("P")
        image.putdata(made.ravel().tolist())
        image.putpalette([int(v) for k in (0, 2, 1) for v in COLOURS[k]])
        return image

    folder = maps(swapped)
    (folder / "classes.json").write_text(json.dumps(LISTED))
    found = assert_exact(folder)
    assert found.is_plain


def test_cvat_palettes_are_read_by_colour(maps):
    folder = maps(own_palette)
    (folder / "labelmap.txt").write_text("cat:128,0,0::\nbackground:0,0,0::\ndog:0,200,50::")
    found = assert_exact(folder)
    assert found.classes.names == ("background", "cat", "dog")


# ---- published data sets ----


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds", "color"])
def test_cityscapes(tmp_path, kind):
    train = np.where(label() == 0, 255, label() + 11)  # rider, car
    ids = np.array([3, 25, 26], np.uint8)[label()]
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 142]], np.uint8)[label()]
    made = {"labelIds": ids, "labelTrainIds": train, "color": colours}[kind]
    Image.fromarray(made.astype(np.uint8)).save(tmp_path / f"a_0_gtFine_{kind}.png")
    found = open_label_set(tmp_path, ["a_0_leftImg8bit", "a_1_leftImg8bit"])
    names = np.array([*found.classes.names, *["-"] * 237])[found.entries["a_0_leftImg8bit"].read()]
    expected = np.array(["-", "rider", "car"])[label()]
    np.testing.assert_array_equal(names, expected)
    assert f"names end in '_gtFine_{kind}'" in found.described


# ---- masks to be scored ----


def test_what_occurs_in_masks_says_nothing_of_classes(maps):
    options = LabelOptions(what="mask", complete=False)
    folder = maps(lambda made: np.array([0, 40, 90], np.uint8)[made])
    assert open_label_set(folder, options=options).is_plain
    folder = maps(lambda made: np.array([0, 40, 40], np.uint8)[made])
    assert open_label_set(folder, options=options).is_plain


# ---- size and orientation ----


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_label_map_of_the_stored_pixels(maps, orientation):
    folder = maps(lambda made: made)
    entry = open_label_set(folder).entries["0"]
    image = Image.fromarray(label())
    image.getexif()[0x0112] = orientation
    shown = np.asarray(ImageOps.exif_transpose(image))
    read_as_shown = entry.shown_as(shown.shape, orientation).read()
    expected = shown if orientation > 4 else label()
    np.testing.assert_array_equal(read_as_shown, expected)
    with Image.open(folder / "0.png") as stored:
        assert stored.size == (80, 60)


def test_digests_change_with_what_is_read(maps):
    folder = maps(coloured)
    before = open_label_set(folder).entries["0"].digest()
    (folder / "classes.json").write_text(json.dumps(LISTED))
    after = open_label_set(folder).entries["0"].digest()
    assert before != after
    assert open_label_set(folder).entries["0"].digest() == after


# ---- hostile files ----


def test_an_npz_that_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(pixels, "MOST_UNPACKED", 2**20)
    np.savez_compressed(tmp_path / "0.npz", np.zeros((2**10, 2**10 + 1), np.uint8))
    with pytest.raises(InputError, match="its array takes more than 1 MiB"):
        open_label_set(tmp_path, ["0"])


def test_an_npz_whose_header_lies(tmp_path):
    header = BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6)}
    )
    with zipfile.ZipFile(tmp_path / "0.npz", "w") as archive:
        archive.writestr("a.npy", header.getvalue() + b"123")
    with pytest.raises(InputError, match="its array has the shape"):
        open_label_set(tmp_path, ["0"])


@pytest.mark.parametrize("suffix", ["png", "tif", "gif", "webp", "bmp", "jpg", "npy", "npz"])
def test_damaged_files(maps, suffix):
    how = coloured if suffix not in ("npy", "npz") else lambda made: np.eye(3, dtype=bool)[made]
    folder = maps(how, suffix)
    whole = (folder / "1.bmp" if suffix == "bmp" else folder / f"1.{suffix}").read_bytes()
    for cut in (10, len(whole) // 2):
        (folder / f"1.{suffix}").write_bytes(whole[:cut])
        with pytest.raises(InputError, match=rf"1\.{suffix}'"):
            read(folder)


@pytest.mark.parametrize("header", [b"{'descr': (", b"(" * 5000, b"{'shape': (2, 2)}"])
def test_headers_of_arrays_that_are_none(tmp_path, header):
    start = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little")
    (tmp_path / "0.npy").write_bytes(start + header)
    with pytest.raises(InputError, match=r"0\.npy' cannot be read"):
        open_label_set(tmp_path, ["0"])
