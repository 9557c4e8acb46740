"""A student's scores go the way of an ensemble's: resized, blended where tiles overlap, decided."""

import numpy as np
import pytest
import torch
from dseg.classify.inference.prediction import Outputs, predict_image
from dseg.distil.inference.scorer import SCORES, StudentScores
from dseg.distil.student.view import View
from torch import nn

CPU = torch.device("cpu")


def prediction(geometry, maps, want=True):
    scorer = StudentScores(3, geometry.row_shape, CPU)
    rows = ({SCORES: one} for one in maps)
    return predict_image(scorer, geometry, rows, outputs=Outputs(probabilities=want))


@pytest.mark.parametrize("size", [(50, 70), (16, 24), (200, 31)])
def test_a_whole_image_is_its_scores_enlarged(size):
    geometry = View(24).geometry(size)
    scores = torch.randn(3, *geometry.row_shape, generator=torch.Generator().manual_seed(0))
    found = prediction(geometry, [scores])
    enlarged = nn.functional.interpolate(scores[None], size, mode="bilinear")[0]
    np.testing.assert_array_equal(found.mask, enlarged.argmax(0).numpy())
    expected = enlarged.softmax(0).numpy()
    np.testing.assert_allclose(found.probabilities.astype(np.float32), expected, atol=2e-3)
    assert found.uncertainty is None


def test_tiles_of_one_picture_are_that_picture():
    geometry = View(32, "tile").geometry((70, 50))
    whole = torch.randn(3, 70, 50, generator=torch.Generator().manual_seed(0))
    tiles = [whole[:, y : y + 32, x : x + 32] for y, x in geometry.offsets]
    assert len(tiles) > 2
    np.testing.assert_array_equal(
        prediction(geometry, tiles, want=False).mask, whole.argmax(0).numpy()
    )
