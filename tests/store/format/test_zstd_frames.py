"""What frames of Zstandard state of themselves, against what unpacks them."""

import numpy as np
import pytest
import zarr
from dseg.store.format.bounds import check_unpacked
from dseg.store.format.zstd_frames import unpacked_size
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import zstd
from zarr.codecs import ZstdCodec


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


def test_a_stores_chunk_of_several_frames_is_refused(tmp_path):
    array = zarr.create_array(
        tmp_path / "a", shape=(100,), chunks=(100,), dtype="u1", compressors=ZstdCodec()
    )
    array[:] = 7
    chunk = tmp_path / "a/c/0"
    check_unpacked(array, "c/0")
    chunk.write_bytes(chunk.read_bytes() + zstd.compress(bytes(2**20)))
    with pytest.raises(
        ValueError, match="'c/0': it is damaged, or does not state what it unpacks to"
    ):
        check_unpacked(array, "c/0")
