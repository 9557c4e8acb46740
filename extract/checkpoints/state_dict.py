"""Checkpoint files: what a file is, and its tensors without running any code of it."""

import hashlib
import pickle
import re
import textwrap
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from ...store.errors import InputError
from ...store.pickled_tensors import read_pickled, refuse_unbacked
from .weight_sets import Choice, choose_state

__all__ = [
    "StateDict",
    "digest",
    "load_state_dict",
    "load_weights",
    "some_keys",
    "under_prefixes",
]

StateDict = dict[str, Tensor]

# First bytes of files that people give by mistake
SIGNATURES: dict[bytes, str] = {
    b"\x89PNG": "an image (PNG)",
    b"\xff\xd8\xff": "an image (JPEG)",
    b"GIF8": "an image (GIF)",
    b"%PDF": "a PDF document",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "compressed with gzip",
    b"\xfd7zXZ": "compressed with xz",
    b"BZh": "compressed with bzip2",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\x93NUMPY": "a NumPy array",
}
EXPECTED = (
    "expected the weights of a network (.pt, .pth or .ckpt, a state dict of torch.save; or "
    ".safetensors)"
)
# By what its first bytes name, how to convert a pickled generator.
PICKLED: dict[bytes, str] = {
    b"torch_utils.persistence": "in the environment that made it, save the tensors of its G_ema "
    "alone, torch.save(G_ema.state_dict(), 'generator.pt'), and give that file",
    b"dnnlib.tflib": "it is of TensorFlow; convert it with convert_weight.py of "
    "rosinality/stylegan2-pytorch, and give the .pt file that this writes",
}
BESIDE = "latent_avg"
"""The average style of a generator, which rosinality's StyleGAN2 saves next to its weights."""
_LONGEST_NAME = 100  # in a message
_DEEPEST_PREFIX = 4  # names before those of the network itself


def load_state_dict(path: Path) -> StateDict:
    """Return the tensors that `load_weights` takes of a file."""
    return load_weights(path)[0]


def load_weights(path: Path, wanted: str | None = None) -> tuple[StateDict, Choice]:
    """Read the tensors of a file, ``torch.save``d or safetensors, as float32, on the CPU.

    A state dict within a dict, such as under ``state_dict``, ``model`` or ``ema``, is unwrapped;
    of several the averaged one is taken. Nothing but tensors and plain containers is unpickled
    (``weights_only``), so no code of the file runs.

    Parameters
    ----------
    path : Path
    wanted : str, optional
        Which of several sets of weights, see `weight_sets.choose_state`.

    Returns
    -------
    state : dict of str to tensor
        Floating-point tensors as float32, others as they are.
    choice : Choice
        Which set it is.

    Raises
    ------
    InputError
        If the file is something else, is damaged, unpickling it would run code, or it does not
        show which of several sets of weights is meant.
    """
    head = _head(path)
    _refuse_foreign(path, head)
    read = _load_safetensors if _is_safetensors(head) else _torch_load
    whole = read(path)
    content, choice = choose_state(whole, wanted, str(path))
    if not isinstance(content, Mapping):
        raise InputError(
            f"'{path}' contains a {type(content).__name__}, not a state dict: {EXPECTED}"
        )
    strangers = [key for key, value in content.items() if not isinstance(value, Tensor)]
    if strangers or not content:
        held = f"entries such as {some_keys(strangers)}" if strangers else "nothing"
        raise InputError(f"'{path}' holds {held}, not tensors by name: {EXPECTED}")
    try:
        refuse_unbacked(content.values(), path.stat().st_size)
    except ValueError as error:
        raise InputError(f"'{path}' is not read: {error}") from error
    state = {
        str(key): value.float() if value.is_floating_point() else value
        for key, value in {**content, **_beside(whole)}.items()
    }
    return state, choice


def _beside(whole: object) -> dict[str, Tensor]:
    """Return what belongs to a network but stands beside its weights in a file."""
    average = whole.get(BESIDE) if isinstance(whole, Mapping) else None
    return {BESIDE: average} if isinstance(average, Tensor) else {}


def under_prefixes(state: StateDict) -> Iterator[tuple[str, StateDict]]:
    """Yield the parts of a state dict whose names begin alike, without what they begin with.

    Programs that train put a network's tensors under a name of theirs: ``module.``, ``model.``,
    ``ema_model.module.``. A prefix counts if more than half of the tensors have it, so there is one
    of each length at most: shorter ones first.

    Parameters
    ----------
    state : dict of str to tensor

    Yields
    ------
    prefix : str
        Ends in a dot.
    part : dict of str to tensor

    Examples
    --------
    >>> import torch
    >>> one = torch.zeros(1)
    >>> part = {"loss.scale": one, "model.net.a": one, "model.net.b": one}
    >>> [(prefix, list(found)) for prefix, found in under_prefixes(part)]
    [('model.', ['net.a', 'net.b']), ('model.net.', ['a', 'b'])]
    """
    prefix = ""
    for _ in range(_DEEPEST_PREFIX):
        heads = Counter(key.partition(".")[0] for key in state if "." in key)
        head, count = heads.most_common(1)[0] if heads else ("", 0)
        if 2 * count <= len(state):
            return
        prefix += f"{head}."
        state = {
            key.removeprefix(f"{head}."): value
            for key, value in state.items()
            if key.startswith(f"{head}.")
        }
        yield prefix, state


def some_keys(keys: object) -> str:
    """Return the first few names of a collection, for a message."""
    names = [repr(str(key)[:_LONGEST_NAME]) for key in list(keys)[:4]]  # type: ignore[call-overload]
    return ", ".join(names)


def digest(files: Mapping[str, Path]) -> str:
    """Return one sha256 for several files, whatever their folder.

    Parameters
    ----------
    files : mapping of str to Path
        Each file by its role; the role counts, the path does not.

    Returns
    -------
    str
        Hexadecimal. Of a single file, the sha256 of its bytes.
    """
    sums = {}
    for role, path in files.items():
        with path.open("rb") as file:
            sums[role] = hashlib.file_digest(file, "sha256").hexdigest()
    if len(sums) == 1:
        return next(iter(sums.values()))
    lines = "".join(f"{role} {sums[role]}\n" for role in sorted(sums))
    return hashlib.sha256(lines.encode()).hexdigest()


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**32


def _refuse_foreign(path: Path, head: bytes) -> None:
    what = next((name for start, name in SIGNATURES.items() if head.startswith(start)), None)
    if not head:
        what = "empty"
    elif head.startswith(b"PK") and not _is_torch_zip(path):
        what = "a ZIP archive"
    elif what is None and _is_text(head):
        what = "text"
    if what is not None:
        raise InputError(f"'{path}' is {what}: {EXPECTED}")


def _is_torch_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist())
    except Exception:  # cut short or damaged: leave the words to the loader
        return True


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char.isspace() for char in text)


def _refuse_nvidia(path: Path, error: Exception) -> None:
    """Say of a pickled StyleGAN how to convert it: that is how NVIDIA publishes them."""
    with path.open("rb") as file:
        start = file.read(2**20)
    for sign, words in PICKLED.items():
        if sign in start:
            raise InputError(
                f"'{path}' is a pickle that would run NVIDIA's code when read, so it was not read: "
                f"{words}"
            ) from error


def _load_safetensors(path: Path) -> object:
    try:
        # cloned: those of the file lie unaligned in memory, where convolutions round otherwise
        return {name: one.clone() for name, one in safetensors.torch.load_file(path).items()}
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(
            f"'{path}' is damaged or cut short: {EXPECTED}. Was the download complete?"
        ) from error


def _torch_load(path: Path) -> object:
    try:
        return read_pickled(path)
    except pickle.UnpicklingError as error:
        _refuse_nvidia(path, error)
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found:
            raise InputError(
                f"'{path}' would run code when read (it calls for {found[1]}), so it was not read: "
                f"{EXPECTED}, tensors only. If you trust the file, save its tensors alone, of a "
                "Lightning checkpoint: torch.save(torch.load(path, weights_only=False)"
                "['state_dict'], 'weights.pt')"
            ) from error
        raise InputError(
            f"'{path}' is damaged, or contains other objects than tensors: {EXPECTED}"
        ) from error
    except Exception as error:  # whatever torch makes of damaged bytes
        raise InputError(
            f"'{path}' is damaged or cut short ({_shortened(error)}): {EXPECTED}. Was the download "
            "complete?"
        ) from error


def _shortened(error: Exception) -> str:
    return textwrap.shorten(str(error) or type(error).__name__, 120)
