"""A run may be killed at any moment, and begins only where it may."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler
from dseg.extract.registry import load_unet
from dseg.pretrain.run import state
from dseg.pretrain.run.folder import RunFolder
from dseg.pretrain.run.loop import Length
from dseg.pretrain.train.recipe import Recipe
from dseg.pretrain.train.step import Training
from dseg.store.atomic_folder import temporary_path
from dseg.store.errors import DsegError, InputError

SETTINGS = {"size": 8, "recipe": {"seed": 0, "clip": 1.0}}
OTHER = {"size": 8, "recipe": {"seed": 1, "clip": 1.0}}
LENGTH = Length(steps=10)


def fill(training, step):
    training.done = step
    with torch.no_grad():
        for network in (training.network, training.averaged):
            for parameter in network.parameters():
                parameter.fill_(step)
    return training


@pytest.fixture
def trained(unet, here):
    """A network of which every weight tells after how many steps it was saved."""

    return lambda step: fill(Training(unet(0), DDPMScheduler(), Recipe(), here), step)


def save(folder, training, settings=SETTINGS):
    card = {"made_by": "dseg 0", "trained_steps": training.done}
    folder.save(training, settings, float(training.done), card)


@pytest.fixture
def run(tmp_path, trained):
    """A folder with a run of two steps."""
    folder = RunFolder(tmp_path / "run")
    assert folder.state_to_continue(SETTINGS, LENGTH, overwrite=False) is None
    folder.prepare("listing", step=None)
    for step in (1, 2):
        folder.log({"step": step, "loss": 0.5})
        folder.sheet(step).write_bytes(b"")
    save(folder, trained(2))
    return folder.path


def state_to_continue(path, settings=SETTINGS, *, overwrite=False, length=LENGTH):
    return RunFolder(path).state_to_continue(settings, length, overwrite=overwrite)


def log(path):
    return [json.loads(line)["step"] for line in (path / "log.jsonl").read_text().splitlines()]


class Killed(BaseException):
    """As SIGKILL: nothing is tidied up."""


def kill_at(monkeypatch, operation):
    """Die before, or in the midst of, the n-th change of a name, removal, or writing of tensors."""
    count = [0]

    def dying(function, half=None):
        def call(*given, **named):
            count[0] += 1
            if count[0] == operation:
                if half:
                    half(*given)
                raise Killed
            return function(*given, **named)

        return call

    def torn(tensors, path):
        Path(path).write_bytes(b"torn")

    def half_removed(path, **named):
        files = [file for file in Path(path).rglob("*") if file.is_file()]
        for file in files[:1]:
            file.unlink()

    monkeypatch.setattr(Path, "rename", dying(Path.rename))
    monkeypatch.setattr(Path, "replace", dying(Path.replace))
    monkeypatch.setattr(shutil, "rmtree", dying(shutil.rmtree, half_removed))
    monkeypatch.setattr(state, "save_file", dying(state.save_file, torn))
    return count


def test_a_kill_at_any_moment_of_a_save_loses_at_most_that(run, trained, monkeypatch, tmp_path):
    """Every change on disk in turn is the last before the kill; the run then goes on."""
    n_kills, steps, third, fourth, again = 0, set(), trained(3), trained(4), trained(9)
    while True:
        n_kills += 1
        path = tmp_path / f"killed_{n_kills}"
        shutil.copytree(run, path)
        with monkeypatch.context() as patched:
            kill_at(patched, n_kills)
            try:
                save(RunFolder(path), third)
                break
            except Killed:
                pass
        values = state_to_continue(path)
        assert values["step"] in (2, 3)
        steps.add(values["step"])
        if RunFolder(path).result(values["step"]):  # nothing would be left to do
            there = load_unet(path).unet.parameters()
            assert all(bool((p == values["step"]).all()) for p in there)
        RunFolder(path).restore(fill(again, 9))
        assert again.done == values["step"]
        for network in (again.network, again.averaged):
            assert all(bool((p == again.done).all()) for p in network.parameters())
        folder = RunFolder(path)
        folder.prepare("listing", step=again.done)
        save(folder, fourth)
        assert_whole(path, 4)
    assert n_kills > 10
    assert steps == {2, 3}
    assert_whole(path, 3)


def assert_whole(path, step):
    assert state_to_continue(path)["step"] == step
    assert RunFolder(path).result(step)
    assert all(bool((p == step).all()) for p in load_unet(path).unet.parameters())
    assert {part.name for part in path.iterdir()} == {
        *("training", "unet", "scheduler", "model_index.json", "dseg.json"),
        *("log.jsonl", "images.sha256", "samples"),
    }


def test_a_kill_of_the_first_save_leaves_a_run_to_begin(trained, monkeypatch, tmp_path):
    for operation in (1, 2, 3):
        path = tmp_path / f"new_{operation}"
        folder = RunFolder(path)
        folder.prepare("listing", step=None)
        folder.log({"step": 1})
        with monkeypatch.context() as patched:
            kill_at(patched, operation)
            with pytest.raises(Killed):
                save(folder, trained(1))
        values = state_to_continue(path)
        again = RunFolder(path)
        again.prepare("listing", step=values and values["step"])
        assert log(path) == ([1] if values else [])
        save(again, trained(2))
        assert_whole(path, 2)


def test_log_and_sheets_of_a_future_that_never_came_are_forgotten(run):
    folder = RunFolder(run)
    for step in (3, 4):
        folder.log({"step": step})
        folder.sheet(step).write_bytes(b"")
    with (run / "log.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')  # torn by the kill
    (run / "samples/mine.png").write_bytes(b"")
    temporary_path(run / "samples/step_0000004.png").write_bytes(b"")
    RunFolder(run).prepare("listing", step=2)
    assert log(run) == [1, 2]
    names = {sheet.name for sheet in (run / "samples").iterdir()}
    assert names == {"step_0000001.png", "step_0000002.png", "mine.png"}


def test_another_run_is_named_by_its_differences(run):
    with pytest.raises(
        InputError, match=r"differs in seed \(0 before, 1 now\): use the same option"
    ):
        state_to_continue(run, OTHER)
    assert state_to_continue(run, OTHER, overwrite=True) is None
    assert state_to_continue(run)["step"] == 2
    assert state_to_continue(run, {**SETTINGS, "of a later version": 1})["step"] == 2


def test_overwriting_goes_on_with_the_same_run_until_it_is_finished(run):
    assert state_to_continue(run, overwrite=True)["step"] == 2
    assert state_to_continue(run, overwrite=True, length=Length(steps=2)) is None
    assert state_to_continue(run, length=Length(steps=2))["step"] == 2


def test_an_older_run_stays_until_the_first_save(run, trained):
    (run / "notes.txt").write_text("mine")
    assert state_to_continue(run, OTHER, overwrite=True) is None
    folder = RunFolder(run)
    folder.prepare("other listing", step=None)
    folder.log({"step": 1, "loss": 0.1})
    folder.log({"step": 7, "loss": 0.1})
    assert folder.holds_older
    assert state_to_continue(run)["step"] == 2  # killed here, the older run goes on
    assert RunFolder(run).result(2)
    assert log(run) == [1, 2]
    assert (run / "images.sha256").read_text() == "listing"
    save(folder, trained(7), OTHER)
    assert not folder.holds_older
    assert log(run) == [1, 7]
    assert list((run / "samples").iterdir()) == []
    assert (run / "images.sha256").read_text() == "other listing"
    assert state_to_continue(run, OTHER)["step"] == 7
    assert (run / "notes.txt").read_text() == "mine"
    (run / "notes.txt").unlink()
    folder.log({"step": 8})
    assert log(run) == [1, 7, 8]


def test_what_is_not_ours_is_refused(tmp_path, run):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file' is a file: give another --out"):
        state_to_continue(tmp_path / "file")
    (tmp_path / "thesis").mkdir()
    assert state_to_continue(tmp_path / "thesis") is None
    (tmp_path / "thesis/thesis.tex").write_text("years of work")
    (tmp_path / "thesis/images.sha256").write_text("")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="contains files that are not of `dseg pretrain`"):
            state_to_continue(tmp_path / "thesis", overwrite=overwrite)
    foreign = tmp_path / "downloaded"
    shutil.copytree(run, foreign, ignore=shutil.ignore_patterns("training"))
    (foreign / "dseg.json").write_text('{"blocks": [1]}')
    with pytest.raises(InputError, match="contains a network that dseg did not train"):
        state_to_continue(foreign, overwrite=True)


def test_a_network_without_its_state(run):
    shutil.rmtree(run / "training")
    with pytest.raises(
        InputError, match="a trained network without the state to continue from: us"
    ):
        state_to_continue(run)
    assert state_to_continue(run, overwrite=True) is None


@pytest.mark.parametrize("part", ["state.json", "state.safetensors"])
def test_a_damaged_state(run, trained, part):
    file = run / "training" / part
    file.write_bytes(file.read_bytes()[:20])
    training = trained(1)
    words = r"cannot be read, so the run cannot be continued: .*overwrite"
    with pytest.raises(DsegError, match=words):
        RunFolder(run).restore(training)
    if part == "state.json":
        with pytest.raises(DsegError, match=words):
            state_to_continue(run)
        assert state_to_continue(run, overwrite=True) is None


def test_a_finished_run_whose_network_is_older_is_not_done(run):
    assert RunFolder(run).result(2)
    assert RunFolder(run).result(3) == {}
    shutil.rmtree(run / "unet")
    assert RunFolder(run).result(2) == {}


def test_a_run_begins_beside_the_locks_that_a_killed_one_left(tmp_path):
    (tmp_path / "images.sha256").write_text("")
    for name in (".lock", ".dseg.lock", f".dseg.{16 * 'a'}.{16 * 'b'}.lock"):
        (tmp_path / name).write_text("")
    assert state_to_continue(tmp_path) is None
