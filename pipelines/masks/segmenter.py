"""From a model's folder, and images with their activations, to masks."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...classify.ensemble.ensemble import PixelEnsemble
from ...classify.ensemble.model_files import MODEL_FOLDER, model_files
from ...classify.inference.factorised import FactorisedEnsemble
from ...classify.inference.prediction import At, Outputs, Prediction, predict_image
from ...store.errors import DsegError, InputError
from ...store.spec import FeatureSpec
from ..features.sources import Segmentable
from .mask_model import Segment

__all__ = ["TEMPERATURE", "Segmenter", "load_model", "recorded_stores", "segmented", "spec_of"]

TEMPERATURE = "temperature"
"""Under which a model keeps, among what is saved with it, that of its probabilities."""


def load_model(folder: Path, device: torch.device) -> PixelEnsemble:
    """Load what ``dseg fit`` wrote, or a folder of published ``model_<i>.pth``."""
    published = not MODEL_FOLDER.is_at(folder) and any(model_files(folder))
    read = PixelEnsemble.from_published if published else PixelEnsemble.load
    return read(folder, device=device)


def spec_of(model: PixelEnsemble, folder: Path) -> FeatureSpec:
    """Return the features that a model takes; the folder is for messages.

    Raises
    ------
    InputError
        If it does not say which.
    """
    if model.spec_ is None:
        raise InputError(
            f"'{folder}' does not record which features it was trained on, so it cannot "
            "predict images directly: give `dseg predict` a feature store"
        )
    return model.spec_


def recorded_stores(extra: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths of the stores that a model was fitted on, of what is saved with it.

    Models of before several stores could be joined have one under ``store``.
    """
    one = extra.get("store")
    return tuple(extra.get("stores", () if one is None else (one,)))


class Segmenter:
    """Segments images by a trained ensemble, one after the other.

    Parameters
    ----------
    model : PixelEnsemble
    spec : FeatureSpec
        Of the features that the images come with.
    device : torch.device
    at : {"image", "row"}
        The masks' grid.
    """

    def __init__(
        self, model: PixelEnsemble, spec: FeatureSpec, device: torch.device, at: At = "image"
    ) -> None:
        self._model, self._at = model, at
        self._temperature = _temperature(model)
        self._factorised = FactorisedEnsemble(model.stack_, spec, device)

    def __call__(
        self,
        image: Segmentable,
        *,
        want_probabilities: bool = False,
        want_uncertainty: bool = True,
        sample: NDArray[np.int64] | None = None,
    ) -> Prediction:
        """Return what the ensemble says of an image, with its uncertainty if members can disagree.

        Raises
        ------
        DsegError
            If the image has no features, or they are damaged or not finite.
        """
        if image.refused is not None or image.geometry is None:
            raise DsegError(image.refused or "it has no rows")
        return predict_image(
            self._factorised,
            image.geometry,
            image.maps,
            classes=[int(c) for c in self._model.classes_],
            voting=self._model.voting,
            at=self._at,
            outputs=Outputs(
                probabilities=want_probabilities,
                uncertainty=want_uncertainty and self._model.n_members > 1,
                sample=sample,
                temperature=self._temperature,
            ),
        )


def segmented(segment: Segment, image: Segmentable, **wanted: Any) -> Prediction:
    """Return the prediction of an image that must not fail.

    Parameters
    ----------
    segment : Segment
    image : Segmentable
    **wanted
        What `Segment` takes besides.

    Raises
    ------
    DsegError
        Names the image.
    """
    try:
        return segment(image, **wanted)
    except InputError:
        raise
    except DsegError as error:
        raise DsegError(f"'{image.name}' cannot be segmented: {error}") from error


def _temperature(model: PixelEnsemble) -> float:
    """Return the temperature that cross-validation found for a model's probabilities, if it did."""
    found = model.extra_.get(TEMPERATURE, 1.0)
    if not isinstance(found, int | float) or not found > 0 or not math.isfinite(found):
        raise InputError(f"the model has the temperature {found!r}: expected a number above 0")
    return float(found)
