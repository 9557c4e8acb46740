"""The ensemble on five numbers a pixel: red, green, blue, and where it lies; or with filters too.

They are dseg's own layers (``extract --pixels``, ``--filters``), without any network. The rest is
as in dseg too: images and label maps on the row grid, the ensemble and its recipe, the members'
scores interpolated to the image's own size, the vote, the uncertainty.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from dseg import PixelEnsemble
from dseg.classify.inference.factorised import FactorisedEnsemble
from dseg.classify.inference.mask_files import write_array, write_mask
from dseg.classify.inference.prediction import Outputs, predict_image
from dseg.classify.labels.label_maps import IGNORED, label_tiles, read_label_map
from dseg.extract.images.network_input import ImageRows
from dseg.extract.images.reading import read_image
from dseg.extract.layers.handcrafted import HandcraftedLayers
from dseg.store.geometry import Geometry, plan_tiles
from dseg.store.spec import FeatureSpec
from numpy.typing import NDArray

from .layout import DataSet
from .measure import Meter
from .options import Size
from .scoring import IGNORE

__all__ = ["segment_by_colour"]


def segment_by_colour(
    data: DataSet,
    masks: Path,
    meter: Meter,
    *,
    size: Size,
    max_steps: int,
    seed: int,
    device: Any,
    filters: bool = False,
) -> None:
    """Fit on the train images, write masks and uncertainty of the test images.

    Parameters
    ----------
    data : DataSet
    masks : path
    meter : Meter
        Of the stages "fit" and "predict".
    size : tuple of int
        Height and width of the row grid.
    max_steps : int
    seed : int
        Of the ensemble.
    device : torch.device or str
    filters : bool
        Whether dseg's classical filters belong to the numbers.
    """
    ensemble = PixelEnsemble(max_steps=max_steps, random_state=seed, device=device)
    with meter.stage("fit"):
        ensemble.fit(*_labelled_pixels(data, size, filters))
    with meter.stage("predict"):
        spec = FeatureSpec(
            {"kind": "no network"}, "", size, "squash", 0, 0, _extras(size, filters).layers
        )
        model = FactorisedEnsemble(ensemble.stack_, spec)
        classes = [int(c) for c in ensemble.classes_]
        for stem in data.test:
            geometry, numbers = _numbers(data.paths[stem], size, filters)
            prediction = predict_image(
                model,
                geometry,
                [{spec.map_sizes[0]: numbers}],
                classes=classes,
                voting=ensemble.voting,
                outputs=Outputs(uncertainty=True),
            )
            write_mask(masks / f"{stem}.png", prediction.mask, data.classes.colours)
            write_array(masks / "uncertainty" / f"{stem}.npy", prediction.uncertainty)


def _extras(size: Size, filters: bool) -> HandcraftedLayers:
    return HandcraftedLayers(size, filters=filters, pixels=True, device=torch.device("cpu"))


def _numbers(path: Path, size: Size, filters: bool) -> tuple[Geometry, NDArray[np.float32]]:
    """Return an image's geometry, and (channels, h, w) on the row grid.

    The filters, if wanted; then colour, y and x, from -1 to 1.
    """
    image = read_image(path)
    geometry = plan_tiles(image.shape[:2], size, "squash")
    row = torch.from_numpy(ImageRows(image, geometry)[0][np.newaxis])
    return geometry, torch.cat(_extras(size, filters)(row), dim=1)[0].numpy()


def _labelled_pixels(
    data: DataSet, size: Size, filters: bool
) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Return the numbers (n, channels) and classes (n,) of the train images' labelled pixels."""
    found, classes = [], []
    for stem in data.train:
        geometry, numbers = _numbers(data.paths[stem], size, filters)
        label = label_tiles(read_label_map(data.label_paths[stem]), geometry, ignore=IGNORE)[0]
        known = label != IGNORED
        found.append(numbers[:, known].T)  # (channels, h, w) -> (labelled, channels)
        classes.append(label[known])
    return np.concatenate(found), np.concatenate(classes)
