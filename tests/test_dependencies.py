"""What the installation brings is enough, and what it leaves out is told in one line."""

import ast
import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import dseg
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(dseg.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OPTIONAL = (
    "plots",
    "cluster",
    "transformers",
    "robustness",
    "xarray",
    "export",
    "labels",
    "cloud",
    "formats",
)  # what users choose from
PARTS = ("classify", "demo", "distil", "extract", "generate", "pipelines", "pretrain", "store")
PACKAGES = {  # by the module that dseg imports, where the two differ
    "PIL": "pillow",
    "pillow_heif": "pillow-heif",
    "imagecorruptions": "imagecorruptions-imaug",
    "sklearn": "scikit-learn",
}


def named(requirements):
    """The requirements on other packages than dseg, by name."""
    each = map(Requirement, requirements)
    return {canonicalize_name(r.name): r for r in each if r.name != "dseg"}


BASE = named(PROJECT["dependencies"])
EVERY = BASE | named(line for name in (*OPTIONAL, "bench", "docs") for line in EXTRAS[name])


def pins(name):
    lines = (ROOT / name).read_text().splitlines()
    found = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(package): release for package, release in found.items()}


def test_the_lowest_versions_are_those_of_the_project():
    without = {"imagecorruptions-imaug"}  # `make test-lowest` does without robustness
    bounds = {
        name: next(s.version for s in requirement.specifier if s.operator == ">=")
        for name, requirement in EVERY.items()
        if name not in without
    }
    assert pins("constraints-lowest.txt") == bounds


def test_the_pinned_versions_are_allowed():
    pinned = pins("constraints.txt")
    tools = named(line for name in ("test", "coverage") for line in EXTRAS[name])
    for name, requirement in (EVERY | tools).items():
        assert requirement.specifier.contains(pinned[name]), f"{name} {pinned[name]}"


def test_all_are_all():
    (all_,) = map(Requirement, EXTRAS["all"])
    assert all_.extras == set(OPTIONAL)


def test_the_version_is_stated_once():
    assert "version" in PROJECT["dynamic"]
    assert version("dseg") == dseg.__version__
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [dseg.__version__]


def imports():
    """Each import of another package: the file, the module, and whether it stands in a function."""
    for part in PARTS:
        for path in (ROOT / part).rglob("*.py"):
            tree = ast.parse(path.read_text())
            later = {
                id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)
            }
            later |= {id(n) for i in ast.walk(tree) if isinstance(i, ast.If) for n in ast.walk(i)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [str(node.module)]
                else:
                    continue
                for name in names:
                    yield path.relative_to(ROOT), name, id(node) in later


def test_every_import_is_of_a_stated_package():
    for path, name, later in imports():
        module = name.split(".")[0]
        if module in sys.stdlib_module_names or module == "dseg":
            continue
        package = canonicalize_name(PACKAGES.get(module, module))
        assert package in EVERY, f"{path} imports {name}, which pyproject.toml does not state"
        assert package in BASE or later, (
            f"{path} imports {name} at its top, but {package} comes with an extra only: import it "
            "in the function that needs it"
        )


def test_no_private_names_of_other_packages():
    for path, name, _ in imports():
        private = name.startswith("zarr.core") or any(p.startswith("_") for p in name.split("."))
        assert not private or name == "__future__", f"{path} imports {name}, which is private"
