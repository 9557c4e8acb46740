"""Masks as TIFF, for FIJI and napari; as GeoTIFF, for QGIS and other programs of maps.

The values are class ids, with a colour table. Pixels of no class that is written have the value
that is stated as missing (``GDAL_NODATA``): 0, or the highest value if 0 is a class. A GeoTIFF lies
where its image lies: the tags that say so are copied. The names of the classes are in the file, for
programs that list its tags, and in a second one, ``<image>.tif.aux.xml``, for those by GDAL.

References
----------
"GDAL raster data model" and "GTiff -- GeoTIFF File Format": the tags, and ``CategoryNames``.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from ..files.format import ClassToWrite, Format, MaskToWrite
from ..files.per_image import file_for
from .georeference import place_of

__all__ = ["GEOTIFF", "TIFF"]

_DESCRIPTION, _METADATA, _NODATA = 270, 42112, 42113
_SHORT, _DOUBLE, _ASCII = 3, 12, 2  # types of tags
_TYPES = {34735: _SHORT} | dict.fromkeys((34737, _DESCRIPTION, _METADATA, _NODATA), _ASCII)


def _write_tiff(
    masks: Iterable[MaskToWrite], classes: Sequence[ClassToWrite], out: Path, prefix: str
) -> None:
    for item in masks:
        _write_one(item, classes, out, {})


def _write_geotiff(
    masks: Iterable[MaskToWrite], classes: Sequence[ClassToWrite], out: Path, prefix: str
) -> None:
    for item in masks:
        _write_one(item, classes, out, dict(place_of(item, "tiff").tags))


def _write_one(
    item: MaskToWrite, classes: Sequence[ClassToWrite], out: Path, tags: dict[int, object]
) -> None:
    file = file_for(out, item.name, ".tif")
    missing = _missing(classes)
    values = _values(item.mask, classes, missing)
    image = Image.fromarray(values)
    if values.dtype == np.uint8:
        image.putpalette(_palette(classes))
    told = "Classes: " + ", ".join(f"{one.id} {one.name}" for one in classes)
    # As bytes, for of texts Pillow keeps ASCII only.
    tags[_DESCRIPTION] = told.encode()
    tags[_METADATA] = _names_in_file(classes).encode()
    tags[_NODATA] = str(missing)
    ifd = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        ifd[tag], ifd.tagtype[tag] = value, _TYPES.get(tag, _DOUBLE)
    image.save(file, format="TIFF", compression="tiff_adobe_deflate", tiffinfo=ifd)
    file.with_name(f"{file.name}.aux.xml").write_text(_names_beside(classes), "utf-8")


def _missing(classes: Sequence[ClassToWrite]) -> int:
    """Return the value of pixels without a class."""
    ids = {one.id for one in classes}
    if 0 not in ids:
        return 0
    return 255 if max(ids) < 255 else 65535


def _values(
    mask: NDArray[np.unsignedinteger], classes: Sequence[ClassToWrite], missing: int
) -> NDArray[np.unsignedinteger]:
    highest = max(missing, *(one.id for one in classes))
    table = np.full(int(mask.max()) + 1, missing, np.uint16 if highest > 255 else np.uint8)
    for one in classes:
        if one.id < len(table):
            table[one.id] = one.id
    values: NDArray[np.unsignedinteger] = table[mask]
    return values


def _palette(classes: Sequence[ClassToWrite]) -> bytes:
    colours = np.zeros((256, 3), np.uint8)
    for one in classes:
        colours[one.id] = one.colour
    return colours.tobytes()


def _names_in_file(classes: Sequence[ClassToWrite]) -> str:
    # GDAL escapes a value, then the value in its element: it reads them so, too.
    items = (
        f'<Item name="CLASS_{one.id}" sample="0">{_xml(_xml(one.name))}</Item>' for one in classes
    )
    return f"<GDALMetadata>{''.join(items)}</GDALMetadata>"


def _names_beside(classes: Sequence[ClassToWrite]) -> str:
    names = {one.id: one.name for one in classes}
    each = "".join(f"<Category>{_xml(names.get(k, ''))}</Category>" for k in range(max(names) + 1))
    return (
        f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{each}</CategoryNames>'
        "</PAMRasterBand></PAMDataset>\n"
    )


def _xml(text: str) -> str:
    plain = "".join(sign if sign.isprintable() else " " for sign in text)
    return escape(plain, {'"': "&quot;"})


# Only written: what is read of TIFF are label maps.
TIFF = Format("tiff", "TIFF", write=_write_tiff, target="folder")
GEOTIFF = Format("geotiff", "GeoTIFF", write=_write_geotiff, target="folder")
