"""Classical filters of an image at several scales: what no network is needed for.

Smoothed colour, the strength of edges, and the two curvatures of brightness at each of six scales,
as pixel classifiers without a network use them. A large diffusion model knows all that. A small one
that was trained for minutes does not, above all not on images unlike those it was trained on.

With G_σ the image smoothed by a Gaussian of deviation σ and L_σ the mean of its channels:

- colour: the three channels of G_σ;
- edges: σ ‖∇L_σ‖;
- texture: σ² times the two eigenvalues of L_σ's Hessian, the larger first. They distinguish a
  line from a blob, and a bright one from a dark one.

The factors σ and σ² make scales comparable (Lindeberg, "Feature detection with automatic scale
selection", IJCV 1998) and keep float16 from losing the coarse ones.
"""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

__all__ = ["FILTER_CHANNELS", "SCALES", "filter_maps"]

SCALES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Deviations σ of the Gaussians, pixels of the network's input."""

FILTER_CHANNELS = len(SCALES) * (3 + 1 + 2)

_TRUNCATE = 4.0  # of a Gaussian, in deviations, as in SciPy


def filter_maps(rows: Tensor) -> Tensor:
    """Return the filters' answers at every pixel.

    Parameters
    ----------
    rows : tensor of shape (B, 3, H, W), float32, in [-1, 1]

    Returns
    -------
    tensor of shape (B, FILTER_CHANNELS, H, W), float32
        For each scale: three of colour, one of edges, two of texture.
    """
    found = []
    for sigma in SCALES:
        smooth = _smooth(rows, sigma)
        grad_y, grad_x = _gradient(smooth.mean(dim=1, keepdim=True))
        edges = sigma * torch.sqrt(grad_y.square() + grad_x.square())
        found += [smooth, edges, sigma**2 * _curvatures(grad_y, grad_x)]
    return torch.cat(found, dim=1)


def _smooth(images: Tensor, sigma: float) -> Tensor:
    """Smooth (B, C, H, W) by a Gaussian; beyond the edge its pixels are repeated."""
    radius = int(_TRUNCATE * sigma + 0.5)
    at = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = (weights / weights.sum()).to(images)
    flat = images.flatten(0, 1).unsqueeze(1)  # (B·C, 1, H, W)
    padded = pad(flat, (radius, radius, radius, radius), mode="replicate")
    smooth = conv2d(conv2d(padded, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return smooth.view_as(images)


def _gradient(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the central differences of (B, 1, H, W) along y and x.

    Beyond the edge its pixels are repeated.
    """
    padded = pad(images, (1, 1, 1, 1), mode="replicate")
    grad_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    grad_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    return grad_y, grad_x


def _curvatures(grad_y: Tensor, grad_x: Tensor) -> Tensor:
    """Return the Hessian's eigenvalues (B, 2, H, W), the larger first, from the gradient."""
    yy, yx = _gradient(grad_y)
    _, xx = _gradient(grad_x)
    middle = (yy + xx) / 2
    radius = torch.hypot((yy - xx) / 2, yx)
    return torch.cat([middle + radius, middle - radius], dim=1)
