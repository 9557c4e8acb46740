"""Whether a run goes on from the state that an earlier one has left."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...store.differences import differences
from ...store.errors import DsegError, InputError
from .loop import Length
from .state import has_state, read_values

__all__ = ["values_to_continue"]


def values_to_continue(
    state: Path,
    settings: Mapping[str, Any],
    length: Length,
    *,
    overwrite: bool,
    words: Mapping[str, str],
    same: str,
) -> dict[str, Any] | None:
    """Return the values of the state that a run goes on from; None if it begins.

    Parameters
    ----------
    state : Path
        The folder of the state, within the run's; it need not exist.
    settings : mapping
        What a run must keep when it goes on, plain JSON values.
    length : Length
    overwrite : bool
        Begin anew where there is a run of other settings, a damaged, or a finished one.
    words : mapping
        What to call a setting in place of its name and values, see `differences`.
    same : str
        What to do about other settings, for the message: "use the same options to continue it".

    Raises
    ------
    InputError
        If there is a run of other settings.
    DsegError
        If the state is damaged.
    """
    if not has_state(state):
        return None
    try:
        values = read_values(state)
    except DsegError:
        if overwrite:
            return None
        raise
    differ = differences(values.get("settings", {}), settings, words)
    if differ and not overwrite:
        raise InputError(
            f"'{state.parent}' contains a run that differs in {'; '.join(differ)}: {same}, or use "
            "--overwrite to start again"
        )
    over = length.progress(values["step"], values["seconds"]) >= 1
    return None if overwrite and (differ or over) else values
