"""TIFF by strips and tiles: BigTIFF, OME-TIFF, ImageJ's stacks and GeoTIFF too.

`tifffile` parses the file; what is decoded is bounded here. Only lossless codecs and JPEG are
decoded, whose output is bounded by the size of a strip or tile; other files that OME-XML names are
not opened.
"""

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ....store.urls.location import Location
from .planes import PlaneChoice
from .raster import Raster, reduced
from .unsuitable import Unsuitable

__all__ = ["TiffRaster", "is_tiff"]

_NONE, _LZW, _JPEG, _DEFLATE, _OLD_DEFLATE, _PACKBITS, _ZSTD = 1, 5, 7, 8, 32946, 32773, 50000
_CODECS = {_NONE, _LZW, _JPEG, _DEFLATE, _OLD_DEFLATE, _PACKBITS, _ZSTD}
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _YCBCR = 0, 1, 2, 6
_ORIENTATION = 274
_NODATA = 42113  # GDAL's
_PAGES = {"I": "page", "Q": "page"}

# tifffile tells of odd tags in its log, which Python would print
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def is_tiff(head: bytes) -> bool:
    """Whether a file begins as TIFF or BigTIFF do."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class TiffRaster(Raster):
    """One plane of a TIFF, or a projection of several.

    Parameters
    ----------
    path : Path or UrlPath
    choice : PlaneChoice
    most_segment : int
        Pixels of a strip or tile at most: that many are in memory at once.

    Attributes
    ----------
    orientation : int
        As in EXIF: how the image has to be turned.

    Raises
    ------
    Unsuitable
        If it cannot be read.
    Exception
        Whatever damaged bytes make of the tags.
    """

    def __init__(self, path: Location, choice: PlaneChoice, most_segment: int) -> None:
        if find_spec("tifffile") is None:
            raise Unsuitable(
                "needs tifffile to be read, which is not installed: pip install 'dseg[formats]'"
            )
        self._path = path
        with self._opened() as tif:
            if not tif.series:
                raise Unsuitable("is a TIFF without an image: is it damaged?")
            series = tif.series[0]
            page = series.keyframe
            self._take_facts(page)
            self.pages = sum(len(one) for one in tif.series)
            self._take_planes(_like_the_first(tif.series), page, choice)
        _refuse_odd(page)
        decoded_whole = self.segment_rows * self._segment[1]
        if decoded_whole > most_segment:
            raise Unsuitable(
                f"is stored in parts of {self._segment[1]}×{self._segment[0]} pixels, which are "
                f"decoded whole: {most_segment} are allowed. If you trust it, raise that with "
                "--max-pixels, or save it in tiles"
            )

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        import tifffile

        with self._path.open("rb") as file, tifffile.TiffFile(file, _multifile=False) as tif:
            yield tif

    def _take_facts(self, page: Any) -> None:
        samples, depth, height, width, inner = page.shaped
        if min(samples, depth, height, width, inner) < 1:
            raise Unsuitable("is a TIFF without an image: is it damaged?")
        if depth != 1:
            raise Unsuitable(f"has {depth} planes in one page, which dseg does not read")
        if page.dtype is None:
            raise Unsuitable(
                f"is a TIFF of {page.bitspersample} bits of a kind that dseg does not read"
            )
        self.size, self.dtype = (height, width), np.dtype(page.dtype).newbyteorder("=")
        self._samples, self._separate = samples * inner, samples > 1
        bits = page.bitspersample
        if self.dtype.kind == "u" and isinstance(bits, int) and bits < 8 * self.dtype.itemsize:
            self.white = 2**bits - 1
        self.nodata, self.orientation = _nodata(page), _orientation(page)
        self._inverted = self.dtype.kind == "b" and page.photometric == _MIN_IS_WHITE
        if page.is_tiled:
            self._segment = (page.tilelength, page.tilewidth)
        else:
            self._segment = (min(page.rowsperstrip, height), width)
        if min(self._segment) < 1:
            raise Unsuitable("has strips or tiles without a pixel: is it damaged?")
        whole_bytes = bits == 8 * self.dtype.itemsize and page.fillorder == 1
        self._raw_order = page.parent.byteorder if page.is_contiguous and whole_bytes else None

    def _take_planes(self, alike: list[Any], page: Any, choice: PlaneChoice) -> None:
        """Find which pages are read, and where the data of each lie if they are stored as is."""
        series = alike[0]
        axes, shape = series.axes, series.shape
        if len(alike) > 1:
            axes, shape = f"I{axes}", (len(alike), *shape)
        if not axes.endswith(page.axes):
            raise Unsuitable(f"has the axes {axes}, which dseg does not understand")
        leading = dict(zip(axes, shape, strict=True))
        for axis in page.axes:
            del leading[axis]
        self._spots = leading.pop("C", 1)
        self.channels = self._spots * self._samples
        self.plain_channels = self._spots == 1 and (
            page.photometric in (_RGB, _YCBCR) or self._samples == 1
        )
        named = {_PAGES.get(axis, axis.lower()): count for axis, count in leading.items()}
        planes = choice.of(named)
        self._projection = planes.projection
        order = [a for a in axes if a not in page.axes]
        self._pages = [
            [
                _number(order, shape, dict(zip(leading, at, strict=True)) | {"C": spot})
                for spot in range(self._spots)
            ]
            for at in planes.chosen
        ]
        numbers = {n for spots in self._pages for n in spots}
        places = {n: (alike[n], 0) if len(alike) > 1 else (series, n) for n in numbers}
        if any(one.dataoffset is None for one, _ in places.values()):
            self._raw_order = None
        if self._raw_order is None:
            self._index = {n: _index_of(*place) for n, place in places.items()}
        else:
            size = self._samples * self.size[0] * self.size[1] * self.dtype.itemsize
            self._offset = {n: one.dataoffset + k * size for n, (one, k) in places.items()}

    @property
    def segment_rows(self) -> int:
        """Rows of a strip or tile; 1 where pixels are stored as they are."""
        return 1 if self._raw_order is not None else self._segment[0]

    def rows(self, first: int, last: int, channels: Sequence[int]) -> NDArray[Any]:
        """Return some rows, see `Raster.rows`."""
        with self._opened() as tif:
            return reduced(
                (self._of_plane(tif, spots, first, last, channels) for spots in self._pages),
                self._projection,
            )

    def _of_plane(
        self, tif: Any, spots: list[int], first: int, last: int, channels: Sequence[int]
    ) -> NDArray[Any]:
        out = np.empty((last - first, self.size[1], len(channels)), self.dtype)
        for spot, number in enumerate(spots):
            at = {
                k: channel % self._samples
                for k, channel in enumerate(channels)
                if channel // self._samples == spot
            }
            if not at:
                continue
            samples = list(dict.fromkeys(at.values()))
            if self._raw_order is not None:
                values = self._raw(tif, self._offset[number], first, last, samples)
            else:
                page = tif.pages[self._index[number]]
                values = self._decoded(tif.filehandle, page, first, last, samples)
            for k, sample in at.items():
                out[..., k] = values[..., samples.index(sample)]
        return ~out if self._inverted else out

    def _raw(
        self, tif: Any, offset: int, first: int, last: int, samples: list[int]
    ) -> NDArray[Any]:
        """Read pixels that are stored as they are."""
        (height, width), item = self.size, self.dtype.itemsize
        stored = self.dtype.newbyteorder(tif.byteorder)
        together = 1 if self._separate else self._samples
        parts = []
        for sample in samples if self._separate else [0]:
            start = offset + (sample * height + first) * width * together * item
            count = (last - first) * width * together
            data = _read(tif.filehandle, start, count * item)
            values = np.frombuffer(data, stored).reshape(last - first, width, together)
            parts.append(values if self._separate else values[..., samples])
        return np.concatenate(parts, axis=2)

    def _decoded(
        self, file: Any, page: Any, first: int, last: int, samples: list[int]
    ) -> NDArray[Any]:
        """Decode the strips or tiles that hold some rows."""
        key = page.keyframe  # what pages of one kind have in common
        (height, width), (rows, columns) = self.size, self._segment
        across, down = -(-width // columns), -(-height // rows)
        out = np.empty((last - first, width, len(samples)), self.dtype)
        jpeg = key.compression == _JPEG
        tables = {"jpegtables": page.jpegtables, "jpegheader": key.jpegheader} if jpeg else {}
        for k, plane in enumerate(samples) if self._separate else [(slice(None), 0)]:
            for down_at in range(first // rows, -(-last // rows)):
                for across_at in range(across):
                    index = (plane * down + down_at) * across + across_at
                    offset, count = page.dataoffsets[index], page.databytecounts[index]
                    data = _read(file, offset, count) if count else None
                    if jpeg and data is not None:
                        _refuse_larger_jpeg(data, (rows, columns))
                    block, _, _ = key.decode(data, index, **tables)
                    top, left = down_at * rows, across_at * columns
                    low, high = max(first, top), min(last, top + rows)
                    right = min(width, left + columns)
                    target = out[low - first : high - first, left:right, k]
                    if block is None:
                        target[...] = 0 if self.nodata is None else self.nodata
                        continue
                    part = block[0, low - top : high - top, : right - left]
                    target[...] = part[..., 0] if self._separate else part[..., samples]
        return out


def _like_the_first(series: list[Any]) -> list[Any]:
    """Return the series that are one page each, of the first's kind: pages written one by one."""
    first = series[0]
    if len(first) > 1:
        return [first]
    return [one for one in series if len(one) == 1 and one.keyframe.hash == first.keyframe.hash]


def _number(order: list[str], shape: Sequence[int], at: dict[str, int]) -> int:
    """Return the number of a page in a series, whose last leading axis changes fastest."""
    number = 0
    for axis, count in zip(order, shape, strict=False):
        number = number * count + at[axis]
    return number


def _index_of(series: Any, number: int) -> int:
    page = series[number]
    if page is None:
        raise Unsuitable(f"lacks its page {number + 1}: was it copied to the end?")
    return int(page.index)


def _read(file: Any, offset: int, count: int) -> bytes:
    """Read bytes of a file, never more than it has."""
    if offset < 0 or count < 0 or offset + count > file.size:
        raise Unsuitable("ends before its pixels do: was it copied to the end?")
    file.seek(offset)
    data: bytes = file.read(count)
    return data


def _orientation(page: Any) -> int:
    tag = page.tags.get(_ORIENTATION)
    return tag.value if tag is not None and tag.value in range(1, 9) else 1


def _nodata(page: Any) -> float | None:
    tag = page.tags.get(_NODATA)
    try:
        return None if tag is None else float(str(tag.value).strip("\0 "))
    except ValueError:
        return None


def _refuse_larger_jpeg(data: bytes, segment: tuple[int, int]) -> None:
    """Refuse a tile that says of itself that it is larger than the file says."""
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        width, height = image.size
    if height > segment[0] or width > segment[1]:
        raise Unsuitable("has a tile that is larger than its size in the file: is it damaged?")


def _refuse_odd(page: Any) -> None:
    compression, photometric = int(page.compression), int(page.photometric)
    if compression not in _CODECS:
        name = getattr(page.compression, "name", compression)
        raise Unsuitable(
            f"is a TIFF compressed by {name}, which dseg does not read: save it with LZW, Deflate, "
            "Zstandard or JPEG, or without compression"
        )
    if compression != _NONE and find_spec("imagecodecs") is None:
        raise Unsuitable(
            "is a compressed TIFF, which needs imagecodecs to be read; that is not installed: "
            "pip install 'dseg[formats]'"
        )
    if photometric == _MIN_IS_WHITE and page.bitspersample != 1:
        raise Unsuitable(
            "has values that count from white to black (MinIsWhite); save it with 0 as black"
        )
    jpeg_colour = photometric == _YCBCR and compression == _JPEG
    if photometric not in (_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB) and not jpeg_colour:
        name = getattr(page.photometric, "name", photometric)
        raise Unsuitable(f"has the photometric interpretation {name}: save it as grey or RGB")
