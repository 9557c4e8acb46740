import struct
import zlib

import numpy as np
import pytest
from dseg.classify.labels.label_maps import (
    IGNORED,
    check_trainable,
    label_tiles,
    read_label_file,
    read_label_map,
)
from dseg.store.errors import InputError
from dseg.store.geometry import plan_tiles
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file

LABEL = np.array([[0, 1, 2], [3, 1, 255]])


def squash(size, row_shape=None):
    return plan_tiles(size, row_shape or size, "squash")


def write_grey_png(path, rows, bits):
    """A grey PNG of few bits a pixel, which Pillow reads but does not write."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    def packed(row):
        text = "".join(f"{v:0{bits}b}" for v in row)
        text = text.ljust(-(-len(text) // 8) * 8, "0")
        return bytes([0, *(int(text[i : i + 8], 2) for i in range(0, len(text), 8))])

    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), bits, 0, 0, 0, 0)
    data = zlib.compress(b"".join(map(packed, rows)))
    signature = b"\x89PNG\r\n\x1a\n"
    path.write_bytes(
        signature + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


class TestRead:
    def test_index_png(self, tmp_path):
        Image.fromarray(LABEL.astype(np.uint8)).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_label_map(tmp_path / "a.png"), LABEL)

    @pytest.mark.parametrize("bits", [4, 8])
    def test_in_a_palette_png_the_index_counts(self, tmp_path, bits):
        image = Image.fromarray((LABEL % 16).astype(np.uint8)).convert("P")
        image.putdata((LABEL % 16).ravel().tolist())
        image.putpalette([7, 7, 7] * 16)
        image.save(tmp_path / "a.png", bits=bits)
        np.testing.assert_array_equal(read_label_map(tmp_path / "a.png"), LABEL % 16)

    def test_the_palette_comes_with_the_index(self, tmp_path):
        image = Image.fromarray((LABEL % 4).astype(np.uint8)).convert("P")
        image.putpalette([7, 8, 9, 1, 2, 3])
        image.save(tmp_path / "a.png")
        assert (read_label_file(tmp_path / "a.png")[1] or b"")[:6] == bytes([7, 8, 9, 1, 2, 3])
        Image.fromarray(LABEL.astype(np.uint8)).save(tmp_path / "a.png")
        assert read_label_file(tmp_path / "a.png")[1] is None

    def test_16_bit_png(self, tmp_path):
        Image.fromarray((LABEL * 200).astype(np.uint16)).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_label_map(tmp_path / "a.png"), LABEL * 200)

    @pytest.mark.parametrize("bits", [1, 2, 4])
    def test_a_grey_png_of_few_bits_is_not_stretched(self, tmp_path, bits):
        ids = LABEL % 2**bits
        write_grey_png(tmp_path / "a.png", ids.tolist(), bits)
        np.testing.assert_array_equal(read_label_map(tmp_path / "a.png"), ids)

    @pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16, np.bool_])
    def test_npy(self, tmp_path, dtype):
        np.save(tmp_path / "a.npy", LABEL.astype(dtype))
        label = read_label_map(tmp_path / "a.npy")
        np.testing.assert_array_equal(label, LABEL.astype(dtype))
        assert np.issubdtype(label.dtype, np.integer)

    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (LABEL.astype(float), "contains float64: expected whole numbers"),
            (LABEL[None], r"shape \(1, 2, 3\): expected \(H, W\), one class id per pixel"),
            (np.zeros((0, 3), int), r"expected \(H, W\), one class id per pixel"),
            (np.array([{}]), "cannot be read: .*Python objects"),
        ],
    )
    def test_an_npy_that_is_no_label_map_is_refused(self, tmp_path, array, words):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(InputError, match=words):
            read_label_map(tmp_path / "a.npy")

    def test_a_colour_png_is_refused_with_advice(self, tmp_path):
        Image.new("RGB", (3, 2)).save(tmp_path / "a.png")
        with pytest.raises(InputError, match=r"colour image \(RGB\).*index or palette PNG"):
            read_label_map(tmp_path / "a.png")

    def test_a_damaged_png_is_refused(self, tmp_path):
        noise = np.random.default_rng(0).integers(0, 9, (99, 99), np.uint8)
        Image.fromarray(noise).save(tmp_path / "a.png")
        whole = (tmp_path / "a.png").read_bytes()
        (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match=r"'.*a.png' cannot be read"):
            read_label_map(tmp_path / "a.png")

    def test_another_format_under_the_name_of_a_png_is_refused(self, tmp_path):
        Image.new("L", (9, 9)).save(tmp_path / "a.png", format="JPEG")
        with pytest.raises(InputError, match="cannot be read"):
            read_label_map(tmp_path / "a.png")


class TestRows:
    def test_published_labels(self, small_golden):
        expected = load_file(small_golden / "data" / "expected.safetensors")
        for i in range(4):
            label = read_label_map(small_golden / "data" / "dataset" / f"img_{i}.npy")
            rows = label_tiles(label, squash(label.shape, (48, 48)), minimum_pixels=1)
            published = expected[f"label{i}"].astype(int)
            np.testing.assert_array_equal(rows[0], np.where(published == 255, IGNORED, published))

    def test_published_training_labels(self, small_golden):
        expected = load_file(small_golden / "data" / "expected.safetensors")
        training = []
        for i in range(3):
            label = read_label_map(small_golden / "data" / "dataset" / f"img_{i}.npy")
            rows = label_tiles(label, squash(label.shape, (48, 48)))
            training.append(rows[rows != IGNORED])
        np.testing.assert_array_equal(np.concatenate(training), expected["prepare.y"])

    def test_19_pixels_are_deleted_and_20_stay(self):
        label = np.zeros((10, 10), np.uint8)
        label.flat[:19], label.flat[50:70] = 1, 2
        rows = label_tiles(label, squash(label.shape))[0]
        assert [(rows == k).sum() for k in (0, 1, 2, IGNORED)] == [61, 0, 20, 19]

    def test_classes_are_counted_in_the_image_not_in_a_tile(self):
        label = np.zeros((8, 16), np.uint8)
        label[:3, 4:12] = 1  # 24 pixels, 12 a tile
        rows = label_tiles(label, plan_tiles(label.shape, (8, 8), "tile"))
        assert (rows == 1).sum(axis=(1, 2)).tolist() == [12, 12]

    def test_padding_is_ignored(self):
        rows = label_tiles(np.zeros((8, 4), np.uint8), plan_tiles((8, 4), (8, 8), "pad"))
        assert (rows[0, :, :4] == 0).all()
        assert (rows[0, :, 4:] == IGNORED).all()

    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64])
    def test_any_label_can_be_the_ignored_one(self, dtype):
        label = np.array([[0, 7, 7]], dtype)
        rows = label_tiles(label, squash(label.shape), ignore=0, minimum_pixels=1)
        assert rows.tolist() == [[[IGNORED, 7, 7]]]

    def test_ignoring_minus_one(self):
        rows = label_tiles(np.array([[-1, 3]]), squash((1, 2)), ignore=-1, minimum_pixels=1)
        assert rows.tolist() == [[[IGNORED, 3]]]

    @settings(deadline=None, max_examples=30)
    @given(st.integers(1, 40), st.integers(1, 40), st.randoms(use_true_random=False))
    def test_what_is_left_has_enough_pixels(self, height, width, random):
        label = np.array([[random.choice([0, 1, 255]) for _ in range(width)]] * height)
        rows = label_tiles(label, squash(label.shape))
        for k in (0, 1):
            before, after = (label == k).sum(), (rows == k).sum()
            assert after == (before if before >= 20 else 0)


class TestTrainable:
    def test_two_classes_will_do(self):
        check_trainable([3, 0, 1], ["a", "b", "c"])

    def test_nothing_labelled_is_refused(self):
        with pytest.raises(InputError, match="no labelled pixel remains"):
            check_trainable([0, 0], ["a", "b"])

    def test_one_class_is_refused(self):
        with pytest.raises(InputError, match="only one class is present, 'b'"):
            check_trainable([0, 9], ["a", "b"])
