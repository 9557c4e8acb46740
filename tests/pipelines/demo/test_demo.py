"""``dseg demo``: every command on drawn scenes, in a folder of its own."""

import json
import shutil
from contextlib import contextmanager
from dataclasses import asdict, replace

import numpy as np
import pytest
from dseg.classify.inference.mask_files import read_mask
from dseg.classify.labels.classes import load_classes
from dseg.demo.picture import Example, draw_picture
from dseg.demo.scenes import CLASSES, COLOURS, draw_scene
from dseg.pipelines.console.progress import Progress
from dseg.pipelines.demo.config import DemoConfig
from dseg.pipelines.demo.run import demo
from dseg.pipelines.evaluate.config import EvaluateConfig
from dseg.pipelines.evaluate.run import evaluate
from dseg.store.errors import DsegError
from PIL import Image

SIZE = (32, 48)


def config_of(ddpm, out):
    return DemoConfig(
        out,
        str(ddpm),
        size=SIZE,
        labelled=3,
        predicted=5,
        members=2,
        max_steps=30,
        device="cpu",
    )


@pytest.fixture
def config(ddpm, tmp_path):
    return config_of(ddpm, tmp_path / "demo")


@pytest.fixture(scope="module")
def whole(ddpm, tmp_path_factory):
    """What an unbroken demo comes to, and its folder; read only."""
    config = config_of(ddpm, tmp_path_factory.mktemp("whole") / "demo")
    return demo(config), config.out


@pytest.fixture
def made(config, whole):
    """The configuration of a demo that is complete, in a folder of its own, and what it came to."""
    summary, folder = whole
    shutil.copytree(folder, config.out)
    return config, summary


def files(folder):
    """Every file with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def stems(folder):
    return sorted(path.stem for path in folder.glob("*.png"))


def test_a_demo_writes_scenes_masks_scores_and_a_picture(whole):
    summary, out = whole
    train, test = [0, 1, 2], [3, 4, 5, 6, 7]
    assert stems(out / "photos") == [f"scene_{seed:02d}" for seed in train + test]
    assert stems(out / "labels") == [f"scene_{seed:02d}" for seed in train]
    assert stems(out / "truth") == stems(out / "masks") == [f"scene_{seed:02d}" for seed in test]
    assert (out / "train.txt").read_text().split() == stems(out / "labels")
    assert (out / "test.txt").read_text().split() == stems(out / "truth")
    for seed in train + test:
        scene, folder = draw_scene(seed, SIZE), "labels" if seed in train else "truth"
        with Image.open(out / "photos" / f"scene_{seed:02d}.png") as image:
            assert np.array_equal(np.asarray(image), scene.image)
        assert np.array_equal(read_mask(out / folder / f"scene_{seed:02d}.png"), scene.label)
    classes = load_classes(out / "labels")
    assert (classes.names, classes.colours) == (CLASSES, COLOURS)
    assert tuple((out / "classes.txt").read_text().split()) == CLASSES
    scores = evaluate(EvaluateConfig(out / "masks", out / "truth"))
    for key in ("mean_iou", "pixel_accuracy", "iou"):
        assert asdict(summary)[key] == asdict(scores)[key]
    assert scores.learnt_from == 0
    assert tuple(summary.iou) == CLASSES
    assert (summary.labelled, summary.predicted) == (3, 5)
    assert summary.picture == str(out / "demo.png")


def test_the_picture_shows_scenes_evenly_spaced(whole):
    (summary, out), shown = whole, []
    for seed in (3, 4, 6, 7):  # of 3 to 7
        scene, stem = draw_scene(seed, SIZE), f"scene_{seed:02d}"
        mask = read_mask(out / "masks" / f"{stem}.png")
        uncertainty = np.load(out / "masks/uncertainty" / f"{stem}.npy")
        shown.append(Example(scene.image, mask, scene.label, uncertainty))
    note = f"3 labelled scenes; mIoU {summary.mean_iou:.2f} on 5 others"
    expected = draw_picture(shown, CLASSES, COLOURS, note)
    assert (out / "demo.png").read_bytes() == expected
    assert draw_picture(shown[::-1], CLASSES, COLOURS, note) != expected


class Stops(Progress):
    """Interrupts a stage after some of its work, as Ctrl-C does; keeps what was said."""

    def __init__(self, label="", after=0):
        self.label, self.after, self.said = label, after, []

    def say(self, text):
        self.said.append(text)

    @contextmanager
    def bar(self, label, total, unit):
        done = 0

        def advance(n):
            nonlocal done
            done += n
            if label == self.label and done >= self.after:
                raise KeyboardInterrupt

        yield advance


@pytest.mark.parametrize(
    ("stage", "after"),
    [
        *(pytest.param(*at, marks=pytest.mark.slow) for at in (("draw", 4), ("fit", 9))),
        *(("extract", 3), ("predict", 2)),
    ],
)
def test_an_interrupted_demo_goes_on(config, whole, stage, after):
    expected, unbroken = whole
    with pytest.raises(KeyboardInterrupt):
        demo(config, Stops(stage, after))
    masks = set(stems(config.out / "masks"))
    assert bool(masks) == (stage == "predict")
    assert len(masks) < 5
    summary = demo(config)
    assert summary.iou == expected.iou
    for name in ("photos", "labels", "truth"):
        assert files(config.out / name) == files(unbroken / name)
    for stem in stems(unbroken / "masks"):
        one, other = (read_mask(f / "masks" / f"{stem}.png") for f in (config.out, unbroken))
        assert np.array_equal(one, other)


def test_a_demo_that_is_complete_is_left_as_it_is(made):
    config, first = made
    before = files(config.out)
    progress = Stops()
    again = demo(config, progress)
    assert files(config.out) == before
    assert again.iou == first.iou
    assert any("exists already" in text for text in progress.said)


def test_a_lost_part_is_made_again(made):
    config, first = made
    for path in (config.out / "model").iterdir():
        path.unlink()
    (config.out / "model").rmdir()
    (config.out / "demo.png").unlink()
    (config.out / "masks/scene_04.png").unlink()
    assert demo(config).iou == first.iou
    assert (config.out / "demo.png").is_file()


def test_a_changed_scene_is_drawn_again(made):
    config, _ = made
    path = config.out / "photos/scene_04.png"
    before = path.read_bytes()
    Image.new("RGB", SIZE[::-1]).save(path)
    demo(config)
    assert path.read_bytes() == before


def test_other_settings_are_refused_until_overwrite(made, other_ddpm):
    config, _ = made
    before = files(config.out)
    words = r"other settings \(labelled \(3 before, 2 now\)\).*--overwrite to start again"
    with pytest.raises(DsegError, match=words):
        demo(replace(config, labelled=2))
    with pytest.raises(DsegError, match=r"checkpoint \(.* before, .* now\)"):
        demo(replace(config, checkpoint=str(other_ddpm)))
    assert files(config.out) == before
    summary = demo(replace(config, labelled=2, checkpoint=str(other_ddpm), overwrite=True))
    assert (summary.labelled, summary.predicted) == (2, 5)
    assert stems(config.out / "labels") == ["scene_00", "scene_01"]
    assert len(stems(config.out / "photos")) == 7


def test_a_folder_of_other_things_is_refused(config):
    config.out.mkdir()
    (config.out / "thesis.tex").write_text("years of work")
    with pytest.raises(
        DsegError, match=r"is not empty and was not made by `dseg demo`.*'thesis.tex'"
    ):
        demo(config)
    assert files(config.out) == {"thesis.tex": b"years of work"}
    demo(replace(config, overwrite=True))
    assert (config.out / "thesis.tex").read_text() == "years of work"
    assert (config.out / "demo.png").is_file()
    demo(replace(config, overwrite=True))  # starting anew removes what is the demo's alone
    assert (config.out / "thesis.tex").read_text() == "years of work"


def test_what_the_demo_did_not_write_is_never_replaced(config):
    (config.out / "photos").mkdir(parents=True)
    (config.out / "photos/holiday.jpg").write_bytes(b"irreplaceable")
    for overwrite in (False, True):
        with pytest.raises(DsegError, match="'photos'"):
            demo(replace(config, overwrite=overwrite))
    assert files(config.out) == {"photos/holiday.jpg": b"irreplaceable"}


def test_a_damaged_mark_is_refused_until_overwrite(config):
    config.out.mkdir()
    for content in ("{", "[]", '{"size": "large"}'):
        (config.out / "dseg-demo.json").write_text(content)
        with pytest.raises(DsegError, match="--overwrite"):
            demo(config)
    demo(replace(config, overwrite=True))
    assert json.loads((config.out / "dseg-demo.json").read_text())["labelled"] == 3


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"labelled": 0}, "at least one scene to train on and one to predict, got 0 and 5"),
        ({"predicted": 0}, "at least one scene to train on and one to predict, got 3 and 0"),
        ({"labelled": 13, "predicted": 60}, "the demo has only 72 scenes, but 13 .* and 60"),
        ({"size": (15, 64)}, "scenes of 15x64 pixels are too small"),
        ({"checkpoint": "gone.pt"}, "'gone.pt' does not exist"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_a_wrong_call_is_refused_and_leaves_no_folder(config, wrong, words):
    with pytest.raises(DsegError, match=words) as refused:
        demo(replace(config, **wrong))
    assert refused.value.exit_code == 2
    assert not config.out.exists()


def test_a_file_in_place_of_the_folder_is_refused(config):
    config.out.write_text("a file")
    with pytest.raises(DsegError, match="is a file: give a folder with --out"):
        demo(config)
    assert config.out.read_text() == "a file"
