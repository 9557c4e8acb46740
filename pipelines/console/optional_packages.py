"""Packages that only some tasks need, and the extra of the installation that brings each.

They are imported where they are used, so every other task runs without them.
"""

from importlib.util import find_spec

from ...store.errors import DsegError

__all__ = ["MissingPackageError", "missing_package", "require"]

# Of each module: what needs it, the package that has it, the extra that brings it.
_OPTIONAL = {
    "distributed": ("a Dask cluster (--scheduler, --workers) needs", "distributed", "cluster"),
    "imagecodecs": ("compressed TIFF needs", "imagecodecs", "formats"),
    "imagecorruptions": ("corrupting images needs", "imagecorruptions-imaug", "robustness"),
    "matplotlib": ("drawing plots needs", "matplotlib", "plots"),
    "obstore": ("what is given by URL needs", "obstore", "cloud"),
    "onnx": ("exporting a student needs", "onnx", "export"),
    "pillow_heif": ("HEIC needs", "pillow-heif", "formats"),
    "pyproj": ("converting coordinates of a map needs", "pyproj", "labels"),
    "roifile": ("ImageJ's ROI files need", "roifile", "labels"),
    "tifffile": ("TIFF of other kinds than grey and RGB needs", "tifffile", "formats"),
    "transformers": (
        "MAE, SwAV, DINO, SAM, other networks of transformers, students but fpn, and diffusion "
        "models with a text encoder need",
        "transformers",
        "transformers",
    ),
}


class MissingPackageError(DsegError):
    """A package of an extra is not installed."""

    exit_code = 2


def missing_package(module: str) -> MissingPackageError | None:
    """Return the error that says how to install a module; None if no extra brings it.

    Parameters
    ----------
    module : str
        As it is imported; of a submodule, the top-level package counts.

    Examples
    --------
    >>> print(missing_package("matplotlib.figure"))
    drawing plots needs matplotlib, which is not installed: pip install 'dseg[plots]'
    """
    found = _OPTIONAL.get(module.partition(".")[0])
    if found is None:
        return None
    task, package, extra = found
    words = f"{task} {package}, which is not installed: pip install 'dseg[{extra}]'"
    return MissingPackageError(words)


def require(module: str) -> None:
    """Refuse to start without a module of `_OPTIONAL` that is only imported when all else is done.

    Raises
    ------
    MissingPackageError
        If it is not installed. It is not imported: that would count as memory of the run.
    """
    error = missing_package(module)
    if error is not None and find_spec(module) is None:
        raise error
