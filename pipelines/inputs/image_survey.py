"""Read the headers of a run's images, and warn about what a user should know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ...extract.images.files import ImageFiles
from ...extract.images.levels import FULL, WHITES, white_of_values
from ...extract.images.reading import (
    PLAIN,
    ImageFacts,
    UnreadableImage,
    brightest_of,
    image_facts,
)
from ...extract.images.reading_spec import ReadingSpec
from ...store.urls.location import Location
from ...store.urls.walking import count_suffixes
from ..console.progress import Progress
from .image_list import named

__all__ = [
    "ImageSurvey",
    "report_skipped_files",
    "survey_images",
    "warn_if_dark",
    "warn_of_dark_images",
]

_MAX_DECODED = 64


@dataclass
class ImageSurvey:
    """Facts from the headers of some images.

    Parameters
    ----------
    sizes : dict
        Height and width by name.
    refused : dict
        Why an image cannot be used, by name.
    deep : list of Path
        Images of 16 bits a channel, whose files do not say which value is white.
    unscaled : list of Path
        Images of floating-point values.
    paged : list of Path
        Files of several pages or frames, of which nothing says which is read.
    """

    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    deep: list[Location] = field(default_factory=list)
    unscaled: list[Location] = field(default_factory=list)
    paged: list[Location] = field(default_factory=list)

    def warn_about_pages(self, progress: Progress) -> None:
        """Warn of files of several pages or frames, of which the first is used."""
        if self.paged:
            suffixes = count_suffixes(self.paged)
            progress.warn(
                f"{len(self.paged)} of {len(self.sizes) + len(self.refused)} images have "
                f"more than one page or frame ({suffixes}), such as "
                f"'{self.paged[0].name}': only the first is used. Save the others as "
                "separate images or, if they are channels, as one RGB image; `dseg extract` "
                "takes another with --plane"
            )


def survey_images(
    images: Mapping[str, Location],
    progress: Progress,
    reading: ReadingSpec = PLAIN,
    known: Mapping[str, ImageFacts] = MappingProxyType({}),
) -> ImageSurvey:
    """Read the headers of images, given by name, but for those whose facts are known.

    They are to be read in one way.
    """
    survey = ImageSurvey()
    with progress.bar("headers", len(images), "images") as advance:
        for name, path in images.items():
            _add(name, path, known.get(name), survey, reading)
            advance(1)
    return survey


def _add(
    name: str,
    path: Location,
    facts: ImageFacts | None,
    survey: ImageSurvey,
    reading: ReadingSpec,
) -> None:
    try:
        facts = facts or image_facts(path, reading)
    except (UnreadableImage, OSError) as error:
        survey.refused[name] = str(error)
        return
    survey.sizes[name] = facts.size
    if facts.deep:
        survey.deep.append(path)
    if facts.unscaled:
        survey.unscaled.append(path)
    if facts.paged:
        survey.paged.append(path)


def report_skipped_files(files: ImageFiles, progress: Progress) -> None:
    """Report which files of a folder are skipped, and which links are followed."""
    if files.passed:
        progress.warn(f"skipped in {files.where}: {files.passed}")
    if files.folders[1:]:
        links = named(map(str, files.folders[1:]))
        progress.say(f"{files.where} has links to {links}; the images there are included")


def warn_of_dark_images(
    deep: Sequence[Location], white: int, progress: Progress, reading: ReadingSpec = PLAIN
) -> None:
    """Warn of images that use far fewer bits than the white that is taken for all of them.

    Only some are examined, evenly spread, for each has to be decoded.
    """
    some = deep[:: max(1, -(-len(deep) // _MAX_DECODED))]
    highest = {path: brightest_of([path], reading) for path in some}
    dark = [path for path, value in highest.items() if value > 0 and 16 * value <= white]
    if dark:
        most = max(highest[path] for path in dark)
        progress.warn(
            f"{len(dark)} of {len(some)} inspected images of 16 bits per channel, such as "
            f"'{dark[0].name}', have no value above {most}, while {white} is white: they are "
            "nearly black. Are images of different bit depths mixed? Then extract each kind "
            "into a separate store with its own --white, or convert them to one scale"
        )


def warn_if_dark(
    survey: ImageSurvey, reading: ReadingSpec, what: str, advice: str, progress: Progress
) -> None:
    """Warn of images that come out nearly black where white is that of 16 bits already.

    Parameters
    ----------
    survey : ImageSurvey
    reading : ReadingSpec
        How the images are read.
    what : str
        What fixes white, such as "the store".
    advice : str
        With a place for the white that they seem to have.
    progress : Progress
    """
    if reading.white != FULL or reading.levels is not None:
        return
    highest = brightest_of(survey.deep, reading)
    white = white_of_values(highest)
    if white in WHITES[:-1]:
        progress.warn(
            f"{len(survey.deep)} of {len(survey.sizes)} images have 16 bits per channel but no "
            f"value above {highest}, and {what} has {FULL} as white: they are read as dark. If "
            f"{white} is white in them, {advice.format(white)}"
        )
