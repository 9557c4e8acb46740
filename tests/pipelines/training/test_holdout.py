"""A trial agrees with the commands: fit on a list, predict, evaluate."""

import json

import numpy as np
import pytest
import torch
from dseg import FeatureStore
from dseg.classify.inference.mask_files import read_mask
from dseg.pipelines.console.progress import Progress
from dseg.pipelines.features.sources import StoreSource
from dseg.pipelines.inputs.labelled_pixels import read_labelled
from dseg.pipelines.masks.segmenter import Segmenter
from dseg.pipelines.training.cross_validation import _sample
from dseg.pipelines.training.holdout import LEFT_BEHIND, Scores, TrialSetup, trial
from dseg.pipelines.training.job import Training
from dseg.pipelines.training.options import TrainingOptions
from dseg.store.errors import InputError

OPTIONS = TrainingOptions(members=3, max_steps=120, seed=4)
TRAIN, TEST = ("p0", "p2", "p3"), ("p1", "p5")


@pytest.fixture(scope="module")
def setting(world, store) -> TrialSetup:
    opened = FeatureStore.open(store)
    labelled = read_labelled(opened, world.truth, None, 255, Progress())
    return TrialSetup(opened, labelled, OPTIONS, 10**9, torch.device("cpu"))


def test_a_trial_is_fit_predict_and_evaluate(dseg, setting, world, store, tmp_path):
    seen = {}
    scores = trial(setting, TRAIN, TEST, seen=lambda one: seen.update({one.image.stem: one}))
    (tmp_path / "train.txt").write_text("\n".join(TRAIN))
    (tmp_path / "test.txt").write_text("\n".join(TEST))
    words = ("--members", 3, "--max-steps", 120, "--seed", 4, "--list", "train.txt")
    assert dseg("fit", store, world.truth, *words).code == 0
    assert dseg("predict", store, "--list", "test.txt", "--uncertainty").code == 0
    told = json.loads(dseg("evaluate", "masks", world.truth, "--list", "test.txt", "--json").out)
    assert scores.images == TEST
    assert scores.confusion.mean_iou() == told["mean_iou"]
    assert scores.confusion.pixel_accuracy() == told["pixel_accuracy"]
    for stem in TEST:
        assert np.array_equal(seen[stem].prediction.mask, read_mask(tmp_path / f"masks/{stem}.png"))
        uncertainty = np.load(tmp_path / f"masks/uncertainty/{stem}.npy")
        assert np.array_equal(seen[stem].prediction.uncertainty, uncertainty)
        assert seen[stem].prediction.probabilities is None


def test_sampled_probabilities_are_those_of_the_whole_image(setting):
    whole, few = [], []
    trial(setting, TRAIN, TEST, seen=whole.append, sampled=10**9)
    trial(setting, TRAIN, TEST, seen=few.append, sampled=50)
    ensemble = setting.training(TRAIN).run(Progress())
    segmenter = Segmenter(ensemble, setting.store.spec, setting.device)
    images = StoreSource(setting.store).images(TEST, lambda *_: False)
    for image, one, other in zip(images, whole, few, strict=True):
        assert len(one.sample) == one.labelled == one.label.size
        again = segmenter(image, want_probabilities=True)
        flat = again.probabilities.reshape(3, -1).T
        assert np.allclose(flat[one.sample], one.prediction.sampled, atol=1e-3)
        assert len(other.sample) == 50
        assert (np.diff(other.sample) > 0).all()
        assert np.array_equal(other.prediction.sampled, one.prediction.sampled[other.sample])
        kept = _sample(other, 3)
        assert (kept.groups == 3).all()
        assert np.array_equal(kept.y, other.label.ravel()[other.sample])
        assert kept.weights == pytest.approx(np.full(50, other.labelled / 50))


def test_images_of_one_class_teach_nothing(setting):
    only = setting.labelled.of(TRAIN)
    assert only.images == TRAIN
    assert np.array_equal(only.counts_by_image, setting.labelled.counts_by_image[[0, 2, 3]])
    assert only.counts.sum() == only.pixels.n == len(only.y)
    short = TrialSetup(setting.store, setting.labelled, OPTIONS, 10**6, setting.device)
    with pytest.raises(InputError, match="is too little"):
        trial(short, TRAIN, TEST)


def test_a_training_leaves_room_for_what_stands_beside_it(setting):
    planned = setting.training(TRAIN)
    alone = Training.of(
        setting.store, setting.labelled.of(TRAIN), OPTIONS, setting.memory, setting.device
    )
    labels = 4 * setting.labelled.pixels.n  # of all images, not those of this training alone
    assert planned.budget.fixed == alone.budget.fixed + LEFT_BEHIND + labels
    assert planned.budget.memory == alone.budget.memory


def test_scores_of_parts_add_up(setting):
    parts = [trial(setting, TRAIN, [stem]) for stem in TEST]
    both = Scores.joined(parts)
    assert both.images == TEST
    assert np.array_equal(both.confusion.counts, sum(p.confusion.counts for p in parts))
    alone = dict(both.by_image)
    assert alone["p5"].mean_iou() == parts[1].confusion.mean_iou()
