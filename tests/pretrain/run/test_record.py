"""What is due when: sheets of samples, evaluations, saves."""

import json

import numpy as np
import pytest
from diffusers import DDPMScheduler
from dseg.pretrain.run.folder import RunFolder
from dseg.pretrain.run.loop import TrainingStatus
from dseg.pretrain.run.record import Record
from dseg.pretrain.train.heldout_loss import HeldOut
from dseg.pretrain.train.recipe import Recipe
from dseg.pretrain.train.step import Training


@pytest.fixture
def record(unet, here, tmp_path):
    """A record of a new run in a batch of 16; ``said`` is what it tells."""

    def make(sheets=None, progress=0.0, save_seconds=1e9, held_out=None):
        folder, said = RunFolder(tmp_path / "run"), []
        folder.prepare("", step=None)
        made = Record(
            folder,
            Training(unet(1), DDPMScheduler(), Recipe(), here),
            settings={},
            card={"made_by": "dseg 0"},
            held_out=held_out,
            save_seconds=save_seconds,
            sheets=sheets,
            progress=progress,
            say=said.append,
        )
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


def drawn(record, *given, **named):
    return [moment.progress for moment in moments(*given, **named) if record._draws(moment)]


def test_sheets_are_spread_over_a_long_run_and_end_a_short_one(record):
    assert drawn(record(), 3600, 10**5) == [0.3, 0.5, 0.8, 1.0]
    assert drawn(record(), 599, 10**5) == [1.0]
    assert drawn(record(), 599, 10**5, stopped=True) == []
    assert drawn(record(progress=0.6), 3600, 10**5)[:2] == [0.8, 1.0]


def test_as_many_sheets_as_asked_for(record):
    assert drawn(record(sheets=2), 10, 10**5) == [0.5, 1.0]
    assert drawn(record(sheets=0), 3600, 10**5) == []
    assert drawn(record(sheets=1), 3600, 5) == [1.0]  # however long it takes


def test_sheets_that_would_take_too_long_are_not_drawn(record):
    """A step of 60 s for 16 images: 800 passes of a third of their share take 1000 s."""
    slow = record()
    assert drawn(slow, 6000, 100) == []
    assert slow.said[-1].startswith("no sheet of samples: drawing it would take 17 minutes; --shee")
    assert drawn(record(), 100_000, 1667) == [
        0.3,
        0.5,
        0.8,
        1.0,
    ]  # a tenth of the time is well spent


def test_what_is_noted_is_logged_evaluated_and_saved(record, tmp_path):
    images = list(np.zeros((2, 3, 8, 8), np.float32))
    noting = record(sheets=0, held_out=HeldOut(images, DDPMScheduler(), 0))
    folder = tmp_path / "run"
    noting.note(TrainingStatus(5, 1.0, 0.5, 0.25, 1e-3))
    assert not (folder / "training").exists()
    noting.note(TrainingStatus(9, 2.0, 1.0, 0.125, 1e-3, last=True))
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == [0.25, 0.125]
    assert "held_out_loss" not in lines[0]
    card = json.loads((folder / "dseg.json").read_text())
    assert (card["trained_steps"], card["loss"]) == (9, 0.125)
    assert card["held_out_loss"] == lines[1]["held_out_loss"] == noting.held_out_loss
    assert noting.said == [
        f"step 9, 0.0 minutes: loss 0.1250, held-out {card['held_out_loss']:.4f}"
    ]


def test_one_asked_to_stop_saves_without_delay(record, tmp_path):
    images = list(np.zeros((2, 3, 8, 8), np.float32))
    noting = record(sheets=4, held_out=HeldOut(images, DDPMScheduler(), 0))
    noting.note(TrainingStatus(5, 1.0, 0.9, 0.25, 1e-3, last=True, stopped=True))
    assert (tmp_path / "run/training/state.json").is_file()
    assert noting.held_out_loss is None
    assert list((tmp_path / "run/samples").iterdir()) == []
