"""What all tests share."""

import atexit
import lzma
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

# What `extract` remembers of files is the user's, not the tests'.
os.environ["DSEG_CACHE"] = tempfile.mkdtemp(prefix="dseg-cache-")
atexit.register(shutil.rmtree, os.environ["DSEG_CACHE"], ignore_errors=True)

SHARED = Path(os.environ.get("DSEG_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def small_golden() -> Path:
    """Folder of those outputs of the published implementations that any clone has."""
    return Path(__file__).parent / "data" / "golden"


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of all outputs of the published implementations; not part of the repository."""
    folder = SHARED / "golden"
    if not folder.is_dir():
        pytest.skip(f"no golden data at {folder} (set DSEG_SHARED to the folder that holds them)")
    return folder


@pytest.fixture(scope="session")
def golden_checkpoint(
    golden: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Unpack a checkpoint of the published implementation to the file a user would have."""
    folder = tmp_path_factory.mktemp("golden")

    def unpack(variant: str) -> Path:
        path = folder / f"{variant}.pt"
        if not path.exists():
            packed = golden / "guided_diffusion" / variant / "model.pt.xz"
            path.write_bytes(lzma.decompress(packed.read_bytes()))
        return path

    return unpack


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real images with labels; not part of the repository."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"no real images at {folder} (set DSEG_SHARED to the folder that holds them)")
    return folder


@pytest.fixture(scope="session")
def tiff() -> Callable[..., Path]:
    """Write a TIFF of a kind that Pillow does not write, see `write_tiff`."""
    return write_tiff


@pytest.fixture(scope="session")
def deep_png() -> Callable[..., Path]:
    """Write a PNG of 16 bits a channel, which of colours Pillow does not, see `write_deep_png`."""
    return write_deep_png


_TYPES = {3: "H", 4: "I"}


def write_tiff(
    path: Path,
    pixels: NDArray[np.generic],
    *,
    photometric: int,
    planar: bool = False,
    order: str = "<",
    raw: bytes | None = None,
    bits: int = 0,
) -> Path:
    """Write an uncompressed TIFF of an array (H, W) or (H, W, channels).

    ``raw`` and ``bits`` stand for data that are packed otherwise.
    """
    whole = pixels if pixels.ndim == 3 else pixels[..., None]
    height, width, channels = whole.shape
    stored = whole.transpose(2, 0, 1) if planar else whole
    data = raw or stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    strips = channels if planar else 1
    tags: dict[int, tuple[int, list[int]]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits or 8 * whole.dtype.itemsize] * channels),
        259: (3, [1]),
        262: (3, [photometric]),
        273: (4, [0] * strips),
        277: (3, [channels]),
        278: (4, [height]),
        279: (4, [len(data) // strips] * strips),
        284: (3, [2 if planar else 1]),
    }
    if np.issubdtype(whole.dtype, np.floating):
        tags[339] = (3, [3] * channels)
    after = 8 + 2 + 12 * len(tags) + 4
    outside = sum(size for kind, values in tags.values() if (size := _size(kind, values)) > 4)
    tags[273] = (4, [after + outside + n * (len(data) // strips) for n in range(strips)])
    entries, values_outside = _packed_tags(tags, order, after)
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, 8)
    counted = struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0)
    path.write_bytes(head + counted + values_outside + data)
    return path


def _packed_tags(
    tags: dict[int, tuple[int, list[int]]], order: str, after: int
) -> tuple[bytes, bytes]:
    """Pack a TIFF's tags; values of more than four bytes lie outside, from position ``after``."""
    entries, outside = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}{_TYPES[kind]}", *values)
        if len(packed) > 4:
            outside, packed = outside + packed, struct.pack(f"{order}I", after + len(outside))
        entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    return entries, outside


def _size(kind: int, values: list[int]) -> int:
    return struct.calcsize(f"={len(values)}{_TYPES[kind]}")


def write_deep_png(path: Path, pixels: NDArray[np.uint16]) -> Path:
    """Write an array (H, W, channels) as a PNG: grey and alpha, RGB, or RGB and alpha."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    height, width, channels = pixels.shape
    colour_type = {2: 4, 3: 2, 4: 6}[channels]
    lines = b"".join(b"\0" + line.tobytes() for line in pixels.astype(">u2"))
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks))
    return path
