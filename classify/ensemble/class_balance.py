"""Weights of the loss by the frequency of a pixel's class.

The score, mIoU, weights all classes the same; the mean loss weights all pixels the same. A power of
the class frequency lies in between, and trades pixel accuracy for mIoU (docs/design.md).
"""

from torch import Tensor

__all__ = ["class_weights"]


def class_weights(counts: Tensor, balance: float) -> Tensor:
    """Return the weight of a pixel's loss by its class.

    The weight is proportional to ``counts ** -balance``, and its mean over the pixels is 1, so that
    the learning rate keeps its meaning. (0.5 is the square root that Mahajan et al., ECCV 2018,
    sample classes by.)

    Parameters
    ----------
    counts : tensor of shape (C,), integer
        Training pixels of each class; the weight of a class without pixels has no effect.
    balance : float
        0: each pixel counts alike; 1: each class.

    Returns
    -------
    tensor of shape (C,), float32

    Examples
    --------
    >>> import torch
    >>> class_weights(torch.tensor([900, 100]), 0.5).tolist()
    [0.8333333134651184, 2.5]
    """
    known = counts.clamp(min=1).double()
    raw = known**-balance
    return (raw * counts.sum() / (raw * counts).sum()).float()
