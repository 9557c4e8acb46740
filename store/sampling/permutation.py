"""Permutations of 0 … n-1 as pure functions of a key, without a list of length n.

A balanced Feistel network is a permutation of 0 … 2^(2h)-1 whatever its round function (Luby &
Rackoff, SIAM J. Comput. 17, 1988); applying it again until the value is below n (cycle walking)
makes it one of 0 … n-1 (Black & Rogaway, CT-RSA 2002). The round function is the finaliser of
SplitMix64 (Steele, Lea & Flood, OOPSLA 2014). Good enough to shuffle pixels; not cryptographic.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["KeyedPermutation", "derive_key"]

_ROUNDS = 6
_MASK64 = (1 << 64) - 1


def derive_key(*parts: int | str) -> int:
    """Return a 64-bit key that is a pure function of its parts, the same on every machine.

    (Python's `hash` of a string differs from process to process.)

    Examples
    --------
    >>> derive_key(0, "member", 3, "epoch", 1) == derive_key(0, "member", 3, "epoch", 1)
    True
    >>> derive_key(0, 1) == derive_key(1, 0)
    False
    """
    key = 0x9E3779B97F4A7C15
    for part in parts:
        for byte in str(part).encode() + b"\0":
            key = int(_mix(np.uint64(key ^ byte)))
    return key


def _mix(x: Any) -> Any:
    """SplitMix64's finaliser; arithmetic modulo 2^64."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (x ^ (x >> np.uint64(31))) + np.uint64(0x9E3779B97F4A7C15)


class KeyedPermutation:
    """A permutation of 0 … n-1 that can be evaluated at any positions.

    Parameters
    ----------
    n : int
        Length, at least 1.
    key : int
        From `derive_key`: another key gives another permutation.

    Examples
    --------
    >>> sorted(KeyedPermutation(5, key=7)(np.arange(5)).tolist())
    [0, 1, 2, 3, 4]
    """

    def __init__(self, n: int, key: int) -> None:
        if n < 1:
            raise ValueError(f"a permutation needs at least one element, got {n}")
        self.n = n
        self._half = np.uint64(max(1, ((n - 1).bit_length() + 1) // 2))
        self._low = np.uint64((1 << int(self._half)) - 1)
        keys = [(key + 0x632BE59BD9B4E019 * (i + 1)) & _MASK64 for i in range(_ROUNDS)]
        self._keys = [np.uint64(_mix(np.uint64(k))) for k in keys]

    def __call__(self, positions: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return the value of the permutation at each position.

        Parameters
        ----------
        positions : integer array of any shape, values in [0, n)

        Returns
        -------
        array of the same shape, int64, values in [0, n), distinct for distinct positions
        """
        walked = self._feistel(positions.astype(np.uint64))
        outside = walked >= self.n
        while outside.any():  # less than 4 times on average: the domain is at most 4 n
            walked[outside] = self._feistel(walked[outside])
            outside = walked >= self.n
        return walked.astype(np.int64)

    def _feistel(self, x: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = x >> self._half, x & self._low
        for key in self._keys:
            left, right = right, left ^ (_mix(right ^ key) & self._low)
        joined: NDArray[np.uint64] = (left << self._half) | right
        return joined
