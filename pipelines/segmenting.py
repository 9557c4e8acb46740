"""From a model's folder to masks: what `predict` and `robustness` share."""

from pathlib import Path

import torch

from ..classify.ensemble import PixelEnsemble
from ..classify.factorised import FactorisedEnsemble
from ..classify.model_files import FACTS, files_of, from_published, load
from ..classify.prediction import At, Prediction, predict_image
from ..store.errors import DsegError, InputError
from ..store.spec import FeatureSpec
from .sources import Segmentable

__all__ = ["Segmenting", "load_model", "spec_of"]


def load_model(folder: Path, device: torch.device) -> PixelEnsemble:
    """Load what ``dseg fit`` wrote, or a folder of published ``model_<i>.pth``."""
    published = not (folder / FACTS).is_file() and any(files_of(folder))
    return from_published(folder, device=device) if published else load(folder, device=device)


def spec_of(model: PixelEnsemble, folder: Path) -> FeatureSpec:
    """Return the features that a model takes; the folder is for messages.

    Raises
    ------
    InputError
        If it does not say which.
    """
    if model.spec_ is None:
        raise InputError(
            f"'{folder}' does not say which features it was made with, so images cannot be "
            "brought to it. `dseg predict` takes a feature store in their place"
        )
    return model.spec_


class Segmenting:
    """Segments images, one after the other.

    Parameters
    ----------
    model : PixelEnsemble
    spec : FeatureSpec
        Of the features that come.
    device : torch.device
    at : {"image", "row"}
        The masks' grid.
    want_probabilities, want_uncertainty : bool
    """

    def __init__(
        self,
        model: PixelEnsemble,
        spec: FeatureSpec,
        device: torch.device,
        *,
        at: At = "image",
        want_probabilities: bool = False,
        want_uncertainty: bool = False,
    ) -> None:
        self._factorised = FactorisedEnsemble(model.stack_, spec, device)
        self._classes, self._voting = [int(c) for c in model.classes_], model.voting
        self._at: At = at
        self._want_probabilities, self._want_uncertainty = want_probabilities, want_uncertainty

    def __call__(self, image: Segmentable) -> Prediction:
        """Return the prediction of an image.

        Raises
        ------
        DsegError
            If the image cannot be used.
        """
        if image.refused is not None or image.geometry is None:
            raise DsegError(image.refused or "it has no rows")
        return predict_image(
            self._factorised,
            image.geometry,
            image.maps,
            classes=self._classes,
            voting=self._voting,
            at=self._at,
            want_probabilities=self._want_probabilities,
            want_uncertainty=self._want_uncertainty,
        )
