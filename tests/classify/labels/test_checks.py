"""Label maps that hold something else than classes are refused; real ones never are."""

from io import BytesIO

import numpy as np
import pytest
from dseg.classify.labels.checks import check_ids, check_label_maps, check_masks, check_size
from dseg.classify.labels.classes import Classes, default_classes, named_classes
from dseg.classify.labels.label_entry import LabelEntry
from dseg.classify.labels.survey import LabelSurvey
from dseg.demo.scenes import COLOURS, draw_scene
from dseg.store.errors import InputError
from PIL import Image
from scipy import ndimage

SETS = ("blood_cells", "camvid", "car_parts", "clothing", "neurites_em")
SOFT = "only along the borders of others"
GREY = "are these grey values?"


@pytest.fixture
def surveyed(tmp_path):
    """Write label maps, read them again as a run does, and survey them."""

    def run(maps, ignore=255, where="the label maps in 'labels'"):
        found = LabelSurvey(where, ignore)
        for i, label in enumerate(maps):
            path = tmp_path / f"{len(list(tmp_path.iterdir()))}-{i}.png"
            image = label if isinstance(label, Image.Image) else Image.fromarray(label)
            image.save(path)
            entry = LabelEntry(path.stem, path)
            found.add(entry, *entry.read_with_palette())
        return found

    return run


def drawn(n=6, side=128):
    return [draw_scene(seed, (side, side)).label for seed in range(n)]


def training(folder, n=10):
    return of_set(folder, (folder / "train.txt").read_text().split()[:n])


def of_set(folder, stems):
    """The label maps of one real set."""
    maps = []
    for stem in stems:
        with Image.open(folder / "labels" / f"{stem}.png") as image:
            maps.append(np.asarray(image))
    return maps


@pytest.fixture(params=["drawn", *SETS])
def maps(request):
    """About a dozen exact label maps, drawn and real ones."""
    if request.param == "drawn":
        return drawn(12)
    return training(request.getfixturevalue("real_data") / request.param)


def resized(label, scale, rule):
    height, width = label.shape
    size = max(8, int(scale * width)), max(8, int(scale * height))
    return np.asarray(Image.fromarray(label).resize(size, rule))


def objects_white(label):
    """Most image programs' masks: the object white, all else black."""
    return np.where((label > 0) & (label != 255), 255, 0).astype(np.uint8)


def through_jpeg(label, quality):
    file = BytesIO()
    Image.fromarray(label).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return np.asarray(image)


def refused(survey, classes=None):
    with pytest.raises(InputError) as error:
        check_label_maps(survey, classes)
    return str(error.value)


# ---- what real label maps look like is let pass, without a word ----


@pytest.mark.parametrize("scale", [1, 0.5, 0.25, 0.125])
def test_label_maps_as_they_are(maps, surveyed, scale):
    small = [resized(label, scale, Image.Resampling.NEAREST) for label in maps]
    assert check_label_maps(surveyed(small), None) == []
    for label in small[:5]:  # one image alone looks stranger than many
        assert check_label_maps(surveyed([label]), None) == []
    assert check_label_maps(surveyed(small), default_classes(19)) == []


@pytest.mark.parametrize("stems", ["all", "few"])
@pytest.mark.parametrize("name", SETS)
def test_every_real_label_map(real_data, surveyed, name, stems):
    folder = real_data / name
    every = sorted(path.stem for path in (folder / "labels").iterdir())
    told = [of_set(folder, every)] if stems == "all" else []
    if stems == "few":
        told = [of_set(folder, every[i : i + 3]) for i in range(0, len(every) - 3, 9)]
    for some in told:
        survey = surveyed(some)
        assert survey.softened == []
        check_label_maps(survey, None)


def test_points_and_lines_that_someone_drew(surveyed):
    rng, points, lines = np.random.default_rng(0), [], []
    for label in drawn(8):
        sparse = np.full_like(label, 255)
        y, x = rng.integers(0, 128, (2, 300))
        sparse[y, x] = label[y, x]
        points.append(sparse)
        line = np.full_like(label, 255)
        line[8::16], line[:, 8::16] = label[8::16], label[:, 8::16]
        lines.append(line)
    assert check_label_maps(surveyed(points), None) == []
    assert check_label_maps(surveyed(lines), None) == []


def test_outlines_one_pixel_wide(surveyed):
    """Class 1 lies between the background and all others, everywhere."""
    outlined = []
    for label in drawn(8):
        label = np.where(label >= 3, label, 0)
        edge = ndimage.maximum_filter(label, 3) != ndimage.minimum_filter(label, 3)
        outlined.append(np.where(edge, 1, label).astype(np.uint8))
    assert check_label_maps(surveyed(outlined), None) == []


def test_noisy_label_maps(surveyed):
    """Another model's masks, every twentieth pixel wrong."""
    rng, noisy = np.random.default_rng(0), []
    for label in drawn(6):
        wrong = rng.random(label.shape) < 0.05
        noisy.append(np.where(wrong, rng.integers(0, 11, label.shape), label).astype(np.uint8))
    assert check_label_maps(surveyed(noisy), None) == []


def test_one_class_here_and_there(surveyed):
    maps = [np.where(label == 0, 0, 255).astype(np.uint8) for label in drawn(3)]
    assert check_label_maps(surveyed([*maps, *drawn(2)]), None) == []


# ---- one map alone ----


def test_another_size_is_refused():
    check_size((480, 640), (480, 640), "003.png", "003.jpg")
    with pytest.raises(
        InputError,
        match="label map '003.png' is 512×480 but image '003.jpg' is 640×480: a label map must "
        r"have its image's size. Was the image resized or turned\?",
    ):
        check_size((480, 512), (480, 640), "003.png", "003.jpg")


@pytest.mark.parametrize("wrong", [3, -2, 254])
def test_an_id_that_is_no_class_is_refused(wrong):
    with pytest.raises(InputError, match=f"'a.png' has the id {wrong} but there are 3 classes"):
        check_ids(np.array([[0, wrong]]), [0, wrong], 255, default_classes(3), "'a.png'")


@pytest.mark.parametrize("wrong", [65536, 70000])
def test_many_classes_do_not_make_an_id_another_one(wrong):
    """65535 marks unlabelled pixels of rows, and 65536 would be read as 0 in their 16 bits."""
    classes = default_classes(80000)
    with pytest.raises(InputError, match=f"has the id {wrong} but there are 65535 classes"):
        check_ids(np.array([[0, wrong]]), [0, wrong], 255, classes, "'a.png'")
    with pytest.raises(InputError, match="has the id 65535, which is not a class"):
        check_ids(np.array([[0, 65535]]), [0, 65535], 255, classes, "'a.png'")


# ---- softened borders ----


@pytest.mark.parametrize("rule", ["BILINEAR", "BICUBIC", "LANCZOS"])
@pytest.mark.parametrize("scale", [0.5, 0.9, 2])
def test_grey_masks_resized_with_interpolation(maps, surveyed, rule, scale):
    soft = [resized(objects_white(m), scale, Image.Resampling[rule]) for m in maps]
    told = refused(surveyed(soft))
    assert SOFT in told or GREY in told
    assert "name the classes in classes.txt" in told


def test_masks_that_were_jpeg_of_best_quality(maps, surveyed):
    """Few values beside 0 and 255 then."""
    told = refused(surveyed([through_jpeg(objects_white(m), 98) for m in maps]))
    assert SOFT in told or GREY in told


@pytest.mark.parametrize("quality", [60, 75, 90, 95])
def test_masks_that_were_jpeg(maps, surveyed, quality):
    told = refused(surveyed([through_jpeg(objects_white(m), quality) for m in maps]))
    assert SOFT in told
    assert "Anti-aliasing, resizing with interpolation or JPEG" in told
    assert ".png'" in told


@pytest.mark.parametrize("rule", ["BILINEAR", "BICUBIC", "LANCZOS"])
@pytest.mark.parametrize("scale", [0.5, 0.9, 2])
@pytest.mark.parametrize("name", ["drawn", "camvid", "car_parts", "clothing"])
def test_index_masks_resized_with_interpolation(request, surveyed, name, rule, scale):
    """Even where every id that comes of it is one of the classes."""
    maps = drawn(6) if name == "drawn" else training(request.getfixturevalue("real_data") / name)
    survey = surveyed([resized(m, scale, Image.Resampling[rule]) for m in maps])
    assert SOFT in refused(survey)
    told = check_label_maps(survey, default_classes(256))
    assert [SOFT in line for line in told] == [True]


def test_one_softened_map_among_sharp_ones_is_named(surveyed):
    soft = [*drawn(11), resized(drawn(1)[0], 0.5, Image.Resampling.BILINEAR)]
    survey = surveyed(soft)
    assert f"(in '{survey.maps[-1].entry.name}')" in refused(survey)


def test_an_id_beyond_the_classes_at_softened_borders(surveyed):
    soft = through_jpeg(objects_white(drawn(1)[0]), 90)
    ids = surveyed([soft]).maps[0].pixels
    with pytest.raises(InputError, match=r"there are 2 classes.*Anti-aliasing.*nearest neighbour"):
        check_ids(soft, ids, 255, named_classes(["a", "b"]), "label map 'a.png'")


# ---- grey values ----


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((0, 255), "only the ids 0, 255"),
        ((0, 128, 255), "only the ids 0, 128, 255"),
        ((0, 127, 254), "only the ids 0, 127, 254"),
        ((0, 1, 2, 3, 4, 5, 6, 7, 8, 254), "only the ids 0, 1, 2, 3, 4, 5, 6, … 254"),
    ],
)
def test_grey_values(surveyed, values, shown):
    maps = [np.array(values)[label % len(values)].astype(np.uint8) for label in drawn(3)]
    told = refused(surveyed(maps))
    assert f"the label maps in 'labels' have {shown}: {GREY}" in told
    assert ("use --ignore 254" in told) == (254 in values)


def test_white_objects_of_16_bits(surveyed):
    maps = [objects_white(label).astype(np.uint16) * 257 for label in drawn(2)]
    assert "only the ids 0, 65535" in refused(surveyed(maps, ignore=65535))


def test_white_objects_among_named_classes_are_told(surveyed):
    survey = surveyed([objects_white(label) for label in drawn(3)])
    (told,) = check_label_maps(survey, named_classes(["ground", "cell"]))
    assert "only the ids 0 ('ground') and 255, which means unlabelled" in told
    assert "If 255 is an object, renumber it" in told
    assert check_label_maps(survey, named_classes(["ground"])) == []


def test_masks_of_black_and_white(surveyed):
    labels, masks = surveyed(drawn(3)), surveyed([objects_white(m) for m in drawn(3)], where="M")
    for classes in (None, default_classes(11)):
        with pytest.raises(InputError, match="M have only the ids 0, 255: are these grey values"):
            check_masks(masks, labels, classes)


def test_masks_of_three_greys(surveyed):
    labels = surveyed([label % 3 for label in drawn(3)])
    masks = [np.array([0, 100, 200], np.uint8)[label % 3] for label in drawn(3)]
    with pytest.raises(InputError, match=r"ids 0, 100, 200: are these grey values"):
        check_masks(surveyed(masks), labels, None)
    few = surveyed([np.where(label == 10, 10, 0).astype(np.uint8) for label in drawn(3)])
    assert check_masks(few, surveyed(drawn(3)), None) == []


def test_masks_with_pixels_of_no_class(surveyed):
    unsure = drawn(1)[0].copy()
    unsure[:2] = 255
    (told,) = check_masks(surveyed([unsure], where="M"), surveyed(drawn(1)), None)
    assert told.startswith("256 pixels of M are 255, the ignore label")


# ---- marks of unlabelled pixels ----


@pytest.mark.parametrize(
    ("mark", "dtype", "n"),
    [
        (-1, np.int64, None),
        (-100, np.int16, 3),
        (65535, np.uint16, None),
        (65535, np.uint16, 3),
        (2**31 - 1, np.int32, None),
        (255, np.uint8, 3),
    ],
)
def test_a_usual_mark_of_unlabelled_pixels(mark, dtype, n):
    classes = None if n is None else default_classes(n)
    label = np.array([[0, 1, mark]], dtype)
    with pytest.raises(InputError, match=f"'a.npy' has the id {mark}, which .* --ignore {mark};"):
        check_ids(label, [0, 1, mark], 7, classes, "label map 'a.npy'")
    check_ids(label, [0, 1], mark, classes, "label map 'a.npy'")


# ---- numbers of objects ----


def numbered(label, first=1):
    """A number for each connected piece of each class but the first, and the number after."""
    found, n = np.zeros(label.shape, np.uint16), first
    for k in np.unique(label[(label > 0) & (label != 255)]):
        parts, count = ndimage.label(label == k, np.ones((3, 3)))
        found = np.where(parts > 0, parts + n - 1, found).astype(np.uint16)
        n += count
    return found, n


def test_objects_numbered_in_each_map(surveyed):
    maps = [numbered(label)[0].astype(np.uint8) for label in drawn(8)]
    told = refused(surveyed(maps))
    assert "look like numbers of objects, not classes" in told
    assert "Give all objects of a class the id of that class" in told
    assert check_label_maps(surveyed(maps), default_classes(256)) == []


def test_objects_numbered_through_all_maps(surveyed):
    maps, n = [], 1
    for label in drawn(8):
        found, n = numbered(label, n)
        maps.append(found)
    assert "look like numbers of objects" in refused(surveyed(maps))


def test_objects_numbered_from_a_thousand_times_the_map(surveyed):
    maps = [numbered(label, 1000 * k + 1)[0] for k, label in enumerate(drawn(8), 1)]
    assert "look like numbers of objects" in refused(surveyed(maps))


def test_one_object_a_map(surveyed):
    maps = [np.pad(np.full((7, 7), k, np.uint8), 4) for k in range(1, 10)]
    told = refused(surveyed(maps))
    assert "has the id 1, one connected piece, and other maps have other ids" in told


@pytest.mark.parametrize("name", ["camvid", "car_parts", "clothing", "neurites_em"])
def test_objects_of_real_label_maps(real_data, surveyed, name):
    maps = [numbered(label)[0].astype(np.uint8) for label in training(real_data / name)]
    assert "look like numbers of objects" in refused(surveyed(maps))


def test_the_same_parts_in_each_map_are_classes(surveyed):
    """Organs: each one piece, numbered from 1, all in every image."""
    maps = []
    for seed in range(6):
        label = np.zeros((64, 64), np.uint8)
        for k in range(9):
            y, x = 20 * (k // 3) + 2 + seed, 20 * (k % 3) + 2 + seed
            label[y : y + 12, x : x + 12] = k + 1
        maps.append(label)
    assert check_label_maps(surveyed(maps), None) == []


def test_ids_that_stand_in_one_map_only_are_told(surveyed):
    maps = []
    for i in range(4):  # two pieces of each, so they are no objects
        label = np.zeros((64, 64), np.uint8)
        for k in range(3):
            label[4 + 20 * k : 12 + 20 * k, 4:12] = label[4 + 20 * k : 12 + 20 * k, 40:52] = (
                3 * i + k + 1
            )
        maps.append(label)
    (told,) = check_label_maps(surveyed(maps), None)
    assert told.startswith("12 of the 13 ids occur in one label map only")


# ---- palettes ----


def coloured(label, palette):
    image = Image.fromarray(label.astype(np.uint8)).convert("P")
    image.putdata(label.ravel().tolist())
    image.putpalette([v for colour in palette for v in colour])
    return image


def own_palette(label):
    """As many programs save a coloured picture: its colours numbered by how common they are."""
    colours = Image.fromarray(np.array(COLOURS, np.uint8)[label])
    return colours.quantize(len(np.unique(label)), dither=Image.Dither.NONE)


def test_palettes_that_contradict_each_other(surveyed):
    told = refused(surveyed([own_palette(label) for label in drawn(4)]))
    assert "palettes that contradict each other: in '0-0.png'" in told
    assert "in '1-1.png'" in told
    assert "The same colour must have the same index" in told


def test_palettes_that_contradict_each_other_in_names_too(surveyed):
    survey = surveyed([own_palette(label) for label in drawn(4)])
    assert "contradict" in refused(survey, default_classes(11))


def test_one_colour_under_two_indexes(surveyed):
    """Index 1 in one file, 2 in another whose index 1 no pixel has."""
    label = np.repeat(np.array([[0, 1]], np.uint8), 4, axis=0)
    black, red, blue = (0, 0, 0), (255, 0, 0), (0, 0, 255)
    one, other = coloured(label, [black, red, blue]), coloured(2 * label, [black, blue, red])
    told = refused(surveyed([one, other]))
    assert "in '0-0.png' #ff0000 is index 1, in '1-1.png' 2" in told


def test_palettes_that_agree_in_what_is_used(surveyed):
    black, red, blue = (0, 0, 0), (255, 0, 0), (0, 0, 255)
    label = np.repeat(np.array([[0, 1]], np.uint8), 4, axis=0)
    survey = surveyed([
        coloured(label, [black, red]),
        coloured(label, [black, red, blue, blue]),  # longer; entries that no pixel has
        coloured(2 * label, [black, red, red]),  # a colour twice
        label,  # no palette
    ])  # fmt: skip
    assert check_label_maps(survey, None) == []
    assert check_label_maps(surveyed([coloured(m, COLOURS) for m in drawn(4)]), None) == []


def test_colours_in_another_order_than_those_of_the_classes(surveyed):
    survey = surveyed([coloured(m, COLOURS) for m in drawn(2)])
    names = tuple(f"c{k}" for k in range(11))
    assert check_label_maps(survey, Classes(names, COLOURS)) == []
    (told,) = check_label_maps(survey, Classes(names, COLOURS[::-1]))
    assert "gives the id 0 ('c0') the colour that classes.json gives 'c10', class 10" in told
