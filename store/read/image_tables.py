"""The images of a store, from its tables and flags."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..drawn import Drawn
from ..errors import ChunkCorruptError, StoreError
from ..format.keys import exists, list_numbers
from ..format.layout import Array, Header
from ..geometry import Geometry
from ..names import stem_of
from .tables import check_layers, read_entries, read_table

__all__ = ["StoredImage", "read_images"]

_NO_SHA256 = bytes(32)


@dataclass(frozen=True)
class StoredImage:
    """An image of the store.

    Parameters
    ----------
    index : int
        Its number.
    name : str
        Path within the images' folder, with extension.
    geometry : Geometry
    first_row, row_count : int
        Its rows in the store; none if a killed planning run left the image half entered.
    complete : bool
        Whether all of it was written when the store was opened, and no run failed on it.
    failed : str or None
        Why it could not be extracted.
    drawn : Drawn, optional
        Of a synthetic image: by what it was drawn, and from which seed.
    """

    index: int
    name: str
    geometry: Geometry
    first_row: int
    row_count: int
    complete: bool
    failed: str | None
    _sha256: Array = field(repr=False, compare=False)
    drawn: Drawn | None = None

    @property
    def stem(self) -> str:
        """The name without extension; by it label maps and masks find the image."""
        return stem_of(self.name)

    @property
    def sha256(self) -> bytes:
        """sha256 of the file it was extracted from, 32 bytes; zeros if not known. Not cached.

        Raises
        ------
        StoreError
            If it is not known, though the image is complete.
        """
        array, key = self._sha256, f"{self._sha256.path}/c/{self.index}/0"
        try:
            digest = bytes(read_table(array, self.index))
        except ChunkCorruptError:
            if self.complete:
                raise
            return _NO_SHA256
        if self.complete and digest == _NO_SHA256 and not exists(array.store, key):
            raise StoreError(
                f"the key '{key}' of {array.store} is missing, so the source file of image "
                f"'{self.name}' is unknown. Repeat the same extract command: it writes this "
                "image again"
            )
        return digest

    def is_still(self, sha256: bytes) -> bool:
        """Whether the store now says that the image is complete, and of the file of that sha256."""
        store = self._sha256.store
        try:
            return exists(store, f"complete/c/{self.index}") and self.sha256 == sha256
        except StoreError:
            return False


def read_images(arrays: Mapping[str, Array], header: Header, where: str) -> tuple[StoredImage, ...]:
    """Return all planned images of a store, by number.

    Which are complete and which failed is read by listing the keys of the flags, one listing each,
    however many images there are.

    Raises
    ------
    ChunkCorruptError
        If a table does not match its checksum.
    StoreError
        If the tables contradict each other about a complete image, or hold an invalid name.
    """
    check_layers(arrays, header, where)
    entries = read_entries(arrays, header, where)
    store = arrays["complete"].store
    complete, failed = (
        list_numbers(store, flag, header.images) for flag in ("complete/c", "failed/c")
    )
    entries.check_consistent(complete, where)
    images = []
    for number, (name, geometry) in enumerate(zip(entries.names, entries.geometries, strict=True)):
        consistent = number not in entries.inconsistent
        images.append(
            StoredImage(
                number,
                name,
                geometry,
                int(entries.first_row[number]) if consistent else 0,
                len(geometry.offsets) if consistent else 0,
                number in complete and number not in failed,  # both flags: two runs at once, say
                _reason(arrays["facts/reason"], number) if number in failed else None,
                arrays["facts/sha256"],
                header.drawn.get(number),
            )
        )
    return tuple(images)


def _reason(array: Array, number: int) -> str:
    try:
        return str(read_table(array, number)) or "the reason is lost"
    except ChunkCorruptError:
        return "the reason is lost"
