"""The commands of docs/reproduce.md run, on small images in the published layout of files."""

import re
import shlex

import numpy as np
import pytest
from dseg import PixelEnsemble
from pages import ROOT, command_lines, fenced_blocks
from PIL import Image

PAGE = ROOT / "docs/reproduce.md"
BLOCKS = [block for block in fenced_blocks(PAGE) if block.language == "sh"]


@pytest.fixture
def published_files(tmp_path, world, ddpm):
    """Data sets with an .npy beside each square image, and checkpoints, where the page has them."""
    for name in ("horse_21", "cat_15", "bedroom_28"):
        for part, stems in (("train", world.stems[:2]), ("test", world.stems[2:4])):
            folder = tmp_path / "datasets" / name / "real" / part
            folder.mkdir(parents=True)
            for stem in stems:
                with Image.open(world.photos / f"{stem}.png") as image:
                    image.resize((40, 40)).save(folder / f"{stem}.png")
                with Image.open(world.truth / f"{stem}.png") as label:
                    square = label.resize((40, 40), Image.Resampling.NEAREST)
                np.save(folder / f"{stem}.npy", np.asarray(square).astype(np.int64))
    (tmp_path / "checkpoints/ddpm").mkdir(parents=True)
    for name in ("horse", "cat", "bedroom"):
        (tmp_path / f"checkpoints/ddpm/lsun_{name}.pt").symlink_to(ddpm)
    return tmp_path


def lines_of(name):
    (block,) = [b for b in BLOCKS if f"{name}/model" in b.text and f"--out {name}/masks" in b.text]
    return [shorter(line) for line in command_lines(block)]


def shorter(line):
    """With what the small network has, and two members."""
    words = shlex.split(line.replace("--blocks 5,6,7,8,12", "--blocks 3,5,6"))
    return [*words[1:], *(["--members", "2"] if words[1] == "fit" else [])]


@pytest.mark.parametrize("name", ["horse_21", "bedroom_28"])
def test_a_data_set_is_scored(dseg, published_files, name):
    for words in lines_of(name):
        done = dseg(*words)
        assert done.code == 0, f"{words}: {done.err}"
    scores = done.out
    assert "mIoU" in scores
    without = re.search(r"^class 0 +–$", scores, re.MULTILINE)  # which Bedroom-28 ignores
    assert bool(without) == (name == "bedroom_28")
    with Image.open(published_files / name / "masks/p2.png") as mask:
        assert mask.size == (32, 32)  # the network's


def test_the_published_classifiers_predict(dseg, published_files, model, save_published):
    """With a store that has the layers that they were trained on."""
    (block,) = [b for b in BLOCKS if "pixel_classifiers/" in b.text]
    lines = [shlex.split(line)[1:] for line in command_lines(block)]
    folder = published_files / lines[1][lines[1].index("--model") + 1]
    folder.parent.mkdir(parents=True)
    save_published(PixelEnsemble.load(model), folder)
    for words in lines:
        done = dseg(*words)
        assert done.code == 0, done.err
    assert "mIoU" in done.out
