"""A folder of drawn images, which says of each from which checkpoint and seed it is.

=================  =================================================================
``000000.png``, …  image number k has the seed ``first_seed + k``
``samples.json``   what they were drawn with, written first
``samples.jsonl``  one line an image: ``name``, ``seed``, ``sha256`` of the file
=================  =================================================================

An image's line is written before its file gets its name. So every image that dseg drew has a line,
and a line counts only if its file exists. While runs are active an image may have several lines, of
which the last one counts; a run that ends leaves one.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .. import __version__
from ..extract.images.sample_records import FACTS, RECORDS
from ..store.atomic_folder import is_free, temporary_path
from ..store.differences import differences
from ..store.errors import InputError
from ..store.failed_writes import writing
from ..store.seals import SEAL, sealed
from ..store.texts import read_json
from ..store.urls.location import Location
from ..store.whole_file import write_whole
from .records import Records, read_seeds

__all__ = ["FACTS", "RECORDS", "SampleFolder", "name_of", "read_drawn", "read_facts"]

FORMAT, VERSION = "dseg-samples", 1

_NAME = re.compile(r"[0-9]{6,}\.png")
_WORDS = {"checkpoint_sha256": "the checkpoint"}
_NOT_COMPARED = frozenset({"checkpoint", "made_by"})  # a moved file is the same file
_KEPT = (
    *("made_by", "checkpoint", "checkpoint_sha256", "kind", "weights", "class_number", "sampler"),
    *("respacing", "eta", "height", "width", "precision"),
)
_ELSE = "give another --out, or use --overwrite to remove its images"


def name_of(number: int) -> str:
    """Return the file name of an image, by its number.

    Examples
    --------
    >>> name_of(7), name_of(1234567)
    ('000007.png', '1234567.png')
    """
    return f"{number:06d}.png"


def read_facts(folder: Location) -> dict[str, Any] | None:
    """Return what the images of a folder were drawn with; None if it says nothing about that.

    Raises
    ------
    InputError
        If its ``samples.json`` is damaged, or of a newer format.
    """
    path = folder / FACTS
    if not path.is_file():
        return None
    try:
        plain = read_json(path)
        if (plain["format"], plain["version"]) != (FORMAT, VERSION):
            raise ValueError(f"format {plain['format']} {plain['version']}")
        for name in ("checkpoint", "checkpoint_sha256", "kind", "sampler"):
            if not isinstance(plain[name], str):
                raise ValueError(f"{name} is {plain[name]!r}")
        if type(plain["first_seed"]) is not int:
            raise ValueError(f"first_seed is {plain['first_seed']!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{path}' is damaged, or was not written by this version of dseg ({error!r}): remove "
            "it, and the folder's images count as any others"
        ) from error
    return {key: value for key, value in plain.items() if key not in ("format", "version", SEAL)}


def read_drawn(folder: Location) -> tuple[dict[str, Any], dict[str, int]] | None:
    """Return by what a folder's images were drawn, and the seed of each by its file's sha256.

    What they were drawn with is cut to what a store or a model keeps, plain JSON values. None if
    the folder says nothing about that.

    Raises
    ------
    InputError
        See `read_facts`.
    """
    facts = read_facts(folder)
    if facts is None:
        return None
    return {key: facts[key] for key in _KEPT if key in facts}, read_seeds(folder / RECORDS)


class SampleFolder:
    """Writes drawn images into a folder, one by one.

    Parameters
    ----------
    path : path
        It need not exist yet.
    facts : mapping
        What the images are drawn with, ``first_seed`` among it; plain JSON values.
    exclusive : callable
        Context manager that makes other runs of the folder wait: `Claim.exclusive`.
    """

    def __init__(
        self,
        path: Path,
        facts: Mapping[str, Any],
        exclusive: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.path, self._facts, self._exclusive = path, dict(facts), exclusive
        self._first_seed = int(facts["first_seed"])
        self._records = Records(path / RECORDS)

    def check(self, *, overwrite: bool = False) -> None:
        """Refuse a folder that holds something else, or images drawn in another way.

        Parameters
        ----------
        overwrite : bool
            Whether images drawn in another way may be removed.

        Raises
        ------
        InputError
            Names the settings that differ.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"'{self.path}' is a file: give a folder for the images with --out")
        if is_free(self.path):
            return
        if not (self.path / FACTS).is_file():
            raise InputError(
                f"'{self.path}' contains files that are not of `dseg sample`: give another --out"
            )
        if overwrite:
            return
        there = read_facts(self.path) or {}
        ours, theirs = (
            {key: value for key, value in facts.items() if key not in _NOT_COMPARED}
            for facts in (self._facts, there)
        )
        differ = differences(theirs, _as_read(ours), _WORDS)
        if differ:
            raise InputError(
                f"'{self.path}' contains drawn images that differ in {'; '.join(differ)}: {_ELSE}"
            )

    def check_replaceable(self, numbers: range) -> None:
        """Refuse to write over files that dseg did not draw.

        Raises
        ------
        InputError
        """
        there = [name for name in map(name_of, numbers) if (self.path / name).exists()]
        with self._exclusive():  # an image that another run has drawn by now has a line
            self._records.refresh()
        for name in there:
            if name not in self._records.by_name:
                raise InputError(
                    f"'{self.path / name}' is in the way, and was not drawn by dseg: move it, or "
                    "give another --out"
                )

    def begin(self, *, overwrite: bool = False) -> None:
        """Write what the images are drawn with, unless the folder says so already.

        Parameters
        ----------
        overwrite : bool
            First remove the images that are recorded.

        Raises
        ------
        DsegError
            If it cannot be written.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self._exclusive():
            if overwrite:
                self._remove_all()
            if not (self.path / FACTS).is_file():
                made_by = {"made_by": f"dseg {__version__}"}
                plain = {"format": FORMAT, "version": VERSION, **made_by, **self._facts}
                text = json.dumps(sealed(plain), indent=1, ensure_ascii=False) + "\n"
                write_whole(self.path / FACTS, text.encode())

    def _remove_all(self) -> None:
        """Remove the images that have a record, then the records; other files stay."""
        self._records.refresh()
        for name in self._records.by_name:
            if _NAME.fullmatch(name):  # not a path that leads elsewhere
                (self.path / name).unlink(missing_ok=True)
        for name in (RECORDS, FACTS):
            (self.path / name).unlink(missing_ok=True)
        self._records = Records(self.path / RECORDS)

    def is_done(self, number: int) -> bool:
        """Whether an image was drawn, and its file is there."""
        name = name_of(number)
        return name in self._records.by_name and (self.path / name).is_file()

    def is_done_by_now(self, number: int) -> bool:
        """Whether `is_done`, with what other runs have drawn since."""
        with self._exclusive():
            self._records.refresh()
        return self.is_done(number)

    def add(self, number: int, image: NDArray[np.uint8]) -> int:
        """Write an image; return the bytes of its file.

        Parameters
        ----------
        number : int
        image : array of shape (H, W, 3), uint8

        Raises
        ------
        DsegError
            If it cannot be written.
        """
        path = self.path / name_of(number)
        encoded = encoded_png(image)
        record = {
            "name": path.name,
            "seed": self._first_seed + number,
            "sha256": hashlib.sha256(encoded).hexdigest(),
        }
        made = temporary_path(path)
        write_whole(path, encoded, under=made)
        try:
            with writing(path), self._exclusive():
                self._records.add(record)
                made.replace(path)
        finally:
            with suppress(OSError):
                made.unlink(missing_ok=True)
        return len(encoded)

    def finish(self) -> None:
        """Leave one line an image, in their order.

        Raises
        ------
        DsegError
            If it cannot be written.
        """
        with self._exclusive():
            self._records.compact()

    def images(self, most: int) -> NDArray[np.uint8]:
        """Return the first images that are there, (n, H, W, 3)."""
        there = [path for name in self._records.names if (path := self.path / name).is_file()]
        pixels = []
        for path in there[:most]:
            with Image.open(path) as image:
                pixels.append(np.asarray(image.convert("RGB")))
        return np.stack(pixels)


def encoded_png(image: NDArray[np.uint8]) -> bytes:
    """Return an image (H, W, 3), uint8, as PNG."""
    file = BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


def _as_read(plain: dict[str, Any]) -> dict[str, Any]:
    """Return JSON values as they are when read: lists, no tuples."""
    return dict(json.loads(json.dumps(plain)))
