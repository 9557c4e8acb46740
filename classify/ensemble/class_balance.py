"""How much a pixel counts by how common its class is.

The field's score, mIoU, gives every class the same weight, the mean loss of pixels gives every
pixel the same. Between them is a power of the class's frequency, which trades pixel accuracy for
mIoU (docs/design.md).
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
        Training pixels of each class; of one that has none the weight does not matter.
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
