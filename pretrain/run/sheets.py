"""The sheets of samples of a run: when one is due, and drawing it."""

from collections.abc import Callable

from ..network.samples import DDIM_STEPS, write_samples
from ..train.step import Training
from .folder import RunFolder
from .loop import TrainingStatus

__all__ = ["Sheets"]

_SHEETS = 4  # over a run
_ON_SHEET = 16  # images
_SHORT_RUN = 600.0  # seconds; a shorter run has one sheet, at its end
_LONG_SHEET, _LONG_SHARE = 60.0, 0.1  # seconds, and share of a run, beyond which none is drawn


class Sheets:
    """Sheets of samples, evenly over a run.

    Parameters
    ----------
    folder : RunFolder
    training : Training
    count : int, optional
        Of the whole run; by default as many as it has time for, four at most.
    progress : float
        Share of the run that is done already.
    say : callable
        Shows a line to the user: why a sheet is not drawn.
    """

    def __init__(
        self,
        folder: RunFolder,
        training: Training,
        count: int | None,
        progress: float,
        say: Callable[[str], None],
    ) -> None:
        self._folder, self._training, self._say = folder, training, say
        self._as_time_allows, self._count = count is None, _SHEETS if count is None else count
        self._passed = int(progress * self._count)

    def due(self, moment: TrainingStatus) -> bool:
        """Say whether it is time for the next sheet, which counts as drawn from then on."""
        passed = int(moment.progress * self._count)
        if passed <= self._passed or moment.stopped:
            return False
        if self._as_time_allows:
            if not moment.last and moment.seconds / moment.progress < _SHORT_RUN:
                return False
            takes = self._seconds_a_sheet(moment)
            if takes > max(_LONG_SHEET, _LONG_SHARE * moment.seconds):
                self._say(
                    f"no sheet of samples: drawing it would take {takes / 60:.0f} minutes; "
                    f"--sheets {_SHEETS} draws it anyway"
                )
                self._passed = passed
                return False
        self._passed = passed
        return True

    def _seconds_a_sheet(self, moment: TrainingStatus) -> float:
        """Estimate by the training steps, which take about three passes an image."""
        here, batch = self._training.here, self._training.recipe.batch_size
        a_pass = moment.seconds / moment.step * here.world / batch / 3
        return a_pass * _ON_SHEET * DDIM_STEPS

    def draw(self, step: int) -> None:
        """Draw what the averaged network has learned by a step."""
        training = self._training
        with training.autocast():
            write_samples(
                training.averaged,
                training.schedule,
                _ON_SHEET,
                self._folder.sheet(step),
                at_once=training.recipe.batch_size,
            )
