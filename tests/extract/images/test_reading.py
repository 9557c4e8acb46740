import hashlib
import json
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from dseg.extract.images.files import list_images
from dseg.extract.images.network_input import ImageRows
from dseg.extract.images.reading import UnreadableImage, image_size, read_image, sha256_of
from dseg.extract.images.reading_spec import ReadingSpec
from dseg.store.errors import InputError
from dseg.store.geometry import Geometry, plan_tiles
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps
from safetensors.numpy import load_file


def pixels(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


def cut_rows(image: NDArray[np.uint8], geometry: Geometry) -> NDArray[np.float32]:
    rows = ImageRows(image, geometry)
    return np.stack([rows[row] for row in range(len(rows))])


def save(path: Path, image: NDArray[np.generic] | Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(path, **options)
    return path


# --- listing


def test_lists_known_images_of_all_folders_in_order(tmp_path: Path) -> None:
    for name in ("b/z.png", "a.JPG", "b/a.Tif", ".hidden.png", ".cache/x.png", "B.webp"):
        save(tmp_path / name, pixels(4, 4))
    (tmp_path / "notes.txt").write_text("no image")
    names = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert names == ["B.webp", "a.JPG", "b/a.Tif", "b/z.png"]


def test_one_stem_in_two_folders_is_fine_but_twice_in_one_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", pixels(4, 4))
    save(tmp_path / "b/1.png", pixels(4, 4))
    assert len(list_images(tmp_path)) == 2
    save(tmp_path / "b/1.jpg", pixels(4, 4))
    with pytest.raises(InputError, match=r"'b/1.jpg' and 'b/1.png' differ only in their extension"):
        list_images(tmp_path)


def test_refuses_what_is_no_folder_of_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"no image in .*: looked for files ending in .*\.png"):
        list_images(tmp_path)
    with pytest.raises(InputError, match="does not exist: give a folder of images"):
        list_images(tmp_path / "none")
    with pytest.raises(InputError, match="is a file: give a folder of images"):
        list_images(tmp_path / "notes.txt")


@pytest.mark.parametrize("form", ["avif", "heic", "heif", "jp2", "j2k"])
def test_reads_formats_of_phones_and_archives(form: str, tmp_path: Path) -> None:
    if form.startswith("hei"):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    soft = Image.fromarray(pixels(3, 4)).resize((64, 48), Image.Resampling.BICUBIC)
    path = save(tmp_path / f"x.{form}", soft)
    (found,) = list_images(tmp_path)
    assert image_size(found) == (48, 64)
    assert np.abs(read_image(found).astype(int) - np.asarray(soft)).mean() < 6
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UnreadableImage, match=f"'x.{form}' "):
        read_image(path)


def test_a_photograph_exported_twice_is_one_image(tmp_path: Path) -> None:
    for name in ("a.heic", "a.jpg", "b.heic", "c/a.avif"):
        save(tmp_path / f"{name}.png", pixels(4, 4)).rename(tmp_path / name)
    names = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert names == ["a.jpg", "b.heic", "c/a.avif"]


# --- decoding


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr"])
def test_reads_every_mode_as_rgb(mode: str, tmp_path: Path) -> None:
    form = "tif" if mode in ("CMYK", "YCbCr") else "png"
    path = save(tmp_path / f"x.{form}", Image.fromarray(pixels(5, 7)).convert(mode))
    got = read_image(path)
    assert got.dtype == np.uint8
    with Image.open(path) as stored:
        assert np.array_equal(got, np.asarray(stored.convert("RGB")))
    assert image_size(path) == (5, 7)


def test_alpha_is_dropped(tmp_path: Path) -> None:
    color = pixels(4, 4)
    alpha = np.zeros((4, 4, 1), np.uint8)
    path = save(tmp_path / "x.png", np.concatenate([color, alpha], axis=2))
    assert np.array_equal(read_image(path), color)


def test_a_palette_with_transparent_entries_is_read_without_a_warning(tmp_path: Path) -> None:
    picture = Image.fromarray(pixels(6, 6)).quantize(8)
    path = save(tmp_path / "x.png", picture, transparency=bytes([0, 128, 255]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(read_image(path), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("form", ["png", "tif", "pgm"])
def test_16_bit_grey_is_divided_by_257(form: str, tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    path = save(tmp_path / f"x.{form}", levels * np.uint16(257))
    assert np.array_equal(read_image(path)[..., 0], levels)
    values = np.array([[0, 128, 129, 65535 - 129, 65535 - 128, 65535]], np.uint16)
    path = save(tmp_path / f"y.{form}", values)
    assert read_image(path)[0, :, 2].tolist() == [0, 0, 1, 254, 255, 255]


def test_pixels_without_a_defined_white_are_refused(tmp_path: Path) -> None:
    floats = save(tmp_path / "f.tif", np.ones((2, 2), np.float32))
    with pytest.raises(UnreadableImage, match=r"'f.tif' has floating-point values.*--levels 0:1"):
        read_image(floats)
    wide = save(tmp_path / "i.tif", np.array([[-5, 70000]], np.int32))
    with pytest.raises(UnreadableImage, match="grey values from -5 to 70000 do not fit 16 bits"):
        read_image(wide)


@pytest.mark.parametrize("form", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, form: str, tmp_path: Path) -> None:
    picture = Image.fromarray(pixels(8, 16))
    exif = Image.Exif()
    exif[274] = orientation
    path = save(tmp_path / f"x.{form}", picture, exif=exif)
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    got = read_image(path)
    assert np.array_equal(got, expected)
    assert image_size(path) == got.shape[:2] == ((8, 16) if orientation < 5 else (16, 8))


def test_of_several_frames_the_first_counts(tmp_path: Path) -> None:
    frames = [Image.fromarray(pixels(6, 6, seed)) for seed in range(3)]
    for name in ("x.tif", "y.webp"):
        path = tmp_path / name
        frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
        assert np.array_equal(read_image(path), pixels(6, 6, 0))
    path = save(tmp_path / "z.gif", frames[0], save_all=True, append_images=frames[1:])
    first = BytesIO()
    frames[0].save(first, "GIF")
    with Image.open(first) as alone:
        assert np.array_equal(read_image(path), np.asarray(alone.convert("RGB")))


# --- images that cannot be used


@pytest.mark.parametrize("form", ["png", "jpg", "tif", "webp", "gif"])
def test_a_truncated_file_is_an_error_of_this_image(form: str, tmp_path: Path) -> None:
    path = save(tmp_path / f"cut.{form}", pixels(64, 64))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableImage, match=rf"'cut.{form}' .*decoded"):
        read_image(path)


def test_what_is_no_image_or_gone_is_an_error_of_this_image(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("a text")
    for read in (read_image, image_size):
        with pytest.raises(UnreadableImage, match=r"'x.png' is not an image that can be decoded"):
            read(tmp_path / "x.png")
        with pytest.raises(UnreadableImage, match=r"'y.png' is not there any more"):
            read(tmp_path / "y.png")
    with pytest.raises(UnreadableImage, match=r"'y.png' cannot be read: No such file"):
        sha256_of(tmp_path / "y.png")


def test_an_image_above_the_limit_is_refused_unless_it_is_raised(tmp_path: Path) -> None:
    path = save(tmp_path / "big.png", pixels(8, 8))
    words = r"'big.png' is larger than the limit against decompression bombs, 63 .*--max-pixels"
    for read in (image_size, read_image):
        with pytest.raises(UnreadableImage, match=words):
            read(path, ReadingSpec(most_pixels=63))
    assert image_size(path, ReadingSpec(most_pixels=64)) == (8, 8)


def test_pillows_own_limit_neither_warns_nor_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "big.png", pixels(8, 8))
    for limit in (30, 50):  # it raises above twice the limit, else warns
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with warnings.catch_warnings(action="error"):
            assert image_size(path) == (8, 8)
            assert np.array_equal(read_image(path), pixels(8, 8))
        assert limit == Image.MAX_IMAGE_PIXELS


def test_broken_metadata_does_not_hide_the_pixels(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", pixels(4, 6), exif=b"Exif\0\0garbage!")
    assert image_size(path) == (4, 6)
    assert np.array_equal(read_image(path), pixels(4, 6))


def test_sha256_is_that_of_the_file(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", pixels(4, 4))
    assert sha256_of(path) == hashlib.sha256(path.read_bytes()).digest()


# --- rows


def test_network_input_equals_the_published(small_golden: Path) -> None:
    folder = small_golden / "data"
    resolution = json.loads((folder / "config.json").read_text())["resolution"]
    expected = load_file(folder / "expected.safetensors")
    for number, path in enumerate(list_images(folder / "dataset")):
        geometry = plan_tiles(image_size(path), (resolution, resolution), "squash")
        rows = cut_rows(read_image(path), geometry)
        np.testing.assert_allclose(rows[0], expected[f"ddpm.image{number}"], atol=1e-6, rtol=0)
    assert number == 3


def test_an_image_of_the_row_shape_is_only_scaled() -> None:
    image = pixels(8, 12)
    rows = cut_rows(image, plan_tiles((8, 12), (8, 12), "squash"))
    assert rows.shape == (1, 3, 8, 12)
    assert rows.dtype == np.float32
    assert np.array_equal(np.rint((rows[0].transpose(1, 2, 0) + 1) * 127.5), image)
    assert rows.min() >= -1
    assert rows.max() <= 1


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from([(8, 8), (8, 16), (16, 8)]), st.data()
)
def test_tiles_are_cuttings_of_the_resized_image(
    height: int, width: int, row_shape: tuple[int, int], data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, 7))
    geometry = plan_tiles((height, width), row_shape, "tile", overlap)
    image = pixels(height, width)
    rows = cut_rows(image, geometry)
    whole = cut_rows(image, plan_tiles((height, width), geometry.resized, "squash"))[0]
    assert len(rows) == len(geometry.offsets)
    for row, (y, x) in zip(rows, geometry.offsets, strict=True):
        assert np.array_equal(row, whole[:, y : y + row_shape[0], x : x + row_shape[1]])


@pytest.mark.parametrize("size", [(16, 10), (64, 3), (5, 16), (16, 16)])
def test_padding_mirrors_the_image(size: tuple[int, int]) -> None:
    geometry = plan_tiles(size, (16, 16), "pad")
    image = pixels(*size)
    row = cut_rows(image, geometry)[0]
    assert row.shape == (3, 16, 16)
    height, width = geometry.content(0)
    content = cut_rows(image, plan_tiles(size, geometry.resized, "squash"))[0]
    assert np.array_equal(row[:, :height, :width], content)
    assert np.array_equal(
        row, np.pad(content, ((0, 0), (0, 16 - height), (0, 16 - width)), "symmetric")
    )


def test_an_image_that_changed_its_size_is_refused() -> None:
    with pytest.raises(InputError, match="image of 4x6 cannot be cut by a geometry for 6x4"):
        cut_rows(pixels(4, 6), plan_tiles((6, 4), (8, 8), "squash"))
