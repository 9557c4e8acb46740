"""What frames of Zstandard state of themselves, against what unpacks them."""

import numpy as np
from dseg.store.format.zstd_frames import unpacked_size
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import zstd


@given(st.binary(max_size=300), st.integers(1, 2000), st.integers(1, 19), st.booleans())
def test_the_size_of_what_is_packed(part, times, level, checksum):
    data = part * times
    packed = zstd.compress(data, level, checksum)
    assert unpacked_size(packed) == len(data)
    assert unpacked_size(packed + bytes(4)) == len(data)
    assert unpacked_size(packed + packed) is None
    assert unpacked_size(packed[:-5]) is None


def test_many_blocks():
    data = np.random.default_rng(0).integers(0, 9, 2**20, np.uint8).tobytes()
    assert unpacked_size(zstd.compress(data)) == 2**20


def test_other_bytes():
    for data in (b"", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18\x20" + bytes(35), bytes(100)):
        assert unpacked_size(data) is None
