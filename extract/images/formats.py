"""What a file is that Pillow does not recognise, by its first bytes and its tags."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any
from warnings import catch_warnings

from PIL import TiffImagePlugin

from ...store.urls.location import Location

__all__ = ["register_plugins", "why_unknown"]

_KINDS = (
    (b"\x00\x00\x00", 4, (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"), "HEIC"),
    (b"\x00\x00\x00", 4, (b"ftypavif",), "AVIF"),
    (b"\x00\x00\x00\x0cjP", 0, (b"",), "JPEG 2000"),
    (b"\x00\x00\x00\x0cJXL", 0, (b"",), "JPEG XL"),
    (b"\xff\x0a", 0, (b"",), "JPEG XL"),
    (b"8BPS", 0, (b"",), "Photoshop"),
    (b"%PDF", 0, (b"",), "PDF"),
    (b"\x93NUMPY", 0, (b"",), "NumPy"),
    (b"\x89HDF", 0, (b"",), "HDF5"),
    (b"PK\x03\x04", 0, (b"",), "ZIP"),
    (b"<svg", 0, (b"",), "SVG"),
)
_DECODED = ("HEIC", "AVIF", "JPEG 2000")
_WIDTH, _SAMPLES, _BITS, _FORMAT, _PHOTOMETRIC = 256, 277, 258, 339, 262
_FORMATS = {2: "signed ", 3: "floating-point ", 5: "complex ", 6: "complex "}


def register_plugins(head: bytes) -> None:
    """Let Pillow read HEIC, if the package for it is installed, before the first such file."""
    if head[4:8] == b"ftyp" and head[8:12] not in (b"avif", b"avis") and find_spec("pillow_heif"):
        from pillow_heif import register_heif_opener

        register_heif_opener(thumbnails=False)


def why_unknown(path: Location) -> str:
    """Return why an image cannot be decoded: the rest of a sentence after its name."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "is empty: was it copied to the end?"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the image itself: run `git lfs pull`"
    for begins, at, marks, name in _KINDS:
        if head.startswith(begins) and head[at:].startswith(marks):
            if name == "HEIC" and find_spec("pillow_heif") is None:
                return "is a HEIC file, which needs pillow-heif: pip install 'dseg[formats]'"
            if name in _DECODED:
                return f"is a {name} file that cannot be decoded: is it damaged?"
            return f"is a {name} file, which dseg does not read: save it as PNG, TIFF or JPEG"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _of_tiff(path, head)
    return "is not an image that can be decoded: is it damaged or misnamed?"


def _of_tiff(path: Location, head: bytes) -> str:
    try:
        with path.open("rb") as file, catch_warnings(action="error"):
            tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(16 if head[2:3] == b"+" else 8))
            file.seek(tags.next)
            tags.load(file)
        if _WIDTH not in tags:
            return "is a TIFF without an image: is it damaged?"
        return _words(tags)
    except Exception:  # whatever damaged bytes make of the tags
        return "is a TIFF that cannot be decoded: is it damaged?"


def _words(tags: Mapping[int, Any]) -> str:
    bits = tags.get(_BITS, (1,))
    channels = int(tags.get(_SAMPLES, len(bits)))
    kind = _FORMATS.get(int(tags.get(_FORMAT, (1,))[0]), "")
    widths = "/".join(str(n) for n in dict.fromkeys(bits))
    what = f"is a TIFF of {channels} channel{'s' if channels > 1 else ''} of {kind}{widths} bits"
    if channels not in (1, 3, 4):
        return (
            f"{what}; dseg reads 1 channel (grey), 3 (RGB) or 4 (RGBA): choose three of them and "
            "save those as RGB"
        )
    return (
        f"{what} (photometric interpretation {tags.get(_PHOTOMETRIC)}), which dseg does not read: "
        "save it as grey or RGB of 8 or 16 bits"
    )
