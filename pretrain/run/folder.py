"""The folder of a run: what of it is ours, whether a run in it goes on, what is added to it.

A run that begins anew where an older one was leaves that in place until it has a network of its
own to put there. What is not ours is never touched.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...store.atomic_folder import is_free, is_temporary, remove_temporary_files
from ...store.claims import is_lock
from ...store.errors import InputError
from ..network.folder import PARTS, read_card, write_network
from ..train.step import Training
from .continuing import values_to_continue
from .log_file import RunLog
from .loop import Length
from .state import HALF_MADE, STATE, has_state, read_state, write_state

__all__ = ["RunFolder"]

_LOG, _IMAGES, _SAMPLES = "log.jsonl", "images.sha256", "samples"
_OLD_LOCK = ".lock"  # of a killed run of an older version
_HALF_MADE = {*HALF_MADE, ".new", f".{_LOG}.new", ".DS_Store"}
_OURS = {STATE, _LOG, _IMAGES, _SAMPLES, _OLD_LOCK, *PARTS, *_HALF_MADE}
_ELSE = "give another --out"
_WORDS = {"images_sha256": "the images", "init_sha256": "the init"}


class RunFolder:
    """The folder of a run.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    holds_older : bool
        Whether an older run's network is still in place, of which the first `save` makes an end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.holds_older = False
        self._log, self._listing = RunLog(path / _LOG), ""
        self._waiting: list[Mapping[str, Any]] = []  # of the log, while an older run is in place

    @property
    def images(self) -> Path:
        """The list of its images."""
        return self.path / _IMAGES

    def state_to_continue(
        self, settings: Mapping[str, Any], length: Length, *, overwrite: bool
    ) -> dict[str, Any] | None:
        """Return the values of the state that a run goes on from; None if it begins.

        Parameters
        ----------
        settings : mapping
            What a run must keep when it goes on, plain JSON values.
        length : Length
        overwrite : bool
            Begin anew where there is a run of other settings, a damaged, or a finished one.

        Raises
        ------
        InputError
            If there is something else, or a run of other settings.
        DsegError
            If the state is damaged.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"'{self.path}' is a file: {_ELSE}")
        if not has_state(self.path / STATE):
            self._refuse_others(overwrite)
        return values_to_continue(
            self.path / STATE,
            settings,
            length,
            overwrite=overwrite,
            words=_WORDS,
            same="use the same options to continue it, give another --out (and --init, to start "
            "from its network)",
        )

    def _refuse_others(self, overwrite: bool) -> None:
        """Refuse a folder without a state, unless it is free or a run was about to begin in it."""
        if is_free(self.path):
            return
        there = {name for part in self.path.iterdir() if not _is_passing(name := part.name)}
        if (self.path / PARTS[-1]).is_file():
            if not str(read_card(self.path).get("made_by", "")).startswith("dseg "):
                raise InputError(
                    f"'{self.path}' contains a network that dseg did not train: {_ELSE}"
                )
            if not overwrite:
                raise InputError(
                    f"'{self.path}' contains a trained network without the state to continue "
                    "from: use it as --init with another --out, or use --overwrite to start "
                    "again"
                )
        elif _IMAGES not in there or there - _OURS:
            raise InputError(
                f"'{self.path}' contains files that are not of `dseg pretrain`: {_ELSE}"
            )

    def prepare(self, listing: str, *, step: int | None) -> None:
        """Make ready for a run.

        Parameters
        ----------
        listing : str
            The hashes of its images.
        step : int, optional
            After which it goes on; what is logged and drawn beyond is of a future that a kill cut
            off. None if it begins.
        """
        self._listing = listing
        self.holds_older = step is None and (self.path / PARTS[0]).exists()
        if not self.holds_older:
            self._claim(-1 if step is None else step)

    def _claim(self, step: int) -> None:
        self._forget_after(step)
        (self.path / _SAMPLES).mkdir(parents=True, exist_ok=True)
        self.images.write_text(self._listing, encoding="utf-8", errors="surrogateescape")
        for line in self._waiting:
            self._log.add(line)
        self._waiting = []

    def _forget_after(self, step: int) -> None:
        remove_temporary_files(self.path)
        self._log.forget_after(step)
        for sheet in (self.path / _SAMPLES).glob("step_*.png"):
            number = sheet.stem.removeprefix("step_")
            if number.isdecimal() and int(number) > step:
                sheet.unlink()

    def log(self, line: Mapping[str, Any]) -> None:
        """Add a line to the log."""
        if self.holds_older:
            self._waiting.append(line)
        else:
            self._log.add(line)

    def sheet(self, step: int) -> Path:
        """Return the path of the samples drawn after a step."""
        return self.path / _SAMPLES / f"step_{step:07d}.png"

    def restore(self, training: Training) -> None:
        """Bring a training to where the state says.

        Raises
        ------
        DsegError
            If the state is damaged.
        """
        training.restore(*read_state(self.path / STATE))

    def save(
        self, training: Training, settings: Mapping[str, Any], seconds: float, card: dict[str, Any]
    ) -> None:
        """Write the state, then the network: killed between them, the run goes on and mends it.

        Raises
        ------
        DsegError
            If they cannot be written; what was saved last is kept.
        """
        tensors, values = training.state()
        values |= {"seconds": seconds, "settings": dict(settings)}
        write_state(self.path / STATE, tensors, values)
        if self.holds_older:
            self.holds_older = False
            self._claim(-1)
        write_network(training.averaged, training.schedule, self.path, card)

    def first_loss(self) -> float | None:
        """Return the held-out loss of what the run began from, as an earlier session found it."""
        origin = read_card(self.path).get("init")
        loss = origin.get("held_out_loss") if isinstance(origin, dict) else None
        return float(loss) if isinstance(loss, int | float) else None

    def result(self, step: int) -> dict[str, Any]:
        """Return the card of the network if it is whole and of that step, else an empty one."""
        card = read_card(self.path)
        whole = all((self.path / part).exists() for part in PARTS)
        return card if whole and card.get("trained_steps") == step else {}


def _is_passing(name: str) -> bool:
    """Whether a file is a lock, or what a killed run has left half-written."""
    return is_lock(name) or is_temporary(name)
