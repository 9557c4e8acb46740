"""Chunks that are encoded here are, byte for byte, those that zarr writes."""

import numpy as np
import pytest
import zarr
from dseg.store.format.codecs import CODECS, quantise
from dseg.store.write.chunks import ChunkWriter
from zarr.codecs import Crc32cCodec
from zarr.storage import LocalStore, MemoryStore


def assert_same(values, chunks, fill, folder, codec=None):
    store = LocalStore(folder)
    group = zarr.open_group(store, mode="w", zarr_format=3)
    compressors = (Crc32cCodec(),) if codec is None else codec.compressors
    arrays = {
        name: group.create_array(
            name,
            shape=(3, *values.shape),
            dtype=values.dtype,
            chunks=chunks,
            fill_value=fill,
            compressors=compressors,
        )
        for name in ("zarrs", "ours")
    }
    arrays["zarrs"][1] = values
    told = {} if codec is None else {"codec": codec}
    ChunkWriter(store, "ours", arrays["ours"], **told).write(1, values)
    files = {
        name: {
            path.relative_to(folder / name): path.read_bytes()
            for path in (folder / name / "c").rglob("*")
            if path.is_file()
        }
        for name in arrays
    }
    assert files["ours"] == files["zarrs"]
    assert len(files["ours"]) == -(-values.shape[0] // chunks[1]) if values.ndim else 1
    np.testing.assert_array_equal(arrays["ours"][1], values)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("channels", [5, 6, 7, 12])
def test_maps(codec, channels, tmp_path):
    """In one chunk, in whole ones, and in several of which the last is filled up."""
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(channels, 9, 8)).astype(np.float16)
    maps[0] = 0
    if CODECS[codec].quantised:
        levels, scales = quantise(maps)
        assert_same(levels, (1, 6, 9, 8), 0, tmp_path / "levels", CODECS[codec])
        assert_same(scales, (1, channels, 2), float("nan"), tmp_path / "scales")
    else:
        assert_same(maps, (1, 6, 9, 8), float("nan"), tmp_path / "maps", CODECS[codec])


@pytest.mark.parametrize(
    "values",
    [
        np.arange(32, dtype=np.uint8),
        np.array([3, 0, 2**40], np.int64),
        np.array(True),
    ],
)
def test_facts(values, tmp_path):
    assert_same(values, (1, *values.shape), 0 if values.ndim else False, tmp_path)


def test_a_store_that_is_no_folder(tmp_path):
    group = zarr.open_group(MemoryStore(), mode="w", zarr_format=3)
    array = group.create_array(
        "x", shape=(2, 3), dtype="int64", chunks=(1, 3), compressors=(Crc32cCodec(),)
    )
    ChunkWriter(group.store, "x", array).write(1, np.array([1, 2, 3]))
    np.testing.assert_array_equal(array[:], [[0, 0, 0], [1, 2, 3]])


@pytest.mark.parametrize("in_memory", [False, True])
def test_what_is_stored_is_compared_without_reading_it(in_memory, tmp_path):
    store = MemoryStore() if in_memory else LocalStore(tmp_path)
    group = zarr.open_group(store, mode="w", zarr_format=3)
    array = group.create_array(
        "x", shape=(3, 3), dtype="int64", chunks=(1, 2), compressors=(Crc32cCodec(),)
    )
    chunks = ChunkWriter(group.store, "x", array)
    assert not chunks.holds(1, np.array([1, 2, 3]))
    array[1] = [1, 2, 3]  # two chunks, written by zarr
    assert chunks.holds(1, np.array([1, 2, 3]))
    assert not chunks.holds(1, np.array([1, 2, 4]))
    assert not chunks.holds(2, np.array([1, 2, 3]))
    if not in_memory:
        path = tmp_path / "x/c/1/1"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1  # of the checksum
        path.write_bytes(data)
        assert not chunks.holds(1, np.array([1, 2, 3]))
