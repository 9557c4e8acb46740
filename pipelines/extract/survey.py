"""What a run is about, before it writes: images, network, features, and the store there is."""

from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...extract.feature_spec import feature_spec
from ...extract.images.files import ImageFiles, find_images
from ...extract.images.reading import ImageFacts
from ...extract.images.reading_spec import ReadingSpec
from ...extract.protocol import Backbone
from ...store.drawn import Drawn
from ...store.errors import DsegError, InputError
from ...store.format.layout import initial_attributes, open_group
from ...store.read.reader import FeatureStore
from ...store.spec import FeatureSpec
from ...store.urls.location import Location
from ...store.write.writer import PlannedImage
from ..console.progress import Progress
from ..features.inference import tile_batch_size
from ..features.sources import reading_of
from ..inputs.image_list import read_list, select, shard_of
from ..inputs.image_survey import (
    ImageSurvey,
    report_skipped_files,
    survey_images,
    warn_if_dark,
)
from ..inputs.reading_choice import decide_reading
from .announcements import describe_features, warn_of_label_folders
from .config import ExtractConfig
from .drawn_images import drawn_images
from .feature_choice import features_of
from .seen_files import SeenFiles

__all__ = ["Surveyed", "survey"]


@dataclass(frozen=True)
class Surveyed:
    """Images, and how their features are made.

    Parameters
    ----------
    found : dict
        Path of each image, by name.
    mine : set of str
        Names of those that this shard is to extract.
    backbone : Backbone, optional
        None where a cluster's workers have their own.
    batch : int
        Tiles that go through the network at once.
    spec : FeatureSpec
        Of the features.
    reading : ReadingSpec
        How the images are read.
    existing : FeatureStore, optional
        The store that the run continues.
    seen : SeenFiles, optional
        How the files look; None where every one is to be read.
    known : dict
        Facts of images that the store has of exactly these files, by name.
    facts : ImageSurvey
        What the headers say.
    planned : dict
        Images that are to be in the store, by name.
    refused : dict
        Why others cannot be, by name.
    """

    found: Mapping[str, Location]
    mine: frozenset[str]
    backbone: Backbone | None
    batch: int
    spec: FeatureSpec
    reading: ReadingSpec
    existing: FeatureStore | None
    seen: SeenFiles | None
    known: Mapping[str, ImageFacts]
    facts: ImageSurvey
    planned: Mapping[str, PlannedImage]
    refused: Mapping[str, str]

    @property
    def n_asked(self) -> int:
        """Images that this shard is to extract, those included that cannot be read."""
        return len(self.mine)

    @cached_property
    def asked(self) -> dict[str, PlannedImage]:
        """Those of them that can be read, by name."""
        return {name: image for name, image in self.planned.items() if name in self.mine}

    @cached_property
    def stems(self) -> frozenset[str]:
        """Their stems."""
        return frozenset(image.stem for image in self.asked.values())

    @property
    def unreadable(self) -> dict[str, str]:
        """Why those of this shard cannot be read that cannot, by name."""
        return {name: why for name, why in self.refused.items() if name in self.mine}

    def remember(self, target: Location) -> None:
        """Remember how the files look whose images are complete in the store by now."""
        if self.seen is not None:
            of = {
                "deep": self.facts.deep,
                "paged": self.facts.paged,
                "unscaled": self.facts.unscaled,
            }
            facts = {fact: _names_of(self.found, paths) for fact, paths in of.items()}
            self.seen.remember(FeatureStore.open(target), facts)


def survey(config: ExtractConfig, progress: Progress) -> Surveyed:
    """Find the images, load the network, read headers, and decide how images are read.

    Raises
    ------
    DsegError
        If there are no images that can be read, or the checkpoint or the store cannot be used.
    """
    with progress.step("list images"):
        files = find_images([config.images])
    report_skipped_files(files, progress)
    found = _find(config, files)
    with progress.step("load the network"):
        backbone, spec = features_of(config)
    describe_features(backbone, spec, progress)
    warn_of_label_folders(found, progress)
    existing = _existing(config)
    fixed = _fixed_reading(config, spec, existing, backbone)
    seen = _look(config, found)
    known = seen.unchanged(existing) if seen and existing else {}
    facts = survey_images(found, progress, config.reading.over(fixed or ReadingSpec()), known)
    planned, refused = _planned(facts, _drawn(config, found, known, existing, progress))
    facts.warn_about_pages(progress)
    reading = _decided(config, fixed, facts, progress)
    return Surveyed(
        found=found,
        mine=frozenset(shard_of(list(found), config.shard)),
        backbone=backbone if config.dry_run or not config.cluster.asked else None,
        batch=tile_batch_size(config.batch_size, backbone),
        spec=feature_spec(backbone, spec.fit, spec.overlap, reading),
        reading=reading,
        existing=existing,
        seen=seen,
        known=known,
        facts=facts,
        planned=planned,
        refused=refused,
    )


def _look(config: ExtractConfig, found: Mapping[str, Location]) -> SeenFiles | None:
    """Look at the images' files; None where every one is to be read."""
    new = config.verify or config.overwrite or config.layout == "dense"
    if new or not isinstance(config.out, Path) or not isinstance(config.images, Path):
        return None
    return SeenFiles.look(config.out, config.images, found)


def _drawn(
    config: ExtractConfig,
    found: Mapping[str, Location],
    known: Container[str],
    existing: FeatureStore | None,
    progress: Progress,
) -> dict[str, Drawn]:
    """Return where synthetic images are from: as the store says of what is unchanged."""
    stored = existing.images if existing else ()
    there = {image.name: image.drawn for image in stored if image.drawn and image.name in known}
    return drawn_images(config.images, found, progress, there)


def _find(config: ExtractConfig, files: ImageFiles) -> dict[str, Location]:
    """Return the images to extract, by name within the folder."""
    if config.only is not None:
        return {
            name: files.files[name] for stem, name in files.by_stem.items() if stem in config.only
        }
    if config.list_file is None:
        return files.files
    stems = files.by_stem
    chosen = select(list(stems), read_list(config.list_file), f"images in {files.where}")
    return {stems[stem]: files.files[stems[stem]] for stem in chosen}


def _fixed_reading(
    config: ExtractConfig,
    spec: FeatureSpec,
    existing: FeatureStore | None,
    backbone: Backbone,
) -> ReadingSpec | None:
    """Return how the images were read of features that there are: the model's, or a store's."""
    if config.layers_from is not None:
        return reading_of(spec)
    if existing is not None:
        return reading_of(existing.spec)
    # as the network's own images were, unless something else is asked for
    return backbone.reading if config.reading.is_open and config.white is None else None


def _decided(
    config: ExtractConfig, fixed: ReadingSpec | None, survey: ImageSurvey, progress: Progress
) -> ReadingSpec:
    """Return how the images are read: as given, as the store or model says, or as found."""
    reading = decide_reading(config.reading, config.white, fixed, survey, progress)
    if fixed is not None and config.white is None:
        what = "the model" if config.layers_from is not None else f"'{config.out}'"
        advice = "extract them into a separate store with --white {0}, and fit a model on it"
        warn_if_dark(survey, reading, what, advice, progress)
    return reading


def _planned(
    survey: ImageSurvey, drawn: Mapping[str, Drawn]
) -> tuple[dict[str, PlannedImage], dict[str, str]]:
    """Return the images with their sizes, and the reasons of those that have none."""
    planned, unreadable = {}, dict(survey.refused)
    for name, size in survey.sizes.items():
        try:
            name.encode()
            planned[name] = PlannedImage(name, size, drawn.get(name))
        except UnicodeEncodeError:
            unreadable[name] = (
                "its name is not valid UTF-8, which a store requires: rename the file"
            )
    if not planned:
        raise DsegError(
            f"none of the {len(unreadable)} images can be read. The first error: "
            f"{next(iter(unreadable.values()))}"
        )
    return planned, unreadable


def _existing(config: ExtractConfig) -> FeatureStore | None:
    """Return the store that a run would continue, if there is one.

    Raises
    ------
    StoreError
        If it is damaged.
    """
    if config.overwrite or config.layout == "dense" or not (config.out / "zarr.json").is_file():
        return None
    if open_group(config.out).attrs.asdict() == initial_attributes():
        return None
    with suppress(InputError):  # a dense export, of which planning says more
        return FeatureStore.open(config.out)
    return None


def _names_of(found: Mapping[str, Location], paths: Iterable[Location]) -> frozenset[str]:
    chosen = set(paths)
    return frozenset(name for name, path in found.items() if path in chosen)
