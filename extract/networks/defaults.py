"""Which timesteps, decoder blocks and input size: the requested ones, checked, or the defaults."""

from collections import Counter
from collections.abc import Callable, Sequence

from ...store.errors import InputError

__all__ = [
    "SMALL_NETWORK_STEPS",
    "choose_blocks",
    "choose_size",
    "choose_steps",
    "default_blocks",
    "refuse_doubles",
    "small_network_blocks",
]

STEPS = (50, 150, 250)  # of 1000
LSUN_BLOCKS = (5, 6, 7, 8, 12)
SMALL_NETWORK_STEPS = (5, 50, 250)
"""Of 1000, for networks that dseg trains: a nearly clean image too, which a small network needs."""


def default_blocks(strides: Sequence[int]) -> tuple[int, ...]:
    """Return the published blocks of an 18-block decoder, or of another the corresponding ones.

    That is every block whose output has stride 8, the first at stride 4, the second at stride 2.

    Parameters
    ----------
    strides : sequence of int
        Of each block's output.

    Examples
    --------
    >>> default_blocks((32, 32, 16, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2, 1, 1, 1, 1))
    (5, 6, 7, 8, 12)
    >>> default_blocks((8, 8, 4, 4, 4, 2, 2, 2, 1, 1, 1, 1))
    (0, 1, 2, 6)
    """
    if len(strides) == 18:
        return LSUN_BLOCKS
    at = {stride: [k for k, s in enumerate(strides) if s == stride] for stride in (8, 4, 2)}
    return (*at[8], *at[4][:1], *at[2][1:2])


def small_network_blocks(strides: Sequence[int]) -> tuple[int, ...]:
    """Return the blocks to take of a small network: one at each of the strides 8, 4, 2 and 1.

    Of the blocks at a stride the second, which has fewer channels than the first, an upsampler's
    output; the only one where there is no second. The published choice leaves out stride 1; on
    small images, that are seen at their own size, it holds the outlines.

    Parameters
    ----------
    strides : sequence of int
        Of each block's output.

    Examples
    --------
    >>> small_network_blocks((8, 4, 4, 2, 2, 1, 1, 1))
    (0, 2, 4, 6)
    """
    at = {stride: [k for k, s in enumerate(strides) if s == stride] for stride in (8, 4, 2, 1)}
    return tuple(blocks[:2][-1] for blocks in at.values() if blocks)


def choose_steps(steps: Sequence[int] | None, timesteps: int) -> tuple[int, ...]:
    """Return the requested timesteps, or the published ones scaled to the schedule's length.

    Parameters
    ----------
    steps : sequence of int, optional
    timesteps : int
        T of the schedule.

    Raises
    ------
    InputError
        If there is none, one is outside the schedule, or one is given twice.

    Examples
    --------
    >>> choose_steps(None, 1000), choose_steps(None, 4000)
    ((50, 150, 250), (200, 600, 1000))
    """
    if steps is None:
        scaled = (min(round(step * timesteps / 1000), timesteps - 1) for step in STEPS)
        return tuple(dict.fromkeys(scaled))
    outside = [step for step in steps if not 0 <= step < timesteps]
    if outside or not steps:
        given = f"steps {outside} are outside the schedule" if outside else "no steps are given"
        raise InputError(f"{given}: give some of 0 to {timesteps - 1}")
    refuse_doubles("steps", steps)
    return tuple(steps)


def choose_blocks(
    blocks: Sequence[int] | None,
    strides: Sequence[int],
    default: Callable[[Sequence[int]], tuple[int, ...]] = default_blocks,
) -> tuple[int, ...]:
    """Return the requested decoder blocks, ascending, or the default ones.

    Parameters
    ----------
    blocks : sequence of int, optional
    strides : sequence of int
        Of each block's output.
    default : callable
        Strides to blocks: the default ones.

    Raises
    ------
    InputError
        If there is none, the network lacks one, or one is given twice.
    """
    has = ", ".join(f"{k} (stride {stride})" for k, stride in enumerate(strides))
    if blocks is None:
        blocks = default(strides)
        if not blocks:
            raise InputError(f"no default blocks for this network; choose some of {has} (--blocks)")
    lacking = [block for block in blocks if not 0 <= block < len(strides)]
    if lacking or not blocks:
        given = f"the network has no decoder blocks {lacking}" if lacking else "no blocks are given"
        raise InputError(f"{given}; it has {has}")
    refuse_doubles("blocks", blocks)
    return tuple(sorted(blocks))


def refuse_doubles(name: str, numbers: Sequence[int]) -> None:
    """Raise `InputError` if a number is given twice."""
    doubles = sorted(number for number, times in Counter(numbers).items() if times > 1)
    if doubles:
        raise InputError(f"{name} {doubles} are given more than once")


def choose_size(
    size: int | tuple[int, int] | None, own: tuple[int, int] | None, cell: int
) -> tuple[int, int]:
    """Return height and width of the input: the requested ones, or the checkpoint's own.

    Parameters
    ----------
    size : int or tuple of int, optional
    own : tuple of int, optional
    cell : int
        Image pixels a side of the coarsest map's cells.

    Raises
    ------
    InputError
        If neither is known, or a side is no whole number of cells.
    """
    size = own if size is None else size
    if size is None:
        raise InputError("the checkpoint does not state its image size: give one (--size)")
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1 or height % cell or width % cell:
        near = "x".join(str(max(cell, round(side / cell) * cell)) for side in (height, width))
        raise InputError(
            f"the network's coarsest map has cells of {cell} pixels, so both sides must be "
            f"multiples of {cell}: got {height}x{width}, the nearest is {near}"
        )
    return int(height), int(width)
