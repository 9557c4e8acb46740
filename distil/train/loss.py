"""The loss of a student: cross entropy with a distribution as target, pixel by pixel weighted."""

import torch
from torch import Tensor

__all__ = ["soft_cross_entropy"]


def soft_cross_entropy(scores: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean over pixels of ``-Σ_c t_c log softmax(s)_c``.

    For a target that is 1 at one class, the cross entropy of that class; for a soft one, up to a
    constant the Kullback-Leibler divergence from it.

    Parameters
    ----------
    scores : tensor of shape (B, C, H, W)
    targets : tensor of shape (B, C, H, W)
        Class probabilities.
    weights : tensor of shape (B, H, W)
        At least 0.

    Returns
    -------
    tensor, a scalar
        0 if no pixel counts.

    References
    ----------
    Hinton et al., "Distilling the Knowledge in a Neural Network", 2015: soft targets.

    Examples
    --------
    >>> scores = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1)
    >>> target, weight = torch.tensor([0.5, 0.5]).view(1, 2, 1, 1), torch.ones(1, 1, 1)
    >>> soft_cross_entropy(scores, target, weight)
    tensor(1.1269)
    """
    entropy = -(targets * torch.log_softmax(scores.float(), dim=1)).sum(1)  # (B, H, W)
    return (weights * entropy).sum() / weights.sum().clamp_min(1e-6)
