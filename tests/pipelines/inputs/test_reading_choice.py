"""Bands, planes and levels: chosen at extract, kept with the features, and the same ever after."""

import json

import numpy as np
import pytest
import tifffile
from dseg import FeatureStore
from dseg.extract.checkpoints.card import Card
from dseg.extract.images.reading_spec import Levels, ReadingSpec
from dseg.pipelines.inputs.reading_choice import RunPercentiles, parse_levels
from dseg.store.errors import InputError
from PIL import Image


def reading_of(path):
    return ReadingSpec.of(FeatureStore.open(path).spec.preprocessing)


@pytest.fixture
def sensed(own_world, tmp_path):
    """The photographs as reflectance in five bands, red the third of them."""
    (tmp_path / "sensed").mkdir()
    for path in own_world.photos.glob("*.png"):
        with Image.open(path) as image:
            rgb = np.asarray(image.convert("RGB")).astype(np.float32) / 255 * 0.3
        noise = np.random.default_rng(0).random(rgb.shape[:2], np.float32)
        bands = np.stack([rgb[..., 2], rgb[..., 1], rgb[..., 0], noise, noise], axis=2)
        options = {"planarconfig": "contig", "photometric": "minisblack"}
        tifffile.imwrite(tmp_path / f"sensed/{path.stem}.tif", bands, **options)
    return tmp_path / "sensed"


def test_a_model_of_named_bands_reads_new_images_in_the_same_way(
    dseg, own_world, sensed, ddpm, tmp_path
):
    extract = ("extract", "--images", sensed, "--out", "f.zarr", "--checkpoint", ddpm)
    told = dseg(*extract, "--bands", "3,2,1")
    assert told.code == 0, told.err
    assert "6 of 6 images have values of which nothing says which are black and white" in told.err
    reading = reading_of("f.zarr")
    assert reading.bands == (3, 2, 1)
    assert len(reading.levels.ranges) == 3
    assert all(0 <= low < 0.1 < high <= 0.3 for low, high in reading.levels.ranges)
    again = dseg(*extract)  # as the store says
    assert again.code == 0, again.err
    assert "6 unchanged" in again.out
    other = dseg(*extract, "--bands", "1")
    assert (other.code, "--bands says otherwise than the features" in other.err) == (2, True)

    fitted = dseg("fit", "f.zarr", own_world.labels, "--members", 2, "--max-steps", 20)
    assert fitted.code == 0, fitted.err
    assert dseg("predict", "f.zarr", "--out", "a").code == 0
    straight = dseg("predict", sensed, "--out", "b", "--overlay")
    assert straight.code == 0, straight.err
    for stem in ("p0", "p5"):
        masks = [np.asarray(Image.open(tmp_path / folder / f"{stem}.png")) for folder in "ab"]
        assert np.array_equal(*masks)
    photos = dseg("predict", own_world.photos, "--out", "c")
    assert photos.code == 0, photos.err  # RGB in 8 bits have the three bands, too
    white = dseg("predict", sensed, "--out", "d", "--white", 255)
    assert (white.code, "its features have levels" in white.err) == (2, True), white.err
    layers = dseg("extract", "--images", sensed, "--out", "g.zarr", "--layers-from", "model")
    assert layers.code == 0, layers.err
    assert reading_of("g.zarr") == reading
    decided = dseg(*extract[:-2], "--layers-from", "model", "--bands", "1")
    assert (decided.code, "--bands cannot be combined" in decided.err) == (2, True), decided.err


def test_levels_are_given_or_percentiles(dseg, sensed, ddpm):
    def extracted(out, *words):
        told = dseg(
            *("extract", "--images", sensed, "--out", out, "--checkpoint", ddpm),
            *("--bands", "2", *words),
        )
        assert told.code == 0, told.err
        return reading_of(out).levels

    assert extracted("a.zarr", "--levels", "0:0.3") == Levels(((0.0, 0.3),))
    (inner,) = extracted("b.zarr", "--levels", "10%:90%").ranges
    (outer,) = extracted("c.zarr", "--levels", "0%:100%").ranges
    assert outer[0] < inner[0] < inner[1] < outer[1]
    assert extracted("d.zarr", "--levels", "image") == Levels((), (1.0, 99.0))


def test_the_levels_of_a_store_are_those_of_images_added_later(dseg, sensed, ddpm, tmp_path):
    late = (sensed / "p5.tif").rename(tmp_path / "p5.tif")
    words = ("--images", sensed, "--out", "f.zarr", "--checkpoint", ddpm, "--bands", "3,2,1")
    first = dseg("extract", *words, "--levels", "5%:95%")
    assert first.code == 0, first.err
    found = reading_of("f.zarr")
    tifffile.imwrite(sensed / "p5.tif", 2 * tifffile.imread(late), planarconfig="contig")
    again = dseg("extract", *words, "--levels", "5%:95%")
    assert again.code == 0, again.err
    assert "1 images extracted, 5 unchanged" in again.out
    assert reading_of("f.zarr") == found


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--levels", "0:1,0:2"), "2 pairs of --levels for 3 --bands"),
        (("--levels", "0:1", "--white", "255"), "both say which value is white"),
        (("--levels", "1:0"), "is no levels: give low:high"),
        (("--plane", "z"), "is no plane: expected a number from 1"),
        (("--bands", "all"), "is not a list of band numbers from 1"),
        (("--max-pixels", "1T"), "is not a number of pixels"),
    ],
)
def test_what_contradicts_itself_is_refused(dseg, sensed, ddpm, words, says):
    bands = () if "--bands" in words else ("--bands", "3,2,1")
    told = dseg(
        *("extract", "--images", sensed, "--out", "f.zarr", "--checkpoint", ddpm, *bands, *words)
    )
    assert (told.code, says in told.err) == (2, True), told.err


def test_levels_of_eight_bits_are_refused(dseg, own_world, ddpm):
    words = ("--images", own_world.photos, "--out", "f.zarr", "--checkpoint", ddpm)
    told = dseg("extract", *words, "--levels", "1%:99%")
    assert (told.code, "but there are none: leave it out" in told.err) == (2, True), told.err


def test_options_of_levels():
    assert parse_levels("-1.5:2e3, 0:1") == Levels(((-1.5, 2000.0), (0.0, 1.0)))
    assert parse_levels("0.5%:99.5%") == RunPercentiles(0.5, 99.5)
    for text in ("", "5", "1%:2", "99%:1%", "0%:101%", "nan:1", "0:inf"):
        with pytest.raises(ValueError, match="is no levels"):
            parse_levels(text)


def test_a_network_is_trained_on_named_bands_and_its_card_says_so(dseg, sensed, tmp_path):
    words = ("--size", 32, "--steps", 2, "--batch-size", 2, "--sheets", 0, "--network", "tiny")
    trained = dseg("pretrain", "--images", sensed, "--out", "net", "--bands", "3,2,1", *words)
    assert trained.code == 0, trained.err
    card = json.loads((tmp_path / "net/dseg.json").read_text())
    assert card["reading"]["bands"] == [3, 2, 1]
    extract = ("extract", "--images", sensed, "--checkpoint", "net")
    told = dseg(*extract, "--out", "f.zarr")
    assert told.code == 0, told.err
    assert reading_of("f.zarr").to_dict() == card["reading"]
    five = dseg("pretrain", "--images", sensed, "--out", "n", "--bands", "1,2,3,4,5", *words)
    assert (five.code, "names 5 channels, but networks are trained on RGB" in five.err) == (2, True)


@pytest.mark.parametrize("reading", [{"bands": [0]}, [], {"levels": [[1, 0]]}])
def test_a_card_that_says_nothing_of_the_kind_is_refused(tmp_path, reading):
    (tmp_path / "dseg.json").write_text(json.dumps({"reading": reading}))
    with pytest.raises(InputError, match="'reading' must say how images are read"):
        Card.read(tmp_path / "dseg.json")


def test_a_student_sees_the_bands_of_its_teacher(dseg, own_world, sensed, ddpm, tmp_path):
    words = ("--images", sensed, "--out", "f.zarr", "--checkpoint", ddpm, "--bands", "3,2,1")
    assert dseg("extract", *words).code == 0
    fitted = dseg("fit", "f.zarr", own_world.labels, "--members", 2, "--max-steps", 20)
    assert fitted.code == 0, fitted.err
    words = ("--model", "model", "--out", "student", "--steps", 2, "--size", 32)
    told = dseg("distil", sensed, *words)
    assert told.code == 0, told.err
    facts = json.loads((tmp_path / "student/student.json").read_text())
    assert ReadingSpec.of(facts["reading"]) == reading_of("f.zarr")
    masks = dseg("predict", sensed, "--model", "student", "--out", "m")
    assert masks.code == 0, masks.err
