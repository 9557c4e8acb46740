"""What the command line of ``dseg pretrain`` takes and shows."""

import sys

import pytest
from dseg.pipelines.console.progress import Console
from dseg.pipelines.console.values import TIME
from dseg.pipelines.main import cli
from dseg.pipelines.training.progress_bar import remaining, training_bar
from dseg.pretrain.network.presets import PRESETS
from dseg.pretrain.run.loop import Length, TrainingStatus
from dseg.pretrain.train.precision import PRECISIONS


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("1.5h", 5400), ("2D", 172800), ("1h1m1s", 3661)],
)
def test_times(text, seconds):
    assert TIME.convert(text, None, None) == seconds


def test_the_choices_are_those_there_are():
    """The command line names them itself, so that --help need not import torch."""
    options = {option.name: option.type for option in cli.commands["pretrain"].params}
    assert set(options["network"].choices) == set(PRESETS)
    assert set(options["precision"].choices) == set(PRECISIONS)


def test_the_bar_tells_step_loss_and_time_left(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with training_bar(Console(), Length(steps=100), 20, 1000.0) as show:
        show(TrainingStatus(40, 1200.0, 0.4, 0.1234, 1e-3))
        show(TrainingStatus(60, 1400.0, 0.6, 0.05, 1e-3))
    told = capsys.readouterr().err
    assert "20%" in told
    assert "| step 40, loss 0.1234, 10:00 left" in told
    assert "step 60, loss 0.0500, 06:40 left" in told
    with training_bar(Console(quiet=True), Length(steps=100), 0, 0.0) as show:
        show(TrainingStatus(40, 1200.0, 0.4, 0.1234, 1e-3))
    assert capsys.readouterr().err == ""


def test_the_time_left_is_by_the_pace_of_this_session():
    moment = TrainingStatus(60, 1400.0, 0.75, 0.1, 1e-3)
    assert remaining(0.5, 1000.0, moment) == 400
    assert remaining(0.75, 1000.0, moment) is None
