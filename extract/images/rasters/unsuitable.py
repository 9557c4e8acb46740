"""Why a file that is not damaged cannot be read."""

__all__ = ["Unsuitable"]


class Unsuitable(ValueError):  # noqa: N818  (a fact about a file, not a crash)
    """Why a file that is not damaged cannot be read; the text goes on after the file's name."""
