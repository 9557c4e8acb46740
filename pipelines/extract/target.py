"""The store that an extraction writes: the one asked for, or one next to it that replaces it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

from ...store.atomic_folder import finish_replacement, is_free, replace_folder
from ...store.claims import Claim, claimed
from ...store.errors import InputError
from ...store.format.layout import open_group, read_header
from ...store.read.reader import FeatureStore
from ...store.spec import FeatureSpec
from ...store.urls.location import Location, UrlPath
from ...store.write.dense import export_dense
from ..console.progress import Progress
from .config import ExtractConfig

__all__ = ["claim_key", "claimed_target", "temporary_stores"]


def claim_key(config: ExtractConfig, spec: FeatureSpec) -> str:
    """Return the key of a run's claim: of all that add to a store, or of this one alone."""
    return uuid4().hex if _replaces(config) else spec.hash


def _replaces(config: ExtractConfig) -> bool:
    return config.overwrite or config.layout == "dense"


@contextmanager
def claimed_target(
    config: ExtractConfig, spec: FeatureSpec, key: str, progress: Progress
) -> Iterator[tuple[Location, Claim]]:
    """Yield the native store to write; runs that make another store are kept out meanwhile.

    Runs that add to the same store, such as shards, go on together. What is there is replaced only
    once its replacement is complete.

    Raises
    ------
    InputError
        If another run writes there, or something else is there that may not be replaced.
    """
    if isinstance(config.out, UrlPath):
        _refuse_replacing(config.out, _replaces(config))
        # Who plans it refuses a store of other features: no claim is needed.
        yield config.out, Claim(None, f"'{config.out}'")
        return
    tidy = partial(_tidy, config.out, progress, goes_on=_replaces(config))
    claim = claimed(config.out, key, "dseg extract", in_parent=True, tidy=tidy, warn=progress.warn)
    with claim as held, _target(config, config.out, spec, progress) as target:
        yield target, held


def _refuse_replacing(out: UrlPath, replaces: bool) -> None:
    if replaces:
        raise InputError(
            f"'{out}' is a URL, where nothing can be renamed, so --overwrite and --layout dense "
            "cannot be used: remove what is there, and extract without them"
        )


def _tidy(out: Path, progress: Progress, *, goes_on: bool) -> None:
    """Finish or remove what killed runs left, except a native store.

    That may be hours of work, so the run that made it continues it, and another run names it.
    """
    native, dense = temporary_stores(out)
    for made in (native, dense):
        finish_replacement(made, out)
    shutil.rmtree(dense, ignore_errors=True)
    if native.exists() and not goes_on:
        progress.warn(
            f"'{native}' was left by an interrupted run with --overwrite or --layout dense: "
            f"repeat that command to continue it, or remove '{native.name}'"
        )


def temporary_stores(out: Path) -> tuple[Path, Path]:
    """Return where a store that is to be replaced, or its dense form, is made."""
    return out.with_name(f".{out.name}.native"), out.with_name(f".{out.name}.dense")


@contextmanager
def _target(
    config: ExtractConfig, out: Path, spec: FeatureSpec, progress: Progress
) -> Iterator[Path]:
    """Yield the native store to write: ``out``, or a temporary one from which ``out`` is made."""
    dense = config.layout == "dense"
    taken = not is_free(out)
    if taken and config.overwrite:
        read_header(open_group(out), f"'{out}'")  # never remove what is not ours
    elif taken and dense:
        raise InputError(f"'{out}' exists already: give another --out, or use --overwrite")
    if not dense and not (taken and config.overwrite):
        yield out
        return
    native, made_dense = temporary_stores(out)
    _remove_other(native, spec)
    yield native
    made = native
    if dense:
        made, store = made_dense, FeatureStore.open(native)
        with progress.bar("dense", store.n_rows, "rows") as advance:
            export_dense(store, made, overwrite=True, advance=advance)  # one of a killed run
    replace_folder(made, out)
    shutil.rmtree(native, ignore_errors=True)


def _remove_other(native: Path, spec: FeatureSpec) -> None:
    """Remove what a killed run left for other features: no run can continue it."""
    if not (native / "zarr.json").is_file():
        return
    group = open_group(native)
    if "spec" in group.attrs and read_header(group, f"'{native}'").spec.hash != spec.hash:
        shutil.rmtree(native)
