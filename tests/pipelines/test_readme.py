"""The commands of the README and of the pages in docs/ run as they are written."""

import json
import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import pytest
import tifffile
from dseg import PixelEnsemble
from dseg.classify.inference.mask_files import read_mask
from dseg.extract.checkpoints.builtin import BUILTIN, builtin_path
from dseg.pipelines.main import cli
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
STYLEGAN = ROOT / "tests/data/golden/stylegan2/generator.pt"
README = ROOT / "README.md"
# In the order of the README's index, in which a reader would type their commands; but the tutorial
# (test_tutorial.py), which begins in a folder of its own.
INDEX = re.findall(r"\]\((docs/[\w-]+\.md)\) \|", README.read_text())
PAGES = [README, *(ROOT / name for name in INDEX if name != "docs/tutorial.md")]
TEXT = "\n".join(page.read_text() for page in PAGES)


def blocks(language, text=TEXT):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def command_lines(text=TEXT):
    lines = "\n".join(blocks("console", text)).splitlines()
    return [line.removeprefix("$ ").split("#")[0] for line in lines if line.startswith("$ dseg ")]


SHORT = """
[extract]
size = 32
[fit]
members = 2
max-steps = 10
[select]
members = 2
max-steps = 2
most = 2
folds = 2
time = false
[curve]
members = 2
max-steps = 5
draws = 1
[robustness]
corruptions = "brightness"
severities = "1"
[pretrain]
batch-size = 2
sheets = 0
[sample]
steps = "2"
[synthesize]
steps = "2"
[distil]
steps = 2
size = 32
"""


@pytest.fixture
def job(world, tmp_path):
    """The folders and lists that the pages assume, and settings that make each command short."""
    for name, source in (("photos", "photos"), ("new_photos", "photos"), ("truth", "truth")):
        shutil.copytree(getattr(world, source), tmp_path / name)
    shutil.copytree(world.truth, tmp_path / "labels")
    (tmp_path / "labels/p5.png").unlink()
    (tmp_path / "train.txt").write_text("p0\np1\np2\n")
    (tmp_path / "test.txt").write_text("p3\np4\n")
    (tmp_path / "dseg.toml").write_text(SHORT)
    return tmp_path


def test_the_commands_of_the_readme_run_in_the_order_shown(dseg, job):
    """The three commands, and what it shows beside them."""
    lines = command_lines(README.read_text())
    assert [shlex.split(line)[1] for line in lines[:3]] == ["extract", "fit", "predict"]
    _run(dseg, job, lines)


@pytest.mark.slow
def test_all_commands_run_in_the_order_shown(dseg, job):
    """The lines of all pages, in one folder; only the time of a training is shorter."""
    lines = command_lines()
    assert len(lines) > 15
    _run(dseg, job, lines)


def _run(dseg, job, lines):
    for line in lines:
        shorter = re.sub(r"--count \d+", "--count 3", line.replace("--time 2h", "--time 1s"))
        _, *words = shlex.split(shorter)
        _foreseen(dseg, job, words)
        done = dseg(*words)
        if words[0] == "robustness" and find_spec("imagecorruptions") is None:
            assert done.err.endswith("is not installed: pip install 'dseg[robustness]'\n"), done.err
            continue
        assert done.code == 0, f"{line}: {done.err}"


def _foreseen(dseg, job, words):
    """Make what a line takes as given: other models, stores of other networks."""
    for model in ("a", "b"):
        if f"{model}/" in words and not (job / model).exists():
            shutil.copytree(job / "model", job / model)
            facts = json.loads((job / model / "model.json").read_text())
            facts["extra"]["called"] = model
            (job / model / "model.json").write_text(json.dumps(facts))
    for size, name in enumerate(("ddpm.zarr", "mae.zarr"), 1):
        if name in words:
            extract = ("extract", "--images", "photos", "--out", name, "--size", 32 * size)
            assert dseg(*extract).code == 0

    if "scenes/" in words:
        (job / "scenes").mkdir()
        bands = np.random.default_rng(0).random((40, 50, 4), np.float32)
        options = {"photometric": "minisblack", "planarconfig": "contig"}
        tifffile.imwrite(job / "scenes/a.tif", bands, **options)
    if "my-ddpm/" in words and not (job / "my-ddpm").exists():
        shutil.copytree(builtin_path(BUILTIN), job / "my-ddpm")
    if "stylegan.pt" in words:
        shutil.copy(STYLEGAN, job / "stylegan.pt")
    if "face_labels/" in words:
        (job / "face_labels").mkdir()
        for path in sorted((job / "faces").glob("*.png"))[:2]:
            bright = np.asarray(Image.open(path)).mean(axis=2)
            label = Image.fromarray((bright > np.median(bright)).astype(np.uint8))
            label.save(job / "face_labels" / path.name)


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= 150


def test_the_readme_lists_every_page():
    text = README.read_text()
    assert len(PAGES) > 12
    for page in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{page.name})" in text, f"{page.name} is not in the README's index"


def anchors(page):
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(
    "page",
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
        *sorted((ROOT / "docs").glob("*.md")),
    ],
    ids=lambda page: page.name,
)
def test_links_lead_to_files_and_titles_that_exist(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, title = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name}: {target} does not exist"
        if title:
            assert title in anchors(file), f"{page.name}: {target} has no such title"


def test_options_named_in_the_text_exist():
    text = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    commands = list(cli.commands.values())
    for group in [one for one in commands if isinstance(one, click.Group)]:
        commands += group.commands.values()
    options = [p for c in commands for p in c.params]
    known = {o for p in options for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    named = set(re.findall(r"`(?:dseg [^`]*?|\w+ )?(--[a-z][a-z-]*)", text))
    assert len(named) > 10
    assert named - known == set()


def test_the_python_example_runs(save_published, store, model, ddpm, world, tmp_path):
    (code,) = [block for block in blocks("python") if "import dseg" in block]
    save_published(PixelEnsemble.load(model), tmp_path / "horse_21")
    mine = {
        "lsun_horse.pt": ddpm,
        "feats.zarr": store,
        "labels/7.png": world.labels / "p0.png",
        "horse_21/": tmp_path / "horse_21",
        "7": "p0",
    }
    for name, path in mine.items():
        assert f'"{name}"' in code
        code = code.replace(f'"{name}"', repr(str(path)))
    names = {}
    exec(code.replace("max_steps=500", "max_steps=20"), names)
    assert names["maps"][0].shape[0] == 1
    assert names["X"].shape == (len(names["y"]), names["store"].spec.dims)


def test_a_published_ensemble_predicts_as_the_model_it_was(
    dseg, save_published, store, model, tmp_path
):
    save_published(PixelEnsemble.load(model), tmp_path / "published")
    assert dseg("predict", store, "--model", model, "--out", "a").code == 0
    assert dseg("predict", store, "--model", "published", "--out", "b").code == 0
    masks = sorted(path.name for path in (tmp_path / "a").glob("*.png"))
    assert len(masks) == 6
    for name in masks:
        assert np.array_equal(read_mask(tmp_path / "a" / name), read_mask(tmp_path / "b" / name))


def test_a_published_ensemble_of_other_features_is_refused(dseg, golden, store, world):
    folder = golden / "pixel_classifier/lt30"
    refused = dseg("predict", store, "--model", folder)
    assert refused.code == 2
    assert "the model takes 96 channels" in refused.err
    refused = dseg("predict", world.photos, "--model", folder)
    assert refused.code == 2
    assert "does not record which features it was trained on" in refused.err
