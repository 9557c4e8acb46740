"""`dseg distil` from real and synthetic folders, and its student in the ensemble's place."""

import json
import shutil

import numpy as np
import pytest
import torch
from dseg.extract.images.files import find_images
from dseg.pipelines.console.progress import Progress
from dseg.pipelines.distil.config import DistilConfig
from dseg.pipelines.distil.run import distil
from dseg.pipelines.robustness.config import RobustnessConfig
from dseg.pipelines.robustness.corrupted_runs import CorruptedRuns
from dseg.pipelines.robustness.results import CLEAN
from dseg.pipelines.robustness.scored_images import read_scored_images
from dseg.store.errors import InputError
from PIL import Image

QUICK = ("--size", 32, "--steps", 3, "--batch-size", 2, "--device", "cpu")


@pytest.fixture(scope="module")
def student(world, model, tmp_path_factory):
    """A student of the model, of the photographs without label maps; read only."""
    out = tmp_path_factory.mktemp("student") / "student"
    config = DistilConfig(
        world.photos,
        world.labels,
        model,
        out,
        size=64,
        steps=40,
        batch_size=2,
        learning_rate=3e-3,
        device="cpu",
    )
    return distil(config), out


def make_synthetic(root, world, count=3, **extra):
    """Write a synthetic folder of the world's photographs and true labels."""
    for part in ("images", "labels"):
        (root / part).mkdir(parents=True)
    stems = [f"s{number}" for number in range(count)]
    for number, stem in enumerate(stems):
        of = f"{world.stems[number % 6]}.png"
        shutil.copy(world.photos / of, root / "images" / f"{stem}.png")
        shutil.copy(world.truth / of, root / "labels" / f"{stem}.png")
    shutil.copy(world.truth / "classes.txt", root / "classes.txt")
    for kind, make in extra.items():
        (root / kind).mkdir()
        for stem in stems:
            label = np.asarray(Image.open(root / "labels" / f"{stem}.png"))
            np.save(root / kind / f"{stem}.npy", make(label))
    return root


def test_a_student_learns_what_its_teacher_says(student, world, model, dseg, tmp_path):
    summary, out = student
    assert (summary.images, summary.labelled, summary.held_out) == (3, 3, 0)
    assert summary.steps == 40
    files = {path.name for path in out.iterdir()}
    assert files >= {"student.json", "student.safetensors", "log.jsonl", "curve.png", "training"}
    assert len(list((out / "soft-labels").glob("*.npz"))) == 3
    assert not [path for path in out.rglob("*") if path.name.startswith(".")]
    for folder, masks in ((model, "teacher"), (out, "masks")):
        assert dseg("predict", world.photos, "--model", folder, "--out", masks).code == 0
    scored = dseg("evaluate", "masks", "teacher", "--json")
    assert json.loads(scored.out)["mean_iou"] > 0.75, scored.out


def test_a_student_stands_where_a_model_does(student, world, dseg, tmp_path):
    _, out = student
    words = ("predict", world.photos, "--model", out, "--probabilities", "--overlay", "--json")
    first = dseg(*words)
    assert first.code == 0, first.err
    assert json.loads(first.out)["predicted"] == 6
    again = json.loads(dseg(*words).out)
    assert (again["predicted"], again["unchanged"]) == (0, 6)
    for stem in world.stems:
        mask = np.asarray(Image.open(tmp_path / "masks" / f"{stem}.png"))
        image = np.asarray(Image.open(world.photos / f"{stem}.png"))
        assert mask.shape == image.shape[:2]
        probabilities = np.load(tmp_path / "masks/probabilities" / f"{stem}.npy")
        assert probabilities.shape == (3, *mask.shape)
        assert (probabilities.argmax(0) == mask).mean() > 0.999  # float16 may tie
    records = map(json.loads, (tmp_path / "masks/predictions.jsonl").read_text().splitlines())
    learnt = {record["stem"]: record["learnt"] for record in records}
    assert learnt == {stem: stem in ("p0", "p1", "p2") for stem in world.stems}
    scored = json.loads(dseg("evaluate", "masks", world.truth, "--json").out)
    assert scored["learnt_from"] == 3
    told = dseg("info", out)
    assert "Student" in told.out
    assert "3 images and 3 labelled ones" in told.out
    assert json.loads(dseg("info", out, "--json").out)["network"] == "fpn"
    assert dseg("predict", world.photos, "--model", out, "--out", "dry", "--dry-run").code == 0


def test_a_student_is_scored_by_robustness_as_by_evaluate(student, world, dseg):
    """Of images as they are: the corruptions themselves need dseg[robustness]."""
    _, out = student
    assert dseg("predict", world.photos, "--model", out).code == 0
    expected = json.loads(dseg("evaluate", "masks", world.truth, "--json").out)["mean_iou"]
    config, images = (
        RobustnessConfig(world.photos, world.truth, (out,)),
        find_images([world.photos]),
    )
    scored = read_scored_images(
        images, world.truth, None, 255, smallest=1, n_classes=3, progress=Progress()
    )
    runs = CorruptedRuns(config, 0, images, scored, torch.device("cpu"))
    assert runs.confusion((CLEAN, 0)).mean_iou() == expected


def test_what_only_an_ensemble_takes_is_refused(student, world, store, dseg):
    _, out = student
    for words, says in (
        ((store,), "is a student, which takes images, not the features in"),
        ((), "is a student: give a folder of images"),
        ((world.photos, "--uncertainty"), "the model has only one member"),
        ((world.photos, "--paper"), "is a student: leave it out"),
        ((world.photos, "--checkpoint", "x"), "is a student, which needs none: leave it out"),
        ((world.photos, "--backbone", "a.b:c"), "is a student, which needs none: leave it out"),
        ((world.photos, "--out", out), "contains a student: give another folder"),
    ):
        told = dseg("predict", *words, "--model", out)
        assert told.code == 2, told
        assert says in told.err
    told = dseg("extract", "--images", world.photos, "--out", "f.zarr", "--layers-from", out)
    assert told.code == 2
    assert "is not a model" in told.err


def test_a_finished_run_says_so_and_goes_on_with_more_steps(world, model, dseg, tmp_path):
    words = ("distil", world.photos, world.labels, "--model", model, *QUICK[:2], *QUICK[4:])
    assert dseg(*words, "--steps", 2).code == 0
    before = (tmp_path / "student/student.safetensors").read_bytes()
    told = dseg(*words, "--steps", 2)
    assert told.code == 0
    assert "is finished: 2 steps" in told.err
    assert (tmp_path / "student/student.safetensors").read_bytes() == before
    assert "2 steps on 3 images and 3 labelled ones" in told.out
    told = dseg(*words, "--steps", 4)
    assert "continues after 2 steps" in told.err
    assert "4 steps on 3 images" in told.out
    assert (tmp_path / "student/student.safetensors").read_bytes() != before
    told = dseg(*words, "--steps", 4, "--seed", 1)
    assert told.code == 2
    assert "differs in seed (0 before, 1 now)" in told.err
    assert "teacher" not in told.err  # refused before it begins
    assert dseg(*words, "--steps", 2, "--seed", 1, "--overwrite").code == 0
    shutil.rmtree(tmp_path / "student/training")
    told = dseg(*words, "--steps", 2)
    assert told.code == 2
    assert "contains a student without the state to continue from" in told.err


def test_the_best_weights_on_held_out_images_are_kept(world, dseg, tmp_path):
    """One of twenty synthetic images is held out."""
    make_synthetic(tmp_path / "drawn", world, count=20)
    told = dseg(
        *("distil", "drawn", "--size", 32, "--steps", 10, "--batch-size", 2, "--device", "cpu"),
        *("--learning-rate", 0.01, "--json"),
    )
    assert told.code == 0, told.err
    summary = json.loads(told.out)
    assert (summary["images"], summary["labelled"], summary["held_out"]) == (19, 0, 1)
    log = [json.loads(line) for line in (tmp_path / "student/log.jsonl").read_text().splitlines()]
    scores = {line["step"]: line["held_out_miou"] for line in log if "held_out_miou" in line}
    assert list(scores) == list(range(1, 11))
    assert summary["held_out_miou"] == max(scores.values())
    facts = json.loads((tmp_path / "student/student.json").read_text())["training"]
    assert scores[facts["best_step"]] == max(scores.values())
    assert facts["held_out_against"] == "synthetic labels"


@pytest.mark.parametrize("kinds", [("uncertainty",), ("uncertainty", "probabilities")])
def test_a_synthetic_folder_needs_no_teacher(kinds, world, dseg, tmp_path):
    makers = {
        "uncertainty": lambda label: np.float32(label == 2),
        "probabilities": lambda label: np.float16(label == np.arange(3)[:, None, None]),
    }
    made = make_synthetic(tmp_path / "drawn", world, **{kind: makers[kind] for kind in kinds})
    told = dseg("distil", made, world.labels, "--images", world.photos, *QUICK)
    assert told.code == 0, told.err
    assert "3 images and 3 labelled ones" in told.out
    soft = list((tmp_path / "student/soft-labels").glob("*.npz"))
    assert len(soft) == (3 if "probabilities" in kinds else 0)


def test_of_a_synthetic_folder_the_kept_images_are_learnt(world, dseg, tmp_path):
    made = make_synthetic(tmp_path / "drawn", world)
    (made / "kept.txt").write_text("s0\ns2\n")
    told = dseg("distil", made, world.labels, "--images", world.photos, *QUICK)
    assert told.code == 0, told.err
    assert "2 images and 3 labelled ones" in told.out


def other_classes(world, path):
    shutil.copytree(world.labels, path)
    (path / "classes.txt").write_text("sea\nsun\nship\n")
    return path


def more_classes(world, path):
    shutil.copytree(world.labels, path)
    (path / "classes.txt").write_text("sea\nsun\nboat\nbird\n")
    return path


def an_id_too_many(world, path):
    shutil.copytree(world.labels, path)
    (path / "classes.txt").unlink()
    label = np.array(Image.open(path / "p0.png"))
    label[:9] = 3
    Image.fromarray(label).save(path / "p0.png")
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (other_classes, "call class 2 'ship', but the model 'MODEL' calls it 'boat'"),
        (more_classes, "name 4 classes, but the model 'MODEL' has 3"),
        (an_id_too_many, "label map 'p0.png' has the id 3 but there are 3 classes"),
        (lambda world, path: world.truth, "each of the 6 images in"),
    ],
)
def test_labels_that_do_not_fit_are_refused(change, says, world, model, dseg, tmp_path):
    labels = change(world, tmp_path / "labels")
    told = dseg("distil", world.photos, labels, "--model", model, *QUICK)
    assert told.code == 2, told
    assert says.replace("MODEL", str(model)) in told.err
    assert not (tmp_path / "student").exists()


def test_wrong_calls_are_refused(world, model, dseg, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("mine")
    drawn = make_synthetic(tmp_path / "drawn", world)
    for words, says in (
        (("empty", "--model", model), "no image in 'empty'"),
        ((world.photos,), "there is no model 'model': give one of `dseg fit` with --model"),
        ((world.photos, "--model", "empty"), "is not a model: it has no 'model.json'"),
        ((world.photos, "--model", model, "--out", "other"), "such as 'notes.txt'"),
        ((world.photos, "--model", model, "--out", world.photos / "s"), "is inside of"),
        ((world.photos, "--model", model, "--recipe", "paper"), "add --network deeplab"),
        ((world.photos, "--model", model, "--images", drawn), "--images is about label maps"),
        ((drawn, "--model", model), "has labels already: leave out --model"),
        ((drawn, world.labels), "give the folder of the real images with --images"),
        ((drawn, "--network", "deeplab", "--recipe", "paper"), "none is given"),
        ((drawn, "--network", "deeplab", "--batch-size", 1), "of at least two images"),
    ):
        told = dseg("distil", *words)
        assert told.code == 2, (words, told)
        assert says in told.err, (words, told.err)
    assert (tmp_path / "other/notes.txt").read_text() == "mine"
    (drawn / "classes.txt").unlink()
    assert "no classes.txt" in dseg("distil", drawn).err
    for path in (drawn / "images").iterdir():
        path.unlink()
    (drawn / "classes.txt").write_text("sea\nsun\nboat\n")
    told = dseg("distil", drawn)
    assert told.code == 2
    assert f"no image in '{drawn}/images'" in told.err


def test_uncertainty_of_another_size_is_refused(world, tmp_path):
    drawn = make_synthetic(tmp_path / "drawn", world, uncertainty=lambda label: np.zeros((2, 2)))
    with pytest.raises(InputError, match=r"has the shape \(2, 2\), expected \(40, 56\)"):
        distil(DistilConfig(drawn, out=tmp_path / "student", device="cpu"))


def test_images_that_cannot_be_read_are_left_out(own_world, model, dseg, tmp_path):
    (own_world.photos / "broken.png").write_bytes(b"no image")
    told = dseg("distil", own_world.photos, own_world.labels, "--model", model, *QUICK)
    assert told.code == 3, told.err
    assert "broken.png" in told.err
    assert "3 images and 3 labelled ones" in told.out


@pytest.mark.slow  # test_teacher.py cuts soft labels into tiles
def test_a_student_sees_tiles_where_its_teacher_does(world, ddpm, dseg, tmp_path):
    """And is a teacher itself."""
    extract = ("extract", "--images", world.photos, "--out", "f.zarr", "--checkpoint", ddpm)
    assert dseg(*extract, "--fit", "tile", "--overlap", 8).code == 0
    assert dseg("fit", "f.zarr", world.labels, "--members", 2, "--max-steps", 20).code == 0
    told = dseg("distil", world.photos, world.labels, *QUICK[2:])
    assert told.code == 0, told.err
    facts = json.loads((tmp_path / "student/student.json").read_text())
    assert facts["view"] == {"side": 32, "fit": "tile"}
    assert len(list((tmp_path / "student/soft-labels").glob("*.npz"))) > 3
    assert dseg("predict", world.photos, "--model", "student").code == 0
    told = dseg("distil", world.photos, "--model", "student", "--out", "second", *QUICK[2:])
    assert told.code == 0, told.err
    assert json.loads((tmp_path / "second/student.json").read_text())["view"]["fit"] == "tile"
