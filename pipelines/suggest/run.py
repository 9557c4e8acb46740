"""``dseg suggest``: which images of a store to label next, by disagreement and diversity."""

import time
from dataclasses import dataclass, replace
from heapq import heappush, heapreplace

import numpy as np
from numpy.typing import NDArray

from ...classify.inference.suggestion import Region, choose, standardised, uncertain_regions
from ...classify.label_sets.opening import open_label_set
from ...extract.networks.devices import choose_device
from ...store.errors import DsegError, InputError
from ...store.spec import FeatureSpec
from ...store.whole_file import write_whole
from ..console.progress import Progress
from ..features.sources import Segmentable, Source, StoreSource
from ..inputs.image_list import read_list, select
from ..masks.ensemble_model import is_store
from ..masks.mask_model import MaskModel, Segment
from ..masks.open_model import open_mask_model
from ..masks.training_set import TrainingSet
from ..training.memory import return_freed_memory
from .config import SuggestConfig, Suggestion, SuggestSummary
from .pooling import Pooled

__all__ = ["suggest"]

_KEPT = 1000
"""Images that are compared: the most uncertain ones. It bounds the memory, at D floats each."""


@dataclass(frozen=True)
class _Candidate:
    """An image without labels."""

    image: str
    stem: str
    uncertainty: float
    regions: tuple[Region, ...]
    place: NDArray[np.float32]


def suggest(config: SuggestConfig, progress: Progress | None = None) -> SuggestSummary:
    """Choose images to label next.

    Raises
    ------
    InputError
        If the model is one network, which cannot disagree with itself, or is not of the stores'
        features; if no image is left, or none has features.
    """
    started, progress = time.monotonic(), progress or Progress()
    return_freed_memory()
    model = open_mask_model(config.model, choose_device(config.device))
    if model.members < 2:
        raise InputError(
            f"'{config.model}' is one network: what it is unsure of is seen by the disagreement of "
            "an ensemble's members. Give a model of `dseg fit`"
        )
    stores = config.stores or model.default_sources()
    for path in stores:
        if not is_store(path):
            raise InputError(f"'{path}' is no feature store: give the output of `dseg extract`")
    source = model.stores(stores)
    found = _Search(config, model, source, TrainingSet.of(model.extra, stores))
    found.look(progress)
    suggestions = found.suggestions()
    if config.out is not None:
        stems = "".join(f"{one.stem}\n" for one in suggestions)
        write_whole(config.out, stems.encode())
    seconds = time.monotonic() - started
    return SuggestSummary(found.candidates, suggestions, found.failed, seconds)


class _Search:
    """Looks at all images, and keeps the most uncertain ones."""

    def __init__(
        self, config: SuggestConfig, model: MaskModel, source: Source, learnt: TrainingSet
    ) -> None:
        wanted = None if config.list_file is None else read_list(config.list_file)
        self._chosen = set(select(source.stems, wanted, "images"))
        self._labelled = (
            set()
            if config.labels is None
            else set(open_label_set(config.labels, source.stems).entries)
        )
        self._count, self._source, self._learnt = config.count, source, learnt
        self._segment: Segment = model.segmenter(source)
        assert isinstance(source, StoreSource)
        self._spec: FeatureSpec = source.spec
        self._kept: list[tuple[float, int, _Candidate]] = []
        self._known: list[NDArray[np.float32]] = []
        self.candidates, self.failed = 0, dict[str, str]()

    def look(self, progress: Progress) -> None:
        """Look at all images.

        Raises
        ------
        InputError
            If none is left to be labelled.
        """
        stems = self._source.stems
        with progress.bar("look", len(stems), "images") as advance:
            for image in self._source.images(stems, lambda *_: False):
                assert isinstance(image, Segmentable)
                self._add(image)
                advance(1)
        if not self.candidates:
            first = next((f": '{n}': {why}" for n, why in self.failed.items()), "")
            raise InputError(f"no image without labels has features{first or ': all are labelled'}")

    def _add(self, image: Segmentable) -> None:
        pooled = Pooled(self._spec)
        passing = replace(image, maps=pooled.passing(image.maps))
        try:
            if self._is_labelled(image):
                for _ in passing.maps if image.refused is None else ():
                    pass
                self._known.append(pooled.mean)
            elif image.stem in self._chosen:
                self._look_at(passing, pooled)
        except InputError:
            raise
        except DsegError as error:
            self.failed[image.name] = str(error)

    def _is_labelled(self, image: Segmentable) -> bool:
        by_model = self._learnt.has(image.stem, image.sha256.hex())
        return bool(by_model) or image.stem in self._labelled

    def _look_at(self, image: Segmentable, pooled: Pooled) -> None:
        said = self._segment(image)
        assert said.uncertainty is not None
        assert said.score is not None
        regions = tuple(uncertain_regions(said.uncertainty))
        one = _Candidate(image.name, image.stem, said.score, regions, pooled.mean)
        entry = (one.uncertainty, -self.candidates, one)  # of equals the first is kept
        self.candidates += 1
        if len(self._kept) < max(_KEPT, self._count):
            heappush(self._kept, entry)
        elif entry > self._kept[0]:
            heapreplace(self._kept, entry)

    def suggestions(self) -> tuple[Suggestion, ...]:
        """Return the images to label, the most useful first."""
        kept = [one for _, _, one in sorted(self._kept, key=lambda entry: -entry[1])]
        means = np.stack([*(one.place for one in kept), *self._known])
        places = standardised(means, [layer.channels for layer in self._spec.layers])
        n = len(kept)
        order = choose([one.uncertainty for one in kept], places[:n], places[n:], self._count)
        return tuple(
            Suggestion(kept[k].image, kept[k].stem, kept[k].uncertainty, kept[k].regions)
            for k in order
        )
