"""The three commands on two drawn images."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...classify.inference.mask_files import read_mask, write_mask
from ...demo.scenes import CLASSES, COLOURS, draw_scene
from ...extract.networks.options import BackboneOptions
from ...store.errors import DsegError
from ..extract.config import ExtractConfig
from ..extract.run import extract
from ..fit.config import FitConfig
from ..fit.run import fit
from ..predict.config import PredictConfig
from ..predict.run import predict
from .config import SelfTest

__all__ = ["self_test"]

_SEEDS, _SIZE = (0, 1), (96, 128)


def self_test(folder: Path, device: str | None) -> SelfTest:
    """Draw two scenes, extract, fit, predict.

    Parameters
    ----------
    folder : Path
        Empty.
    device : str, optional

    Raises
    ------
    DsegError
        If a step fails.
    """
    scenes = {f"scene_{seed}": draw_scene(seed, _SIZE) for seed in _SEEDS}
    photos, labels, masks = (folder / name for name in ("photos", "labels", "masks"))
    photos.mkdir()
    for stem, scene in scenes.items():
        Image.fromarray(scene.image).save(photos / f"{stem}.png")
        write_mask(labels / f"{stem}.png", scene.label, COLOURS)
    (labels / "classes.txt").write_text("\n".join(CLASSES))
    store, model = folder / "feats.zarr", folder / "model"
    options = BackboneOptions(device=device)
    extracting = ExtractConfig(photos, store, backbone=options)
    fitting = FitConfig((store,), labels, model, members=2, max_steps=100, device=device)
    predicting = PredictConfig((store,), model, masks, device=device)
    extract_seconds = _timed(lambda: _refuse_failures(extract(extracting)))
    fit_seconds = _timed(lambda: fit(fitting))
    predict_seconds = _timed(lambda: _refuse_failures(predict(predicting)))
    right = [read_mask(masks / f"{stem}.png") == one.label for stem, one in scenes.items()]
    return SelfTest(extract_seconds, fit_seconds, predict_seconds, float(np.mean(right)))


def _timed(step: Callable[[], object]) -> float:
    start = time.monotonic()
    step()
    return time.monotonic() - start


def _refuse_failures(done: Any) -> None:
    for name, reason in done.failed.items():
        raise DsegError(f"'{name}': {reason}")
