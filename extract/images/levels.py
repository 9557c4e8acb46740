"""Images of more than 8 bits a channel: which value is white, and how they come to 8 bits.

Cameras and microscopes keep 10, 12 or 14 bits in files of 16, so that white is 1023, 4095 or 16383
there, and the file does not say so. (PNG's sBIT chunk does not either: values are scaled to 16 bits
where it is used as meant. TIFF's MaxSampleValue is not for display.) So it is found from all images
of a run together, for one scale for all, see `white_of_values`, and kept in the spec.
"""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .reading_spec import FULL

__all__ = [
    "FULL",
    "WHITES",
    "brightest_value",
    "is_deep",
    "native_values",
    "own_white",
    "scaled",
    "to_rgb",
    "white_of_values",
]

WHITES = (255, 1023, 4095, 16383, FULL)
"""White of 8, 10, 12, 14 and 16 bits."""

_MIN_IS_WHITE = (262, 0)  # TIFF's PhotometricInterpretation
_SWAPPED = {
    ";16B": ";16L",
    ";16L": ";16B",
    ";16N": ";16B" if sys.byteorder == "little" else ";16L",
}


def white_of_values(brightest: int) -> int:
    """Return the white of the fewest bits that hold the brightest value of all; else `FULL`.

    >>> white_of_values(255), white_of_values(3988), white_of_values(20000), white_of_values(0)
    (255, 4095, 65535, 65535)
    """
    return next((white for white in WHITES if brightest <= white), FULL) if brightest else FULL


def _raw_mode(image: Image.Image) -> str:
    tiles = getattr(image, "tile", ())  # an image that comes from no file has none
    args = tiles[0].args if tiles else ""
    return str(args[0] if isinstance(args, tuple) else args)


def own_white(image: Image.Image) -> int | None:
    """Return the white that a file states itself: a PGM, which Pillow scales, and 12-bit TIFF."""
    if image.format == "PPM":
        return FULL
    return 4095 if _raw_mode(image) == "I;12" else None


def is_deep(image: Image.Image) -> bool:
    """Say whether an image, opened but not decoded, has 16 bits a channel and does not state white.

    Integers of 32 bits count too, for they hold no more than 16 in what is not refused.
    """
    if image.mode.startswith("I"):
        return own_white(image) is None
    return image.mode in ("RGB", "RGBA") and _raw_mode(image)[-4:] in _SWAPPED


def brightest_value(image: Image.Image) -> int:
    """Return the highest value of a deep image; of a colour image, rounded up to its high byte's.

    That is exact enough to find how many bits are used, and costs no more than decoding.
    """
    if image.mode.startswith("I"):
        values = np.asarray(image)
        return int(values.max()) if values.min() >= 0 else FULL + 1  # no white fits
    is_grey, file = _raw_mode(image).startswith("LA"), _file_of(image)
    high = np.asarray(image)[..., : 1 if is_grey else 3]
    return int(high.max()) * 256 + 255 if high.any() else int(_low_bytes(file).max())


def to_rgb(image: Image.Image, white: int) -> Image.Image:
    """Return an image of any mode as RGB of 8 bits a channel.

    Parameters
    ----------
    image : PIL.Image.Image
        Opened from a file, not yet decoded.
    white : int
        The value of 16-bit channels that becomes 255.

    Raises
    ------
    ValueError
        If nothing says which value is white, or some are brighter than it.
    """
    if image.format == "TIFF":
        _refuse_odd_tiff(image)
    if image.mode.startswith("I"):
        return _grey(image, own_white(image) or white)
    if image.mode == "F":
        raise ValueError(
            "floating-point pixels have no defined white: give --levels, such as --levels 0:1"
        )
    if white != FULL and is_deep(image):
        return _colour(image, white)
    # A palette with several transparent entries makes Pillow warn unless it goes through RGBA.
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == "RGB":  # converting would copy it
        image.load()
        return image
    return image.convert("RGB")


def _refuse_odd_tiff(image: Image.Image) -> None:
    """Refuse TIFF that Pillow decodes to other pixels than the file means."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits = max(tags.get(258, (1,)))
    if image.mode.startswith("I") and tags.get(_MIN_IS_WHITE[0]) == _MIN_IS_WHITE[1]:
        raise ValueError(
            f"its {bits}-bit values count from white to black (MinIsWhite); save it with 0 as black"
        )
    raw = any(tile.codec_name == "raw" for tile in getattr(image, "tile", ()))
    if bits == 16 and tags.get(284, 1) == 2 and raw:
        raise ValueError(
            "its 16-bit channels are stored in separate planes; save it with the channels of a "
            "pixel together (planar configuration 1)"
        )


def _grey(image: Image.Image, white: int) -> Image.Image:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > FULL:
        raise ValueError(
            f"grey values from {values.min()} to {values.max()} do not fit 16 bits: give "
            f"--levels, such as --levels {values.min()}:{values.max()}"
        )
    return Image.fromarray(scaled(values.astype(np.uint16), white)).convert("RGB")


def _colour(image: Image.Image, white: int) -> Image.Image:
    """Scale 16-bit colour, of which Pillow keeps the high bytes alone."""
    if _raw_mode(image).startswith("RGBa"):
        raise ValueError(
            "its 16-bit colours are multiplied by alpha; save it with unassociated alpha or none"
        )
    levels = scaled(_colour_values(image), white)
    return Image.fromarray(np.repeat(levels, 3, axis=2) if levels.shape[2] == 1 else levels)


def _colour_values(image: Image.Image) -> NDArray[np.uint16]:
    low = _low_bytes(_file_of(image))
    high = np.asarray(image)[..., : low.shape[2]]
    return (high.astype(np.uint16) << 8 | low).astype(np.uint16, copy=False)


def native_values(image: Image.Image) -> NDArray[Any]:
    """Return the values of an image that is opened but not decoded, as its file has them.

    Returns
    -------
    array of shape (H, W, C)
        Grey, red, green and blue, perhaps with alpha; palettes and other colours come as RGB.
    """
    if image.mode in ("RGB", "RGBA") and is_deep(image):
        return _colour_values(image)
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == "1":
        image = image.convert("L")
    if not image.mode.startswith("I") and image.mode not in ("F", "L", "LA", "RGB", "RGBA"):
        image = image.convert("RGB")
    values = np.asarray(image)
    return values[..., None] if values.ndim == 2 else values


def scaled(values: NDArray[np.uint16], white: int) -> NDArray[np.uint8]:
    """Return values of 16 bits as 8 bits, ``white`` as 255.

    Raises
    ------
    ValueError
        If some are brighter than white.
    """
    highest = int(values.max())
    if highest > white:
        raise ValueError(
            f"it has values up to {highest}, but in this run {white} is white: use --white "
            f"{white_of_values(highest)}, for all images alike (a store or a network made with "
            "another white must be made anew)"
        )
    # looked up, not computed, for the memory of the largest images
    levels: NDArray[np.uint8] = ((np.arange(white + 1) * 255 + white // 2) // white).astype(
        np.uint8
    )
    return levels[values]


def _file_of(image: Image.Image) -> Any:
    """Return the open file of an image that is not decoded yet; Pillow forgets it then."""
    return image.fp  # type: ignore[attr-defined]


def _low_bytes(file: Any) -> NDArray[np.uint8]:
    """Return the low bytes of 16-bit colour, (H, W, 3), of grey with alpha (H, W, 1).

    The same file is decoded as if its bytes were in the other order.
    """
    position = file.tell()
    file.seek(0)
    with Image.open(file) as again:
        raw = _raw_mode(again)
        grey = raw.startswith("LA")
        other = "RGBA" if grey else raw[:-4] + _SWAPPED[raw[-4:]]
        again.tile = [
            tile._replace(args=(other, *tile.args[1:]) if isinstance(tile.args, tuple) else other)
            for tile in again.tile
        ]
        values: NDArray[np.uint8] = np.asarray(again)
    file.seek(position)
    return values[..., 1:2] if grey else values[..., :3]
