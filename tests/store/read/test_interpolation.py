"""A pixel read by its taps is the pixel of the map that torch upsamples."""

import numpy as np
import pytest
import torch
from dseg.store.errors import InputError
from dseg.store.read import interpolation as pixels
from dseg.store.read.interpolation import gather, rectangle, taps
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

side = st.integers(1, 40)


def upsampled(activation: np.ndarray, row_shape: tuple[int, int]) -> np.ndarray:
    wide = torch.from_numpy(activation.astype(np.float32))[None]
    return torch.nn.functional.interpolate(wide, size=row_shape, mode="bilinear")[0].numpy()


@settings(max_examples=60, deadline=None)
@given(row_shape=st.tuples(side, side), map_shape=st.tuples(side, side), seed=st.integers(0, 99))
def test_taps_are_those_of_interpolate(row_shape, map_shape, seed):
    generator = np.random.default_rng(seed)
    activation = generator.normal(size=(3, *map_shape)).astype(np.float32)
    yx = rectangle(range(row_shape[0]), range(row_shape[1]))
    index, weight = taps(yx, row_shape, map_shape)
    got = gather(activation, index, weight).T.reshape(3, *row_shape)
    np.testing.assert_allclose(got, upsampled(activation, row_shape), rtol=0, atol=5e-6)
    np.testing.assert_allclose(weight.sum(axis=1), 1, atol=1e-6)
    assert index.min() >= 0
    assert index.max() < map_shape[0] * map_shape[1]


@pytest.mark.parametrize("size", [64, 128, 256])
def test_at_the_published_size_it_is_interpolate_to_2_4e_7(size):
    activation = np.random.default_rng(0).normal(size=(4, 32, 32)).astype(np.float32)
    yx = rectangle(range(size), range(size))
    got = gather(activation, *taps(yx, (size, size), (32, 32))).T.reshape(4, size, size)
    np.testing.assert_allclose(got, upsampled(activation, (size, size)), rtol=0, atol=5e-7)


@pytest.mark.parametrize("case", ["square64", "square96", "down_48", "rect"])
def test_gathered_vectors_are_the_published_ones(golden, case):
    tensors = load_file(golden / "collect_features" / f"{case}_bilinear.safetensors")
    yx, row_shape = tensors["yx"].astype(np.int64), SHAPES[case]
    for sample in (0, 1):
        acts = [tensors[f"act{i}"][sample] for i in range(len(tensors)) if f"act{i}" in tensors]
        got = [gather(act, *taps(yx, row_shape, act.shape[1:])) for act in acts]
        expected = tensors[f"features.sample{sample}"]
        np.testing.assert_allclose(np.concatenate(got, axis=1), expected, rtol=0, atol=1e-6)


SHAPES = {"square64": (64, 64), "square96": (96, 96), "down_48": (48, 48), "rect": (40, 72)}


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 300), seed=st.integers(0, 99))
def test_gathering_in_parts_is_gathering_at_once(n, seed):
    generator = np.random.default_rng(seed)
    activation = generator.normal(size=(5, 6, 7)).astype(np.float16)
    index, weight = taps(generator.integers(0, 32, (n, 2)), (32, 32), (6, 7))
    alone = [gather(activation, index[i : i + 1], weight[i : i + 1])[0] for i in range(n)]
    np.testing.assert_array_equal(gather(activation, index, weight), np.stack(alone))


def test_a_half_precision_map_is_summed_in_float32():
    activation = np.float16([[[1, 1.001], [2, 2.002]]])
    index, weight = taps(np.array([[1, 1]]), (4, 4), (2, 2))
    expected = (activation.reshape(-1).astype(np.float64)[index[0]] * weight[0]).sum()
    got = gather(activation, index, weight)
    assert got.dtype == np.float32
    assert abs(got[0, 0] - expected) < 2e-7


def test_a_read_only_map_is_gathered_without_a_warning():
    activation = np.ones((1, 2, 2), np.float16)
    activation.flags.writeable = False
    every_cell = taps(rectangle(range(2), range(2)), (2, 2), (2, 2))
    assert (gather(activation, *every_cell) == 1).all()


def test_no_pixels_are_no_vectors():
    empty = np.empty((0, 2), np.int64)
    assert gather(np.ones((3, 2, 2), np.float16), *taps(empty, (4, 4), (2, 2))).shape == (0, 3)


@pytest.mark.parametrize("yx", [[[0.0, 1.0]], [0, 1], [[0, 1, 2]]])
def test_what_is_no_pixel_is_refused(yx):
    with pytest.raises(InputError, match=r"pixels must be an integer array of shape \(n, 2\)"):
        taps(np.array(yx), (4, 4), (2, 2))


@pytest.mark.parametrize("pixel", [(-1, 0), (0, 5), (4, 0)])
def test_a_pixel_outside_is_refused(pixel):
    words = rf"pixel \({pixel[0]}, {pixel[1]}\) lies outside a grid of 4x5"
    with pytest.raises(InputError, match=words):
        taps(np.array([[1, 1], pixel]), (4, 5), (2, 2))


def test_tap_by_tap_is_the_embedding_bag():
    table = torch.randn(50, 7)
    index, weight = torch.randint(50, (30, 12)), torch.rand(30, 12)
    ours = pixels._mix_tap_by_tap(table, index, weight)
    torch.testing.assert_close(ours, pixels.mix(table, index, weight))
