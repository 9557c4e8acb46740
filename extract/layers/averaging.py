"""Steadier activations: the mean over several draws of the noise, and over the mirrored image."""

from collections.abc import Callable, Iterable

from torch import Tensor

__all__ = ["mean_over", "with_mirrored"]

Compute = Callable[[Tensor], list[Tensor]]


def mean_over(draws: Iterable[list[Tensor]]) -> list[Tensor]:
    """Return the mean of several lists of activations, layer by layer; one draw at a time is held.

    Parameters
    ----------
    draws : iterable of lists of tensors
        Each list of the same shapes; float32. At least one.
    """
    total: list[Tensor] = []
    count = 0
    for maps in draws:
        total = [one + other for one, other in zip(total, maps, strict=True)] if count else maps
        count += 1
    return [one / count for one in total] if count > 1 else total


def with_mirrored(compute: Compute, x: Tensor) -> list[Tensor]:
    """Return the mean of an image's activations and those of its mirror image, turned back.

    Parameters
    ----------
    compute : callable
        Rows (B, 3, H, W) to activations (B, C, h, w).
    x : tensor of shape (B, 3, H, W)
    """
    return mean_over([compute(x), [one.flip(-1) for one in compute(x.flip(-1))]])
