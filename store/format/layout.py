"""The names, shapes and attributes of a store, in one place; `docs/store-format.md` in code.

Written by `dseg.store.write.writer`, read by `dseg.store.read.reader`.
"""

import platform
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.errors import ContainsArrayError
from zarr.storage import LocalStore

from ..drawn import Drawn, drawn_from_plain, drawn_to_plain
from ..errors import ANEW, ELSEWHERE, InputError, NoStoreError, StoreError
from ..seals import SEAL, is_broken, sealed
from ..spec import FORMAT, VERSION, FeatureSpec, hash_of, layer_columns
from ..synthetic import FORMAT as SYNTHETIC
from ..synthetic import no_features
from ..texts import read_json
from ..urls.errors import UrlError
from ..urls.location import Location, UrlPath, location
from ..urls.zarr_store import UrlStore
from .bounds import bound_chunks, check_codecs, check_counts, check_row
from .codecs import Codec, codec_named

__all__ = [
    "ArrayLayout",
    "Header",
    "array_layouts",
    "copied_attributes",
    "create_store",
    "open_arrays",
    "open_group",
    "put_header",
    "read_header",
    "zarr_store",
    "initial_attributes",
]

TABLE_CHUNK = 16384
CHUNK_LIMIT = 2**30  # bytes; Blosc compresses less than 2**31 at once
DENSE_TILE = 64
_OPENING_THREADS = 16  # what is given by URL answers slowly, but many at a time
NATIVE, DENSE = "native", "dense"
GROUPS = ("features", "scales", "images", "rows", "layers", "facts")
NO_IMAGE = -1
UNKNOWN = -1
# Fill values of the tables. zarr reads a missing chunk as fill values, so each is a number that no
# entry can have: then a lost chunk is noticed.
UNSET = -1
UNSET_ROW = -2  # -1 is NO_IMAGE, a valid entry
UNSET_LAYER = -(2**31)  # -1 is `spec.NONE`, and in older stores -2 is valid too
PER_IMAGE_ARRAYS = ("facts/", "complete", "failed")
"""Prefixes of the arrays that workers write, one image a chunk."""
_SEALED = (
    *("format", "version", "layout", "codec", "spec", "spec_hash", "images", "rows", "synthetic"),
    "written_by",
)
"""The attributes that are checked; others may be added to a store."""
COPY = "attributes_of_root"
"""Attribute of the group of layers: those of the root, for if they are damaged."""

Array = zarr.Array[Any]


@dataclass(frozen=True)
class ArrayLayout:
    """How one array of the store is laid out.

    Parameters
    ----------
    dtype : str
        A data type of the Zarr v3 specification.
    shape, chunks : tuple of int
    dims : tuple of str
        Dimension names; each stands for one length throughout the store.
    fill : value of an element never written
    compressors : tuple of zarr codecs
    keep_empty : bool
        Write a chunk even if it equals the fill value.
    """

    dtype: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dims: tuple[str, ...]
    fill: Any
    compressors: tuple[Any, ...]
    keep_empty: bool = True

    def create(self, group: zarr.Group, name: str) -> Array:
        """Create the array, replacing one that a killed planning run left."""
        return group.create_array(
            name,
            shape=self.shape,
            dtype=self.dtype,
            chunks=self.chunks,
            dimension_names=self.dims,
            fill_value=self.fill,
            compressors=self.compressors,
            config={"write_empty_chunks": self.keep_empty},
            overwrite=True,
        )


@dataclass(frozen=True)
class Header:
    """The attributes of a store's root group.

    Parameters
    ----------
    spec : FeatureSpec
    codec : str
    images, rows : int
        How many are planned. The arrays may be longer after a killed planning run, never shorter.
    layout : {"native", "dense"}
    drawn : mapping
        Images that a diffusion model drew, by number. Not part of the spec: their features are
        computed as those of any others.
    """

    spec: FeatureSpec
    codec: str
    images: int
    rows: int
    layout: str = NATIVE
    drawn: Mapping[int, Drawn] = field(default_factory=dict)

    def to_attributes(self) -> dict[str, Any]:
        """Return plain JSON values; `from_attributes` is the inverse."""
        attributes = {
            **initial_attributes(self.layout),
            "codec": self.codec,
            "spec": self.spec.to_dict(),
            "spec_hash": self.spec.hash,
            "images": self.images,
            "rows": self.rows,
            **({"synthetic": drawn_to_plain(self.drawn)} if self.drawn else {}),
        }
        return sealed({**attributes, "written_by": _versions()})

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any], where: object) -> Self:
        """Rebuild a header.

        Raises
        ------
        StoreError
            If it is no feature store, of another version, not completely created, or damaged.
        """
        if attributes.get("format") == SYNTHETIC:
            raise NoStoreError(no_features(where))
        if attributes.get("format") != FORMAT:
            raise NoStoreError(f"{where} is a Zarr group, but not a feature store of dseg")
        if attributes.get("version") != VERSION:
            raise StoreError(
                f"{where} has format version {attributes.get('version')}, but this dseg "
                f"reads version {VERSION}. Install the dseg that wrote it, or extract again"
            )
        if "spec" not in attributes:
            raise StoreError(
                f"the creation of {where} was interrupted: repeat the same extract command "
                "to finish it"
            )
        return cls._parse(attributes, where)

    @classmethod
    def _parse(cls, attributes: Mapping[str, Any], where: object) -> Self:
        try:
            spec = FeatureSpec.from_dict(attributes["spec"])
            every = (n for layer in spec.layers for n in astuple(layer) if n != layer.kind)
            numbers = [n for n in every if n is not None]
            counts = attributes["images"], attributes["rows"]
            counts_valid = all(type(n) is int and n >= 0 for n in (*numbers, *counts))
            # of what is written, for an older dseg wrote layers otherwise
            hash_valid = attributes["spec_hash"] == hash_of(attributes["spec"])
            codec, layout = codec_named(attributes["codec"]).name, attributes["layout"]
            drawn = drawn_from_plain(attributes.get("synthetic", ()), attributes["images"])
        except (AttributeError, InputError, KeyError, TypeError, ValueError) as error:
            words = f"the attributes of {where} are damaged: {error}. {ELSEWHERE}"
            raise StoreError(words) from error
        if not (spec.layers and counts_valid and hash_valid and layout in (NATIVE, DENSE)):
            raise StoreError(
                f"the attributes of {where} are damaged: the feature spec does not match its "
                f"hash, or a number is invalid. Was its zarr.json edited? {ELSEWHERE}"
            )
        if is_broken(attributes, _SEALED):
            raise StoreError(
                f"the attributes of {where} are damaged: they do not match their checksum. Was its "
                f"zarr.json edited? {ELSEWHERE}"
            )
        return cls(spec, codec, *counts, layout, drawn)


def initial_attributes(layout: str = NATIVE) -> dict[str, Any]:
    """Return the attributes of a store that is being created: without a spec, so not readable."""
    return {"format": FORMAT, "version": VERSION, "layout": layout}


def _versions() -> dict[str, str]:
    from ... import __version__

    return {
        "dseg": __version__,
        "zarr": zarr.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def array_layouts(header: Header) -> dict[str, ArrayLayout]:
    """Return the layout of every array of a store, by its name."""
    spec, codec, images, rows = header.spec, codec_named(header.codec), header.images, header.rows
    return {
        **(_dense(spec, codec, rows) if header.layout == DENSE else _features(spec, codec, rows)),
        **_tables(spec, images, rows),
        **_facts(spec, images),
    }


def _features(spec: FeatureSpec, codec: Codec, rows: int) -> dict[str, ArrayLayout]:
    layouts = {}
    for size in spec.map_sizes:
        channels, height, width = spec.map_shape(size)
        itemsize = np.dtype(codec.dtype).itemsize
        channels_per_chunk = channel_chunk(
            [spec.layers[i].channels for i in spec.layers_of(size)],
            height * width * itemsize,
            CHUNK_LIMIT,
        )
        layouts[f"features/{size}"] = ArrayLayout(
            codec.dtype,
            (rows, channels, height, width),
            (1, channels_per_chunk, height, width),
            ("row", f"channel_{size}", f"y_{size}", f"x_{size}"),
            0 if codec.quantised else float("nan"),
            codec.compressors,
        )
        if codec.quantised:
            layouts[f"scales/{size}"] = ArrayLayout(
                "float32",
                (rows, channels, 2),
                (1, channels, 2),
                ("row", f"channel_{size}", "minimum_step"),
                float("nan"),
                (Crc32cCodec(),),
            )
    return layouts


def _dense(spec: FeatureSpec, codec: Codec, rows: int) -> dict[str, ArrayLayout]:
    height, width = spec.row_shape
    chunks = (1, min(DENSE_TILE, height), min(DENSE_TILE, width), spec.dims)
    dims = ("row", "y", "x", "channel")
    shape = (rows, height, width, spec.dims)
    nan = float("nan")
    return {"features/dense": ArrayLayout(codec.dtype, shape, chunks, dims, nan, codec.compressors)}


def _tables(spec: FeatureSpec, images: int, rows: int) -> dict[str, ArrayLayout]:
    """Tables that one process writes while planning, so a chunk may hold many images."""

    def table(dtype: str, dim: str, length: int, *more: tuple[str, int], fill: Any = UNSET) -> Any:
        dims, sizes = zip((dim, length), *more, strict=True)
        chunks = (TABLE_CHUNK, *sizes[1:])
        return ArrayLayout(dtype, sizes, chunks, dims, fill, (ZstdCodec(level=1), Crc32cCodec()))

    axes = ("height_width", 2)
    layers = len(spec.layers)
    return {
        "images/name": table("string", "image", images, fill=""),
        "images/size": table("int32", "image", images, axes),
        "images/resized": table("int32", "image", images, axes),
        "images/first_row": table("int64", "image", images),
        "images/row_count": table("int32", "image", images),
        "rows/image": table("int64", "row", rows, fill=UNSET_ROW),
        "rows/offset": table("int32", "row", rows, axes),
        "layers/timestep": table("int32", "layer", layers, fill=UNSET_LAYER),
        "layers/block": table("int32", "layer", layers, fill=UNSET_LAYER),
        "layers/array": table("string", "layer", layers, fill=""),
        "layers/first_channel": table("int32", "layer", layers),
        "layers/channels": table("int32", "layer", layers),
        "layers/first_feature": table("int32", "layer", layers),
    }


def _facts(spec: FeatureSpec, images: int) -> dict[str, ArrayLayout]:
    """Tables that workers write: one image a chunk, for two writers of a chunk lose data."""

    def fact(dtype: str, *more: tuple[str, int], fill: Any, keep_empty: bool = False) -> Any:
        dims, sizes = zip(("image", images), *more, strict=True)
        return ArrayLayout(dtype, sizes, (1, *sizes[1:]), dims, fill, (Crc32cCodec(),), keep_empty)

    layer = ("layer", len(spec.layers))
    return {
        "facts/sha256": fact("uint8", ("byte", 32), fill=0, keep_empty=True),
        "facts/nonfinite": fact("int64", layer, fill=UNKNOWN),
        "facts/clipped": fact("int64", layer, fill=UNKNOWN),
        "facts/reason": fact("string", fill=""),
        # False is the fill value and is not stored: listing the keys yields the flags that are set.
        "complete": fact("bool", fill=False),
        "failed": fact("bool", fill=False),
    }


def channel_chunk(channels: list[int], bytes_per_channel: int, limit: int) -> int:
    """Return how many channels of a row share a chunk: all, or as many as the limit allows.

    If possible a multiple of the layers' common divisor, so that few layers lie in two chunks.

    Examples
    --------
    >>> channel_chunk([512, 1024], 2**10, limit=2**30)
    1536
    >>> channel_chunk([512, 1024, 512], 2**20, limit=2**30)
    1024
    """
    if sum(channels) * bytes_per_channel <= limit:
        return sum(channels)
    max_channels = max(1, limit // bytes_per_channel)
    divisor = int(np.gcd.reduce(channels))
    return max_channels - max_channels % divisor if max_channels >= divisor else max_channels


def create_store(group: zarr.Group, header: Header) -> None:
    """Create all arrays of a store, and fill the table of layers; not the attributes.

    The table tells readers other than dseg which channels belong to which layer.
    """
    created = {name: layout.create(group, name) for name, layout in array_layouts(header).items()}
    for name, column in layer_columns(header.spec).items():
        created[name][:] = np.array(column, object if name == "layers/array" else np.int32)


def put_header(group: zarr.Group, header: Header) -> None:
    """Write the attributes of the root, then their copy."""
    attributes = header.to_attributes()
    group.attrs.put(attributes)
    layers: Any = group["layers"]
    layers.attrs.put({COPY: attributes})


def copied_attributes(group: zarr.Group) -> dict[str, Any] | None:
    """Return the copy of the root's attributes; None if there is none, or it is damaged too."""
    try:
        found: Any = group["layers"].attrs.get(COPY)
    except (KeyError, TypeError, ValueError):
        return None
    return found if isinstance(found, dict) and SEAL in found and not is_broken(found) else None


def zarr_store(path: Location, *, read_only: bool = False) -> Store:
    """Return the keys of a folder or URL, as Zarr reads and writes them."""
    if isinstance(path, UrlPath):
        return UrlStore(path, read_only=read_only)
    return LocalStore(path, read_only=read_only)


def open_group(path: str | Location, *, write: bool = False) -> zarr.Group:
    """Open the root group of a store that exists.

    Raises
    ------
    InputError
        If the folder does not exist.
    NoStoreError
        If it is no Zarr v3 group.
    StoreError
        If it is damaged.
    """
    folder = location(path)
    found = folder.is_dir() if isinstance(folder, Path) else (folder / "zarr.json").is_file()
    if not found:
        raise InputError(
            f"there is no feature store at '{path}': give a folder that `dseg extract` wrote"
        )
    try:
        store = zarr_store(folder, read_only=not write)
        if (folder / "zarr.json").is_file():  # bounded, which zarr's reader is not
            read_json(folder / "zarr.json")
        mode: Literal["r", "r+"] = "r+" if write else "r"
        return zarr.open_group(store, mode=mode, zarr_format=3, use_consolidated=False)
    except (FileNotFoundError, ContainsArrayError) as error:
        raise NoStoreError(f"'{path}' is not a feature store: it is not a Zarr v3 group") from error
    except UrlError:
        raise
    except Exception as error:  # whatever zarr makes of the metadata
        raise StoreError(f"'{path}/zarr.json' is damaged: {error}. {ELSEWHERE}") from error


def read_header(group: zarr.Group, where: object) -> Header:
    """Read and check the attributes of a store's root group; see `Header.from_attributes`."""
    attributes = group.attrs.asdict()
    tables = {"images": "images/name", "rows": "rows/image"}
    counts = {tables[name]: attributes.get(name) for name in tables}
    stated = {table: count for table, count in counts.items() if type(count) is int}
    check_counts(group.store, stated, TABLE_CHUNK, where)
    header = Header.from_attributes(attributes, where)
    check_row(header.spec.bytes_per_row, header.spec.row_shape, where)
    return header


def open_arrays(group: zarr.Group, header: Header, where: object) -> dict[str, Array]:
    """Open every array of a store, and check its type, shape and chunks.

    Raises
    ------
    StoreError
        If an array is missing, or is not as the spec says.
    """
    layouts = array_layouts(header)
    if isinstance(group.store, LocalStore):
        return {name: _open_array(group, name, layout, where) for name, layout in layouts.items()}
    with ThreadPoolExecutor(_OPENING_THREADS, "dseg-open") as pool:
        opened = pool.map(lambda name: _open_array(group, name, layouts[name], where), layouts)
        return dict(zip(layouts, opened, strict=True))


def _bounded(group: zarr.Group, name: str) -> Any:
    """Return an array whose metadata is no larger than JSON may be, and its codecs dseg's."""
    path = getattr(group.store, "root", None)
    if path is not None and (file := Path(path) / name / "zarr.json").is_file():
        read_json(file)
    array = group[name]
    if isinstance(array, zarr.Array):
        check_codecs(array)
        bound_chunks(array)
    return array


def _open_array(group: zarr.Group, name: str, layout: ArrayLayout, where: object) -> Array:
    try:
        array = _bounded(group, name)
    except KeyError as error:
        raise StoreError(f"{where} is damaged: its array '{name}' is missing. {ANEW}") from error
    except UrlError:
        raise
    except Exception as error:  # whatever zarr makes of the metadata
        raise StoreError(f"{where} is damaged: '{name}/zarr.json': {error}. {ANEW}") from error
    if not isinstance(array, zarr.Array):
        raise StoreError(f"{where} is damaged: '{name}' is a group, not an array. {ANEW}")
    dtype = "string" if array.dtype.kind == "T" else str(array.dtype)
    fits = array.shape[1:] == layout.shape[1:] and array.shape[:1] >= layout.shape[:1]
    if dtype != layout.dtype or not fits or array.chunks != layout.chunks:
        raise StoreError(
            f"{where} is damaged: '{name}' is {dtype} {array.shape} in chunks of "
            f"{array.chunks}, but its feature spec requires {layout.dtype} {layout.shape} in "
            f"chunks of {layout.chunks}. {ANEW}"
        )
    return array.with_config({"write_empty_chunks": layout.keep_empty})
