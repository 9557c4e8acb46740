"""TIFF of any number of channels, planes and kinds of values, each file written by tifffile."""

import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile
from dseg.extract.images.network_input import ImageRows
from dseg.extract.images.pixels import ArrayPixels
from dseg.extract.images.rasters.array import turned
from dseg.extract.images.rasters.planes import PlaneChoice
from dseg.extract.images.reading import (
    PLAIN,
    UnreadableImage,
    brightest_of,
    image_facts,
    open_pixels,
    read_image,
)
from dseg.extract.images.reading_spec import FULL, Levels, ReadingSpec
from dseg.store.errors import InputError
from dseg.store.geometry import plan_tiles
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

RNG = np.random.default_rng(0)
FORMS = [
    {},
    {"compression": "zlib", "predictor": True, "rowsperstrip": 7},
    {"compression": "lzw", "tile": (16, 32)},
    {"compression": "zstd", "tile": (32, 16)},
    {"bigtiff": True, "byteorder": ">"},
]


def drawn(*shape: int, dtype: type = np.uint16) -> NDArray[np.generic]:
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype)


def by_white(values: NDArray[np.generic], white: int = FULL) -> NDArray[np.uint8]:
    return ((values.astype(np.int64) * 255 + white // 2) // white).astype(np.uint8)


def write(path: Path, values: NDArray[np.generic], **options: object) -> Path:
    tifffile.imwrite(path, values, **{"photometric": "minisblack"} | options)
    return path


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_bands_are_those_that_are_named(
    tmp_path: Path, form: dict[str, object], planar: str
) -> None:
    values = drawn(40, 60, 13)
    stored = values if planar == "contig" else np.ascontiguousarray(values.transpose(2, 0, 1))
    path = write(tmp_path / "x.tif", stored, planarconfig=planar, **form)
    got = read_image(path, ReadingSpec(bands=(4, 3, 2)))
    assert np.array_equal(got, by_white(values[..., [3, 2, 1]]))
    grey = read_image(path, ReadingSpec(bands=(13,)))
    assert np.array_equal(grey, by_white(values[..., [12, 12, 12]]))
    five = read_image(path, ReadingSpec(bands=(1, 13, 1, 2, 5)))
    assert np.array_equal(five, by_white(values[..., [0, 12, 0, 1, 4]]))


def test_a_band_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", drawn(8, 8, 5), planarconfig="contig")
    with pytest.raises(UnreadableImage, match=r"'x.tif' has 5 channels, but band 6 is asked for"):
        image_facts(path, ReadingSpec(bands=(6,)))


@pytest.mark.parametrize("form", [{}, {"compression": "zlib"}], ids=str)
def test_planes_of_ome_are_chosen_or_projected(tmp_path: Path, form: dict[str, object]) -> None:
    values = drawn(2, 5, 3, 30, 40, dtype=np.uint8)
    path = write(tmp_path / "x.ome.tif", values, ome=True, metadata={"axes": "TZCYX"}, **form)
    assert image_facts(path).paged
    assert np.array_equal(read_image(path)[..., 0], values[0, 0, 0])

    def read(plane: str, *bands: int) -> NDArray[np.uint8]:
        return read_image(path, ReadingSpec(bands=bands, plane=PlaneChoice.parse(plane)))

    projected = values[1].max(axis=0)[[2, 0, 1]].transpose(1, 2, 0)
    assert np.array_equal(read("z=max,t=2", 3, 1, 2), projected)
    assert np.array_equal(read("z=3", 2)[..., 1], values[0, 2, 1])
    mean = np.rint(values[0, :, 1].mean(axis=0))
    assert np.array_equal(read("z=mean", 2)[..., 1], mean)
    for plane, words in (
        ("3", "2 planes along t and 5 planes along z: say which with --plane, such as t=3"),
        ("z=9", "5 planes along z, but --plane asks for z=9"),
        ("page=2", "but --plane asks for page=2"),
    ):
        with pytest.raises(UnreadableImage, match=words):
            read(plane, 1)
    with pytest.raises(UnreadableImage, match=r"has 3 channels; .*--bands"):
        read("z=2")


def test_pages_of_tiff_stacks_of_imagej_and_frames_of_gif(tmp_path: Path) -> None:
    values = drawn(5, 3, 30, 40, dtype=np.uint8)
    write(tmp_path / "j.tif", values, imagej=True, metadata={"axes": "ZCYX"})
    middle = ReadingSpec(bands=(2,), plane=PlaneChoice.parse("min"))
    assert np.array_equal(read_image(tmp_path / "j.tif", middle)[..., 0], values[:, 1].min(axis=0))
    write(tmp_path / "p.tif", values[:, 0], metadata=None)
    fourth = ReadingSpec(plane=PlaneChoice.parse("4"))
    assert np.array_equal(read_image(tmp_path / "p.tif", fourth)[..., 0], values[3, 0])
    frames = [Image.fromarray(frame) for frame in values[:, 0]]
    frames[0].save(tmp_path / "g.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert np.array_equal(read_image(tmp_path / "g.webp", fourth)[..., 0], values[3, 0])
    assert not image_facts(tmp_path / "g.webp", fourth).paged


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_pages_that_were_written_one_by_one(tmp_path: Path, form: dict[str, object]) -> None:
    values = drawn(3, 32, 40, 3, dtype=np.uint8)
    page = {k: v for k, v in form.items() if k not in ("bigtiff", "byteorder")}
    whole = {k: v for k, v in form.items() if k not in page}
    with tifffile.TiffWriter(tmp_path / "x.tif", **whole) as file:
        for number, image in enumerate(values):
            file.write(image, photometric="rgb", software=f"of page {number}", **page)
        file.write(values[0, :8, :8], photometric="rgb")  # a thumbnail
    second, highest = (ReadingSpec(plane=PlaneChoice.parse(text)) for text in ("page=2", "max"))
    assert np.array_equal(read_image(tmp_path / "x.tif", second), values[1])
    assert np.array_equal(read_image(tmp_path / "x.tif", highest), values.max(axis=0))
    assert np.array_equal(read_image(tmp_path / "x.tif", ReadingSpec(bands=(1, 2, 3))), values[0])
    with pytest.raises(UnreadableImage, match=r"has 3 planes along page, .* asks for page=4"):
        read_image(tmp_path / "x.tif", ReadingSpec(plane=PlaneChoice.parse("4")))


def test_levels_are_black_and_white_of_floating_point(tmp_path: Path) -> None:
    values = RNG.normal(size=(30, 40)).astype(np.float32)
    values[3, 3], values[4, 4] = np.nan, np.inf
    path = write(tmp_path / "x.tif", values)
    assert image_facts(path).unscaled
    got = read_image(path, ReadingSpec(levels=Levels(((-1.0, 1.0),))))
    expected = np.rint(np.clip(np.nan_to_num((values + 1) / 2, posinf=0), 0, 1) * 255)
    expected[4, 4] = 0
    assert np.array_equal(got[..., 0], expected)
    own = read_image(path, ReadingSpec(levels=Levels((), (1.0, 99.0))))
    assert 0.005 < (own == 255).mean() < 0.02
    with pytest.raises(UnreadableImage, match="there are levels for 2"):
        read_image(path, ReadingSpec(bands=(1,), levels=Levels(((0.0, 1.0), (0.0, 2.0)))))


def test_eight_bits_are_not_scaled_by_levels(tmp_path: Path) -> None:
    values = drawn(9, 7, 3, dtype=np.uint8)
    for name in ("x.png", "x.tif"):
        Image.fromarray(values).save(tmp_path / name)
        got = read_image(tmp_path / name, ReadingSpec(levels=Levels(((0.0, 9.0),))))
        assert np.array_equal(got, values)
        red = read_image(tmp_path / name, ReadingSpec(bands=(3, 2, 1)))
        assert np.array_equal(red, values[..., ::-1])


@pytest.mark.parametrize(("bits", "minimum_is"), [(1, "white"), (1, "black"), (4, "black")])
def test_fewer_than_eight_bits_are_not_changed_by_levels(
    tmp_path: Path, bits: int, minimum_is: str
) -> None:
    """Nor by the way a file is read: Pillow reads those of which nothing is named."""
    photometric = ("white", "black").index(minimum_is)
    tags = [(256, 8), (257, 1), (258, bits), (259, 1), (262, photometric)]
    tags += [(273, 122), (277, 1), (278, 1), (279, bits)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = struct.pack("<4sIH", b"II*\0", 8, len(tags))
    path = tmp_path / "x.tif"
    path.write_bytes(head + entries + bytes(4) + bytes([0x1F, 0x20, 0x8F, 0x70][:bits]))
    named = read_image(path, ReadingSpec(levels=Levels(((0.0, 3000.0),))))
    assert named.max() == 255
    assert np.array_equal(named, read_image(path))


def test_what_has_no_data_is_black_and_says_nothing_of_white(tmp_path: Path) -> None:
    """As GDAL writes it."""
    values = drawn(20, 30, 5)
    values = values % 1000
    values[:4] = 65535
    nodata = [(42113, "s", 6, "65535", True)]
    path = write(tmp_path / "x.tif", values, planarconfig="contig", extratags=nodata)
    reading = ReadingSpec(bands=(1, 2, 3))
    assert brightest_of([path], reading) == values[4:].max()
    got = read_image(path, ReadingSpec(white=1023, bands=(1, 2, 3)))
    assert not got[:4].any()
    assert np.array_equal(got[4:], by_white(values[4:, :, :3], 1023))


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_tiff_is_turned_back(tmp_path: Path, orientation: int) -> None:
    values = drawn(8, 12, 5, dtype=np.uint8)
    tag = [(274, "H", 1, orientation, True)]
    path = write(tmp_path / "x.tif", values, planarconfig="contig", extratags=tag)
    reading = ReadingSpec(bands=(1, 2, 3))
    got = read_image(path, reading)
    assert np.array_equal(got, turned(values[..., :3], orientation))
    assert image_facts(path, reading).size == got.shape[:2]


@settings(deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70), out=st.integers(1, 40))
def test_resizing_by_rows_does_not_depend_on_the_parts(height: int, width: int, out: int) -> None:
    """Pillow makes the vertical pass first where that is faster: then a level may differ."""
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)

    class ByRows(ArrayPixels):
        def parts(self):
            return ((first, min(height, first + 7)) for first in range(0, height, 7))

        def prepare(self, sizes):
            super(ArrayPixels, self).prepare(sizes)

    got = ByRows(image).resized((13, out))
    narrow = Image.fromarray(image).resize((out, height), Image.Resampling.BILINEAR)
    assert np.array_equal(got, np.asarray(narrow.resize((out, 13), Image.Resampling.BILINEAR)))
    at_once = Image.fromarray(image).resize((out, 13), Image.Resampling.BILINEAR)
    assert np.abs(got.astype(int) - np.asarray(at_once)).max() <= 1


@pytest.mark.parametrize("form", [*FORMS[:3], {"rowsperstrip": 1}], ids=str)
def test_tiles_by_rows_are_that_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: dict[str, object]
) -> None:
    monkeypatch.setattr("dseg.extract.images.opened._BY_ROWS", 0)
    monkeypatch.setattr("dseg.extract.images.rasters.raster.BLOCK_BYTES", 1000)
    values = drawn(150, 130, 3, dtype=np.uint8)
    path = write(tmp_path / "x.tif", values, photometric="rgb", **form)
    geometry = plan_tiles((150, 130), (64, 64), "tile", 16)
    whole, by_rows = ImageRows(values, geometry), ImageRows(open_pixels(path), geometry)
    assert type(open_pixels(path)).__name__ == "RasterPixels"
    for row in range(len(whole)):
        assert np.array_equal(whole[row], by_rows[row])


# --- hostile files


def test_a_tile_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", drawn(64, 64, 5), planarconfig="contig", compression="zlib")
    reading = ReadingSpec(bands=(1,), most_pixels=64 * 64 - 1)
    with pytest.raises(UnreadableImage, match=r"stored in parts of 64×64 pixels.*--max-pixels"):
        image_facts(path, reading)
    write(tmp_path / "raw.tif", drawn(64, 64, 5), planarconfig="contig")  # any row can be read
    assert image_facts(tmp_path / "raw.tif", reading).size == (64, 64)


def _replaced(path: Path, tag: int, value: int) -> None:
    """Write another value of a tag into a little-endian TIFF."""
    data = bytearray(path.read_bytes())
    (offset,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, offset)
    for entry in range(offset + 2, offset + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry)[0] == tag:
            struct.pack_into("<HII", data, entry + 2, 4, 1, value)
    path.write_bytes(data)


def test_a_bomb_of_pixels_takes_no_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", drawn(8, 8, 5), planarconfig="contig")
    for tag in (256, 257):
        _replaced(path, tag, 60_000)
    reading = ReadingSpec(bands=(1, 2, 3))
    with pytest.raises(UnreadableImage, match="larger than the limit against decompression bombs"):
        image_facts(path, reading)
    _replaced(path, 257, 30)  # now within the limit, but the file is too short
    with pytest.raises(UnreadableImage, match="ends before its pixels do"):
        read_image(path, reading)


def test_a_strip_that_unpacks_to_more_than_it_says(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", np.zeros((4000, 4000, 2), np.uint8), compression="zlib")
    for tag in (256, 257, 278):
        _replaced(path, tag, 8)
    with pytest.raises(UnreadableImage, match=r"'x.tif' "):
        read_image(path, ReadingSpec(bands=(1,)))


@settings(deadline=None)
@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_damaged_bytes_end_in_one_message(tmp_path_factory, at: int, byte: int) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    path = write(
        folder / "x.ome.tif", np.zeros((2, 3, 9, 8), np.uint16), ome=True, compression="zlib"
    )
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(data)
    for reading in (PLAIN, ReadingSpec(bands=(1,), plane=PlaneChoice.parse("max"))):
        with suppress(UnreadableImage):
            read_image(path, reading)


# --- specs


@pytest.mark.parametrize(
    "reading",
    [
        PLAIN,
        ReadingSpec(white=4095),
        ReadingSpec(bands=(4, 3, 2), plane=PlaneChoice.parse("z=max,t=3")),
        ReadingSpec(levels=Levels(((0.0, 1.5),)), plane=PlaneChoice.parse("7")),
        ReadingSpec(levels=Levels((), (1.0, 99.0))),
    ],
)
def test_a_spec_says_what_differs_and_no_more(reading: ReadingSpec) -> None:
    plain = reading.to_dict()
    assert ReadingSpec.of(plain) == reading
    assert (plain == {}) == (reading == PLAIN)


@pytest.mark.parametrize(
    "plain",
    [
        {"bands": [0]},
        {"bands": "4"},
        {"bands": [True]},
        {"bands": [1] * 5000},
        {"plane": {"z": "sum"}},
        {"plane": {"z": 0}},
        {"plane": 3},
        {"levels": []},
        {"levels": [[1, 0]]},
        {"levels": [[0, float("inf")]]},
        {"levels": {"of": "image", "percentiles": [-1, 99]}},
        {"levels": {"of": "run"}},
    ],
)
def test_a_spec_that_says_something_else_is_refused(plain: dict[str, object]) -> None:
    with pytest.raises(InputError, match="do not say how images are read"):
        ReadingSpec.of(plain)
