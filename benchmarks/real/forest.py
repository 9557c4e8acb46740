"""What people use without a network: scikit-image's pixel features and a random forest.

Features are `skimage.feature.multiscale_basic_features` with its defaults: intensity, edges and
texture at six scales of each channel, of the image at its own size (a grey image is one channel).
The forest has 100 trees of unlimited depth with at least 5 pixels a leaf, trained on at most
100 000 labelled pixels, as many of each image; those of rare classes are weighted as dseg's
ensemble does by default. Its uncertainty is the entropy of its mean probabilities, in nats: a
forest has no members in dseg's sense.
"""

from pathlib import Path

import numpy as np
from dseg.classify.inference.mask_files import write_array, write_mask
from dseg.classify.labels.label_maps import read_label_map
from dseg.extract.images.reading import read_image
from numpy.typing import NDArray
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

from .layout import DataSet
from .measure import Meter
from .scoring import IGNORE

__all__ = ["SETTINGS", "segment_by_forest"]

SETTINGS = {"trees": 100, "leaf": 5, "pixels": 100_000, "balance": 0.3}
JOBS = 2


def segment_by_forest(
    data: DataSet, masks: Path, meter: Meter, *, position: bool, seed: int
) -> None:
    """Fit on the train images, write masks and uncertainty of the test images.

    Parameters
    ----------
    data : DataSet
    masks : path
    meter : Meter
        Of the stages "fit" and "predict"; the features' time is in both.
    position : bool
        Whether y / H and x / W are features too.
    seed : int
        Of the forest and of the choice of pixels.
    """
    forest = RandomForestClassifier(
        n_estimators=SETTINGS["trees"],
        min_samples_leaf=SETTINGS["leaf"],
        n_jobs=JOBS,
        random_state=seed,
    )
    with meter.stage("fit"):
        grey = all(_is_grey(data.paths[stem]) for stem in data.train)
        X, y = _drawn_pixels(data, grey, position, seed)
        forest.fit(X, y, sample_weight=np.bincount(y)[y] ** -SETTINGS["balance"])
    with meter.stage("predict"):
        classes = forest.classes_.astype(np.uint8 if len(data.classes) <= 256 else np.uint16)
        for stem in data.test:
            found = _features(data.paths[stem], grey, position)
            shares = forest.predict_proba(found.reshape(-1, found.shape[-1]))
            mask = classes[shares.argmax(axis=1)].reshape(found.shape[:2])
            write_mask(masks / f"{stem}.png", mask, data.classes.colours)
            entropy = _entropy(shares).reshape(found.shape[:2])
            write_array(masks / "uncertainty" / f"{stem}.npy", entropy)


def _is_grey(path: Path) -> bool:
    image = read_image(path)
    return bool((image == image[..., :1]).all())


def _features(path: Path, grey: bool, position: bool) -> NDArray[np.float32]:
    """Return (H, W, features) of an image at its own size."""
    image = read_image(path)
    if grey:
        found = multiscale_basic_features(image[..., 0])
    else:
        found = multiscale_basic_features(image, channel_axis=-1)
    if not position:
        return np.asarray(found, np.float32)
    H, W = image.shape[:2]
    y, x = np.mgrid[:H, :W]
    return np.concatenate([found, np.stack([y / H, x / W], axis=-1)], axis=-1, dtype=np.float32)


def _drawn_pixels(
    data: DataSet, grey: bool, position: bool, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
    """Return features and classes of labelled pixels, at most as many of one image as another."""
    rng, most = np.random.default_rng(seed), SETTINGS["pixels"] // len(data.train)
    X, y = [], []
    for stem in data.train:
        label = read_label_map(data.label_paths[stem]).ravel()
        known = np.flatnonzero(label != IGNORE)
        if len(known) > most:
            known = rng.choice(known, most, replace=False)
        found = _features(data.paths[stem], grey, position)
        X.append(found.reshape(-1, found.shape[-1])[known])
        y.append(label[known])
    return np.concatenate(X), np.concatenate(y)


def _entropy(shares: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return -Σ p log p over the last axis, with 0 log 0 = 0."""
    return -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=-1).astype(np.float32)
