"""The common corruptions of Hendrycks and Dietterich, each a pure function of what it is given.

They are those of `imagecorruptions-imaug`, which is kept to current libraries: noise, blur, weather
and digital faults in five severities, for images of any size, with the constants that ImageNet-C
was made with (``make_imagenet_c.py``); frost, motion blur, snow and the elastic transform as
Michaelis et al. remade them. The library draws from NumPy's global generator. Here that is seeded
for each image and put back, under a lock.

A severity changes how strong a corruption is, not what is drawn: an image has the same grains of
noise, the same scratches of frost and the same direction of motion in all five.

The constants are lengths in pixels of photographs whose shorter side is about 224 to 256. So larger
images are first brought to such a size, see `working_size`.

References
----------
Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019. Michaelis et al., "Benchmarking Robustness in Object Detection:
Autonomous Driving when Winter is Coming", 2019, arXiv 1907.07484.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...store.errors import InputError
from ..console.optional_packages import require

__all__ = [
    "COMMON",
    "GROUPS",
    "SEVERITIES",
    "SMALLEST",
    "chosen",
    "corrupt",
    "group_of",
    "library",
    "working_size",
]

GROUPS: dict[str, tuple[str, ...]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    "extra": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
}
"""As ImageNet-C groups them; "extra" are those it keeps apart for validation."""

COMMON = ("noise", "blur", "weather", "digital")
"""The groups that make up the benchmark."""

SEVERITIES = (1, 2, 3, 4, 5)
SMALLEST = 32  # pixels of a side; the library takes nothing smaller

_PACKAGE = "imagecorruptions-imaug"
_TAKE_A_SEED = frozenset({"glass_blur", "impulse_noise"})  # which do not use the global generator
_ONE_AT_A_TIME = Lock()

Pixels = NDArray[np.uint8]
Size = tuple[int, int]


def library() -> str:
    """Return name and version of the library, once it is known to import.

    Raises
    ------
    MissingPackageError
        If it is not installed.
    InputError
        If something that it needs is missing.
    """
    require("imagecorruptions")
    found = f"{_PACKAGE} {version(_PACKAGE)}"
    try:
        import imagecorruptions  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"{found} is installed but cannot be imported: {error}. If a system library such "
            "as libGL is missing, install opencv-python-headless instead of opencv-python"
        ) from error
    return found


def chosen(words: Iterable[str]) -> tuple[str, ...]:
    """Return the corruptions that names of corruptions and of groups stand for, in their order.

    Raises
    ------
    InputError
        If a word is neither, or there is none.

    Examples
    --------
    >>> chosen(["fog", "noise", "shot_noise"])
    ('gaussian_noise', 'shot_noise', 'impulse_noise', 'fog')
    """
    asked = set(words)
    every = [name for names in GROUPS.values() for name in names]
    unknown = sorted(asked - {*every, *GROUPS, "all"})
    if unknown or not asked:
        what = (
            f"has '{unknown[0]}', which is not a corruption" if unknown else "names no corruption"
        )
        raise InputError(
            f"--corruptions {what}: choose from {', '.join(every)}; or from the groups "
            f"{', '.join(GROUPS)}, all"
        )
    taken = {name for group, names in GROUPS.items() if {group, "all"} & asked for name in names}
    return tuple(name for name in every if name in taken | asked)


def group_of(name: str) -> str:
    """Return the group of a corruption.

    Examples
    --------
    >>> group_of("fog")
    'weather'
    """
    return next(group for group, names in GROUPS.items() if name in names)


def working_size(size: Size, seen: Size, side: int) -> Size:
    """Return the height and width at which an image is corrupted.

    Its shorter side is ``side``, or as much larger as the network needs to see no less than of the
    image as it is; an image is never enlarged.

    Parameters
    ----------
    size : tuple of int
        Height and width of the image.
    seen : tuple of int
        Height and width to which the image is brought for the network.
    side : int

    Examples
    --------
    >>> working_size((1200, 1600), (64, 64), 256), working_size((200, 300), (64, 64), 256)
    ((256, 341), (200, 300))
    >>> working_size((1200, 1600), (512, 512), 256)
    (512, 683)
    """
    needed = max(other / own for other, own in zip(seen, size, strict=True))
    scale = min(1.0, max(side / min(size), needed))
    height, width = (max(1, round(scale * n)) for n in size)
    return height, width


def corrupt(
    image: Pixels,
    name: str,
    severity: int,
    seed: int = 0,
    image_name: str = "",
    size: Size | None = None,
) -> Pixels:
    """Return a corrupted image; the same for the same arguments, whatever else is running.

    Parameters
    ----------
    image : array of shape (H, W, 3), uint8
        It stays as it is.
    name : str
        Of the corruption.
    severity : int
        1 to 5.
    seed : int
    image_name : str
        Images of different names are given different noise.
    size : tuple of int, optional
        Height and width to which the image is brought first, by Pillow's bilinear filter. Neither
        side may then be shorter than `SMALLEST`.

    Returns
    -------
    array of shape (H, W, 3) or (*size, 3), uint8

    Raises
    ------
    InputError
        If there is no such corruption or severity, or the image is none or too small.
    """
    if size is not None and image.shape[:2] != size:
        resized = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
        image = np.asarray(resized)
    _check(image, name, severity)
    import imagecorruptions

    drawn = hashlib.sha256(f"{seed}/{name}/{image_name}".encode()).digest()
    key = int.from_bytes(drawn[:4], "big")
    more = {"seed": key} if name in _TAKE_A_SEED else {}
    with _seeded(key):
        try:
            with np.errstate(invalid="raise"):
                result: Pixels = imagecorruptions.corrupt(
                    image, severity=severity, corruption_name=name, **more
                )
        except FloatingPointError:
            if name != "spatter":
                raise
            return image.copy()  # no drop fell on a small image; the library divides by their sum
    return result


@contextmanager
def _seeded(key: int) -> Iterator[None]:
    """Seed the generator that the library draws from; afterwards it is as it was."""
    with _ONE_AT_A_TIME:
        state = np.random.get_state()  # noqa: NPY002  (the library uses no other)
        try:
            np.random.seed(key)  # noqa: NPY002
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002


def _check(image: Pixels, name: str, severity: int) -> None:
    if not any(name in names for names in GROUPS.values()):
        raise InputError(f"'{name}' is not a corruption")
    if severity not in SEVERITIES:
        raise InputError(f"a severity must be a whole number from 1 to 5, got {severity!r}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(
            f"corruptions take RGB images, uint8 (H, W, 3); got {image.dtype} {image.shape}"
        )
    if min(image.shape[:2]) < SMALLEST:
        raise InputError(
            f"an image of {image.shape[1]}×{image.shape[0]} is too small for the "
            f"corruptions: each side needs at least {SMALLEST} pixels"
        )
