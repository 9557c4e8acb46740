"""An ensemble of `dseg fit` as what makes masks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...classify.ensemble.ensemble import PixelEnsemble
from ...classify.inference.prediction import At
from ...classify.labels.classes import Classes
from ...extract.images.files import ImageFiles
from ...extract.images.reading_spec import ReadingSpec
from ...extract.latent_rows import takes_latents
from ...store.errors import InputError
from ...store.read.protocol import Features
from ...store.read.reader import FeatureStore
from ...store.read.view import features_for_spec, join_features
from ...store.spec import FeatureSpec
from ...store.synthetic import is_synthetic_store, no_features
from ...store.urls.location import Location, location
from ...store.urls.options import StorageOptions
from ..console.progress import Progress
from ..features.sources import ImageSource, Source, StoreSource, reading_of
from .mask_model import FeatureNetwork, ImageOptions
from .segmenter import Segmenter, load_model, recorded_stores, spec_of

__all__ = ["EnsembleModel", "is_store"]


def is_store(path: Location) -> bool:
    """Say whether a path is a feature store.

    Raises
    ------
    InputError
        If it is a store of synthetic images.
    """
    if is_synthetic_store(path):
        raise InputError(no_features(f"'{path}'"))
    return (path / "zarr.json").is_file()


class EnsembleModel:
    """An ensemble, ours or a published one; see `MaskModel`.

    Parameters
    ----------
    folder : path
    device : torch.device
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._folder, self._device = folder, device
        self._model: PixelEnsemble = load_model(folder, device)

    @property
    def classes(self) -> Classes:
        """Names and colours of the classes."""
        return self._model.class_info_

    @property
    def members(self) -> int:
        """MLPs that vote."""
        return self._model.n_members

    @property
    def extra(self) -> Mapping[str, Any]:
        """What `dseg fit` saved with it."""
        return self._model.extra_

    @property
    def _spec(self) -> FeatureSpec:
        """The features that it takes, see `spec_of`."""
        return spec_of(self._model, self._folder)

    @property
    def tile(self) -> int | None:
        """The side of its features' tiles; None if images are resized to one."""
        return max(self._spec.row_shape) if self._spec.fit == "tile" else None

    @property
    def networks(self) -> tuple[FeatureNetwork, ...]:
        """The networks of its features."""
        return tuple(
            FeatureNetwork(
                part.source,
                str(part.backbone.get("sha256")),
                noise=bool(part.steps),
                latents=takes_latents(part),
            )
            for part in self._spec.parts or (self._spec,)
        )

    @property
    def reading(self) -> ReadingSpec:
        """How the images were read that its features were made from."""
        return reading_of(self._spec)

    def images(self, files: ImageFiles, options: ImageOptions, progress: Progress) -> ImageSource:
        """Return the activations of images, which its own network computes."""
        reading = reading_of(self._spec, options.white)
        return ImageSource(
            files,
            self._spec,
            options.checkpoint,
            self._device,
            options.batch_size,
            replace(reading, most_pixels=options.most_pixels),
            options.white is not None,
            progress,
            options.backbone,
        )

    def default_sources(self, storage: StorageOptions = ()) -> tuple[Location, ...]:
        """Return the stores that it was fitted on."""
        recorded = tuple(location(text, storage) for text in recorded_stores(self.extra))
        if not recorded or not all(map(is_store, recorded)):
            stores = ", ".join(f"'{path}'" for path in recorded)
            where = f" (recorded: {stores})" if recorded else ""
            raise InputError(
                f"the feature store of the model '{self._folder}' is not found{where}: give its "
                "feature store (all of them if there were several) or a folder of images"
            )
        return recorded

    def stores(self, paths: Sequence[Location]) -> StoreSource:
        """Return the activations in feature stores."""
        return StoreSource(self._features(paths))

    def _features(self, paths: Sequence[Location]) -> Features:
        stores = [FeatureStore.open(path) for path in paths]
        if self._model.spec_ is not None:
            return features_for_spec(stores, self._model.spec_)
        features = join_features(stores)
        if self._model.n_features_in_ != features.spec.dims:
            raise InputError(
                f"the model takes {self._model.n_features_in_} channels, but {features.where} has "
                f"{features.spec.dims}: extract with the steps and blocks that the model was "
                "trained on"
            )
        return features

    def segmenter(self, source: Source, at: At = "image") -> Segmenter:
        """Return what segments the images of a source."""
        if not isinstance(source, ImageSource | StoreSource):
            raise TypeError(f"an ensemble takes activations, not what {source!r} yields")
        return Segmenter(self._model, source.spec, self._device, at)
