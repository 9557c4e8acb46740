"""Files of ``torch.save`` from anybody: nothing of them runs, and none takes more than its size.

``torch.load(weights_only=True)`` calls no code of a file, but builds what it names: an array of
10^10 zero bytes, a tensor of 60,000 x 60,000 that is one stored value, an archive whose member
unpacks to a thousand times the file. So an archive's directory and the pickle in it are looked at
first, and the tensors afterwards.
"""

import argparse
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

__all__ = ["MOST_PICKLE", "read_pickled", "refuse_unbacked"]

MOST_PICKLE = 4 * 2**20
"""Bytes of the pickle, which has about 200 for each tensor and no values: 20,000 tensors, of which
the largest networks have 2,000. It takes 500 MB at most (4 million empty containers)."""

MOST_INFLATION = 4
"""Unpacked bytes of an archive for each of its own. ``torch.save`` compresses nothing."""

MOST_SHARING = 2
"""Bytes of the tensors for each of the file: an output layer may share an embedding's weights."""

_MOST_IN_TUPLES = 100_000
"""Parts of a tuple, counted as often as they occur: what it takes to use one as a key."""

_OLD_PICKLES = 5  # in a file from before PyTorch 1.6: sign, version, system, content, storages
_DAMAGED = "its pickle is damaged"
# What `torch.load` would build of any size, and what is no plain tensor.
_BUILDERS = re.compile(
    r"(__builtin__|builtins) bytearray|torch(\.\w+)* \w*Tensor"
    r"|torch\._utils _rebuild_(?!tensor(_v[23])?$|parameter)\w+"
)
_SLOW_CODECS = frozenset({"idna", "punycode"})  # quadratic in a text's length


def read_pickled(path: Path) -> Any:
    """Return the content of a file of ``torch.save``, on the CPU: tensors and plain containers.

    Raises
    ------
    pickle.UnpicklingError
        If it would call anything else; ValueError if it is damaged or beyond the bounds here, or
        what else `torch.load` raises of a damaged file.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            _look_at_archive(archive, path.stat().st_size)
    else:
        with path.open("rb") as file:
            for number in range(_OLD_PICKLES):
                if ((start := file.peek(2)[:2]) == b"PK" and not number) or not start:
                    break  # an archive that is cut short, or the end
                _look_at_pickle(file)
    # training leaves its options in many checkpoints; a Namespace only holds values
    allowed = torch.serialization.safe_globals([argparse.Namespace])
    with warnings.catch_warnings(), allowed:
        warnings.simplefilter("ignore")  # what is odd about the pickle ends in an error or not
        return torch.load(path, map_location="cpu", weights_only=True)


def refuse_unbacked(tensors: Iterable[Tensor], size: int) -> None:
    """Raise `ValueError` of tensors that are more than the bytes of their file.

    Parameters
    ----------
    tensors : iterable of tensor
    size : int
        Of the file, bytes.
    """
    total = 0
    for one in tensors:
        if one.layout != torch.strided or one.is_quantized or one.device.type == "meta":
            raise ValueError("it has sparse, quantised or empty tensors: expected plain ones")
        taken = one.numel() * one.element_size()
        total += taken
        if taken > one.untyped_storage().nbytes() or total > MOST_SHARING * size:
            raise ValueError(
                f"it has a tensor of shape {'x'.join(map(str, one.shape))}, but only {size} bytes "
                "in all: its values are not in the file"
            )


def _look_at_archive(archive: zipfile.ZipFile, size: int) -> None:
    members = archive.infolist()
    unpacked = sum(member.file_size for member in members)
    if unpacked > MOST_INFLATION * size:
        raise ValueError(
            f"it unpacks to {unpacked} bytes, from {size}: torch.save compresses nothing"
        )
    for member in members:
        if not member.filename.endswith("data.pkl"):
            continue
        if member.file_size > MOST_PICKLE:
            raise ValueError(
                f"its {member.filename} has {member.file_size} bytes, the most that dseg reads is "
                f"{MOST_PICKLE}"
            )
        with archive.open(member) as file:
            _look_at_pickle(file)  # type: ignore[arg-type]


def _look_at_pickle(file: BinaryIO) -> None:
    """Raise `ValueError` of a pickle that would build more than it holds."""
    at = file.tell()
    weights = _Weights()
    try:
        for operation, argument, position in _operations(file):
            if (position or 0) - at > MOST_PICKLE:
                raise _TooLongError
            if operation.name == "GLOBAL" and _BUILDERS.fullmatch(str(argument)):
                raise pickle.UnpicklingError(f"GLOBAL {str(argument).replace(' ', '.')}")
            if argument in _SLOW_CODECS:
                raise pickle.UnpicklingError(_DAMAGED)
            weights.follow(operation, argument)
    except (IndexError, KeyError) as error:
        raise pickle.UnpicklingError(_DAMAGED) from error
    if file.tell() - at > MOST_PICKLE:
        raise _TooLongError


def _operations(file: BinaryIO) -> Iterator[tuple[pickletools.OpcodeInfo, Any, int | None]]:
    try:
        yield from pickletools.genops(_Reader(file))  # type: ignore[arg-type]
    except _TooLongError:
        raise
    except ValueError as error:
        raise pickle.UnpicklingError(_DAMAGED) from error


class _TooLongError(ValueError):
    """A pickle is longer than one may be."""

    def __init__(self) -> None:
        super().__init__(f"its pickle has more than {MOST_PICKLE} bytes")


class _Reader:
    """Reads a pickle, but no text of which it only states that it is longer than a pickle may be.

    `read` takes memory for as many bytes as it is asked for, before it looks how many there are.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.readline, self.tell = file, file.readline, file.tell

    def read(self, n: int) -> bytes:
        if n > MOST_PICKLE:
            raise _TooLongError
        return self._file.read(n)


class _Weights:
    """The stack of a pickle machine, each object by how many parts its tuples have."""

    def __init__(self) -> None:
        self._stack: list[int] = []
        self._marks: list[int] = []
        self._memo: dict[int, int] = {}

    def follow(self, operation: pickletools.OpcodeInfo, argument: Any) -> None:
        """Do what an operation does to the stack."""
        name, stack = operation.name, self._stack
        if name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memo[int(argument)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self._memo[int(argument)])
        elif name == "MARK":
            self._marks.append(len(stack))
        else:
            before, after = operation.stack_before, operation.stack_after
            if pickletools.markobject in before:
                count = len(stack) - self._marks.pop()
                count += before.index(pickletools.markobject)
            else:
                count = len(before)
            taken = [stack.pop() for _ in range(count)]
            weight = 1 + sum(taken) if name.startswith("TUPLE") else 1
            if weight > _MOST_IN_TUPLES:
                raise ValueError("its tuples within tuples have too many parts")
            stack.extend([weight] * len(after))
