"""The package as a whole: who may import whom, what the wheel holds, examples that run."""

import ast
import doctest
import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
import zipfile
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import dseg
import pytest

ROOT = Path(dseg.__file__).parent
PARTS = ("classify", "demo", "distil", "extract", "generate", "pipelines", "pretrain", "store")
MAY_IMPORT = {
    "store": {"store"},
    "extract": {"extract", "store"},
    "classify": {"classify", "store"},
    "demo": {"demo"},
    "distil": {"distil", "classify", "extract", "pretrain", "store"},
    "generate": {"generate", "extract", "store"},
    "pretrain": {"pretrain", "generate", "extract", "store"},
    "pipelines": set(PARTS),
}


FLOORS = {
    "store": [
        "store",
        "store.urls",
        "store.format",
        "store.read",
        ("store.write", "store.sampling"),
    ],
    "extract": [
        "extract.images.rasters",
        ("extract.images", "extract.layers"),
        "extract.checkpoints",
        "extract.networks",
        tuple(f"extract.networks.{kind}" for kind in ("diffusion", "feedforward", "generators")),
        "extract",
    ],
    "classify": [
        "classify.annotations",
        "classify.labels",
        "classify.label_sets",
        "classify.ensemble",
        ("classify.inference", "classify.evaluation"),
    ],
    "distil": [
        "distil.networks",
        ("distil.data", "distil.student"),
        ("distil.inference", "distil.train"),
        "distil.run",
    ],
    "generate": ["generate"],
    "pretrain": ["pretrain.train", "pretrain.data", "pretrain.network", "pretrain.run"],
    "pipelines": [
        "pipelines.console",
        ("pipelines.cluster", "pipelines.inputs"),
        "pipelines.features",
        "pipelines.masks",
        "pipelines.training",
        tuple(
            f"pipelines.{command}"
            for command in (
                *("convert", "curve", "distil", "evaluate", "export", "extract", "fit", "info"),
                *("labels", "predict", "pretrain", "robustness", "sample", "select"),
                *("suggest", "synthesize"),
            )
        ),
        ("pipelines.demo", "pipelines.doctor", "pipelines.verify"),  # run the other commands
        "pipelines",
    ],
}
"""From the ground up: a package imports of its own part only what lies below it."""


def imported_modules(path: Path) -> set[tuple[str, ...]]:
    """The modules of dseg that a file of it imports, wherever in it, as parts of their names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            home = path.relative_to(ROOT).parts[:-1]
            target = home[: len(home) - node.level + 1]
            target += tuple(part for part in (node.module or "").split(".") if part)
            each = ((*target, name.name) for name in node.names)
            found |= {name if file_of(name).is_file() else target for name in each}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
            assert not any(str(n).split(".")[0] == "dseg" for n in names), (
                f"{path}: import relatively"
            )
    return found


def file_of(module: tuple[str, ...]) -> Path:
    return ROOT.joinpath(*module[:-1], f"{module[-1]}.py")


def package_of(module: tuple[str, ...]) -> str:
    """The package that a module lies in, or that it is."""
    return ".".join(module if ROOT.joinpath(*module).is_dir() else module[:-1])


@pytest.mark.parametrize("part", PARTS)
def test_dependencies_point_one_way(part):
    files = list((ROOT / part).rglob("*.py"))
    assert files
    for path in files:
        parts = {module[0] for module in imported_modules(path) if module} & set(PARTS)
        assert parts <= MAY_IMPORT[part], (
            f"{path.relative_to(ROOT)} imports {', '.join(sorted(parts - MAY_IMPORT[part]))}, but "
            f"{part}/ may import only {', '.join(sorted(MAY_IMPORT[part]))}"
        )


@pytest.mark.parametrize("part", FLOORS)
def test_packages_import_only_what_lies_below_them(part):
    floor = {
        package: number
        for number, packages in enumerate(FLOORS[part])
        for package in ([packages] if isinstance(packages, str) else packages)
    }
    for path in sorted((ROOT / part).rglob("*.py")):
        name = path.relative_to(ROOT)
        own = ".".join(name.parts[:-1])
        if own == part and own not in floor:
            continue
        assert own in floor, f"{own} has no floor in {Path(__file__).name}: say what it may import"
        for module in imported_modules(path):
            other = package_of(module) if module[:1] == (part,) else own
            assert other == own or floor[other] < floor[own], (
                f"{name} imports {'.'.join(module)}, but {own} may import of {part}/ only what "
                "lies below it: move what both need there"
            )


def test_no_files_import_each_other_in_a_circle():
    """Within functions neither: who wants to understand one file would have to know the other."""
    files = [path for part in PARTS for path in (ROOT / part).rglob("*.py")]
    graph = {path: {file_of(m) for m in imported_modules(path) if m} - {path} for path in files}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " ← ".join(str(path.relative_to(ROOT)) for path in error.args[1])
        pytest.fail(f"in a circle: {circle}. Move what both need to a file that imports neither")


def modules() -> list[str]:
    parts = [importlib.import_module(f"dseg.{part}") for part in PARTS]
    return ["dseg"] + [
        found.name
        for part in parts
        for found in pkgutil.walk_packages(part.__path__, f"{part.__name__}.")
    ]


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings_run(name):
    import numpy
    import torch

    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs={"np": numpy, "torch": torch, "dseg": dseg})
    assert result.failed == 0


@pytest.mark.parametrize("name", modules())
def test_every_public_name_is_there_and_documented(name):
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", []):
        value = getattr(module, public)
        if callable(value) and getattr(value, "__module__", "").startswith("dseg"):
            assert value.__doc__, f"{name}.{public} has no docstring"


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [Path(name) for name in listed if (ROOT / name).is_file()]


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path):
    files = tracked()
    for name in files:
        target = tmp_path / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            tmp_path,
            "source",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONWARNINGS": ""},
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {n for n in archive.namelist() if ".dist-info/" not in n}
    own = [f for f in files if len(f.parts) == 1 or f.parts[0] in PARTS]
    checkpoints = [f for f in files if "builtin_checkpoints" in f.parts]
    assert checkpoints, "the checkpoint that comes along is not tracked"
    wanted = [f for f in own if f.suffix == ".py"] + checkpoints
    assert held == {f"dseg/{f.as_posix()}" for f in wanted} | {"dseg/py.typed"}


def test_the_command_line_offers_every_codec():
    """It names them itself, so that --help need not import zarr."""
    from dseg.pipelines.main import cli
    from dseg.store.format.codecs import CODECS

    (option,) = [p for p in cli.commands["extract"].params if p.name == "codec"]
    assert set(option.type.choices) == set(CODECS)


def test_the_package_loads_lazily():
    code = "import sys, dseg; print('torch' in sys.modules, 'zarr' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_public_names_load_and_others_do_not():
    for name in dseg.__all__:
        assert getattr(dseg, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = dseg.nothing
