"""Frames of Zstandard: what they unpack to, known before memory is taken for it.

A decoder unpacks all frames that follow each other, so that the size that the first one states is
no bound: of 10 kB, 100 bytes may be stated, and 300 MB follow.

References
----------
RFC 8878, "Zstandard Compression and the 'application/zstd' Media Type", 2021, section 3.1.
"""

__all__ = ["unpacked_size"]

_MAGIC = b"\x28\xb5\x2f\xfd"
_REPEATED = 1  # type of a block: one byte, as often as its length says
_REST = 4  # bytes: a checksum of another codec; a frame takes more


def unpacked_size(data: bytes) -> int | None:
    """Return the bytes that a frame unpacks to, as it states.

    A decoder refuses a frame that unpacks to more than it states.

    Parameters
    ----------
    data : bytes
        The frame, perhaps with a checksum of four bytes after it.

    Returns
    -------
    int or None
        None if it states no size, is damaged, or something else follows.

    Examples
    --------
    >>> from numcodecs import zstd
    >>> one = zstd.compress(bytes(1000))
    >>> unpacked_size(one), unpacked_size(one + bytes(4)), unpacked_size(one + one)
    (1000, 1000, None)
    """
    if len(data) < 6 or not data.startswith(_MAGIC):
        return None
    flags = data[4]
    is_single, has_checksum = flags >> 5 & 1, flags >> 2 & 1
    at = 5 + (not is_single) + (0, 1, 2, 4)[flags & 3]
    length = (is_single, 2, 4, 8)[flags >> 6]
    end = _end_of_blocks(data, at + length) + 4 * has_checksum
    if not length or not 0 <= len(data) - end <= _REST:
        return None
    return int.from_bytes(data[at : at + length], "little") + 256 * (length == 2)


def _end_of_blocks(data: bytes, at: int) -> int:
    """Return where the last block of a frame ends, perhaps after the end of the data."""
    is_last = 0
    while not is_last:
        if at + 3 > len(data):
            return len(data) + 1
        header = int.from_bytes(data[at : at + 3], "little")
        is_last, kind, length = header & 1, header >> 1 & 3, header >> 3
        at += 3 + (1 if kind == _REPEATED else length)
    return at
