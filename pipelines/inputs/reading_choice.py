"""How the images of a run are read: as asked for, as features were made before, or as found."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...extract.images.levels import FULL, WHITES, white_of_values
from ...extract.images.rasters.planes import PlaneChoice
from ...extract.images.reading import UnreadableImage, brightest_of, sample_of
from ...extract.images.reading_spec import MOST_PIXELS, Levels, ReadingSpec
from ...extract.images.scaling import percentiles_of
from ...store.errors import InputError
from ...store.urls.location import Location
from ..console.progress import Progress
from .image_survey import ImageSurvey, warn_of_dark_images

__all__ = ["ReadingChoice", "RunPercentiles", "decide_reading", "parse_levels"]

_PERCENTILES = (1.0, 99.0)
_MOST_SAMPLED = 64  # images
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_EXPECTED = (
    "is no levels: give low:high, such as 0:3000, or one such pair a band; percentiles of all "
    "images, such as 1%:99%; or image, for percentiles of each image alone"
)


@dataclass(frozen=True)
class RunPercentiles:
    """Levels that are to be found: percentiles of the values of all images of a run.

    Parameters
    ----------
    low, high : float
        In percent.
    """

    low: float
    high: float


@dataclass(frozen=True)
class ReadingChoice:
    """What a command is asked for.

    Parameters
    ----------
    bands : tuple of int, optional
        By default those of the features, or what a file has.
    plane : PlaneChoice, optional
    levels : Levels or RunPercentiles, optional
        By default those of the features; else found if values are floating-point.
    max_pixels : int
        Of an image that is decoded whole.
    """

    bands: tuple[int, ...] | None = None
    plane: PlaneChoice | None = None
    levels: Levels | RunPercentiles | None = None
    max_pixels: int = MOST_PIXELS

    @property
    def is_open(self) -> bool:
        """Whether nothing is asked for."""
        return self.bands is None and self.plane is None and self.levels is None

    def over(self, fixed: ReadingSpec) -> ReadingSpec:
        """Return how images are read as far as it is known before their headers are."""
        bands = self.bands or fixed.bands
        levels = self.levels if isinstance(self.levels, Levels) else fixed.levels
        plane = self.plane or fixed.plane
        return replace(fixed, bands=bands, plane=plane, levels=levels, most_pixels=self.max_pixels)


def parse_levels(text: str) -> Levels | RunPercentiles:
    """Return levels from the text of an option.

    Raises
    ------
    ValueError
        If they are none; the text continues a sentence after the value.

    Examples
    --------
    >>> parse_levels("0:3000"), parse_levels("1%:99%")  # doctest: +NORMALIZE_WHITESPACE
    (Levels(ranges=((0.0, 3000.0),), percentiles=None), RunPercentiles(low=1.0, high=99.0))
    """
    if text == "image":
        return Levels((), _PERCENTILES)
    match = re.fullmatch(rf"({_NUMBER})%:({_NUMBER})%", text)
    if match is not None:
        low, high = float(match[1]), float(match[2])
        if not 0 <= low < high <= 100:
            raise ValueError(_EXPECTED)
        return RunPercentiles(low, high)
    pairs = []
    for part in text.split(","):
        match = re.fullmatch(rf"({_NUMBER}):({_NUMBER})", part.strip())
        if match is None or not float(match[1]) < float(match[2]):
            raise ValueError(_EXPECTED)
        pairs.append([float(match[1]), float(match[2])])
    return Levels.from_plain(pairs)


def decide_reading(
    choice: ReadingChoice,
    white: int | None,
    fixed: ReadingSpec | None,
    survey: ImageSurvey,
    progress: Progress,
) -> ReadingSpec:
    """Return how the images of a run are read.

    Parameters
    ----------
    choice : ReadingChoice
    white : int, optional
        The value of images of 16 bits a channel that is white, if it is given.
    fixed : ReadingSpec, optional
        Of features that are there already, or of the network.
    survey : ImageSurvey
        Of headers, read as `ReadingChoice.over` says.
    progress : Progress

    Raises
    ------
    InputError
        If what is given contradicts itself, or the images.
    """
    reading = choice.over(fixed or ReadingSpec())
    if fixed is not None:
        _refuse_other_reading(choice, fixed)
    _refuse_contradictions(choice, white, reading)
    scaled = [*survey.unscaled, *survey.deep]
    if isinstance(choice.levels, RunPercentiles):
        if fixed is not None and fixed.levels is not None and fixed.levels.ranges:
            progress.say(f"{reading.words()}: as the features that are there already")
            return reading  # found when these were made: the same command goes on with new images
        if not scaled:
            raise InputError(
                "--levels is for images of other values than 8 bits, but there are none: leave it "
                "out"
            )
        wanted = (choice.levels.low, choice.levels.high)
        return _with_levels(reading, scaled, wanted, progress)
    if white is not None:
        return replace(reading, white=white, levels=None)
    if fixed is not None or reading.levels is not None:
        return reading
    highest = brightest_of(survey.deep, reading)
    if survey.unscaled or highest > FULL:
        progress.warn(
            f"{len(survey.unscaled) or len(survey.deep)} of {len(survey.sizes)} images have "
            "values of which nothing says which are black and white, such as "
            f"'{scaled[0].name}': found from the images. --levels sets them"
        )
        return _with_levels(reading, scaled, _PERCENTILES, progress)
    return replace(reading, white=_white(survey, highest, reading, progress))


def _refuse_other_reading(choice: ReadingChoice, fixed: ReadingSpec) -> None:
    """Refuse options that say another than the features that there are already."""
    asked = (
        ("bands", choice.bands, fixed.bands),
        ("plane", choice.plane, fixed.plane),
        ("levels", choice.levels, fixed.levels),
    )
    for name, wanted, before in asked:
        if wanted is not None and wanted != before and not isinstance(wanted, RunPercentiles):
            raise InputError(
                f"--{name} says otherwise than the features that are there already, whose images "
                f"were read {f'with {words}' if (words := fixed.words()) else 'as they are'}: "
                f"leave out --{name}, or give another --out"
            )


def _refuse_contradictions(choice: ReadingChoice, white: int | None, reading: ReadingSpec) -> None:
    if white is not None and choice.levels is not None:
        raise InputError("--white and --levels both say which value is white: leave out one")
    if white is not None and reading.levels is not None:
        raise InputError("--white cannot be used here: the features have levels instead")
    levels, count = reading.levels, len(reading.bands)
    if levels is not None and count and len(levels.ranges) not in (0, 1, count):
        raise InputError(
            f"there are {len(levels.ranges)} pairs of --levels for {count} --bands: give one pair "
            "for all, or one a band"
        )


def _white(survey: ImageSurvey, highest: int, reading: ReadingSpec, progress: Progress) -> int:
    """Return the white of the fewest bits that hold the brightest value of all; see `WHITES`."""
    white = white_of_values(highest)
    if white != FULL:
        bits = white.bit_length()
        progress.warn(
            f"{len(survey.deep)} of {len(survey.sizes)} images have 16 bits per channel but no "
            f"value above {highest}: all are read as {bits}-bit images, in which {white} is white. "
            f"If they are dark 16-bit images, use --white {WHITES[-1]}"
        )
    warn_of_dark_images(survey.deep, white, progress, reading)
    return white


def _with_levels(
    reading: ReadingSpec,
    paths: Sequence[Location],
    percentiles: tuple[float, float],
    progress: Progress,
) -> ReadingSpec:
    """Return it with levels that are percentiles of all images, or of some, evenly spread."""
    some = paths[:: max(1, -(-len(paths) // _MOST_SAMPLED))]
    raw = replace(reading, levels=Levels(((0.0, 1.0),)))  # read as they are, whatever they are
    found, reason = list[list[Any]](), ""
    with progress.bar("levels", len(some), "images") as advance:
        for path in some:
            try:
                found.append(sample_of(path, raw))
            except UnreadableImage as error:
                reason = str(error)
            advance(1)
    if not found:
        raise InputError(f"the levels cannot be found, for no image can be read: {reason}")
    if len({len(values) for values in found}) > 1:
        found = [[np.concatenate(values)] for values in found]
    bands = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    levels = Levels(tuple(percentiles_of(band, percentiles) for band in bands))
    result = replace(reading, levels=levels, white=FULL)
    low, high = percentiles
    progress.say(
        f"{result.words()}: percentiles {low:g} and {high:g} of the values of {len(found)} images"
    )
    return result
