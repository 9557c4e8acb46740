"""Pillow's limit against decompression bombs, set to ours while Pillow opens and decodes.

Pillow warns above its limit and refuses above twice of it. A file within ours needs no warning, and
one above it gets our words.
"""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

__all__ = ["pillow_limit"]

# What is above our limit, or odd, is said or refused by us: Pillow's words would come before.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())

_lock = threading.Lock()
_users = 0
_before: int | None = None


@contextmanager
def pillow_limit(most: int) -> Iterator[None]:
    """Let Pillow open images of at least ``most`` pixels meanwhile, in any thread."""
    global _users, _before
    with _lock:
        if _users == 0:
            _before = Image.MAX_IMAGE_PIXELS
        _users += 1
        if Image.MAX_IMAGE_PIXELS is not None:
            Image.MAX_IMAGE_PIXELS = max(most, Image.MAX_IMAGE_PIXELS)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                Image.MAX_IMAGE_PIXELS = _before
