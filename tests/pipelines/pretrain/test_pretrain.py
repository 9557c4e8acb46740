"""``dseg pretrain`` from end to end, and what it says to wrong calls."""

import json
import lzma
import os
import re
import resource
import shutil
import signal
import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.networks.diffusion.unet import recommended_layers
from dseg.extract.registry import load_unet
from dseg.pipelines.pretrain import run as pipeline
from dseg.store.claims import claimed
from PIL import Image
from safetensors.torch import load_file, save_file


@pytest.fixture
def photos(tmp_path):
    """Twelve images, of which none is held out."""
    folder = tmp_path / "photos"
    folder.mkdir()
    add_images(folder, range(12))
    return folder


def add_images(folder, numbers):
    for i in numbers:
        colour = tuple(np.random.default_rng(i).integers(0, 256, 3).tolist())
        Image.new("RGB", (40 + i, 36), colour).save(folder / f"{i:02}.png")


@pytest.fixture
def train(dseg, photos, ddpm):
    """Run the command on a small network; later options count."""

    def run(*more, out="out", init=ddpm, images=photos):
        quick = ("--batch-size", 4, "--sheets", 0, "--precision", "float32", "--device", "cpu")
        words = ("--images", images, "--out", out, *quick, *(("--init", init) if init else ()))
        return dseg("pretrain", *words, *more)

    return run


def assert_refused(result, *words, code=2):
    assert result.code == code, (result.out, result.err)
    assert "Traceback" not in result.err
    errors = [line for line in result.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, result.err
    for word in words:
        assert word in errors[0]


def weights(folder):
    return load_file(folder / "unet/diffusion_pytorch_model.safetensors")


def state_of(folder):
    return load_file(folder / "training/state.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_images_to_features(dseg, train, photos, tmp_path):
    """Trained, told, and taken by the next command just as it is printed."""
    add_images(photos, range(12, 24))  # enough for one to be held out
    done = train("--steps", 3, "--sheets", 1, "--flip", "--crop", 0.5, "--size", 16)
    assert done.code == 0, done.err
    assert "out: 3 steps on 23 images in " in done.out
    assert "held-out loss " in done.out
    assert "23 training images, 1 held out" in done.err
    out = tmp_path / "out"
    assert {part.name for part in out.iterdir()} == {
        *("dseg.json", "images.sha256", "log.jsonl", "model_index.json", "samples"),
        *("scheduler", "training", "unet"),
    }
    card = json.loads((out / "dseg.json").read_text())
    assert card["trained_steps"] == 3
    assert card.items() >= recommended_layers(load_unet(out).unet, 1000).items()
    assert card["augmentation"] == {"crop": 0.5, "flip": True}
    assert (card["images"], card["held_out_images"], card["size"]) == (23, 1, 16)
    assert len((out / "images.sha256").read_text().splitlines()) == 24
    (line,) = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert line["step"] == 3
    assert line["held_out_loss"] == card["held_out_loss"]
    with Image.open(out / "samples/step_0000003.png") as sheet:
        assert sheet.size == (4 * 18, 4 * 18)
    command = done.out.split("Next: dseg ")[1].split()
    assert dseg(*command).code == 0
    backbone = load_backbone(out)
    assert backbone.blocks == tuple(card["blocks"])


def test_a_new_network(train, tmp_path):
    done = train("--size", 32, "--steps", 1, "--schedule", "cosine", init=None)
    assert done.code == 0, done.err
    assert "network: 'tiny', new; 1.9 million weights, 32 pixels; on cpu in float32" in done.err
    schedule = json.loads((tmp_path / "out/scheduler/scheduler_config.json").read_text())
    assert schedule["beta_schedule"] == "squaredcos_cap_v2"


def test_the_same_command_again_does_nothing_and_more_steps_go_on(train, tmp_path):
    out = tmp_path / "out"
    assert train("--steps", 2).code == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    again = train("--steps", 2)
    assert again.code == 0
    assert "2 steps on 12 images" in again.out
    assert "finished before" in again.out
    assert "'out' is finished: 2 steps" in again.err
    fewer = train("--steps", 1)
    assert fewer.code == 0
    assert "2 steps on 12 images" in fewer.out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before
    dry = train("--steps", 4, "--dry-run")
    assert "4 steps, 2 of them done" in dry.out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before
    more = train("--steps", 4)
    assert "continues after 2 steps" in more.err
    assert "4 steps on 12 images" in more.out
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps == [2, 4]


def test_a_network_lost_after_the_end_is_written_again(train, tmp_path):
    """A kill between state and network: the state is all that is needed."""
    assert train("--steps", 2).code == 0
    before = weights(tmp_path / "out")
    shutil.rmtree(tmp_path / "out/unet")
    assert train("--steps", 2).code == 0
    assert same(weights(tmp_path / "out"), before)


def test_the_same_seed_is_the_same_run(train, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert train("--steps", 2, "--seed", seed, out=name).code == 0
    a, b, c = (state_of(tmp_path / name) for name in "abc")
    assert same(a, b)
    assert not same(a, c)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_goes_on(train, tmp_path, number):
    """Stopped once it has logged something."""
    log = tmp_path / "out/log.jsonl"

    def stop():
        deadline = time.monotonic() + 120
        while not log.is_file() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=stop)
    thread.start()
    stopped = train("--steps", 1000, "--save-every", "0.1s")
    thread.join()
    assert stopped.code == 130
    assert "stopped after step " in stopped.err
    assert "Repeat the command to continue where it stopped" in stopped.err
    step = json.loads((tmp_path / "out/training/state.json").read_text())["step"]
    assert f"stopped after step {step}; the state is saved in 'out'" in stopped.err
    assert json.loads((tmp_path / "out/dseg.json").read_text())["trained_steps"] == step
    assert 0 < step < 990
    on = train("--steps", step + 2)
    assert f"continues after {step} steps" in on.err
    assert f"out: {step + 2} steps" in on.out


def test_a_run_goes_on_in_the_precision_that_it_began_in(dseg, photos, ddpm):
    """Which one is quicker may come out otherwise the next time: a run must not hang on it."""
    words = ("pretrain", "--images", photos, "--out", "out", "--init", ddpm, "--batch-size", 4)
    words += ("--sheets", 0)
    for begun in ("float32", "bfloat16"):
        assert dseg(*words, "--steps", 1, "--precision", begun, "--overwrite").code == 0
        assert f"on cpu in {begun}" in dseg(*words, "--steps", 2, "--device", "cpu").err


def test_images_that_cannot_be_decoded_are_left_out(train, photos, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(photos / "cut.jpg")
    (photos / "cut.jpg").write_bytes((photos / "cut.jpg").read_bytes()[:2000])
    (photos / "words.png").write_text("no picture")
    done = train("--steps", 1)
    assert done.code == 3
    assert "2 files are skipped: 'cut.jpg', 'words.png'" in done.err
    assert "2 failed:" in done.err
    assert done.err.count("cut.jpg: ") == 1
    assert "1 steps on 12 images" in done.out
    (photos / "cut.jpg").unlink()
    assert train("--steps", 1).code == 3  # the same images are left


def test_an_image_that_vanishes_in_the_midst_is_told(train, photos, monkeypatch):
    kept = pipeline.TrainingImages
    monkeypatch.setattr(pipeline, "TrainingImages", lambda *given: kept(*given[:4], cache_bytes=0))
    monkeypatch.setattr(pipeline, "_LOG_EVERY", 0.0)
    note = pipeline.Record.note

    def vanish(self, moment):
        (photos / "03.png").unlink(missing_ok=True)
        note(self, moment)

    monkeypatch.setattr(pipeline.Record, "note", vanish)
    done = train("--steps", 14)
    assert done.code == 3
    assert done.err.count("Warning: skipped from now on: '03.png' is not there any more") == 1
    assert "14 steps on 12 images" in done.out


@pytest.mark.parametrize("count", [1, 3])
def test_hardly_any_images(train, photos, count):
    """Fewer than a batch, and none held out."""
    for path in sorted(photos.iterdir())[count:]:
        path.unlink()
    done = train("--steps", 2, "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert (summary["images"], summary["held_out"], summary["steps"]) == (count, 0, 2)
    assert summary["held_out_loss"] is None
    assert summary["loss"] > 0


def test_a_list_restricts_it(train, tmp_path):
    (tmp_path / "list.txt").write_text("03\n05.png\n")
    assert "1 steps on 2 images" in train("--steps", 1, "--list", "list.txt").out
    (tmp_path / "list.txt").write_text("99\n")
    assert_refused(
        train("--list", "list.txt"), "--list contains '99', not found among the 12 images"
    )


def test_a_dry_run_writes_nothing(train, tmp_path):
    done = train("--time", "1h", "--dry-run", "--size", 32, init=None)
    assert done.code == 0
    assert "1.9 million weights for 12 images: " in done.out
    assert "nothing written (--dry-run)" in done.out
    assert not (tmp_path / "out").exists()
    as_json = train("--steps", 5, "--dry-run", "--json")
    told = json.loads(as_json.out)
    assert told["steps"] == 5
    assert 10**8 < told["peak_memory"] < 10**10


def test_settings_from_a_file(train, tmp_path):
    (tmp_path / "dseg.toml").write_text('[pretrain]\ntime = "1h"\nsteps = 2\nflip = true\n')
    done = train("--json")
    assert json.loads(done.out)["steps"] == 2
    assert json.loads((tmp_path / "out/dseg.json").read_text())["augmentation"]["flip"] is True
    (tmp_path / "dseg.toml").write_text("[pretrain]\ntime = 30\n")
    assert "'30' is not a time" in train().err


# ---- wrong calls ----


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--time", "30"), "Invalid value for '--time': '30' is not a time: give units, as in 90s"),
        (("--time", "1m30"), "'1m30' is not a time"),
        (("--time", "30m1h"), "'30m1h' is not a time"),
        (("--time", "1h1h"), "'1h1h' is not a time"),
        (("--time", ""), "'' is not a time"),
        (("--time", "0s"), "'0s' is zero: give a time such as 30m"),
        (("--save-every", "often"), "Invalid value for '--save-every': 'often' is not a time"),
        (("--steps", "0"), "Invalid value for '--steps': 0 is not in the range x>=1."),
        (("--crop", "0"), "Invalid value for '--crop': 0.0 is not in the range 0<x<=1."),
        (("--crop", "nan"), "Invalid value for '--crop': 'nan' is not a number"),
        (("--learning-rate", "inf"), "Invalid value for '--learning-rate': 'inf' is not a number"),
        (("--learning-rate", "-1"), "Invalid value for '--learning-rate': -1.0 is not in the ran"),
        (("--size", "32x48"), "Invalid value for '--size': '32x48' is not a valid integer range"),
        (("--size", "12"), "both sides must be multiples of 8: got 12x12, the nearest is 16x16"),
        (("--network", "small"), "--network small is for a new network, but --init gives one"),
        (("--batch-size", "1000000000"), "a batch of 1000000000 images of 32x32 needs 12288 GB"),
        (("--head-channels", "8"), "head_channels cannot be set for this checkpoint"),
        (("--precision", "float16"), "float16 is for CUDA, not for cpu: use bfloat16 or float32"),
        (("--device", "abacus"), "there is no device 'abacus' here"),
        (("--init", "nowhere.pt"), "'nowhere.pt'"),
    ],
)
def test_values_that_make_no_sense(train, tmp_path, words, told):
    assert_refused(train(*words), told)
    assert not (tmp_path / "out").exists()


def test_images_all_broken(train, photos):
    for path in photos.iterdir():
        path.write_text("no picture")
    refused = train()
    assert_refused(refused, "none of the 12 images can be read. The first error: '00.png'", code=1)


def test_places_that_cannot_be(train, photos, tmp_path, ddpm):
    refused = train(out=photos / "ddpm")
    assert_refused(refused, "is inside the folder of images, to which it would add images")
    assert_refused(train(out=photos), "is inside the folder of images")
    shutil.copytree(ddpm, tmp_path / "mine")
    assert_refused(
        train(out="mine", init="mine"), "--init 'mine' is the folder that --out would replace"
    )
    assert_refused(train(out="mine", init="mine/unet"), "is the folder that --out would replace")
    (tmp_path / "file").write_text("")
    assert_refused(train(out="file"), "Invalid value for '--out': Directory 'file' is a file")
    assert_refused(train(out="file/in"), "cannot write 'file/in': Not a directory", code=1)
    refused = train("--overwrite", out="mine")
    assert_refused(refused, "contains files that are not of `dseg pretrain`: give another --out")
    assert same(weights(tmp_path / "mine"), weights(ddpm))


def test_a_run_of_other_settings(train, photos, tmp_path):
    out = tmp_path / "out"
    assert train("--steps", 2).code == 0
    (out / "notes.txt").write_text("mine")
    before = weights(out)
    assert_refused(train("--steps", 2, "--flip"), "differs in flip (False before, True now)")
    Image.new("RGB", (9, 9)).save(photos / "new.png")
    assert_refused(
        train("--steps", 4), "contains a run that differs in the images: use the same", "--init"
    )
    assert same(weights(out), before)
    replaced = train("--steps", 1, "--overwrite")
    assert replaced.code == 0
    assert "1 steps on 13 images" in replaced.out
    assert not same(weights(out), before)
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_what_a_pt_does_not_show_must_stay(golden, train, tmp_path):
    packed = (golden / "guided_diffusion/adm64/model.pt.xz").read_bytes()
    (tmp_path / "net.pt").write_bytes(lzma.decompress(packed))
    quick = ("--batch-size", 1, "--steps", 1)
    assert_refused(train(*quick, init="net.pt"), "give --head-channels or --heads")
    told = train(*quick, "--head-channels", 16, init="net.pt")
    assert told.code == 0, told.err
    assert json.loads((tmp_path / "out/unet/config.json").read_text())["out_channels"] == 6
    other = train(*quick, "--head-channels", 32, "--diffusion-steps", 500, init="net.pt")
    assert_refused(other, "diffusion steps (1000 before, 500 now); head channels (16 before, 32")


def test_two_runs_at_once_in_one_folder(train, tmp_path):
    assert train("--steps", 1).code == 0
    with claimed(tmp_path / "out", None, "dseg pretrain"):
        words = f"process {os.getpid()} on {socket.gethostname()} (dseg pretrain, for "
        assert_refused(
            train("--steps", 2), words, "is writing into 'out': wait until it has finished"
        )
    assert train("--steps", 2).code == 0
    assert not list((tmp_path / "out").glob(".*"))


def test_a_run_that_diverges_keeps_what_was_saved(train, tmp_path):
    """Its weights have grown so large that the next step overflows."""
    assert train("--steps", 2).code == 0
    kept = {
        key: value * 1e30 if key == "network.conv_in.weight" else value
        for key, value in state_of(tmp_path / "out").items()
    }
    save_file(kept, tmp_path / "out/training/state.safetensors")
    refused = train("--steps", 9)
    assert_refused(refused, "training diverged by step", "lower --learning-rate", code=1)
    assert same(state_of(tmp_path / "out"), kept)
    assert (tmp_path / "out/unet/config.json").is_file()


@contextmanager
def files_of_at_most(n_bytes):
    """As a full disk: what is longer cannot be written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_keeps_what_was_saved(train, tmp_path):
    out = tmp_path / "out"
    with files_of_at_most(100_000):
        refused = train("--steps", 2)
    assert_refused(refused, "the state of the run cannot be written to 'out/training'", code=1)
    assert train("--steps", 2).code == 0
    kept = state_of(out)
    largest = (out / "unet/diffusion_pytorch_model.safetensors").stat().st_size
    with files_of_at_most(largest // 2):
        refused = train("--steps", 3)
    assert_refused(refused, "cannot be written", "File too large", code=1)
    assert same(state_of(out), kept)
    assert not list(out.glob(".*"))
    with files_of_at_most(2 * largest):  # enough for the network alone
        refused = train("--steps", 3)
    assert_refused(refused, "the state of the run cannot be written", code=1)
    assert same(state_of(out), kept)
    assert train("--steps", 3).code == 0


def test_a_disk_too_small_is_seen_beforehand(train, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    refused = train("--steps", 1)
    assert_refused(refused, "MB are needed but 0 MB are free at 'out'", code=1)
    assert not (tmp_path / "out").exists()


def test_quiet_says_nothing(train):
    done = train("--steps", 1, "-q")
    assert done.err == ""
    assert done.out.startswith("out: 1 steps")


# ---- beside what it began from ----


@pytest.fixture
def with_card(ddpm, tmp_path):
    """A network whose card asks for rows twice as large as those that it was trained on."""
    folder = tmp_path / "carded"
    shutil.copytree(ddpm, folder)
    card = {"size": 64, "steps": [7, 90], "blocks": [1, 6], "filters": True, "pixels": False}
    (folder / "dseg.json").write_text(json.dumps(card))
    return folder


@pytest.mark.parametrize(
    ("asked", "trained", "size"),
    [(64, None, 64), (64, 48, 64), (64, 72, 72), (64, 16, 16), ([64, 40], 48, [64, 48])],
)
def test_what_the_card_recommends_is_kept(
    dseg, train, with_card, photos, tmp_path, asked, trained, size
):
    """But no rows smaller than it is trained on now, nor larger after a training on less."""
    path = with_card / "dseg.json"
    card = {**json.loads(path.read_text()), "size": asked}
    path.write_text(json.dumps(card))
    done = train("--steps", 1, *(("--size", trained) if trained else ()), init=with_card)
    assert done.code == 0, done.err
    made = json.loads((tmp_path / "out/dseg.json").read_text())
    assert made["size"] == size
    kept = {key: value for key, value in card.items() if key != "size"}
    assert made.items() >= kept.items()
    command = done.out.split("Next: dseg ")[1].split()
    assert dseg(*command, "--dry-run").code == 0
    backbone = load_backbone(tmp_path / "out")
    assert backbone.row_shape == (tuple(size) if isinstance(size, list) else (size, size))
    assert (backbone.steps, backbone.blocks) == ((7, 90), (1, 6))
    unet = json.loads((tmp_path / "out/unet/config.json").read_text())
    assert unet["sample_size"] == (trained or 32)


def test_the_size_of_the_built_in_card_is_kept(dseg, photos, tmp_path):
    words = ("--images", photos, "--out", "out", "--init", "builtin:dseg-64", "--steps", 1)
    done = dseg("pretrain", *words, "--batch-size", 1, "--sheets", 0, "--device", "cpu")
    assert done.code == 0, done.err
    made, own = load_backbone(tmp_path / "out"), load_backbone("builtin:dseg-64")
    assert made.layers == own.layers
    assert made.row_shape == own.row_shape == (128, 128)


def test_a_training_that_brought_nothing_says_so(train, with_card, photos, tmp_path):
    """A rate at which nothing is learnt, and one that ruins it."""
    add_images(photos, range(12, 24))  # enough for one to be held out
    for name, rate, words in (
        ("idle", 1e-12, "hardly better than|not better than"),
        ("ruined", 5, "not better than"),
    ):
        done = train("--steps", 2, "--learning-rate", rate, out=name, init=with_card)
        assert done.code == 0, done.err
        card = json.loads((tmp_path / name / "dseg.json").read_text())
        before, after = card["init"]["held_out_loss"], card["held_out_loss"]
        told = rf"held-out loss {before:.4f} → {after:.4f}: ({words}) {with_card}\. Train longer"
        assert re.search(told, done.err), done.err
        assert re.match(told, card["note"])
        assert f"held-out loss of {with_card}: {before:.4f}" in done.err
    assert after > 1.1 * before
    again = train("--steps", 2, "--learning-rate", 5, "--json", out="ruined", init=with_card)
    summary = json.loads(again.out)
    assert (summary["note"], summary["first_held_out_loss"]) == (card["note"], before)


def test_one_that_brought_much_does_not(train, with_card, photos, tmp_path):
    """Its first sessions count too: what it began from is not measured again."""
    add_images(photos, range(12, 24))
    options = ("--learning-rate", 0.003, "--precision", "float32")
    assert train("--steps", 2, *options, init=with_card).code == 0
    before = json.loads((tmp_path / "out/dseg.json").read_text())["init"]["held_out_loss"]
    done = train("--steps", 24, *options, init=with_card)
    assert done.code == 0, done.err
    assert "better than" not in done.err
    assert "held-out loss of" not in done.err
    card = json.loads((tmp_path / "out/dseg.json").read_text())
    assert card["init"]["held_out_loss"] == before
    assert card["held_out_loss"] < 0.9 * before
    assert "note" not in card


def test_without_held_out_images_it_is_said_that_nobody_knows(train, with_card):
    done = train("--steps", 1, init=with_card)
    assert "too few images to hold one out: the held-out loss will not be known" in done.err
    assert (
        "too few images to hold one out"
        not in train("--steps", 1, "--size", 32, out="new", init=None).err
    )


def test_averaged_weights_of_what_it_begins_from(train, ddpm, other_ddpm, tmp_path):
    """And a run that began from the others does not go on from these."""
    shutil.copytree(ddpm, tmp_path / "both")
    shutil.copytree(other_ddpm / "unet", tmp_path / "both/unet_ema")
    done = train("--steps", 1, "--learning-rate", 1e-12, init="both")
    assert done.code == 0, done.err
    assert "weights: the averaged weights, 'unet_ema'" in done.err
    made, begun = weights(tmp_path / "out"), weights(other_ddpm)
    for key, value in made.items():
        torch.testing.assert_close(value, begun[key], atol=1e-6, rtol=0)
    assert json.loads((tmp_path / "out/dseg.json").read_text())["init"]["weights"] == "unet_ema"
    assert_refused(train("--steps", 2, "--weights", "unet", init="both"), "differs in ", "init")


def test_listed_betas_are_trained_with_and_written(train, ddpm, tmp_path):
    from diffusers import DDPMScheduler

    betas = (np.linspace(0.01, 0.14, 1000) ** 2).tolist()
    shutil.copytree(ddpm / "unet", tmp_path / "init/unet")
    DDPMScheduler(trained_betas=betas).save_pretrained(tmp_path / "init/scheduler")
    assert train("--steps", 1, init="init").code == 0
    assert load_unet(tmp_path / "out").schedule.betas.tolist() == betas
    plan = load_backbone(tmp_path / "out").describe()["schedule"]
    assert plan == load_backbone(tmp_path / "init").describe()["schedule"]
