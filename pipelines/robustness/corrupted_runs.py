"""One model over corrupted images: passes that are scored, and a few images that are timed."""

import time
from collections.abc import Iterable
from functools import partial
from itertools import cycle, islice, pairwise
from statistics import fmean, median

import numpy as np
import torch
from numpy.typing import NDArray

from ...classify.evaluation.metrics import Confusion
from ...extract.images.files import ImageFiles
from ...store.errors import DsegError, InputError
from ...store.names import stem_of
from ..console.progress import Advance, Progress
from ..features.inference import ImageTransform, Job
from ..masks.mask_model import ImageOptions
from ..masks.open_model import open_mask_model
from .config import RobustnessConfig
from .corruptions import corrupt, working_size
from .results import CLEAN
from .scored_images import ScoredImages

__all__ = ["CorruptedRuns", "Pair"]

_PROBE_SECONDS, _PROBED = 5.0, 3  # at most so long, but at least so many images
_OUTLIER = 4

Pair = tuple[str, int]
"""A corruption and a severity; `CLEAN` has 0."""


class CorruptedRuns:
    """A model, its network, and the images.

    Parameters
    ----------
    config : RobustnessConfig
    number : int
        Which of its models, from 0.
    images : ImageFiles
    scored : ScoredImages
    device : torch.device
    """

    def __init__(
        self,
        config: RobustnessConfig,
        number: int,
        images: ImageFiles,
        scored: ScoredImages,
        device: torch.device,
    ) -> None:
        model = open_mask_model(config.models[number], device)
        checkpoints = config.checkpoints or (None,)
        checkpoint = checkpoints[number if len(checkpoints) > 1 else 0]
        options = ImageOptions(checkpoint, batch_size=config.batch_size)
        self._source = model.images(images, options, Progress())
        self._segment = partial(model.segmenter(self._source), want_uncertainty=False)
        self._config, self._scored = config, scored

    def confusion(
        self, pair: Pair, stems: Iterable[str] | None = None, advance: Advance = lambda n: None
    ) -> Confusion:
        """Segment images, by default all, under a corruption and count what is right.

        Raises
        ------
        DsegError
            If an image cannot be used.
        InputError
            If the model finds a class that the label maps do not have.
        """
        counts = Confusion(len(self._scored.classes), self._scored.ignore)
        every = self._scored.labels if stems is None else stems
        for image in self._source.images(every, lambda *_: False, self._alter(*pair)):
            if isinstance(image, str):
                continue  # none is done already
            try:
                mask = self._segment(image).mask
            except InputError:
                raise
            except DsegError as error:
                name, severity = pair
                under = f" under {name} {severity}" if severity else ""
                raise DsegError(
                    f"image '{image.name}'{under}: {error}. Use --list to leave it out"
                ) from error
            counts.add(mask, self._scored.labels[image.stem].read(), image.stem)
            advance(1)
        return counts

    def seconds(self, pairs: list[Pair]) -> float:
        """Return what passes over all images would take, by a few images under some of them."""
        stems, stamps = list(self._scored.labels), [time.monotonic()]
        every = len(pairs) * len(stems)
        spread = stems[:: max(1, len(stems) // 8)]
        for pair, stem in islice(zip(cycle(pairs), cycle(spread), strict=False), every):
            self.confusion(pair, [stem])
            stamps.append(time.monotonic())
            if len(stamps) > _PROBED and stamps[-1] - stamps[1] > _PROBE_SECONDS:
                break
        # The first image also warms up; and the first of some corruptions compiles, once.
        first, *rest = (after - before for before, after in pairwise(stamps))
        usual = median(rest or [first])
        each = fmean(min(one, _OUTLIER * usual) for one in rest or [first])
        return first + (every - 1) * each

    def _alter(self, name: str, severity: int) -> ImageTransform | None:
        return None if name == CLEAN else partial(self._corrupted, name, severity)

    def _corrupted(
        self, name: str, severity: int, job: Job, image: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        size = working_size(job.geometry.size, job.geometry.resized, self._config.side)
        return corrupt(image, name, severity, self._config.seed, stem_of(job.name), size)
