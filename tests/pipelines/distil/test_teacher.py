"""Soft labels are what `dseg predict` says, at the student's size; each is made once."""

import numpy as np
import pytest
import torch
from dseg.distil.data.soft_labels import read_soft_label
from dseg.distil.student.view import View
from dseg.extract.images.files import find_images
from dseg.extract.images.reading import PLAIN, image_size, sha256_of
from dseg.pipelines.console.progress import Progress
from dseg.pipelines.distil.sources import Unlabelled
from dseg.pipelines.distil.teacher import SoftLabels
from dseg.pipelines.masks.mask_model import ImageOptions
from dseg.pipelines.masks.open_model import open_mask_model
from dseg.pipelines.predict.config import PredictConfig
from dseg.pipelines.predict.run import predict


@pytest.fixture
def teach(world, model, tmp_path):
    """Return a function (view) that has the model label two photographs."""
    stems = ("p3", "p4")

    def run(view):
        teacher, files = open_mask_model(model, torch.device("cpu")), find_images([world.photos])
        sizes = {stem: image_size(world.photos / f"{stem}.png") for stem in stems}
        source = teacher.images(files, ImageOptions(), Progress())
        sha256 = {stem: sha256_of(world.photos / f"{stem}.png").hex() for stem in stems}
        images = Unlabelled(files, sizes, sha256)
        soft = SoftLabels(tmp_path / "soft", view)
        soft.folder.mkdir(exist_ok=True)
        assert soft.make(teacher, source, images, Progress()) == {}
        return soft.examples(images, PLAIN)

    return run


def test_they_are_the_probabilities_that_predict_writes(teach, world, model, tmp_path):
    examples = teach(View(50))  # at which p4, of 50x50 pixels, keeps its size
    masks = tmp_path / "masks"
    predict(PredictConfig((world.photos,), model, masks, probabilities=True))
    expected = np.load(masks / "probabilities/p4.npy").astype(np.float32)
    (example,) = examples["p4"]
    soft = read_soft_label(example.target.path)
    assert np.abs(soft.probabilities / 255 - expected).max() <= 1 / 510 + 1e-4
    assert np.abs(soft.certainty / 255 - expected.max(0)).max() <= 1 / 510 + 1e-4
    (example,) = examples["p3"]  # of 33x47 pixels
    assert read_soft_label(example.target.path).certainty.shape == (35, 50)


def test_tiles_are_parts_of_the_whole_image(teach, world, model, tmp_path):
    examples = teach(View(32, "tile"))
    predict(PredictConfig((world.photos,), model, tmp_path / "masks", probabilities=True))
    for stem in ("p3", "p4"):
        expected = np.load(tmp_path / f"masks/probabilities/{stem}.npy").astype(np.float32)
        assert len(examples[stem]) == 4
        for example in examples[stem]:
            (y, x), tile = example.geometry.offsets[example.tile], example.load()
            part = expected[:, y : y + 32, x : x + 32]
            assert np.abs(tile.truth.probabilities / 255 - part).max() <= 1 / 510 + 1e-4


def test_what_exists_is_not_made_again(teach, tmp_path):
    teach(View(50))
    kept, lost = sorted((tmp_path / "soft").iterdir())
    before = kept.stat().st_mtime_ns
    lost.unlink()
    teach(View(50))
    assert kept.stat().st_mtime_ns == before
    assert lost.is_file()
