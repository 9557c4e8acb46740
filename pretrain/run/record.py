"""What is kept of a run while it trains: log, held-out loss, sheets of samples, state, network."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from ..train.heldout_loss import HeldOut
from ..train.step import Training
from .folder import RunFolder
from .loop import Diverged, TrainingStatus
from .sheets import Sheets

__all__ = ["Record", "shortfall"]

_EVALUATE_EVERY = 60.0  # seconds
_SHARE = 20  # of which at most one part goes into evaluation

_LEAST_GAIN = 0.01
"""Of the held-out loss: what has to be gained. The images and their noise are the same before and
after, so even a small gain is real, but a smaller one is not seen in masks."""


class Record:
    """What is kept of a run while it trains.

    Parameters
    ----------
    folder : RunFolder
    training : Training
    settings : mapping
        What the run must keep when it goes on.
    card : mapping
        What does not change of the network's card.
    held_out : HeldOut, optional
    save_seconds : float
        Between two saves.
    sheets : Sheets
    say : callable
        Shows a line to the user.
    """

    def __init__(
        self,
        folder: RunFolder,
        training: Training,
        *,
        settings: Mapping[str, Any],
        card: Mapping[str, Any],
        held_out: HeldOut | None,
        save_seconds: float,
        sheets: Sheets,
        say: Callable[[str], None],
    ) -> None:
        self._folder, self._training, self._held_out = folder, training, held_out
        self._settings, self._card, self._say = settings, card, say
        self._save_seconds, self._sheets = save_seconds, sheets
        self._saved = self._reported = time.monotonic()
        self._cost = 0.0  # of an evaluation, seconds
        last = folder.result(training.done)
        self.loss: float | None = last.get("loss")
        self.held_out_loss: float | None = last.get("held_out_loss")
        self.first_loss = folder.first_loss() if training.done else None

    def begin(self) -> None:
        """Measure what the run begins from, where that is a network and images are held out."""
        if "init" not in self._card or self._training.done or self._held_out is None:
            return
        self.first_loss = self._evaluate(self._held_out)
        self.held_out_loss = None
        self._say(f"held-out loss of {self._card['init']['source']}: {self.first_loss:.4f}")

    @property
    def shortfall(self) -> str | None:
        """That the network has not become better than what it began from, in words."""
        if self.first_loss is None or self.held_out_loss is None:
            return None
        return shortfall(self.first_loss, self.held_out_loss, self._card["init"]["source"])

    def note(self, moment: TrainingStatus) -> None:
        """Do what is due: evaluate, log, save, draw.

        Raises
        ------
        Diverged
            If there is nothing worth saving.
        DsegError
            If it cannot be written.
        """
        line = {
            "step": moment.step,
            "seconds": round(moment.seconds, 1),
            "learning_rate": moment.rate,
            "loss": moment.loss,
        }
        self.loss = self.loss if moment.loss is None else moment.loss
        now = time.monotonic()
        finished = moment.last and not moment.stopped  # one asked to stop may have little time
        if finished or now - self._reported >= max(_EVALUATE_EVERY, _SHARE * self._cost):
            if self._held_out is not None:
                line["held_out_loss"] = self._evaluate(self._held_out)
            self._report(moment)
        if moment.loss is not None:
            self._folder.log(line)
        draws = self._sheets.due(moment)
        due = now - self._saved >= self._save_seconds
        if due or moment.last or (draws and self._folder.holds_older):
            self._save(moment)
        if draws:
            self._sheets.draw(moment.step)

    def _evaluate(self, held_out: HeldOut) -> float:
        training, start = self._training, time.monotonic()
        with training.autocast():
            loss = held_out.loss(training.averaged, training.recipe.batch_size)
        self.held_out_loss, self._cost = loss, time.monotonic() - start
        return loss

    def _report(self, moment: TrainingStatus) -> None:
        self._reported = time.monotonic()
        losses = {"loss": self.loss, "held-out": self.held_out_loss}
        words = ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items() if loss is not None)
        self._say(f"step {moment.step}, {moment.seconds / 60:.1f} minutes: {words}")

    def _save(self, moment: TrainingStatus) -> None:
        if not self._training.is_finite():
            raise Diverged(moment.step, self._training.precision)
        card = {
            **self._card,
            "trained_steps": moment.step,
            "trained_seconds": round(moment.seconds, 1),
            "loss": self.loss,
            "held_out_loss": self.held_out_loss,
        }
        if self.first_loss is not None:
            card["init"] = {**card["init"], "held_out_loss": self.first_loss}
        if self.shortfall is not None:
            card["note"] = self.shortfall
        self._folder.save(self._training, self._settings, moment.seconds, card)
        self._saved = time.monotonic()


def shortfall(before: float, after: float, source: str) -> str | None:
    """Say in words that a training did not bring much; None if it did.

    Parameters
    ----------
    before, after : float
        Loss on held-out images, of the network that the run began from and of the trained one.
    source : str
        What it began from.

    Examples
    --------
    >>> shortfall(0.03, 0.02, "net.pt")
    >>> shortfall(0.0123, 0.013, "net.pt")
    'held-out loss 0.0123 → 0.0130: not better than net.pt. Train longer, or use that'
    """
    if after <= (1 - _LEAST_GAIN) * before:
        return None
    much = "hardly" if after < before else "not"
    return (
        f"held-out loss {before:.4f} → {after:.4f}: {much} better than {source}. Train longer, or "
        "use that"
    )
