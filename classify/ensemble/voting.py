"""Combine the members' scores at each pixel: the vote, the mean, the disagreement.

On tensors, on any device; `uncertainty` has the same measure of disagreement on arrays.
"""

import torch
from torch import Tensor

__all__ = ["class_shares", "count_votes", "disagreement", "shifted_softmax", "tempered"]


def count_votes(winners: Tensor, n_classes: int) -> Tensor:
    """Return how many members vote for each class.

    ``count_votes(...).argmax(-1)`` is then the majority, the lowest class of those that tie.

    Parameters
    ----------
    winners : tensor of shape (n, M), int64
        Each member's best class.
    n_classes : int
        C.

    Returns
    -------
    tensor of shape (n, C), int32

    Examples
    --------
    >>> count_votes(torch.tensor([[2, 0, 2]]), 3)
    tensor([[1, 0, 2]], dtype=torch.int32)
    """
    votes = torch.zeros(len(winners), n_classes, dtype=torch.int32, device=winners.device)
    return votes.scatter_add_(1, winners, torch.ones_like(winners, dtype=torch.int32))


def class_shares(scores: Tensor, voting: str) -> Tensor:
    """Return what decides the class of each vector: shares of votes, or mean probabilities.

    Parameters
    ----------
    scores : tensor of shape (M, n, C), float32
    voting : {"majority", "mean"}

    Returns
    -------
    tensor of shape (n, C), float32
        Rows sum to 1.
    """
    if voting == "majority":
        votes = count_votes(scores.argmax(dim=-1).T, scores.shape[-1])
        return votes.float() / len(scores)
    return scores.softmax(dim=-1).mean(dim=0)


def shifted_softmax(scores: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
    """Return scores less their maximum, and their softmax.

    Parameters
    ----------
    scores : tensor of shape (n, M, C), float32
        Overwritten.
    best : tensor of shape (n, M), float32
        The highest score of each member.

    Returns
    -------
    shifted, probabilities : tensors of shape (n, M, C), float32
    """
    shifted = scores.sub_(best.unsqueeze(-1))
    return shifted, shifted.softmax(-1)


def tempered(mean: Tensor, temperature: float) -> Tensor:
    """Return mean probabilities at a temperature: ``p ** (1 / T)``, brought to sum to 1.

    Parameters
    ----------
    mean : tensor of shape (n, C), float32
    temperature : float
        1 changes nothing. `calibration.tempered` is the same on arrays.

    Examples
    --------
    >>> tempered(torch.tensor([[0.9, 0.1]]), 2)
    tensor([[0.7500, 0.2500]])
    """
    if temperature == 1:
        return mean
    return (mean.clamp_min(torch.finfo(mean.dtype).tiny).log() / temperature).softmax(-1)


def disagreement(shifted: Tensor, probabilities: Tensor, mean: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence of the members at each pixel, in nats.

    The entropy of the mean prediction less the mean entropy of the members. With scores s whose
    maximum is 0, ``log p = s + log max p``; so a member's entropy is ``-Σ p s - log max p``, which
    needs one logarithm a member instead of one a class.

    Parameters
    ----------
    shifted, probabilities : tensors of shape (n, M, C), float32
        From `shifted_softmax`.
    mean : tensor of shape (n, C), float32
        Mean of the probabilities over the members.

    Returns
    -------
    tensor of shape (n,), float32
        0 where all members agree, at most ``log(min(M, C))``.

    References
    ----------
    Zhang et al., "DatasetGAN", CVPR 2021: the uncertainty measure of a pixel.

    Examples
    --------
    >>> scores = torch.tensor([[[0.0, -100.0], [-100.0, 0.0]]])
    >>> disagreement(scores, scores.softmax(-1), scores.softmax(-1).mean(1))
    tensor([0.6931])
    """
    entropies = -(probabilities * shifted).sum(-1) - probabilities.amax(-1).log()
    # Not torch.special.entr: on MPS it came after PyTorch 2.6.
    of_mean = -(mean * mean.clamp_min(torch.finfo(mean.dtype).tiny).log()).sum(-1)
    return (of_mean - entropies.mean(1)).clamp_min(0)  # rounding can leave less than 0
