"""GeoJSON: shapes on a map, and the annotations that QuPath exports.

One file per image, named as the image is. Coordinates are pixels in QuPath's files, and in others
unless they name a CRS, or the image is a GeoTIFF and all fit longitude and latitude.

References
----------
RFC 7946, "The GeoJSON Format", 2016; its forerunner "The GeoJSON Format Specification", 2008, which
has the member ``crs`` that GIS programs still write.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....store.errors import InputError
from ..files.format import Candidate, ClassToWrite, Format, MaskToWrite
from ..files.per_image import annotations_of, file_for, image_beside, image_name, without_ending
from ..shapes.limits import MOST_COORDINATE, checked_points, colour_in
from ..shapes.model import Annotations, Area, Colour, Lines, Points, Polygon, Shape
from ..shapes.outlines import outlines
from .georeference import WGS84, Georeference, epsg_of, place_of

__all__ = ["GEOJSON", "GEOJSON_MAP"]

_ENDINGS = (".geojson", ".json")
_CLASS_KEYS = ("classification", "class", "label", "category", "class_name", "name")
_IGNORE = "Ignore*"  # QuPath's class of what is to be left out of training
_REGION = "Region*"  # QuPath's class of where something is looked for; it says nothing of pixels
_TITLE = "GeoJSON"

_ToPixels = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _recognise(candidate: Candidate) -> bool:
    """Whether a file has GeoJSON's features, or is a list of them as QuPath writes it."""
    found = candidate.json
    if isinstance(found, list) and found:
        found = found[0]
    return isinstance(found, dict) and found.get("type") in ("FeatureCollection", "Feature")


def _read(candidate: Candidate) -> Annotations:
    name = image_name(without_ending(candidate.within, _ENDINGS) or candidate.within)
    features = _features(candidate.json)
    to_pixels, notes = _to_pixels(candidate, name, features)
    shapes: list[Shape] = []
    colours: dict[str, Colour | None] = {}
    left_out = Counter[str]()
    for feature in features:
        label, colour = _class_of(feature)
        geometry = feature.get("geometry")
        why = _why_left_out(label, geometry)
        if why is not None:
            left_out[why] += 1
            continue
        ignored = label == _IGNORE
        shapes.append(Shape(None if ignored else label, tuple(_areas(geometry, to_pixels))))
        if label is not None and not ignored:
            colours[label] = colours.get(label) or colour
    if not shapes and left_out[_NO_CLASS]:
        raise InputError(
            "no shape has a class: set one in QuPath, or add the property 'class' to each feature"
        )
    notes += [f"{count} shapes are left out: {why}" for why, count in left_out.items()]
    return annotations_of(_TITLE, name, shapes, colours, notes)


def _features(found: Any) -> list[dict[str, Any]]:
    if isinstance(found, dict):
        found = found.get("features") if found["type"] == "FeatureCollection" else [found]
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise InputError("its features are no list of objects")
    for feature in found:
        if not isinstance(feature.get("properties"), dict):
            feature["properties"] = {}
    return found


def _to_pixels(
    candidate: Candidate, name: str, features: list[dict[str, Any]]
) -> tuple[_ToPixels, list[str]]:
    """Return what turns a file's coordinates into pixels, and what to tell of it."""
    epsg = _stated_crs(candidate.json)
    if epsg is None and any(map(_is_of_qupath, features)):
        return _same, []
    image = image_beside(candidate, name)
    place = None if image is None else Georeference.of_image(image)
    if epsg is not None and image is None:
        raise InputError(
            f"it has coordinates of a map (EPSG:{epsg}): pixels need its image, a GeoTIFF of its "
            f"name in its folder '{candidate.path.parent}', which is not there"
        )
    if epsg is not None and place is None:
        raise InputError(
            f"it has coordinates of a map (EPSG:{epsg}), but its image '{image}' is no GeoTIFF: "
            "nothing says where on the map its pixels lie"
        )
    if place is None:
        return _same, []
    notes = []
    if epsg is None:
        if not all(_fits_degrees(feature.get("geometry")) for feature in features):
            return _same, []
        epsg = WGS84
        notes = [
            "it states no CRS, and its image is a GeoTIFF: its coordinates are taken as longitude "
            "and latitude, as RFC 7946 has it"
        ]
    known, number = place, epsg
    return lambda xy: known.pixels_of(xy, number), notes


def _stated_crs(found: Any) -> int | None:
    stated = found.get("crs") if isinstance(found, dict) else None
    if stated is None:
        return None
    properties = stated.get("properties") if isinstance(stated, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    number = epsg_of(name) if isinstance(name, str) else None
    if number is None:
        raise InputError(
            f"it names the CRS {str(name or stated)[:80]!r}: expected a number of the EPSG "
            "registry, such as urn:ogc:def:crs:EPSG::32633"
        )
    return number


def _is_of_qupath(feature: Mapping[str, Any]) -> bool:
    properties = feature["properties"]
    return (
        "objectType" in properties
        or isinstance(properties.get("classification"), dict)
        or (isinstance(feature.get("id"), str) and feature["id"].startswith("Path"))
    )


def _class_of(feature: Mapping[str, Any]) -> tuple[str | None, Colour | None]:
    """Return a feature's class and colour; of QuPath's derived classes all parts."""
    for key in _CLASS_KEYS:
        value = feature["properties"].get(key)
        if isinstance(value, dict):
            names = value.get("names")
            parts = names if isinstance(names, list) else [value.get("name")]
            text = ": ".join(part for part in parts if isinstance(part, str))
            if text.strip():
                return text.strip(), _colour(value)
        elif isinstance(value, str | int) and str(value).strip():
            return str(value).strip(), _colour(feature["properties"])
    return None, None


def _colour(value: Mapping[str, Any]) -> Colour | None:
    colour, packed = value.get("color"), value.get("colorRGB")
    if type(packed) is int and not isinstance(colour, list):
        # alpha, red, green and blue in 32 bits, with a sign
        return packed >> 16 & 255, packed >> 8 & 255, packed & 255
    return colour_in(colour)


_NO_CLASS = "they have no class"


def _why_left_out(label: str | None, geometry: Any) -> str | None:
    if geometry is None:
        return "they have no geometry"
    plane = geometry.get("plane") if isinstance(geometry, dict) else None
    if isinstance(plane, dict) and (plane.get("z") or plane.get("t")):
        return "they lie on further slices or frames, and dseg reads the first"
    if label is None:
        return _NO_CLASS
    return f"their class is '{_REGION}'" if label == _REGION else None


def _same(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    return xy


def _positions(geometry: Any) -> Iterator[list[Any]]:
    """Yield every position in a geometry's coordinates, however nested, that is one."""
    within = [geometry]
    while within:
        one = within.pop()
        if isinstance(one, dict):
            within += [one.get("coordinates"), one.get("geometries")]
        elif isinstance(one, list):
            if len(one) >= 2 and all(type(part) in (int, float) for part in one):
                yield one
            else:
                within += one


def _fits_degrees(geometry: Any) -> bool:
    return all(-180 <= one[0] <= 180 and -90 <= one[1] <= 90 for one in _positions(geometry))


def _areas(geometry: Any, to_pixels: _ToPixels) -> Iterator[Area]:
    if not isinstance(geometry, dict):
        raise InputError("a geometry is no object")
    kind, given = geometry.get("type"), geometry.get("coordinates")
    if kind in ("Polygon", "MultiPolygon"):
        for rings in [given] if kind == "Polygon" else _listed(given):
            exterior, *holes = (_line(ring, 3, to_pixels) for ring in _listed(rings))
            yield Polygon(exterior, tuple(holes))
    elif kind in ("LineString", "MultiLineString"):
        for one in [given] if kind == "LineString" else _listed(given):
            yield Lines(_line(one, 2, to_pixels))
    elif kind in ("Point", "MultiPoint"):
        yield Points(_line([given] if kind == "Point" else given, 1, to_pixels))
    elif kind == "GeometryCollection":
        for one in _listed(geometry.get("geometries")):
            yield from _areas(one, to_pixels)
    else:
        raise InputError(f"a geometry has the type {str(kind)[:40]!r}, which GeoJSON has not")


def _listed(value: object) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise InputError("a geometry has no coordinates")
    return value


def _line(positions: object, least: int, to_pixels: _ToPixels) -> NDArray[np.float64]:
    """Return positions in pixels; what follows x and y, such as a height, is dropped."""
    listed = _listed(positions)
    pairs = [one[:2] if isinstance(one, list) and len(one) >= 2 else None for one in listed]
    if len(pairs) < least:
        raise InputError(f"a geometry has {len(pairs)} positions: {least} are the least")
    found = to_pixels(checked_points(pairs, "geometry"))
    if not (np.abs(found) <= MOST_COORDINATE).all():
        raise InputError("a position of the map is not near the image")
    return found


def _write(
    masks: Iterable[MaskToWrite], classes: Sequence[ClassToWrite], out: Path, prefix: str
) -> None:
    """Write a file for each mask, in pixels, that QuPath opens: an annotation for each object."""
    for item in masks:
        _write_one(item, classes, out, None)


def _write_map(
    masks: Iterable[MaskToWrite], classes: Sequence[ClassToWrite], out: Path, prefix: str
) -> None:
    """Write a file for each mask, in the coordinates of its image's CRS."""
    for item in masks:
        place = place_of(item, "geojson")
        if place.epsg is None:
            raise InputError(
                f"the image '{item.name}' states no CRS with a number, which GeoJSON needs. Save "
                "it with one (such as EPSG:32633), or write geotiff"
            )
        _write_one(item, classes, out, place)


def _write_one(
    item: MaskToWrite, classes: Sequence[ClassToWrite], out: Path, place: Georeference | None
) -> None:
    named = {one.id: one for one in classes}
    with file_for(out, item.name, ".geojson").open("w", encoding="utf-8") as opened:
        opened.write('{"type": "FeatureCollection", ')
        if place is not None:
            crs = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{place.epsg}"}}
            opened.write(f'"crs": {json.dumps(crs)}, ')
        opened.write('"features": [')
        for number, (k, polygon) in enumerate(outlines(item.mask, named)):
            feature = json.dumps(_feature(polygon, named[k], place), ensure_ascii=False)
            opened.write(f"{',' if number else ''}\n{feature}")
        opened.write("\n]}\n")


def _feature(polygon: Polygon, one: ClassToWrite, place: Georeference | None) -> dict[str, Any]:
    classification = {"name": one.name, "color": list(one.colour)}
    told: dict[str, Any] = {"objectType": "annotation", "classification": classification}
    closed = [np.concatenate([ring, ring[:1]]) for ring in (polygon.exterior, *polygon.holes)]
    if place is None:
        rings = [ring.astype(int).tolist() for ring in closed]
    else:
        rings = [place.from_pixels(ring).tolist() for ring in closed]
        told = {"class": one.name, "id": one.id}  # GIS programs show plain values
    geometry = {"type": "Polygon", "coordinates": rings}
    return {"type": "Feature", "geometry": geometry, "properties": told}


GEOJSON = Format(
    "geojson", _TITLE, _recognise, _read, _write, target="folder", orders_classes=False
)
GEOJSON_MAP = Format("geojson-map", "GeoJSON of a map", write=_write_map, target="folder")
