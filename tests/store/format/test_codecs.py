"""Each named compression keeps its bound on the error."""

import numpy as np
import pytest
from dseg.store.errors import InputError
from dseg.store.format.codecs import CODECS, codec_named, dequantise, quantise
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

finite = st.floats(-65504, 65504, width=16)
maps = arrays(np.float16, st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
              elements=finite)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(maps)
def test_uint8_errs_by_half_a_step_and_a_rounding(activation):
    levels, scales = quantise(activation)
    got = dequantise(levels, scales)
    assert got.dtype == np.float16
    step = scales[:, 1].astype(np.float64)[:, None, None]
    wide = activation.astype(np.float64)
    rounding = np.abs(wide).max() * 2**-11 + 2**-25  # of float16, then of its subnormals
    assert (np.abs(got.astype(np.float64) - wide) <= step * (0.5 + 1e-4) + rounding).all()


@settings(max_examples=20, deadline=None)
@given(finite)
def test_uint8_keeps_a_map_of_one_value(value):
    activation = np.full((1, 3, 4), value, np.float16)
    np.testing.assert_array_equal(dequantise(*quantise(activation)), activation)


def test_every_pipeline_ends_in_a_checksum():
    for codec in CODECS.values():
        assert codec.compressors[-1].to_dict() == {"name": "crc32c"}


def test_an_unknown_codec_is_refused():
    with pytest.raises(InputError, match="unknown compression 'gzip': choose one of lz4, zst"):
        codec_named("gzip")
