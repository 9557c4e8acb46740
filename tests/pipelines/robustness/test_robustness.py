"""`dseg robustness`: scores as of predict and evaluate; it goes on, and says what is wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from dseg.classify.inference.mask_files import encode_mask
from dseg.pipelines.fit.config import FitConfig
from dseg.pipelines.fit.run import fit
from dseg.pipelines.robustness.config import RobustnessConfig
from dseg.pipelines.robustness.corruptions import corrupt, working_size
from dseg.pipelines.robustness.results import Results, StudySettings, short_names
from dseg.pipelines.robustness.run import robustness
from dseg.store.errors import InputError
from PIL import Image

pytest.importorskip("imagecorruptions", reason="corruptions need dseg[robustness]")

WORDS = ("--corruptions", "fog,gaussian_noise", "--severities", "1,5")
FILES = {"robustness.json", "robustness.md", "robustness.png", "robustness.svg"}


def assert_refused(result, *words):
    assert result.code == 2, (result.out, result.err)
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err


def cells(folder):
    plain = json.loads((folder / "robustness.json").read_text())
    return {(c["model"], c["corruption"], c["severity"]): c for c in plain["cells"]}


@pytest.fixture(scope="module")
def second(world, store, tmp_path_factory):
    """Another model of the same features."""
    path = tmp_path_factory.mktemp("second") / "other"
    fit(FitConfig((store,), world.labels, path, members=2, max_steps=40))
    return path


@pytest.fixture(scope="module")
def study(world, model, second, tmp_path_factory):
    """A finished study of two models; read only."""
    out = tmp_path_factory.mktemp("study") / "out"
    robustness(
        RobustnessConfig(
            world.photos,
            world.truth,
            (model, second),
            out,
            corruptions=("fog", "gaussian_noise"),
            severities=(1, 5),
        )
    )
    return out


def test_it_leaves_figures_a_table_and_plots(dseg, world, study, model, second):
    assert {path.name for path in study.iterdir()} == FILES
    found = cells(study)
    assert len(found) == 2 * (1 + 2 * 2)
    for path in (model, second):
        clean = found[path.as_posix(), "clean", 0]
        assert set(clean["iou"]) == {"sea", "sun", "boat"}
        assert clean["mean_iou"] == pytest.approx(np.mean(list(clean["iou"].values())))
    noise = [found[model.as_posix(), "gaussian_noise", s]["mean_iou"] for s in (1, 5)]
    assert found[model.as_posix(), "clean", 0]["mean_iou"] > noise[1]
    text = (study / "robustness.md").read_text()
    assert (
        f"| gaussian noise | noise | {found[model.as_posix(), 'clean', 0]['mean_iou']:.3f} |"
        in text
    )
    assert "imagecorruptions-imaug" in text
    with Image.open(study / "robustness.png") as picture:
        assert picture.width > 1000
    drawn = (study / "robustness.svg").read_text()
    for words in ("gaussian noise", "fog", "mean of 2", "model", "other"):
        assert f">{words}<" in drawn


def test_the_clean_score_is_that_of_predict_and_evaluate(dseg, world, model, study):
    assert dseg("predict", world.photos, "--model", model).code == 0
    scores = json.loads(dseg("evaluate", "masks", world.truth, "--json").out)
    clean = cells(study)[model.as_posix(), "clean", 0]
    for key in ("mean_iou", "pixel_accuracy", "iou"):
        assert clean[key] == scores[key]


def test_a_corrupted_score_is_that_of_a_folder_of_corrupted_images(
    dseg, world, model, study, tmp_path
):
    """None is larger than 256 pixels, so each is corrupted at its own size."""
    (tmp_path / "noisy").mkdir()
    for stem in world.stems:
        with Image.open(world.photos / f"{stem}.png") as file:
            image = np.asarray(file)
        size = working_size(image.shape[:2], (32, 32), 256)
        assert size == image.shape[:2]
        noisy = corrupt(image, "gaussian_noise", 5, 0, stem, size)
        Image.fromarray(noisy).save(tmp_path / f"noisy/{stem}.png")
    assert dseg("predict", "noisy", "--model", model).code == 0
    scores = json.loads(dseg("evaluate", "masks", world.truth, "--json").out)
    assert cells(study)[model.as_posix(), "gaussian_noise", 5]["iou"] == scores["iou"]


def test_the_command_says_what_it_found(dseg, world, model, tmp_path):
    (tmp_path / "some.txt").write_text("p0\np3\n")
    words = (
        "robustness",
        world.photos,
        world.truth,
        "--model",
        model,
        "--list",
        "some.txt",
        *WORDS,
    )
    told = dseg(*words, "--dry-run")
    assert told.code == 0, told.err
    assert "5 passes over 2 images to do, 0 done already; about" in told.out
    assert not (tmp_path / "robustness").exists()
    made = dseg(*words)
    assert made.code == 0, made.err
    assert "mIoU at severity       0       1       5" in made.out
    assert "5 passes over 2 images, 0 from earlier runs" in made.out
    summary = json.loads(dseg(*words, "--json").out)
    assert (summary["passes"], summary["unchanged"], summary["images"]) == (0, 5, 2)
    found = cells(tmp_path / "robustness")
    both = [found[model.as_posix(), name, 1]["mean_iou"] for name in ("fog", "gaussian_noise")]
    means = summary["mean_iou"][model.as_posix()]
    assert means["1"] == pytest.approx(np.mean(both))
    assert means["0"] == found[model.as_posix(), "clean", 0]["mean_iou"]


def test_an_interrupted_study_goes_on(world, model, second, study, tmp_path):
    """Ctrl-C in the third pass, and a file that a killed run was writing."""
    from dseg.pipelines.console.progress import Progress

    class Interrupting(Progress):
        left = 2 * len(world.stems) + 3

        def bar(self, label, total, unit):
            return Bar(self, label)

    class Bar:
        def __init__(self, owner, label):
            self.owner, self.counts = owner, label == "robustness"

        def __enter__(self):
            return self.advance

        def __exit__(self, *_):
            return None

        def advance(self, n):
            self.owner.left -= n * self.counts
            if self.owner.left < 0:
                raise KeyboardInterrupt

    config = RobustnessConfig(
        world.photos,
        world.truth,
        (model, second),
        tmp_path / "out",
        corruptions=("fog", "gaussian_noise"),
        severities=(1, 5),
    )
    with pytest.raises(KeyboardInterrupt):
        robustness(config, Interrupting())
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"robustness.json"}
    assert len(cells(tmp_path / "out")) == 2
    (tmp_path / "out/.torn.part").write_text('{"format": "dseg-ro')
    summary = robustness(config)
    assert (summary.passes, summary.unchanged) == (8, 2)
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (study / name).read_bytes()


def test_models_and_severities_join_what_is_there(dseg, world, model, second, tmp_path):
    words = ("robustness", world.photos, world.truth, "--corruptions", "fog")
    assert dseg(*words, "--model", model, "--severities", "1").code == 0
    made = dseg(*words, "--model", model, "--model", second, "--severities", "1,3")
    assert made.code == 0, made.err
    assert "4 passes over 6 images, 2 from earlier runs" in made.out
    made = dseg(*words, "--model", model, "--corruptions", "snow", "--severities", "5", "--json")
    assert made.code == 0, made.err
    found = cells(tmp_path / "robustness")
    # What was asked for this time has its mean, however little of it the rest has.
    assert json.loads(made.out)["mean_iou"] == {
        model.as_posix(): {
            "0": found[model.as_posix(), "clean", 0]["mean_iou"],
            "5": found[model.as_posix(), "snow", 5]["mean_iou"],
        }
    }
    assert len(cells(tmp_path / "robustness")) == 2 + 4 + 1
    text = (tmp_path / "robustness/robustness.md").read_text()
    assert "| snow | weather |" in text
    assert (
        "mean over 0 corruptions that all models have at all severities (without snow, fog)" in text
    )


def test_results_of_other_things_are_not_mixed(dseg, own_world, study, model, second, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(study, out)
    shutil.copytree(model, tmp_path / "m")
    words = ("robustness", own_world.photos, own_world.truth, "--out", out, *WORDS)
    assert "0 passes over 6 images, 5 from earlier runs" in dseg(*words, "--model", "m").out
    assert_refused(
        dseg(*words, "--model", "m", "--seed", 3),
        "contains results that differ in seed (0 before, 3 now): give another --out, or",
    )
    for file in (tmp_path / "m").iterdir():
        shutil.copy(second / file.name, file)
    assert_refused(
        dseg(*words, "--model", "m"),
        "contains results of another model that was at 'm': give another",
    )
    assert_refused(
        dseg(*words, "--model", "m", "--model", second),
        f"--model 'm' and '{second}' are the same model",
    )
    (own_world.truth / "p0.png").write_bytes((own_world.truth / "p0.png").read_bytes() + b" ")
    refused = dseg(*words, "--model", model)
    assert_refused(refused, "contains results that differ in images or label maps: give")
    assert dseg(*words, "--model", model, "--overwrite").code == 0
    assert {key[0] for key in cells(out)} == {model.as_posix()}
    (out / "robustness.json").write_text("{}")
    refused = dseg(*words, "--model", model)
    assert_refused(refused, "was not written by this version of `dseg robustness`")
    (out / "robustness.json").unlink()
    for more in ((), ("--overwrite",)):
        assert_refused(
            dseg(*words, "--model", model, *more), "exists and does not contain results of"
        )


def test_wrong_calls(dseg, world, model):
    words = ("robustness", world.photos, world.truth, "--model", model)
    assert_refused(dseg(*words, "--corruptions", "rain"), "--corruptions has 'rain', which is not")
    assert_refused(dseg(*words, "--corruptions", ","), "--corruptions names no corruption")
    assert_refused(dseg(*words, "--severities", "1,6"), "--severities names 6: severities are 1 to")
    assert_refused(dseg(*words, "--side", "8"), "Invalid value for '--side'")
    assert_refused(
        dseg(*words, "--checkpoint", "a", "--checkpoint", "b"),
        "--checkpoint was given 2 times for 1 models",
    )
    assert_refused(
        dseg("robustness", world.photos, world.truth), "Directory 'model' does not exist"
    )
    assert_refused(
        dseg("robustness", world.photos, world.truth, "--model", world.photos), "is not a model"
    )
    with pytest.raises(InputError, match="--side 8 is too small: give at least 32"):
        robustness(RobustnessConfig(world.photos, world.truth, (model,), side=8))


def test_nothing_is_written_among_images_or_into_a_model(dseg, own_world, model):
    words = ("robustness", own_world.photos, own_world.truth, "--model", model)
    for out in (own_world.photos, own_world.photos / "robustness"):
        assert_refused(dseg(*words, "--out", out), "would be read as images in the next run")
    refused = dseg(*words, "--out", model, "--overwrite")
    assert_refused(
        refused, "exists and does not contain results of `dseg robustness`: give another --out"
    )


def test_images_and_labels_that_do_not_fit(dseg, own_world, model, tmp_path):
    photos, truth = own_world.photos, own_world.truth
    words = ("robustness", photos, truth, "--model", model, *WORDS)

    def save(folder, name, pixels):
        (folder / name).write_bytes(encode_mask(pixels, [(k, k, k) for k in range(256)]))

    label = np.asarray(Image.open(truth / "p0.png"))
    save(truth, "stray.png", label)
    assert_refused(dseg(*words), "1 of 7 label maps match none of the 6 images in", "'stray'")
    (truth / "stray.png").unlink()
    save(truth, "p0.png", label[:, :-1])
    assert_refused(dseg(*words), "label map 'p0.png' is 55×40 but image 'p0.png' is 56×40")
    wrong = label.copy()
    wrong[0, 0] = 9
    save(truth, "p0.png", wrong)
    assert_refused(dseg(*words), "label map 'p0.png' has the id 9 but there are 3 classes")
    save(truth, "p0.png", label)
    Image.fromarray(np.zeros((20, 40, 3), np.uint8)).save(photos / "tiny.png")
    save(truth, "tiny.png", np.zeros((20, 40), np.uint8))
    assert_refused(
        dseg(*words), "image 'tiny.png' is 40×20: the corruptions need 32 pixels per side"
    )
    (photos / "tiny.png").write_text("no picture")
    assert_refused(dseg(*words), "'tiny.png' is not an image", "Use --list to leave it out")
    (tmp_path / "blank.txt").write_text("p0\n")
    save(truth, "p0.png", np.full_like(label, 255))
    assert_refused(dseg(*words, "--list", "blank.txt"), "no pixel of the label maps in")
    assert not (tmp_path / "robustness").exists()


def test_label_maps_beside_their_images(dseg, own_world, model, study):
    """As published: 1.png and 1.npy in one folder; the images are no label maps."""
    for stem in own_world.stems:
        with Image.open(own_world.truth / f"{stem}.png") as label:
            np.save(own_world.photos / f"{stem}.npy", np.asarray(label))
    shutil.copy(own_world.truth / "classes.txt", own_world.photos)
    words = ("robustness", own_world.photos, own_world.photos, "--model", model, "--out", "beside")
    made = dseg(*words, "--corruptions", "fog", "--severities", "5")
    assert made.code == 0, made.err
    scores = [cells(folder)[model.as_posix(), "fog", 5] for folder in (study, Path("beside"))]
    assert scores[0] == scores[1]


def test_an_image_that_cannot_be_decoded_after_all(dseg, own_world, model, tmp_path):
    cut = (own_world.photos / "p3.png").read_bytes()
    (own_world.photos / "p3.png").write_bytes(cut[: len(cut) // 2])
    failed = dseg("robustness", own_world.photos, own_world.truth, "--model", model, *WORDS)
    assert failed.code == 1
    assert "image 'p3.png': 'p3.png' cannot be decoded" in failed.err
    assert "Use --list to leave it out" in failed.err


def test_models_may_stand_in_the_settings(dseg, world, model, second, tmp_path):
    (tmp_path / "dseg.toml").write_text(
        f'[robustness]\nmodel = ["{model}", "{second}"]\ncorruptions = "fog"\nseverities = [5]\n'
    )
    made = dseg("robustness", world.photos, world.truth)
    assert made.code == 0, made.err
    assert "4 passes over 6 images" in made.out
    (tmp_path / "dseg.toml").write_text("[robustness]\nmodel = [1]\n")
    refused = dseg("robustness", world.photos, world.truth)
    assert_refused(
        refused, "sets model in [robustness] to [1]: expected a string or a list of strings"
    )


def test_names_are_as_short_as_tells_them_apart():
    assert short_names(["a/x/m", "b/x/m"]) == ["a/x/m", "b/x/m"]
    assert short_names(["runs/a/m", "runs/b/m", "m2"]) == ["a/m", "b/m", "m2"]


def test_means_are_of_what_all_models_have(tmp_path):
    question = StudySettings("0", 1, ("a",), 255, 256, 0, "test")
    results = Results(tmp_path, question)
    results.models = {"x": "one", "y": "two"}
    for model, name, severity, score in (
        ("x", "fog", 1, 0.4),
        ("x", "fog", 3, 0.2),
        ("x", "snow", 1, 0.9),
        ("y", "fog", 1, 0.5),
        ("y", "fog", 3, 0.3),
    ):
        results.cells[model, name, severity] = {
            "mean_iou": score,
            "pixel_accuracy": score,
            "iou": {"a": score},
        }
    assert results.shared() == ["fog"]
    assert results.averaged("x", [1]) == 0.4  # without snow, which the other was not tried on
    assert results.averaged("y", [1, 3]) == pytest.approx(0.4)


def test_a_model_of_other_names_is_told(dseg, own_world, model):
    words = ("--model", model, "--corruptions", "blur", "--severities", 1, "--dry-run")
    assert (
        "check that the ids are the same"
        not in dseg("robustness", own_world.photos, own_world.truth, *words).err
    )
    (own_world.truth / "classes.txt").write_text("sea\nboat\nsun\n")
    told = dseg("robustness", own_world.photos, own_world.truth, *words)
    assert told.code == 0, told.err
    assert f"class 1 is 'sun' in the model '{model}' but 'boat' in the label maps" in told.err
