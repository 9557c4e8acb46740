"""Files of predictions: whole, and read back as they were."""

import numpy as np
import pytest
from dseg.classify.inference.mask_files import read_mask, write_array, write_mask, write_overlay
from dseg.store.errors import DsegError, InputError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))


def colours(n):
    return [(i % 256, i // 256, 7) for i in range(n)]


class TestRoundTrip:
    @settings(max_examples=40, deadline=None)
    @given(data=st.data(), n=st.sampled_from([1, 2, 3, 16, 17, 200, 256]))
    def test_eight_bits_and_any_number_of_colours(self, tmp_path_factory, data, n):
        mask = data.draw(arrays.arrays(np.uint8, shapes, elements=st.integers(0, n - 1)))
        path = tmp_path_factory.mktemp("masks") / "m.png"
        write_mask(path, mask, colours(n))
        read = read_mask(path)
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, mask)

    @settings(max_examples=15, deadline=None)
    @given(mask=arrays.arrays(np.uint16, shapes, elements=st.integers(0, 999)))
    def test_sixteen_bits(self, tmp_path_factory, mask):
        path = tmp_path_factory.mktemp("masks") / "m.png"
        write_mask(path, mask, colours(1000))
        read = read_mask(path)
        assert read.dtype == np.uint16
        np.testing.assert_array_equal(read, mask)

    def test_arrays(self, tmp_path):
        values = np.arange(6, dtype=np.float16).reshape(1, 2, 3)
        write_array(tmp_path / "sub" / "p.npy", values)
        read = np.load(tmp_path / "sub" / "p.npy")
        assert read.dtype == np.float16
        np.testing.assert_array_equal(read, values)


def test_palette_shows_the_classes_colours(tmp_path):
    mask = np.array([[0, 1], [2, 1]], np.uint8)
    write_mask(tmp_path / "a" / "b" / "m.png", mask, [(1, 2, 3), (40, 50, 60), (255, 0, 9)])
    with Image.open(tmp_path / "a" / "b" / "m.png") as image:
        assert image.mode == "P"
        seen = np.asarray(image.convert("RGB"))
    assert seen.tolist() == [[[1, 2, 3], [40, 50, 60]], [[255, 0, 9], [40, 50, 60]]]


def test_a_view_that_is_not_contiguous(tmp_path):
    mask = np.arange(24, dtype=np.uint8).reshape(4, 6)[::2, ::-1]
    write_mask(tmp_path / "m.png", mask, colours(24))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), mask)


def test_overlay_is_halfway_between(tmp_path):
    image = np.full((1, 2, 3), 100, np.uint8)
    mask = np.array([[0, 1]], np.uint8)
    write_overlay(tmp_path / "o.png", image, mask, [(0, 0, 0), (255, 200, 100)])
    with Image.open(tmp_path / "o.png") as written:
        assert np.asarray(written).tolist() == [[[50, 50, 50], [177, 150, 100]]]


class TestWholeOrNotAtAll:
    def test_a_failed_write_leaves_the_old_file_and_no_other(self, tmp_path):
        path = tmp_path / "u.npy"
        write_array(path, np.zeros(3, np.float32))
        with pytest.raises(ValueError, match="Object arrays"):
            write_array(path, np.array([object()]))
        assert [p.name for p in tmp_path.iterdir()] == ["u.npy"]
        assert np.load(path).shape == (3,)

    def test_nothing_is_left_beside_a_written_file(self, tmp_path):
        write_mask(tmp_path / "m.png", np.zeros((2, 2), np.uint8), colours(1))
        assert [p.name for p in tmp_path.iterdir()] == ["m.png"]

    def test_a_folder_in_the_way(self, tmp_path):
        (tmp_path / "m.png").mkdir()
        with pytest.raises(DsegError, match=r"cannot write '.*m\.png': "):
            write_mask(tmp_path / "m.png", np.zeros((2, 2), np.uint8), colours(1))
        assert [p.name for p in tmp_path.iterdir()] == ["m.png"]

    def test_a_file_where_a_folder_should_be(self, tmp_path):
        (tmp_path / "sub").write_text("")
        with pytest.raises(DsegError, match=r"cannot write '.*m\.png': "):
            write_mask(tmp_path / "sub" / "m.png", np.zeros((2, 2), np.uint8), colours(1))


class TestRefusals:
    def test_a_class_without_a_colour(self, tmp_path):
        with pytest.raises(InputError, match="holds class 3, but there are colours for 3 classes"):
            write_mask(tmp_path / "m.png", np.full((2, 2), 3, np.uint8), colours(3))

    @pytest.mark.parametrize(
        "mask",
        [np.zeros((2, 2), np.int64), np.zeros((2, 2, 3), np.uint8), np.zeros((0, 2), np.uint8)],
    )
    def test_no_mask(self, tmp_path, mask):
        with pytest.raises(
            InputError, match=r"a mask is a uint8 or uint16 array \(height, width\)"
        ):
            write_mask(tmp_path / "m.png", mask, colours(3))

    def test_overlay_on_an_image_of_another_size(self, tmp_path):
        image, mask = np.zeros((3, 2, 3), np.uint8), np.zeros((2, 3), np.uint8)
        with pytest.raises(InputError, match=r"RGB image of the mask's size, uint8 \(2, 3, 3\)"):
            write_overlay(tmp_path / "o.png", image, mask, colours(1))

    def test_reading_what_is_no_mask(self, tmp_path):
        (tmp_path / "t.png").write_text("words")
        Image.new("RGB", (2, 2)).save(tmp_path / "rgb.png")
        with pytest.raises(InputError, match="cannot be read as a mask"):
            read_mask(tmp_path / "t.png")
        with pytest.raises(InputError, match="cannot be read as a mask"):
            read_mask(tmp_path / "missing.png")
        with pytest.raises(InputError, match="is a RGB image: a mask is a PNG of class ids"):
            read_mask(tmp_path / "rgb.png")
