"""The weights of a folder: in one file, or in shards that an index names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...store.errors import InputError
from ...store.names import why_unsafe
from .card import read_json

__all__ = ["are_safetensors", "find_weights", "patterns_of"]


def find_weights(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return the files of a network's weights, by role.

    Parameters
    ----------
    folder : Path
    names : sequence of str
        Of a single file, the preferred first. Shards have ``<name>.index.json``.

    Returns
    -------
    dict of str to Path
        ``weights``: the single file, or the index; then each shard by its name.

    Raises
    ------
    InputError
        If there are none, or a shard is missing.
    """
    for name in names:
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            return {"weights": folder / name}
        if index.is_file():
            return {"weights": index, **_shards(index)}
    raise InputError(f"folder '{folder}' holds no weights: expected {' or '.join(names)}")


def are_safetensors(files: Mapping[str, Path]) -> bool:
    """Say whether files of `find_weights` are safetensors, and no pickles."""
    return files["weights"].name.removesuffix(".index.json").endswith(".safetensors")


def patterns_of(names: Sequence[str]) -> list[str]:
    """Return shell patterns of the files that `find_weights` may find, for a download."""
    shards = [f"{Path(name).stem}-*{Path(name).suffix}" for name in names]
    return [*names, *(f"{name}.index.json" for name in names), *shards]


def _shards(index: Path) -> dict[str, Path]:
    where = read_json(index).get("weight_map")
    if not isinstance(where, dict) or not where:
        raise InputError(f"'{index}' names no shards of weights: was the download complete?")
    for name in map(str, where.values()):
        if (why := why_unsafe(name)) is not None:
            raise InputError(f"'{index}' names the shard '{name}', no file next to it: {why}")
    shards = {str(name): index.parent / str(name) for name in sorted(set(map(str, where.values())))}
    lacking = [name for name, path in shards.items() if not path.is_file()]
    if lacking:
        raise InputError(
            f"folder '{index.parent}' lacks {', '.join(lacking)}, named by {index.name}: was the "
            "download complete?"
        )
    return shards
