"""What is due when: evaluations, the log, saves."""

import json

import numpy as np
import pytest
from diffusers import DDPMScheduler
from dseg.pretrain.run.folder import RunFolder
from dseg.pretrain.run.loop import TrainingStatus
from dseg.pretrain.run.record import Record
from dseg.pretrain.run.sheets import Sheets
from dseg.pretrain.train.heldout_loss import HeldOut
from dseg.pretrain.train.recipe import Recipe
from dseg.pretrain.train.step import Training


@pytest.fixture
def record(unet, here, tmp_path):
    """A record of a new run in a batch of 16; ``said`` is what it tells."""

    def make(sheets, held_out):
        folder, said = RunFolder(tmp_path / "run"), []
        folder.prepare("", step=None)
        training = Training(unet(1), DDPMScheduler(), Recipe(), here)
        made = Record(
            folder,
            training,
            settings={},
            card={"made_by": "dseg 0"},
            held_out=held_out,
            save_seconds=1e9,
            sheets=Sheets(folder, training, sheets, 0.0, said.append),
            say=said.append,
        )
        made.said = said
        return made

    return make


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
