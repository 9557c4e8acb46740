"""Which of several sets of weights in a checkpoint is taken.

Training keeps a moving average of the weights that it changes, and many programs leave both in a
checkpoint: ``model`` and ``ema`` of a file, ``unet`` and ``unet_ema`` of a folder. Their makers
sample with the average, so that is taken unless the call names another set; and it is said.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from torch import Tensor

from ...store.errors import InputError

__all__ = ["AS_BEFORE", "Choice", "NoChoiceError", "choose_name", "choose_state"]

AS_BEFORE = ""
"""In place of a name: the set that a spec without one was made with, see `Choice`."""

_AVERAGED = frozenset({"average", "averaged", "avg", "ema", "shadow", "swa", "target", "teacher"})
_UNNAMED = "raw"  # tensors without a prefix, next to others that have one
_BEFORE = ("state_dict", "model", "ema")  # unwrapped in this order
_COUNTERS = frozenset({"decay", "num_updates"})  # of `LitEma`, beside the averages
_DEEPEST = 4  # of one set within another
_MOST_ENTRIES = 1_000_000  # of dicts at one depth; a checkpoint with its optimiser has thousands


class NoChoiceError(InputError):
    """A set of weights was named where there is no choice, and the one there is is another."""


@dataclass(frozen=True)
class Choice:
    """The set of weights that was taken.

    Parameters
    ----------
    name : str, optional
        What a spec must state of it, names within names joined by dots. None where there was one
        set only, or where it is the one that dseg took before it knew several, so that the hashes
        of old specs stay what they are.
    words : str, optional
        For people; None where there was one set only.
    """

    name: str | None = None
    words: str | None = None

    @classmethod
    def of(cls, path: Sequence[str], others: Sequence[str], before: Sequence[str]) -> "Choice":
        """Return the choice of one set where there were others.

        Parameters
        ----------
        path : sequence of str
            Its name, and before it the names of the sets that contain it.
        others : sequence of str
            The names of the sets that were not taken.
        before : sequence of str
            What would have been taken before.
        """
        if not others:
            return cls()
        taken, first = (".".join(n for n in names if n != _UNNAMED) for names in (path, before))
        kind = "the averaged weights, " if _is_averaged(path[-1]) else "the weights "
        have = " and ".join(f"'{name}'" for name in others)
        words = f"{kind}'{taken or _UNNAMED}' (also available: {have}, --weights {others[0]})"
        return cls(None if taken == first else taken or _UNNAMED, words)


def choose_name(names: Sequence[str], wanted: str | None, where: str) -> str:
    """Return which of some sets of weights is taken: the one wanted, else the averaged one.

    Parameters
    ----------
    names : sequence of str
    wanted : str, optional
    where : str
        The checkpoint, for messages.

    Raises
    ------
    InputError
        If there is none of that name, or the names leave open which.

    Examples
    --------
    >>> choose_name(["unet", "unet_ema"], None, "x")
    'unet_ema'
    """
    have = ", ".join(f"'{name}'" for name in names)
    if wanted is not None:
        if wanted not in names:
            refusal = InputError if len(names) > 1 else NoChoiceError
            raise refusal(f"'{where}' has no weights '{wanted}': it has {have}")
        return wanted
    averaged = [name for name in names if _is_averaged(name)]
    usual = [name for name in names if name in _BEFORE]
    for some in (averaged, usual, names):
        if len(some) == 1:
            return some[0]
        if some:
            break
    raise InputError(
        f"'{where}' has several sets of weights, {have}: choose one with --weights, such as "
        f"--weights {names[0]}"
    )


def choose_state(content: object, wanted: str | None, where: str) -> tuple[object, Choice]:
    """Return the set of weights that is taken of a file's content, and which it is.

    Parameters
    ----------
    content : object
        As unpickled.
    wanted : str, optional
        Its name, names within names joined by dots, or `AS_BEFORE`.
    where : str
        The file, for messages.

    Returns
    -------
    content : object
        A state dict, if there is one; else whatever there is.
    choice : Choice

    Raises
    ------
    InputError
        If there is none of that name, or it is open which is meant.
    """
    _refuse_tangled(content, where)
    before, of_before = _as_before(content)
    if wanted == AS_BEFORE:
        if _is_state(of_before):
            return of_before, Choice()
        wanted = None
    path: list[str] = []
    others: list[str] = []
    while (sets := _sets(content, where, wanted)) and len(path) < _DEEPEST:
        name, wanted = _next(list(sets), wanted, where)
        others += [".".join((*path, other)) for other in sets if other != name]
        path.append(name)
        content = sets[name]
    if wanted is not None:
        has = f"it has '{'.'.join(path)}'" if path else "it has one set, without a name"
        refusal = InputError if others else NoChoiceError
        raise refusal(f"'{where}' has no weights '{wanted}': {has}")
    if not path:
        return of_before, Choice()
    return _without_counter(content), Choice.of(path, others, before)


def _refuse_tangled(content: object, where: str) -> None:
    """Refuse dicts that contain the same dicts again and again, which takes for ever to look at."""
    within = [content]
    for _ in range(_DEEPEST + 1):
        found = (one.values() for one in within if isinstance(one, Mapping))
        within = list(islice(chain.from_iterable(found), _MOST_ENTRIES + 1))
        if len(within) > _MOST_ENTRIES:
            raise InputError(
                f"'{where}' has more than {_MOST_ENTRIES} entries within entries: expected the "
                "weights of a network"
            )


def _next(names: list[str], wanted: str | None, where: str) -> tuple[str, str | None]:
    """Return the set to go into, and what is then still wanted."""
    for name in sorted(names, key=len, reverse=True):
        if wanted == name:
            return name, None
        if wanted is not None and wanted.startswith(f"{name}."):
            return name, wanted.removeprefix(f"{name}.")
    if len(names) == 1:  # a mere wrapper
        return names[0], wanted
    return choose_name(names, wanted, where), None


def _sets(content: object, where: str, wanted: str | None) -> dict[str, Any]:
    """Return the sets of weights next to each other, by name; none of a plain state dict."""
    if not isinstance(content, Mapping):
        return {}
    if _is_state(content):
        return _by_prefix(content)
    found = {
        str(name): value
        for name, value in content.items()
        if isinstance(name, str) and not name.startswith("opt") and _leads_to_state(value)
    }
    others = [_count(value) for name, value in found.items() if not _is_averaged(name)]
    most = max(others, default=0)
    # what is averaged of a loss or a queue is no network's
    found = {k: v for k, v in found.items() if not _is_averaged(k) or 2 * _count(v) >= most}
    if wanted is None and found and not any(map(_is_averaged, found)):
        _refuse_nameless(content, list(found), where)
    return found


def _refuse_nameless(content: Mapping[Any, Any], names: list[str], where: str) -> None:
    """Refuse averaged weights that are a mere list: which is which would be a guess."""
    for name, value in content.items():
        parts = value.values() if isinstance(value, Mapping) else [value]
        lists = [part for part in parts if isinstance(part, list | tuple) and part]
        if _is_averaged(str(name)) and any(isinstance(one[0], Tensor) for one in lists):
            raise InputError(
                f"'{where}' has averaged weights, '{name}', but as a list without names, which "
                f"cannot be read: save them as a state dict, or give --weights {names[0]} to take "
                "the others"
            )


def _by_prefix(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the sets of a state dict that holds a network twice, by what its names begin with."""
    averaged: dict[str, dict[str, Tensor]] = {}
    rest: dict[str, Tensor] = {}
    for key, value in state.items():
        head, _, tail = str(key).partition(".")
        if tail and _is_averaged(head):
            averaged.setdefault(head, {})[tail] = value
        else:
            rest[str(key)] = value
    heads = {key.partition(".")[0] for key in rest if "." in key}
    name, plain = _UNNAMED, rest
    if len(heads) == 1:
        name = heads.pop()
        plain = {key.partition(".")[2]: v for key, v in rest.items() if "." in key}
    averaged = {k: _with_dots(v, plain) for k, v in averaged.items()}
    twice = {k: v for k, v in averaged.items() if 2 * len(v.keys() & plain.keys()) >= len(plain)}
    return {name: plain, **twice} if twice and plain else {}


def _with_dots(averaged: dict[str, Tensor], plain: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return averaged tensors under the names of the others, where theirs lack the dots.

    So the averages of latent-diffusion's ``LitEma`` do, which are buffers. A name of theirs may
    lack the others' first part, too.
    """
    names = {}
    for name in plain:
        names[name.partition(".")[2].replace(".", "")] = name
        names[name.replace(".", "")] = name
    named = {names.get(key, key) if "." not in key else key: v for key, v in averaged.items()}
    return {key: value for key, value in named.items() if key not in _COUNTERS or key in plain}


def _is_averaged(name: str) -> bool:
    return not _AVERAGED.isdisjoint(re.split(r"[^a-z]+", name.lower()))


def _is_state(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(value, Tensor) for value in content.values())
    )


def _leads_to_state(content: object, depth: int = _DEEPEST) -> bool:
    if _is_state(content):
        return isinstance(content, Mapping) and all(isinstance(key, str) for key in content)
    if not isinstance(content, Mapping) or depth == 1:
        return False
    return any(
        isinstance(key, str) and _leads_to_state(value, depth - 1) for key, value in content.items()
    )


def _count(content: object, depth: int = _DEEPEST) -> int:
    """Return how many tensors there are, as deep as sets are looked for."""
    if not isinstance(content, Mapping) or not depth:
        return int(isinstance(content, Tensor))
    return sum(_count(value, depth - 1) for value in content.values())


def _as_before(content: object) -> tuple[list[str], object]:
    """Return which entries dseg unwrapped before it knew several sets, and what it came to."""
    path = []
    for name in _BEFORE:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            path.append(name)
    return path, content


def _without_counter(content: object) -> object:
    """Return a state dict as it is, but PyTorch's ``AveragedModel`` as the network in it."""
    if not isinstance(content, Mapping) or "n_averaged" not in content:
        return content
    return {
        str(key).removeprefix("module."): value
        for key, value in content.items()
        if key != "n_averaged"
    }
