"""From where a run stands to its end."""

import os
import signal
import time

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from dseg.extract.images.files import list_images
from dseg.extract.images.reading import UnreadableImage
from dseg.pretrain.data.images import Augmentation, TrainingImages
from dseg.pretrain.run.loop import Diverged, Length, train
from dseg.pretrain.train.heldout_loss import HeldOut
from dseg.pretrain.train.recipe import Recipe
from dseg.pretrain.train.step import Training
from PIL import Image


@pytest.fixture
def begin(unet, here, photos):
    """A training and its images."""

    def make(cache=10**8, **recipe):
        images = TrainingImages(list_images(photos), 8, Augmentation(flip=True), 0, cache)
        given = Recipe(**{"batch_size": 4, "warmup": 5, **recipe})
        return Training(unet(1), DDPMScheduler(), given, here), images

    return make


def run(training, images, length, **given):
    told = []
    last = train(training, images, length, advance=told.append, **{"every": 0, **given})
    assert last == told[-1]
    return told


def test_the_end_by_steps(begin):
    told = run(*begin(), Length(steps=5))
    assert [moment.step for moment in told] == [1, 2, 3, 4, 5]
    assert [moment.last for moment in told] == [False] * 4 + [True]
    assert [moment.progress for moment in told] == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_a_run_in_two_sessions_is_one_run(begin):
    """The log and all weights, images and rates included."""
    whole, images = begin()
    told = run(whole, images, Length(steps=8))
    first, images = begin()
    parts = _until(first, images, Length(steps=8), 3)
    second, images = begin()
    second.restore(*first.state())
    parts += run(second, images, Length(steps=8))
    keep = [(m.step, m.loss, m.rate, m.progress) for m in told]
    assert [(m.step, m.loss, m.rate, m.progress) for m in parts] == keep
    a, b = whole.state()[0], second.state()[0]
    assert all(torch.equal(a[key], b[key]) for key in a)


class _Killed(BaseException):
    pass


def _until(training, images, length, steps):
    told = []

    def note(moment):
        told.append(moment)
        if moment.step == steps:
            raise _Killed

    with pytest.raises(_Killed):
        train(training, images, length, every=0, advance=note)
    return told


def test_the_end_by_time_counts_earlier_sessions(begin):
    training, images = begin()
    start = time.monotonic()
    told = run(training, images, Length(seconds=100.5), seconds=100.0)
    assert 0.5 <= time.monotonic() - start < 30
    assert told[0].seconds > 100
    assert told[-1].progress == 1
    again = run(training, images, Length(seconds=100.5), seconds=101.0)
    assert [(moment.step, moment.loss) for moment in again] == [(told[-1].step, None)]


def test_whichever_end_comes_first():
    length = Length(steps=10, seconds=100)
    assert length.progress(5, 20) == 0.5
    assert length.progress(5, 70) == 0.7
    assert length.progress(20, 0) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_the_step(begin, number):
    before = signal.getsignal(number)
    training, images = begin()
    told = []

    def note(moment):
        told.append(moment)
        if moment.step == 2:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)  # as a terminal and torchrun do for one Ctrl-C

    last = train(training, images, Length(steps=10**6), every=0, advance=note)
    assert last.stopped
    assert last.last
    assert last.step == training.done == 3  # the step to come is still taken
    assert signal.getsignal(number) is before


def test_a_second_request_interrupts_at_once(begin, monkeypatch):
    from dseg.pretrain.run import stopping

    monkeypatch.setattr(stopping, "_ONE_REQUEST", 0.0)
    training, images = begin()

    def note(moment):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        train(training, images, Length(steps=9), every=0, advance=note)
    assert training.done == 1


@pytest.mark.parametrize(
    ("precision", "words"), [(torch.float32, r"--overwrite\)$"), (torch.bfloat16, "float32$")]
)
def test_a_run_that_diverges_says_what_helps(begin, unet, here, precision, words):
    _, images = begin()
    recipe = Recipe(batch_size=4, warmup=0, learning_rate=1e30)
    training = Training(unet(1), DDPMScheduler(), recipe, here, precision)
    with pytest.raises(Diverged, match=f"are not finite.*lower --learning-rate.*{words}"):
        run(training, images, Length(steps=50))
    assert training.done < 10


def test_images_that_vanish_in_the_midst_end_the_run_saved(begin, photos):
    training, images = begin(cache=0)
    told = []

    def note(moment):
        told.append(moment)
        for path in photos.iterdir():
            path.unlink()

    with pytest.raises(UnreadableImage, match="none of the 10 images can be read any more"):
        train(training, images, Length(steps=99), every=0, advance=note)
    assert told[-1].stopped
    assert told[-1].step == training.done < 6


def test_it_learns(unet, here, tmp_path, picture):
    """The held-out loss falls far below that of saying nothing, which is 1, and of the start."""
    for i in range(60):
        Image.fromarray(picture(i)).save(tmp_path / f"{i:02}.png")
    paths = list_images(tmp_path)
    schedule = DDPMScheduler()
    images = TrainingImages(paths[:50], 8, Augmentation(), 0, 10**8)
    others = TrainingImages(paths[50:], 8, Augmentation(), 0, 10**8)
    held_out = HeldOut([others.whole(i) for i in range(10)], schedule, seed=0)
    recipe = Recipe(batch_size=16, learning_rate=1.2e-2, warmup=10, ema_decay=0.95)
    training = Training(unet(1), schedule, recipe, here)
    before = held_out.loss(training.averaged, 64)
    told = run(training, images, Length(steps=110))
    after = held_out.loss(training.averaged, 64)
    first, last = (np.mean([m.loss for m in part]) for part in (told[:10], told[-50:]))
    assert before > 0.9
    assert after < 0.3
    assert last < 0.3 < first
