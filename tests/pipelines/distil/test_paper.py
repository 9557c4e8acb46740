"""The published way from end to end: DeepLabV3-ResNet-101, 20 epochs, the best one kept."""

import json
import shutil
import signal

import pytest

EPOCHS = 20
PATIENCE = 300  # seconds; its state takes close to a gigabyte


@pytest.mark.slow
def test_the_published_network_and_recipe(forked, world, tmp_path):
    """Killed once its state has been saved, it goes on to the student of an unbroken run.

    Two synthetic images and one held-out photograph; a step an epoch.
    """
    pytest.importorskip("transformers")
    (tmp_path / "list.txt").write_text("p3\np4\n")
    (tmp_path / "labelled.txt").write_text("p0\n")
    shutil.copytree(world.photos, tmp_path / "drawn/images")
    shutil.copytree(world.truth, tmp_path / "drawn/labels")
    words = ("distil", "drawn", world.labels, "--images", world.photos, "--device", "cpu")
    words += ("--list", "list.txt", "--labelled", "labelled.txt", "--size", 32, "--batch-size", 2)
    words += ("--network", "deeplab", "--recipe", "paper", "--precision", "float32")
    words = (*words, "--out")
    saved = tmp_path / "killed/training/state.json"
    killed = forked(tmp_path, *words, "killed", "--save-every", "2s").kill_when(saved.exists)
    assert killed.code == -signal.SIGKILL
    assert 0 < json.loads(saved.read_text())["step"] < EPOCHS
    for out in ("killed", "whole"):
        ended = forked(tmp_path, *words, out).result(PATIENCE)
        assert ended.code == 0, ended.err
        assert "20 steps on 2 images and 0 labelled ones" in ended.out
        assert "on 1 held-out images, against label maps" in ended.out
    one, other = ((tmp_path / out / "student.safetensors") for out in ("killed", "whole"))
    assert one.read_bytes() == other.read_bytes()
    lines = (tmp_path / "killed/log.jsonl").read_text().splitlines()
    log = [json.loads(line) for line in lines]
    scores = {line["step"]: line["held_out_miou"] for line in log if "held_out_miou" in line}
    assert list(scores) == list(range(1, EPOCHS + 1))
    assert {line["learning_rate"] for line in log} == {1e-3}
    training = json.loads((tmp_path / "killed/student.json").read_text())["training"]
    assert training["recipe"]["name"] == "paper"
    assert training["held_out_miou"] == max(scores.values()) == scores[training["best_step"]]
