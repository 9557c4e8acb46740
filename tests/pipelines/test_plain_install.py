"""What plain ``pip install .`` brings is enough for the three commands; extras bring the rest.

The commands run in a Python that finds the packages of the project's plain dependencies, and what
those require, and no others.
"""

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, distributions, requires
from pathlib import Path

import dseg as package
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(package.__file__).parent
OF_EXTRAS = {"distributed", "imagecorruptions", "matplotlib", "obstore", "pyproj", "roifile"}
OF_EXTRAS |= {"transformers"}
QUICK = ("--members", 2, "--max-steps", 5)
RUN = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from dseg.pipelines.main import main
results = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["dseg", *words]
    with redirect_stderr(io.StringIO()) as err, redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            results.append((end.code or 0, err.getvalue()))
print(json.dumps([results, sorted(sys.modules)]))
"""


def required(lines):
    """The names of the packages that requirements bring, with all that those require."""
    found, todo = set(), [Requirement(line) for line in lines]
    while todo:
        one = todo.pop()
        if (one.name, *sorted(one.extras)) in found:
            continue
        found.add((one.name, *sorted(one.extras)))
        try:
            needs = map(Requirement, requires(one.name) or ())
        except PackageNotFoundError:  # of an extra that its package no longer has
            continue
        todo += [
            need
            for need in needs
            if need.marker is None
            or any(need.marker.evaluate({"extra": extra}) for extra in ("", *one.extras))
        ]
    return {canonicalize_name(name) for name, *_ in found}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A folder of links to the packages of the plain dependencies, and to dseg."""
    folder = tmp_path_factory.mktemp("plain")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name in required(project["dependencies"]):
        try:
            files = distribution(name).files or ()
        except PackageNotFoundError:
            continue
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            (folder / top).symlink_to(distribution(name).locate_file(top))
    (folder / "dseg").symlink_to(ROOT)
    # a build leaves an egg-info in the checkout, too, which lists files of the sources
    for found in distributions(name="dseg"):
        for top in {file.parts[0] for file in found.files or ()}:
            if top.endswith(".dist-info") and not (folder / top).exists():
                (folder / top).symlink_to(found.locate_file(top))
    return folder


@pytest.fixture(scope="module")
def mae(tmp_path_factory):
    """A folder as transformers saves a small MAE."""
    from transformers import ViTMAEConfig, ViTMAEModel

    sizes = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 3}
    config = ViTMAEConfig(**sizes, intermediate_size=32, image_size=48, patch_size=8)
    folder = tmp_path_factory.mktemp("mae")
    ViTMAEModel(config).save_pretrained(folder)
    return folder


def run(commands, folder, cwd):
    """Run command lines one after the other; return exit codes and messages, and the modules."""
    words = json.dumps([[str(word) for word in command] for command in commands])
    bare = [] if folder is None else ["-S"]  # without site-packages
    path = {} if folder is None else {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, *bare, "-c", RUN, words],
        cwd=cwd,
        env={**os.environ, **path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_three_commands_need_no_extra(plain, world, ddpm, tmp_path):
    commands = [
        ("extract", "--images", world.photos, "--out", "f.zarr", "--checkpoint", ddpm),
        ("fit", "f.zarr", world.labels, "--folds", 2, *QUICK),
        ("predict", "f.zarr", "--overlay", "--images", world.photos),
        ("evaluate", "masks", world.truth),
    ]
    run_plain(commands, plain, tmp_path)
    assert (tmp_path / "masks/overlays/legend.png").is_file()


@pytest.mark.slow
def test_the_other_commands_need_no_extra(plain, world, store, model, tmp_path):
    commands = [
        ("extract", "--images", world.photos, "--out", "builtin.zarr", "--size", 32),
        ("predict", world.photos, "--model", model, "--out", "of-images"),
        ("info", store),
        ("info", model),
        ("pretrain", "--images", world.photos, "--out", "mine", "--steps", 1, "--size", 32),
    ]
    run_plain(commands, plain, tmp_path)


def run_plain(commands, plain, tmp_path):
    results, modules = run(commands, plain, tmp_path)
    for words, (code, err) in zip(commands, results, strict=True):
        assert code == 0, f"{words}: {err}"
    assert OF_EXTRAS.intersection(modules) == set()


def test_what_needs_an_extra_names_it(plain, world, store, model, mae, tmp_path):
    cases = {
        "plots": [
            ("curve", store, world.truth, *QUICK),
            ("select", store, world.truth, "--max-steps", 5),
            ("fit", store, world.labels, "--folds", 2, "--folds-out", "held-out", *QUICK),
            ("demo", "--out", "scenes"),
        ],
        "cluster": [("fit", store, world.labels, "--scheduler", "tcp://127.0.0.1:1", *QUICK)],
        "transformers": [
            ("extract", "--images", world.photos, "--out", "f.zarr", "--checkpoint", mae)
        ],
        "cloud": [
            ("info", "s3://bucket/f.zarr"),
            ("extract", "--images", world.photos, "--out", "memory://m/f.zarr"),
        ],
        "labels": [
            ("convert", world.truth, "--to", "imagej", "--out", "rois", "--images", world.photos)
        ],
        "robustness": [("robustness", world.photos, world.truth, "--model", model)],
    }
    commands = [words for each in cases.values() for words in each]
    extras = [extra for extra, each in cases.items() for _ in each]
    results, _ = run(commands, plain, tmp_path)
    for words, extra, (code, err) in zip(commands, extras, results, strict=True):
        assert code == 2, f"{words}: {err}"
        last = err.splitlines()[-1]
        assert last.startswith("Error: ")
        assert last.endswith(f", which is not installed: pip install 'dseg[{extra}]'"), err
        assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_packages_of_extras_are_not_imported_without_need(world, store, model, tmp_path):
    commands = [
        ("info", store),
        ("predict", store, "--model", model),
        ("fit", store, world.labels, *QUICK),
        ("evaluate", "masks", world.truth),
    ]
    results, modules = run(commands, None, tmp_path)
    assert [code for code, _ in results] == [0, 0, 0, 0], results
    assert OF_EXTRAS.intersection(modules) == set()
