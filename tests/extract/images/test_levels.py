"""Images of more than 8 bits a channel: white is what all of them together say, never guessed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dseg.extract.images.levels import FULL, white_of_values
from dseg.extract.images.reading import UnreadableImage, brightest_of, image_facts, read_image
from dseg.extract.images.reading_spec import ReadingSpec
from dseg.store.errors import InputError
from numpy.typing import NDArray
from PIL import Image

Write = Callable[..., Path]


def values(channels: int, highest: int, seed: int = 0) -> NDArray[np.uint16]:
    """Values from 0 to the highest, both of which are there in the first channel."""
    drawn = np.random.default_rng(seed).integers(0, highest + 1, (9, 7, channels), np.uint16)
    drawn[0, 0], drawn[0, 1] = 0, highest
    return drawn


def scaled(pixels: NDArray[np.uint16], white: int) -> NDArray[np.uint8]:
    return np.rint(np.float64(pixels) * 255 / white).astype(np.uint8)


@pytest.fixture(params=["png", "tif", "big-endian tif", "compressed tif"])
def grey(request, tmp_path, tiff) -> Write:
    """Write 16-bit grey in one of the forms in which it is found."""

    def write(pixels: NDArray[np.uint16], name: str = "x") -> Path:
        if request.param == "png":
            Image.fromarray(pixels).save(tmp_path / f"{name}.png")
            return tmp_path / f"{name}.png"
        if request.param == "compressed tif":
            Image.fromarray(pixels).save(tmp_path / f"{name}.tif", compression="tiff_lzw")
            return tmp_path / f"{name}.tif"
        order = ">" if "big" in request.param else "<"
        return tiff(tmp_path / f"{name}.tif", pixels, photometric=1, order=order)

    return write


@pytest.mark.parametrize("white", [255, 1023, 4095, 16383])
def test_white_is_that_of_the_bits_in_use(grey: Write, white: int) -> None:
    dark, bright = values(1, white // 5)[..., 0], values(1, white - white // 20)[..., 0]
    paths = [grey(dark, "dark"), grey(bright, "bright")]
    assert all(image_facts(path).deep for path in paths)
    found = white_of_values(brightest_of(paths))
    assert found == white
    for path, pixels in zip(paths, (dark, bright), strict=True):
        for channel in range(3):
            assert np.array_equal(
                read_image(path, ReadingSpec(white=found))[..., channel], scaled(pixels, white)
            )


def test_full_16_bits_come_out_as_ever(grey: Write) -> None:
    pixels = values(1, FULL)[..., 0]
    path = grey(pixels)
    assert white_of_values(brightest_of([path])) == FULL
    assert np.array_equal(read_image(path)[..., 0], scaled(pixels, FULL))


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("white", [255, 1023, 4095, 16383])
def test_colours_of_16_bits_are_read_to_their_low_bits(
    tmp_path: Path, deep_png: Write, channels: int, white: int
) -> None:
    """Pillow drops the low bits; alpha, which uses all of them, says nothing of white."""
    pixels = values(channels, white - white // 20)
    if channels in (2, 4):
        pixels[..., -1] = FULL
    path = deep_png(tmp_path / "x.png", pixels)
    assert image_facts(path).deep
    assert white_of_values(brightest_of([path])) == white
    colours = pixels[..., :1].repeat(3, axis=2) if channels == 2 else pixels[..., :3]
    assert np.array_equal(read_image(path, ReadingSpec(white=white)), scaled(colours, white))
    assert np.array_equal(read_image(path), (colours >> 8).astype(np.uint8))


@pytest.mark.parametrize("order", ["<", ">"])
def test_colour_tiffs_of_either_byte_order(tmp_path: Path, tiff: Write, order: str) -> None:
    pixels = values(3, 4000)
    path = tiff(tmp_path / "x.tif", pixels, photometric=2, order=order)
    assert white_of_values(brightest_of([path])) == 4095
    assert np.array_equal(read_image(path, ReadingSpec(white=4095)), scaled(pixels, 4095))


def test_a_compressed_colour_tiff(tmp_path: Path, tiff: Write) -> None:
    """It goes another way through Pillow, by libtiff."""
    from PIL import TiffImagePlugin

    pixels = values(3, 4000)
    path = tiff(tmp_path / "x.tif", pixels, photometric=2)
    TiffImagePlugin.READ_LIBTIFF = True
    try:
        assert np.array_equal(read_image(path, ReadingSpec(white=4095)), scaled(pixels, 4095))
    finally:
        TiffImagePlugin.READ_LIBTIFF = False


def test_files_that_state_their_white_have_it(tmp_path: Path, tiff: Write) -> None:
    pixels = values(1, 4095)[:, :6, 0]
    header = b"P5\n6 9\n4095\n"
    (tmp_path / "x.pgm").write_bytes(header + pixels.astype(">u2").tobytes())
    bits = np.unpackbits(pixels.astype(">u2").view(np.uint8).reshape(9, 6, 2), axis=2)[..., 4:]
    packed = np.packbits(bits.reshape(9, -1), axis=1).tobytes()
    tiff(tmp_path / "x.tif", pixels, photometric=1, raw=packed, bits=12)
    for name in ("x.pgm", "x.tif"):
        assert not image_facts(tmp_path / name).deep
        got = read_image(tmp_path / name)[..., 0].astype(int)
        assert np.abs(got - scaled(pixels, 4095).astype(int)).max() <= 1
        assert got.max() == 255


def test_integers_of_32_bits_are_of_the_same_kind(tmp_path: Path) -> None:
    pixels = values(1, 4000)[..., 0].astype(np.int32)
    Image.fromarray(pixels).save(tmp_path / "x.tif")
    assert image_facts(tmp_path / "x.tif").deep
    assert white_of_values(brightest_of([tmp_path / "x.tif"])) == 4095


def test_eight_bits_are_not_looked_at(tmp_path: Path) -> None:
    for mode in ("L", "RGB", "RGBA", "P", "1", "CMYK"):
        path = tmp_path / f"{mode}.tif"
        Image.new(mode, (4, 4)).save(path)
        assert not image_facts(path).deep


def test_no_value_above_white_is_cut(grey: Write) -> None:
    path = grey(values(1, 4096)[..., 0])
    with pytest.raises(
        UnreadableImage,
        match=r"values up to 4096, but in this run 4095 is white: use --white 16383",
    ):
        read_image(path, ReadingSpec(white=4095))
    assert read_image(path, ReadingSpec(white=4096)).max() == 255


def test_black_alone_says_nothing_of_white(grey: Write) -> None:
    path = grey(np.zeros((4, 4), np.uint16))
    assert white_of_values(brightest_of([path])) == FULL


def test_tiffs_that_pillow_decodes_wrongly(tmp_path: Path, tiff: Write) -> None:
    planes = tiff(tmp_path / "planes.tif", values(3, FULL), photometric=2, planar=True)
    assert np.array_equal(read_image(planes), (values(3, FULL) >> 8).astype(np.uint8))
    negative = tiff(tmp_path / "negative.tif", values(1, FULL), photometric=0)
    with pytest.raises(UnreadableImage, match=r"'negative.tif' .*count from white to black"):
        read_image(negative)


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((4, 4, 5), np.uint8, "has 5 channels; .* choose one or three .* --bands 3,2,1"),
        ((4, 4, 2), np.uint16, "has 2 channels; .* choose one or three .* --bands 1"),
    ],
)
def test_what_a_tiff_is_that_cannot_be_read(
    tmp_path: Path, tiff: Write, shape: tuple[int, ...], dtype: type, words: str
) -> None:
    photometric = 2 if shape[2] == 3 else 1
    path = tiff(tmp_path / "x.tif", np.ones(shape, dtype), photometric=photometric)
    for read in (read_image, image_facts):
        with pytest.raises(UnreadableImage, match=words):
            read(path)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "is empty: was it copied to the end"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "is a HEIC file"),
        (b"\x93NUMPY\x01\0", "is a NumPy file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "run `git lfs pull`"),
        (b"II*\0\x08\0\0\0" + bytes(6), "is a TIFF without an image"),
        (b"something else", "is not an image that can be decoded"),
    ],
)
def test_what_a_file_is_under_the_name_of_an_image(tmp_path: Path, head: bytes, words: str) -> None:
    (tmp_path / "x.jpg").write_bytes(head)
    with pytest.raises(UnreadableImage, match=words):
        image_facts(tmp_path / "x.jpg")


@pytest.mark.parametrize("white", ["4095", 0, -1, 70000, True, None, 4095.0])
def test_a_white_that_is_none_is_refused(white: object) -> None:
    with pytest.raises(InputError, match="for white: expected a number up to 65535"):
        ReadingSpec.of({"white": white})


@pytest.mark.parametrize("form", ["gif", "webp", "png", "tif"])
def test_further_pages_are_seen(tmp_path: Path, form: str) -> None:
    frames = [Image.new("RGB", (6, 6), (40 * i, 0, 0)) for i in range(3)]
    frames[0].save(tmp_path / f"x.{form}", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / f"y.{form}")
    assert image_facts(tmp_path / f"x.{form}").paged
    assert not image_facts(tmp_path / f"y.{form}").paged
