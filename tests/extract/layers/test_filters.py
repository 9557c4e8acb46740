"""The classical filters against SciPy's and scikit-image's, and what must hold of them."""

import numpy as np
import pytest
import torch
from dseg.extract.layers.filters import FILTER_CHANNELS, SCALES, filter_maps
from scipy.ndimage import gaussian_filter
from skimage.feature import hessian_matrix_eigvals

# Second differences of float32 (rounding 6e-8) times σ² = 256.
ROUNDING = 4e-5
ROWS = np.random.default_rng(0).uniform(-1, 1, (2, 3, 40, 56)).astype(np.float32)


def plain(row):
    """Return the filters of one row (3, H, W), step by step in float64."""
    found = []
    for sigma in SCALES:
        smooth = np.stack([gaussian_filter(c, sigma, mode="nearest", truncate=4) for c in row])
        grad_y, grad_x = np.gradient(smooth.mean(axis=0))
        yy, yx = np.gradient(grad_y)
        _, xx = np.gradient(grad_x)
        edges = sigma * np.hypot(grad_y, grad_x)
        found += [*smooth, edges, *(sigma**2 * hessian_matrix_eigvals([yy, yx, xx]))]
    return np.stack(found)


def test_they_equal_the_plain_ones_inside():
    found = filter_maps(torch.from_numpy(ROWS)).numpy()
    assert found.shape == (2, FILTER_CHANNELS, 40, 56)
    for row, maps in zip(ROWS, found, strict=True):
        inside = np.s_[:, 2:-2, 2:-2]  # at the very edge NumPy's differences are others
        np.testing.assert_allclose(maps[inside], plain(row.astype(float))[inside], atol=ROUNDING)


def test_colour_equals_the_plain_one_up_to_the_edge():
    found = filter_maps(torch.from_numpy(ROWS)).numpy()
    reference = plain(ROWS[0].astype(float))
    colour = [6 * scale + c for scale in range(len(SCALES)) for c in range(3)]
    np.testing.assert_allclose(found[0, colour], reference[colour], atol=1e-6)


def test_a_row_does_not_depend_on_its_neighbours():
    both = filter_maps(torch.from_numpy(ROWS))
    torch.testing.assert_close(both[1:], filter_maps(torch.from_numpy(ROWS[1:])))


@pytest.mark.parametrize("turn", [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.mT])
def test_a_turned_image_has_turned_filters(turn):
    x = torch.from_numpy(ROWS)
    found, expected = filter_maps(turn(x)), turn(filter_maps(x))
    torch.testing.assert_close(found, expected, atol=ROUNDING, rtol=1e-5)


def test_a_plain_image_has_colour_alone():
    maps = filter_maps(torch.full((1, 3, 8, 8), 0.5)).view(len(SCALES), 6, 8, 8)
    torch.testing.assert_close(maps[:, :3], torch.full_like(maps[:, :3], 0.5))
    assert maps[:, 3:].abs().max() < ROUNDING
