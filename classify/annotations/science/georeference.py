"""Where on the earth an image's pixels lie, as GeoTIFF states it.

A GeoTIFF is a TIFF with a few more tags: an affine map from pixels to the coordinates of a
coordinate reference system (CRS), and the CRS's number in the EPSG registry. Both are read by
Pillow; converting between two CRSs takes pyproj, of the extra ``labels``.

References
----------
OGC 19-008r4, "OGC GeoTIFF Standard", version 1.1: the tags and keys.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ....store.bounded_reader import bounded
from ....store.errors import InputError
from ....store.urls.location import Location
from ..files.format import MaskToWrite

__all__ = ["TAGS", "WGS84", "Georeference", "epsg_of", "place_of"]

TAGS = (33550, 33922, 34264, 34735, 34736, 34737)
"""Pixel scale, tie points, transformation; keys, and their numbers and texts."""

WGS84 = 4326
"""EPSG's number of longitude and latitude."""

_SCALE, _TIES, _MATRIX, _KEYS = TAGS[:4]
_RASTER_TYPE, _GEOGRAPHIC, _PROJECTED = 1025, 2048, 3072  # keys
_IS_POINT, _USER_DEFINED = 2, 32767  # values
_EPSG = re.compile(r"(?:urn:ogc:def:crs:EPSG:[\d.]*:|EPSG:)(\d{1,6})", re.IGNORECASE)
_CRS84 = re.compile(r"urn:ogc:def:crs:OGC:[\d.]*:?CRS84", re.IGNORECASE)


@dataclass(frozen=True)
class Georeference:
    """How an image's pixels lie in a coordinate reference system.

    Parameters
    ----------
    matrix : (a, b, c, d, e, f)
        x = a·column + b·row + c and y = d·column + e·row + f, where (0, 0) is the top left corner
        of the first pixel.
    epsg : int, optional
        Number of the CRS; None if the image states none, or one without a number.
    tags : mapping of int to tuple or str
        The TIFF's tags that say so, see `TAGS`.
    size : (height, width)
        Of the image.
    """

    matrix: tuple[float, float, float, float, float, float]
    epsg: int | None
    tags: Mapping[int, Any]
    size: tuple[int, int]

    @classmethod
    def of_image(cls, path: Location) -> Self | None:
        """Read the georeference of an image file; None if it has none.

        Raises
        ------
        InputError
            If the file cannot be read, or its tags are damaged.
        """
        try:
            with path.open("rb") as file, Image.open(bounded(file)) as image:
                found = dict(getattr(image, "tag_v2", {}).items())
                size = (image.height, image.width)
        except Exception as error:  # whatever a decoder makes of damaged bytes
            raise InputError(f"image '{path.name}' cannot be read: {error}") from error
        tags = {tag: found[tag] for tag in TAGS if tag in found}
        if _MATRIX not in tags and not (_SCALE in tags and _TIES in tags):
            return None
        try:
            return cls._of_tags(tags, size)
        except (ValueError, TypeError, IndexError) as error:
            raise InputError(f"the GeoTIFF tags of '{path.name}' are damaged") from error

    @classmethod
    def _of_tags(cls, tags: Mapping[int, Any], size: tuple[int, int]) -> Self:
        if _MATRIX in tags:
            m = [float(value) for value in tags[_MATRIX]]
            a, b, c, d, e, f = m[0], m[1], m[3], m[4], m[5], m[7]
        else:
            width, height = (float(value) for value in tags[_SCALE][:2])
            column, row, _, x, y, _ = (float(value) for value in tags[_TIES][:6])
            a, b, c, d, e, f = width, 0.0, x - width * column, 0.0, -height, y + height * row
        keys = _keys(tags.get(_KEYS, ()))
        if keys.get(_RASTER_TYPE) == _IS_POINT:  # (0, 0) is the first pixel's centre
            c, f = c - (a + b) / 2, f - (d + e) / 2
        if not np.isfinite((a, b, c, d, e, f)).all() or a * e == b * d:
            raise ValueError("no affine map")
        number = keys.get(_PROJECTED, keys.get(_GEOGRAPHIC, _USER_DEFINED))
        epsg = None if number in (0, _USER_DEFINED) else number
        return cls((a, b, c, d, e, f), epsg, tags, size)

    @cached_property
    def _parts(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        a, b, c, d, e, f = self.matrix
        return np.array([[a, b], [d, e]]), np.array([c, f])

    def to_pixels(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return columns and rows of coordinates in the image's CRS, both of shape (n, 2)."""
        linear, offset = self._parts
        return np.asarray(np.linalg.solve(linear, (xy - offset).T).T)

    def from_pixels(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return coordinates in the image's CRS; the inverse of `to_pixels`."""
        linear, offset = self._parts
        return np.asarray(xy @ linear.T + offset)

    def pixels_of(self, xy: NDArray[np.float64], epsg: int) -> NDArray[np.float64]:
        """Return columns and rows of coordinates in any CRS.

        Parameters
        ----------
        xy : array of shape (n, 2)
            x (or longitude) and y (or latitude).
        epsg : int
            Number of their CRS.

        Raises
        ------
        InputError
            If the image's CRS is not known, or a position is not in the area of a CRS.
        ModuleNotFoundError
            If the CRSs differ, and pyproj is not installed.
        """
        if self.epsg is None:
            raise InputError(
                f"it has coordinates in EPSG:{epsg}, but its image states no CRS with a "
                "number: save the image with one (such as EPSG:32633)"
            )
        if self.epsg != epsg:
            xy = _converted(xy, epsg, self.epsg)
        return self.to_pixels(xy)


def place_of(item: MaskToWrite, instead: str) -> Georeference:
    """Return where the image of a mask lies.

    Parameters
    ----------
    item : MaskToWrite
    instead : str
        The format to write where that is not known, for the message.

    Raises
    ------
    InputError
        If the image is not at hand, is no GeoTIFF, or has another size than the mask.
    """
    place = None if item.image is None else Georeference.of_image(item.image)
    if place is None:
        why = (
            "give the folder of the images (--images)" if item.image is None else "it is no GeoTIFF"
        )
        raise InputError(
            f"nothing says where on a map the mask lies of '{item.name}': {why}. Or write {instead}"
        )
    if place.size != item.mask.shape:
        raise InputError(
            f"the mask of '{item.name}' is {item.mask.shape[1]}×{item.mask.shape[0]} but the image "
            f"{place.size[1]}×{place.size[0]}: was the image resized?"
        )
    return place


def epsg_of(name: str) -> int | None:
    """Return the number in a CRS's name; None if it is no name of a numbered CRS.

    Examples
    --------
    >>> epsg_of("urn:ogc:def:crs:EPSG::32633"), epsg_of("urn:ogc:def:crs:OGC:1.3:CRS84")
    (32633, 4326)
    """
    if _CRS84.fullmatch(name):
        return WGS84
    found = _EPSG.fullmatch(name)
    return int(found[1]) if found else None


def _keys(directory: Any) -> dict[int, int]:
    """Return the keys of a GeoKeyDirectory whose values are in it: four numbers each."""
    numbers = [int(value) for value in directory][4:]
    each = zip(*(numbers[k::4] for k in range(4)), strict=False)
    return {key: value for key, place, _, value in each if place == 0}


def _converted(xy: NDArray[np.float64], source: int, target: int) -> NDArray[np.float64]:
    from pyproj.exceptions import ProjError

    try:
        x, y = _transformer(source, target).transform(xy[:, 0], xy[:, 1], errcheck=True)
    except ProjError as error:
        raise InputError(
            f"it has coordinates in EPSG:{source} that cannot be converted to its image's "
            f"EPSG:{target}: {error}"
        ) from error
    return np.stack([x, y], axis=1)


@lru_cache(maxsize=8)
def _transformer(source: int, target: int) -> Any:
    """Return what converts coordinates; making it takes longer than converting a shape."""
    from pyproj import Transformer

    return Transformer.from_crs(source, target, always_xy=True)
