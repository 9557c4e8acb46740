"""When a sheet of samples is due."""

import pytest
from diffusers import DDPMScheduler
from dseg.pretrain.run.folder import RunFolder
from dseg.pretrain.run.loop import TrainingStatus
from dseg.pretrain.run.sheets import Sheets
from dseg.pretrain.train.recipe import Recipe
from dseg.pretrain.train.step import Training


@pytest.fixture
def sheets(unet, here, tmp_path):
    """The sheets of a run in a batch of 16; ``said`` is what it tells."""

    def make(count=None, progress=0.0):
        training, said = Training(unet(1), DDPMScheduler(), Recipe(), here), []
        made = Sheets(RunFolder(tmp_path / "run"), training, count, progress, said.append)
        made.said = said
        return made

    return make


def moments(whole, n_steps, stopped=False):
    """Ten moments of a run of so many seconds and steps."""
    for tenth in range(1, 11):
        share = tenth / 10
        last = tenth == 10
        done = (int(n_steps * share), whole * share, share)
        yield TrainingStatus(*done, 0.1, 1e-3, last, stopped and last)


def drawn(sheets, *given, **named):
    return [moment.progress for moment in moments(*given, **named) if sheets.due(moment)]


def test_sheets_are_spread_over_a_long_run_and_end_a_short_one(sheets):
    assert drawn(sheets(), 3600, 10**5) == [0.3, 0.5, 0.8, 1.0]
    assert drawn(sheets(), 599, 10**5) == [1.0]
    assert drawn(sheets(), 599, 10**5, stopped=True) == []
    assert drawn(sheets(progress=0.6), 3600, 10**5)[:2] == [0.8, 1.0]


def test_as_many_sheets_as_asked_for(sheets):
    assert drawn(sheets(count=2), 10, 10**5) == [0.5, 1.0]
    assert drawn(sheets(count=0), 3600, 10**5) == []
    assert drawn(sheets(count=1), 3600, 5) == [1.0]  # however long it takes


def test_sheets_that_would_take_too_long_are_not_drawn(sheets):
    """A step of 60 s for 16 images: 800 passes of a third of their share take 1000 s."""
    slow = sheets()
    assert drawn(slow, 6000, 100) == []
    assert slow.said[-1].startswith("no sheet of samples: drawing it would take 17 minutes; --shee")
    a_tenth_of_the_time = sheets()
    assert drawn(a_tenth_of_the_time, 100_000, 1667) == [0.3, 0.5, 0.8, 1.0]
