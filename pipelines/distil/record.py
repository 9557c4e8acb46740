"""What is kept of a run while it trains: log, held-out mIoU, the best weights, state, student."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from ...distil.data.examples import Example
from ...distil.run.folder import StudentFolder
from ...distil.train.agreement import agreement
from ...distil.train.training import StudentTraining
from ...pretrain.run.loop import Diverged, TrainingStatus

__all__ = ["Record"]

_BEST = "best."


class Record:
    """What is kept of a run while it trains.

    Parameters
    ----------
    folder : StudentFolder
    training : StudentTraining
    held_out : sequence of Example
        Of which the best weights are chosen; if there is none, the last ones are.
    n_classes : int
    settings : mapping
        What the run must keep when it goes on.
    evaluations : int
        Of the held-out examples, over a run.
    save_seconds : float
        Between two saves.
    say : callable
        Shows a line to the user.

    Attributes
    ----------
    loss : float or None
    best : float or None
        The highest held-out mIoU.
    best_step : int
        After which it was reached.
    """

    def __init__(
        self,
        folder: StudentFolder,
        training: StudentTraining,
        held_out: Sequence[Example],
        n_classes: int,
        *,
        settings: Mapping[str, Any],
        evaluations: int,
        save_seconds: float,
        say: Callable[[str], None],
    ) -> None:
        self._folder, self._training, self._held_out = folder, training, held_out
        self._n_classes, self._settings, self._say = n_classes, dict(settings), say
        self._evaluations, self._save_seconds = evaluations, save_seconds
        self._saved, self._passed = time.monotonic(), 0
        self.loss: float | None = None
        self.best: float | None = None
        self.best_step = 0
        self._weights: dict[str, Tensor] = {}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises
        ------
        DsegError
            If it is another run's.
        """
        best = {k.removeprefix(_BEST): v for k, v in tensors.items() if k.startswith(_BEST)}
        self._weights, self.best = best, values.get("best")
        self.best_step, self._passed = values.get("best_step", 0), values.get("passed", 0)
        self.loss = values.get("loss")
        own = {key: value for key, value in tensors.items() if not key.startswith(_BEST)}
        self._training.restore(own, values)

    def due(self, progress: float) -> bool:
        """Say whether it is time to evaluate, at a share of the run."""
        return int(progress * self._evaluations) > self._passed

    def note(self, moment: TrainingStatus) -> None:
        """Do what is due: evaluate, log, save.

        Raises
        ------
        Diverged
            If there is nothing worth saving.
        DsegError
            If it cannot be written.
        """
        self.loss = self.loss if moment.loss is None else moment.loss
        line = {
            "step": moment.step,
            "seconds": round(moment.seconds, 1),
            "learning_rate": moment.rate,
            "loss": moment.loss,
        }
        if self.due(moment.progress) and not moment.stopped:
            self._passed = int(moment.progress * self._evaluations)
            if self._held_out:
                line["held_out_miou"] = self._evaluate(moment)
        if moment.loss is not None or "held_out_miou" in line:
            self._folder.log.add(line)
        if moment.last or time.monotonic() - self._saved >= self._save_seconds:
            self.save(moment)

    def _evaluate(self, moment: TrainingStatus) -> float | None:
        score = agreement(self._training.averaged, self._held_out, self._n_classes)
        loss = "" if self.loss is None else f"loss {self.loss:.4f}, "
        self._say(
            f"step {moment.step}, {moment.seconds / 60:.1f} minutes: {loss}"
            f"held-out mIoU {score:.3f}"
        )
        if math.isnan(score):
            return None
        if self.best is None or score > self.best:
            self.best, self.best_step = score, moment.step
            self._weights = _copied(self._training.averaged.state_dict())
        return score

    def weights(self) -> dict[str, Tensor]:
        """Return the student's weights: the best ones, or the last if none were held out."""
        return self._weights or _copied(self._training.averaged.state_dict())

    def save(self, moment: TrainingStatus) -> None:
        """Write the state.

        Raises
        ------
        Diverged
            If weights are not finite.
        DsegError
            If it cannot be written.
        """
        if not self._training.is_finite():
            raise Diverged(moment.step, self._training.precision)
        tensors, values = self._training.state()
        values |= {
            "seconds": moment.seconds,
            "settings": self._settings,
            "loss": self.loss,
            "best": self.best,
            "best_step": self.best_step,
            "passed": self._passed,
        }
        self._folder.save(tensors | {_BEST + k: v for k, v in self._weights.items()}, values)
        self._saved = time.monotonic()


def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}
