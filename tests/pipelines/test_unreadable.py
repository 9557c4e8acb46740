"""Damaged features are never used without a word: the run ends, or the image is left out."""

import json
import shutil

import pytest


@pytest.fixture
def hurt(store, tmp_path):
    """A store of which one labelled image is damaged."""
    shutil.copytree(store, tmp_path / "f.zarr")
    for number, file in enumerate(sorted((tmp_path / "f.zarr/features").glob("*/c/1/0/0/0"))):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 4
        file.write_bytes(content) if number else file.unlink()
    return tmp_path / "f.zarr"


COMMANDS = {
    "fit": ("--members", 2, "--max-steps", 5),
    "curve": ("--members", 2, "--max-steps", 5, "--draws", 1, "--counts", "2"),
    "select": ("--max-steps", 0, "--no-time"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_training_ends_or_leaves_the_image_out(command, dseg, hurt, world):
    words = (command, hurt, world.truth, *COMMANDS[command])
    ended = dseg(*words)
    assert ended.code == 1
    assert "image 'p1.png'" in ended.err
    assert "Repeat the same extract command with --verify" in ended.err
    left = dseg(*words, "--unreadable", "skip", "--json")
    assert left.code == 3, left.err
    told = json.loads(left.out)
    assert told["images"] == 5
    assert list(told["failed"]) == ["p1"]
    assert "'p1' cannot be read, and are left out" in left.err


def test_predict_leaves_the_image_out_or_ends(dseg, hurt, model):
    left = dseg("predict", hurt, "--model", model)
    assert left.code == 3
    assert "5 masks written, 0 unchanged, 1 failed" in left.out
    ended = dseg("predict", hurt, "--model", model, "--out", "others", "--unreadable", "stop")
    assert ended.code == 1
    assert "'p1.png' cannot be predicted: image 'p1.png'" in ended.err
