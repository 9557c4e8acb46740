import json

import numpy as np
import pytest
from dseg import mean_iou
from dseg.classify.evaluation.metrics import Confusion
from dseg.store.errors import InputError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

A = np.array


def test_published_miou(small_golden):
    folder = small_golden / "pixel_classifier"
    maps = np.load(folder / "iou.npz")
    for case in json.loads((folder / "iou.json").read_text()):
        pairs = maps[f"{case['name']}.pred"], maps[f"{case['name']}.gt"]
        score = mean_iou(*pairs, case["number_class"], case["ignore_label"], paper=True)
        assert score == pytest.approx(case["miou"], abs=1e-9), case["name"]


def test_void_pixels_and_absent_classes_do_not_count_unless_as_published():
    prediction, label = A([0, 0, 1, 1]), A([0, 0, 1, 255])
    assert mean_iou(prediction, label, 3) == 1
    # class 1: one hit of two predicted; class 2: absent, 0
    assert mean_iou(prediction, label, 3, paper=True) == pytest.approx((1 + 1 / 2 + 0) / 3)


def test_a_class_predicted_but_never_labelled_counts_as_missed():
    assert mean_iou(A([0, 2]), A([0, 0]), 3) == (1 / 2 + 0) / 2


def test_an_ignored_class_of_the_list_is_left_out():
    confusion = Confusion(3, ignore_label=0)
    confusion.add(A([1, 1, 0, 2]), A([0, 1, 1, 2]))
    np.testing.assert_array_equal(confusion.iou_per_class(), [np.nan, 1 / 2, 1])
    assert confusion.pixel_accuracy() == 2 / 3


@pytest.mark.parametrize("paper", [False, True])
def test_classes_that_no_map_has_may_be_cut(paper):
    rng = np.random.default_rng(0)
    prediction, label = rng.integers(0, 3, 200), rng.choice([0, 1, 2, 7], 200)
    many, few = (Confusion(n, ignore_label=7, paper=paper) for n in (9, 3))
    for confusion in (many, few):
        confusion.add(prediction, label)
    np.testing.assert_array_equal(many.truncate(3).counts, few.counts)
    np.testing.assert_array_equal(few.truncate(3).counts, few.counts)


def test_nothing_to_count_is_nan():
    confusion = Confusion(2)
    assert np.isnan(confusion.mean_iou())
    assert np.isnan(confusion.pixel_accuracy())


@settings(deadline=None, max_examples=30)
@given(
    arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 3)),
    arrays(np.uint8, (3, 4, 5), elements=st.sampled_from([0, 1, 2, 3, 255])),
)
def test_confusion_equals_the_definition(predictions, labels):
    known = labels != 255
    scores = []
    for k in range(4):
        predicted, labelled = (predictions == k) & known, labels == k
        if (predicted | labelled).any():
            scores.append((predicted & labelled).sum() / (predicted | labelled).sum())
    expected = np.mean(scores) if scores else np.nan
    np.testing.assert_allclose(mean_iou(predictions, labels, 4), expected)
    np.testing.assert_allclose(mean_iou(list(predictions), list(labels), 4), expected)


def test_other_shapes_are_refused():
    with pytest.raises(InputError, match=r"mask of 'a' has the shape \(2,\), its label map \(3,\)"):
        Confusion(2).add(A([0, 1]), A([0, 1, 1]), "a")


@pytest.mark.parametrize(("prediction", "label", "what"), [(5, 0, "mask"), (0, 5, "label map")])
def test_an_unknown_id_is_refused(prediction, label, what):
    with pytest.raises(InputError, match=f"the {what} has the id 5 but there are 2 classes"):
        mean_iou(A([prediction]), A([label]), 2)


def test_as_many_masks_as_label_maps():
    with pytest.raises(InputError, match="1 masks came with 2 label maps"):
        mean_iou([A([0])], [A([0]), A([0])], 2)
