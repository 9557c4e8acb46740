"""How far a training is: a bar, or lines, with its step, loss and remaining time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from ...pretrain.run.loop import Length, TrainingStatus
from ..console.progress import Console, Progress
from ..console.progress_lines import Now

__all__ = ["remaining", "training_bar"]

_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {unit}"  # tqdm begins a postfix with a comma


@contextmanager
def training_bar(
    progress: Progress, length: Length, step: int, seconds: float, label: str = "pretrain"
) -> Iterator[Callable[[TrainingStatus], None]]:
    """Show a bar on a terminal, else lines; yields a function that takes where the run stands.

    Parameters
    ----------
    progress : Progress
        What else is told goes through it; the bar is shown where its bars are.
    length : Length
    step : int
    seconds : float
        Where the run stands already.
    label : str
        What the bar, or a line, begins with.
    """
    shown = isinstance(progress, Console) and progress.draws
    began, due = length.progress(step, seconds), Now()
    with tqdm(
        total=1.0,
        initial=began,
        desc=label,
        bar_format=_FORMAT,
        unit=f"step {step}",
        disable=not shown,
        dynamic_ncols=True,
    ) as bar:

        def show(moment: TrainingStatus) -> None:
            words = [f"step {moment.step}"]
            if moment.loss is not None:
                words.append(f"loss {moment.loss:.4f}")
            left = remaining(began, seconds, moment)
            if left is not None:
                words.append(f"{tqdm.format_interval(left)} left")
            bar.unit, bar.n = ", ".join(words), moment.progress
            bar.refresh()
            if not shown and due():
                progress.say(f"{label}: {100 * moment.progress:.0f} %, {bar.unit}")

        yield show


def remaining(began: float, seconds: float, moment: TrainingStatus) -> float | None:
    """Return the seconds that a run still takes at the pace of this session, if that is known.

    Parameters
    ----------
    began : float
        Share of the run that was done when the session began.
    seconds : float
        That the run had taken by then.
    moment : TrainingStatus
    """
    gained = moment.progress - began
    if gained <= 0:
        return None
    return (moment.seconds - seconds) / gained * (1 - moment.progress)
