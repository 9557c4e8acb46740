"""Whether a network that was trained further has become better than the one it began from."""

__all__ = ["shortfall"]

_LEAST = 0.01
"""Of the held-out loss: what has to be gained. The images and their noise are the same before and
after, so even a small gain is real, but a smaller one is not seen in masks."""


def shortfall(before: float, after: float, source: str) -> str | None:
    """Say in words that a training did not bring much; None if it did.

    Parameters
    ----------
    before, after : float
        Loss on held-out images, of the network that the run began from and of the trained one.
    source : str
        What it began from.

    Examples
    --------
    >>> shortfall(0.03, 0.02, "net.pt")
    >>> shortfall(0.0123, 0.013, "net.pt")
    'held-out loss 0.0123 → 0.0130: not better than net.pt. Train longer, or use that'
    """
    if after <= (1 - _LEAST) * before:
        return None
    much = "hardly" if after < before else "not"
    return (
        f"held-out loss {before:.4f} → {after:.4f}: {much} better than {source}. Train "
        "longer, or use that checkpoint"
    )
