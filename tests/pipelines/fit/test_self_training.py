"""``dseg fit --self-train``: two rounds, both cross-validated, the better one kept."""

import json

import numpy as np
import pytest
import torch
from dseg import FeatureStore, PixelEnsemble
from dseg.classify.labels.label_maps import IGNORED
from dseg.pipelines.console.progress import Progress
from dseg.pipelines.fit import self_training
from dseg.pipelines.fit.self_training import SelfTraining, choose_photos
from dseg.pipelines.inputs.labelled_pixels import read_labelled
from dseg.pipelines.training.holdout import TrialSetup
from dseg.pipelines.training.options import TrainingOptions
from dseg.store.errors import InputError

WORDS = ("--members", 2, "--max-steps", 30)


def weights(folder):
    return [p.detach().numpy() for p in PixelEnsemble.load(folder).stack_.parameters()]


def same(one, other):
    return all(map(np.array_equal, weights(one), weights(other)))


@pytest.fixture(scope="module")
def setting(world, store):
    features = FeatureStore.open(store)
    labelled = read_labelled(features, world.labels, None, 255, Progress())
    options = TrainingOptions(members=2, max_steps=30)
    return TrialSetup(features, labelled, options, 10**9, torch.device("cpu"))


def test_both_ways_are_told_and_the_model_is_the_one_that_is_kept(
    dseg, world, store, tmp_path, monkeypatch
):
    plain = ("fit", store, world.labels, *WORDS)
    assert dseg(*plain, "--out", "plain", "-q").code == 0
    both = (*plain, "--self-train", store, "-q", "--json")
    monkeypatch.setattr(self_training, "KEPT_FROM", 1.01)
    refused = json.loads(dseg(*both, "--out", "refused").out)
    monkeypatch.setattr(self_training, "KEPT_FROM", 0.0)
    kept = json.loads(dseg(*both, "--out", "kept").out)
    for facts in (refused["self_training"], kept["self_training"]):
        assert facts["images"] == 3  # of six, three have labels
        assert facts["folds"] == 3
        assert 0 < facts["mean_iou_before"] <= 1
        assert facts["mean_iou_before"] != facts["mean_iou_after"]
    assert refused["self_training"]["better_in"] == kept["self_training"]["better_in"]
    scores = refused["self_training"]
    assert refused["cross_validation"]["mean_iou"] == scores["mean_iou_before"]
    assert kept["cross_validation"]["mean_iou"] == scores["mean_iou_after"]
    assert same(tmp_path / "plain", tmp_path / "refused")
    assert not same(tmp_path / "plain", tmp_path / "kept")
    model = PixelEnsemble.load(tmp_path / "kept")
    assert model.extra_["self_training"] == kept["self_training"]
    assert len(model.extra_["images"]) == 3  # the labelled ones alone count as learnt


def test_what_is_found_is_said(dseg, world, store):
    made = dseg("fit", store, world.labels, *WORDS, "--self-train", store)
    assert made.code == 0
    assert "self-training on 3 images without labels: mIoU 0." in made.out
    assert "8 trainings" in made.err
    estimate = dseg(
        "fit", store, world.labels, *WORDS, "--self-train", store, "--dry-run", "--out", "x"
    )
    assert "3 folds: about" in estimate.out


def test_pseudo_labels_lie_where_they_were_guessed(setting):
    photos = setting.store
    stems = choose_photos(photos, setting.labelled, photos, 2)
    assert len(stems) == 2
    training = SelfTraining(setting, photos, stems)
    first = setting.learn(setting.labelled.images, Progress())
    labels = training._pseudo_labels(first, setting.labelled, Progress())
    store = self_training.ExtendedFeatures(photos, photos)
    more = self_training._with_pseudo_labels(setting.labelled, store, training._images(), labels)
    n = setting.labelled.pixels.n
    np.testing.assert_array_equal(more.y[:n], setting.labelled.y)
    index = np.arange(n, more.pixels.n)
    position, yx = more.pixels.locate(index)
    own = {store.beyond(photos.image(s).first_row): m for s, m in zip(stems, labels, strict=True)}
    for row, (y, x), k in zip(more.pixels.rows[position], yx, more.y[index], strict=True):
        assert own[row][y, x] == k != IGNORED
    assert len(index) == sum((label != IGNORED).sum() for label in labels) > 0


def test_images_that_have_labels_are_left_out_in_another_store_too(
    dseg, world, store, setting, ddpm, tmp_path
):
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for old, new in (("p0", "a"), ("p4", "b")):
        (renamed / f"{new}.png").write_bytes((world.photos / f"{old}.png").read_bytes())
    line = ("extract", "--images", renamed, "--out", "renamed.zarr", "--checkpoint", ddpm)
    assert dseg(*line).code == 0
    photos = FeatureStore.open(tmp_path / "renamed.zarr")
    assert choose_photos(photos, setting.labelled, setting.store, 9) == ["b"]
    made = dseg("fit", store, world.labels, *WORDS, "--self-train", "renamed.zarr", "--json")
    assert json.loads(made.out)["self_training"]["images"] == 1


def test_nothing_to_learn_from_other_features_and_idle_options_are_refused(
    dseg, world, store, setting, ddpm, tmp_path
):
    every = read_labelled(setting.store, world.truth, None, 255, Progress())
    with pytest.raises(InputError, match="no complete image besides the labelled ones"):
        choose_photos(setting.store, every, setting.store, 9)
    line = ("extract", "--images", world.photos, "--out", "other.zarr", "--checkpoint", ddpm)
    assert dseg(*line, "--steps", 100).code == 0
    fit = ("fit", store, world.labels, *WORDS)
    refused = dseg(*fit, "--self-train", "other.zarr")
    assert refused.code == 2
    assert "holds other features than" in refused.err
    assert "steps" in refused.err
    refused = dseg(*fit, "--self-train", store, "--folds-out", "held-out", "--folds", 3)
    assert refused.code == 2
    assert "leave out one of them" in refused.err
    refused = dseg(*fit, "--self-train-images", 5)
    assert refused.code == 2
    assert "used only with --self-train" in refused.err
    assert not (tmp_path / "model").exists()
