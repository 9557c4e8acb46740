"""Runs beside each other: what they make is never mixed; shards of one run go on together."""

import json
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from dseg.extract.networks.options import BackboneOptions
from dseg.pipelines.console.progress import Progress
from dseg.pipelines.curve.config import CurveConfig
from dseg.pipelines.curve.run import curve
from dseg.pipelines.demo.config import DemoConfig
from dseg.pipelines.demo.run import demo
from dseg.pipelines.extract.config import ExtractConfig
from dseg.pipelines.extract.run import extract
from dseg.pipelines.fit.config import FitConfig
from dseg.pipelines.fit.run import fit
from dseg.pipelines.predict.config import PredictConfig
from dseg.pipelines.predict.run import predict
from dseg.pipelines.robustness.config import RobustnessConfig
from dseg.pipelines.robustness.run import robustness
from dseg.pipelines.select.config import SelectConfig
from dseg.pipelines.select.run import select
from dseg.store.claims import is_lock
from dseg.store.errors import InputError
from PIL import Image

SMALL = {"members": 2, "max_steps": 5}


class Meanwhile(Progress):
    """Runs something else when the first stage that writes begins, and keeps what became of it."""

    def __init__(self, other):
        self.other, self.refusal, self.told = other, None, []

    def warn(self, text):
        self.told.append(text)

    @contextmanager
    def bar(self, label, total, unit):
        if label == "headers":  # a run reads them before it claims its folder
            yield lambda n: None
            return
        other, self.other = self.other, None
        if other is not None:
            try:
                other()
            except InputError as error:
                self.refusal = str(error)
        yield lambda n: None


@pytest.fixture(scope="module")
def other_model(world, store, tmp_path_factory):
    path = tmp_path_factory.mktemp("other") / "model"
    fit(FitConfig((store,), world.labels, path, seed=1, **SMALL))
    return path


def hidden(folder):
    return [path.name for path in folder.rglob(".*")]


def recipes(masks):
    lines = (masks / "predictions.jsonl").read_text().splitlines()
    return {json.loads(line)["recipe"] for line in lines}


def test_two_models_do_not_mix_their_masks(store, model, other_model, tmp_path):
    out = tmp_path / "masks"
    for more in ({}, {"overwrite": True}):
        one = PredictConfig((store,), model, out, **more)
        other = PredictConfig((store,), other_model, out, overwrite=True)
        meanwhile = Meanwhile(lambda other=other: predict(other))
        predict(one, meanwhile)
        doing = rf"process {os.getpid()} on .* \(dseg predict, model '{re.escape(str(model))}', "
        words = rf"{doing}for \d+ s\) is writing into '{re.escape(str(out))}'"
        assert re.search(words, meanwhile.refusal)
        assert len(recipes(out)) == 1
        assert hidden(out) == []
    paper = PredictConfig((store,), model, tmp_path / "paper", paper=True)
    meanwhile = Meanwhile(lambda: predict(PredictConfig((store,), model, tmp_path / "paper")))
    predict(paper, meanwhile)
    assert "is writing into" in meanwhile.refusal


def test_processes_of_two_models_started_at_once(forked, store, model, other_model, tmp_path):
    """Whichever comes first: all masks are of one model, and the other run says so."""
    for number in range(3):
        out = tmp_path / f"masks{number}"
        words = ("predict", store, "--out", out, "--model")
        runs = [forked(tmp_path, *words, one) for one in (model, other_model)]
        ended = [run.result() for run in runs]
        assert sorted(run.code for run in ended) == [0, 2], ended
        refused = next(run.err for run in ended if run.code)
        assert "is writing into" in refused or "by another model" in refused
        assert len(recipes(out)) == 1
        assert len(list(out.glob("*.png"))) == 6
        assert hidden(out) == []


def test_shards_and_the_same_command_twice_go_on_together(store, model, tmp_path):
    out = tmp_path / "masks"
    halves = [PredictConfig((store,), model, out, shard=(i, 2)) for i in range(2)]
    left = out / f".{32 * 'a'}.part"  # of the run at work, for all that the other knows

    def other():
        left.write_text("half")
        predict(halves[1])

    meanwhile = Meanwhile(other)
    summary = predict(halves[0], meanwhile)
    assert meanwhile.refusal is None
    assert summary.predicted == 3
    assert left.is_file()
    again = Meanwhile(lambda: predict(PredictConfig((store,), model, tmp_path / "twice")))
    predict(PredictConfig((store,), model, tmp_path / "twice"), again)
    assert again.refusal is None
    left.unlink()
    for folder in (out, tmp_path / "twice"):
        lines = (folder / "predictions.jsonl").read_text().splitlines()
        assert [json.loads(line)["stem"] for line in lines] == [f"p{i}" for i in range(6)]
        assert hidden(folder) == []
        for i in range(6):
            one, other = (np.asarray(Image.open(f / f"p{i}.png")) for f in (folder, out))
            assert (one == other).all()


def configs(world, store, model, ddpm, out):
    """A run of each command, and one beside it that would write into the same folder."""
    training = {"out": out, "members": 2, "max_steps": 5}
    options = {"corruptions": ("fog",), "severities": (1,)}
    return {
        "fit": (fit, FitConfig((store,), world.labels, **training), {"seed": 1}),
        "fit --folds-out": (
            fit,
            FitConfig(
                (store,),
                world.labels,
                out=out.with_name("a"),
                folds=2,
                folds_out=out,
                members=2,
                max_steps=5,
            ),
            {"out": out.with_name("b")},
        ),
        "curve": (
            curve,
            CurveConfig((store,), world.truth, counts=(2,), draws=1, **training),
            {"counts": (3,)},
        ),
        "select": (
            select,
            SelectConfig((store,), world.truth, out=out, max_steps=0, measure_time=False),
            {"seed": 1},
        ),
        "robustness": (
            robustness,
            RobustnessConfig(world.photos, world.truth, (model,), out, **options),
            {"severities": (2,)},
        ),
        "extract": (
            extract,
            ExtractConfig(world.photos, out, (str(ddpm),)),
            {"overwrite": True, "backbone": BackboneOptions(steps=(5,))},
        ),
        "demo": (demo, DemoConfig(out, size=(16, 16), labelled=2, predicted=1, **SMALL), {}),
    }


COMMANDS = ("fit", "fit --folds-out", "curve", "select", "robustness", "extract", "demo")


@pytest.mark.parametrize("command", COMMANDS)
def test_no_other_run_into_one_folder(command, world, store, model, ddpm, tmp_path):
    from dataclasses import replace

    if command == "robustness":
        pytest.importorskip("imagecorruptions")
    run, config, changes = configs(world, store, model, ddpm, tmp_path / "out")[command]
    meanwhile = Meanwhile(lambda: run(replace(config, **changes)))
    run(config, meanwhile)
    words = f"(dseg {command.split()[0]}, for "
    assert meanwhile.refusal is not None
    assert words in meanwhile.refusal
    assert f"is writing into '{tmp_path / 'out'}': wait until it has finished" in meanwhile.refusal
    assert not any(is_lock(name) for name in hidden(tmp_path))
    assert hidden(tmp_path) == []
    assert not (tmp_path / "b").exists()


def test_two_extract_of_one_recipe_go_on_together(world, ddpm, tmp_path):
    config = ExtractConfig(world.photos, tmp_path / "f.zarr", (str(ddpm),))
    meanwhile = Meanwhile(lambda: extract(config))
    extract(config, meanwhile)
    assert meanwhile.refusal is None
    assert hidden(tmp_path) == []


def test_masks_that_came_meanwhile_are_not_replaced_by_those_of_folds(
    world, store, model, tmp_path
):
    """`predict` and `fit --folds-out` know of each other's files, not of each other's claims."""
    out = tmp_path / "masks"
    config = FitConfig(
        (store,), world.labels, out=tmp_path / "m", folds=2, folds_out=out, members=2, max_steps=5
    )
    with pytest.raises(InputError, match="exists and does not contain held-out masks"):
        fit(config, Meanwhile(lambda: predict(PredictConfig((store,), model, out))))
    assert len(list(out.glob("*.png"))) == 6


# ---- what killed runs leave ----


def test_a_killed_predict_leaves_nothing_that_the_next_one_does_not_remove(
    dseg, forked, world, model, tmp_path
):
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    for number in range(8):
        shutil.copytree(world.photos, photos / str(number))
    words = ("predict", photos, "--model", model, "--uncertainty", "--probabilities")
    forked(tmp_path, *words).kill_when(lambda: any(masks.rglob(".*.part")))
    assert any(name.endswith(".part") for name in hidden(masks))
    assert any(name.endswith(".lock") for name in hidden(masks))
    users = [masks / ".notes.part", masks / "0" / f".{16 * 'a'}.part", masks / "x.part"]
    for path in users:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    finished = dseg(*words)
    assert finished.code == 0, finished.err
    assert sorted(hidden(masks)) == sorted(path.name for path in users[:2])
    assert all(path.read_text() == "mine" for path in users)
    assert len(list(masks.glob("?/p?.png"))) == 48


def test_what_killed_runs_left_beside_a_model_goes_with_the_next(dseg, world, store, tmp_path):
    words = ("fit", store, world.labels, "--members", 2, "--max-steps", 5)
    torn, users = tmp_path / f".model.{16 * 'a'}.part", tmp_path / ".model-original"
    for folder in (torn, users):
        folder.mkdir()
        (folder / "model.json").write_text("{}")
    assert dseg(*words).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [".model-original", "model"]
    # Killed between the two renames of a replacement: the old model is aside, the new one whole.
    shutil.copytree("model", torn)
    Path("model").rename(f"{torn}-replaced")
    again = dseg(*words)
    assert again.code == 2
    assert "'model' contains a model already" in again.err
    assert sorted(path.name for path in tmp_path.iterdir()) == [".model-original", "model"]


def test_a_store_that_a_killed_extract_moved_aside_is_put_back(dseg, world, ddpm, tmp_path):
    words = ("extract", "--images", world.photos, "--checkpoint", ddpm, "--out", "f.zarr")
    assert dseg(*words).code == 0
    shutil.copytree("f.zarr", ".f.zarr.native")
    (tmp_path / ".f.zarr.dense").mkdir()
    Path("f.zarr").rename(".f.zarr.native-replaced")
    again = dseg(*words)
    assert again.code == 0, again.err
    assert "6 unchanged" in again.out
    assert [path.name for path in tmp_path.iterdir()] == ["f.zarr"]


def test_a_curve_that_was_killed_at_its_first_cell_goes_on(dseg, world, store, tmp_path):
    (tmp_path / "curve").mkdir()
    (tmp_path / f"curve/.{32 * '0'}.part").write_text("{")
    (tmp_path / f"curve/.dseg.{16 * 'a'}.{16 * 'b'}.lock").write_text("{}")
    words = ("curve", store, world.truth, "--members", 2, "--max-steps", 5)
    done = dseg(*words, "--draws", 1, "--counts", "2")
    assert done.code == 0, done.err
    assert hidden(tmp_path) == []
