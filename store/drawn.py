"""Which images were drawn by a diffusion model, by which and from which seeds: synthetic images.

A store states it in the attribute ``synthetic``, by image number in runs of consecutive numbers and
seeds; a model states it of its training images, by seeds alone.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Drawn", "drawn_from_plain", "drawn_to_plain", "summarise_drawn", "updated_drawn"]

_RUN = 3  # image number, seed, length


@dataclass(frozen=True)
class Drawn:
    """Where a synthetic image is from.

    Parameters
    ----------
    by : mapping
        What it was drawn with: ``checkpoint``, ``checkpoint_sha256``, the sampler's settings;
        plain JSON values.
    seed : int
    """

    by: Mapping[str, Any]
    seed: int


def drawn_to_plain(drawn: Mapping[int, Drawn]) -> list[dict[str, Any]]:
    """Return drawn images, given by number, as plain JSON values; `drawn_from_plain` inverts it.

    Examples
    --------
    >>> drawn_to_plain({4: Drawn({"checkpoint": "net"}, 0), 5: Drawn({"checkpoint": "net"}, 1)})
    [{'drawn_by': {'checkpoint': 'net'}, 'runs': [[4, 0, 2]]}]
    """
    runs: dict[str, list[list[int]]] = {}
    for number, image in sorted(drawn.items()):
        of_these = runs.setdefault(_key(image), [])
        if of_these:
            first, seed, length = of_these[-1]
            if (number, image.seed) == (first + length, seed + length):
                of_these[-1][2] += 1
                continue
        of_these.append([number, image.seed, 1])
    return [{"drawn_by": json.loads(by), "runs": found} for by, found in runs.items()]


def drawn_from_plain(plain: Any, images: int) -> dict[int, Drawn]:
    """Return drawn images by number.

    Parameters
    ----------
    plain : list
        See `drawn_to_plain`.
    images : int
        How many the store has: numbers beyond are ignored.

    Raises
    ------
    ValueError, TypeError, KeyError
        If it is of another form.
    """
    found: dict[int, Drawn] = {}
    for entry in plain:
        by = entry["drawn_by"]
        if not isinstance(by["checkpoint"], str):
            raise ValueError(f"drawn_by is {by!r}")
        for run in entry["runs"]:
            if len(run) != _RUN or any(type(n) is not int or n < 0 for n in run):
                raise ValueError(f"{run!r} is no run of synthetic images")
            first, seed, length = run
            for k in range(min(length, images - first)):
                found[first + k] = Drawn(by, seed + k)
    return found


def updated_drawn(before: Mapping[int, Drawn], now: Mapping[int, Drawn | None]) -> dict[int, Drawn]:
    """Return drawn images by number: those before, but for what is known now (None: not drawn)."""
    found = {number: image for number, image in before.items() if number not in now}
    return found | {number: image for number, image in now.items() if image is not None}


def summarise_drawn(drawn: Iterable[Drawn]) -> list[dict[str, Any]]:
    """Return of which checkpoints and seeds some images are, as plain JSON values.

    Examples
    --------
    >>> net = {"checkpoint": "net"}
    >>> summarise_drawn([Drawn(net, 0), Drawn(net, 2), Drawn(net, 1), Drawn(net, 9)])
    [{'drawn_by': {'checkpoint': 'net'}, 'images': 4, 'seeds': [[0, 2], [9, 9]]}]
    """
    seeds: dict[str, list[int]] = {}
    for image in drawn:
        seeds.setdefault(_key(image), []).append(image.seed)
    return [
        {"drawn_by": json.loads(by), "images": len(some), "seeds": _ranges(some)}
        for by, some in seeds.items()
    ]


def _key(image: Drawn) -> str:
    return json.dumps(dict(image.by))


def _ranges(seeds: list[int]) -> list[list[int]]:
    """Return first and last of each range of consecutive seeds."""
    ranges: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if ranges and seed == ranges[-1][1] + 1:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    return ranges
