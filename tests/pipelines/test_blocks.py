"""Every fenced block of every page is run, or parsed by what would run it; none is skipped.

What runs a block of Python is listed here by a line of it, so that a new block needs a test.
"""

import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from dseg.extract.checkpoints.builtin import BUILTIN, builtin_path
from dseg.pipelines.console.optional_packages import missing_package
from dseg.pipelines.console.settings_file import read_settings
from dseg.pipelines.main import cli
from latex2mathml.converter import convert
from pages import PAGES, ROOT, Block, check_line, command_lines, fenced_blocks

BLOCKS = [block for page in PAGES for block in fenced_blocks(page)]

RUN_BY = {
    "backbone = dseg.load_backbone(": "tests/pipelines/test_readme.py",
    "# my_network.py": "tests/extract/networks/feedforward/test_own.py",
    "coco.annToMask(annotation)": "tests/classify/annotations/test_coco.py",
    "onnxruntime.InferenceSession(": "tests/pipelines/export/test_export.py",
    "zarr.open_group(path": "tests/store/format/test_format.py",
    "xarray.open_datatree(path": "tests/store/format/test_format.py",
    "scene = draw_scene(seed)": "tests/pipelines/test_tutorial.py",
    'shutil.copy(f"truth/': "tests/pipelines/test_tutorial.py",
    "sampler = Sampler(load_generator(": "tests/pipelines/test_blocks.py",
}
"""The test file that executes a block of Python, by words that only this block has."""

SHOWN = {
    "Error: drawing plots needs": "tests/pipelines/test_blocks.py",
    "synthetic 40 images drawn by my-ddpm/": "tests/pipelines/sample/test_synthetic.py",
}
"""The test file that compares the output a page shows with what is printed, by its words."""


def commands_parse(block: Block, _: Path) -> None:
    lines = command_lines(block)
    assert lines
    for line in lines:
        check_line(line)


def shell_parses(block: Block, folder: Path) -> None:
    commands_parse(block, folder)
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)


def python_is_run(block: Block, _: Path) -> None:
    compile(block.text, str(block), "exec")
    _one_of(RUN_BY, block, "executes")


def output_is_tested(block: Block, _: Path) -> None:
    _one_of(SHOWN, block, "compares with what is printed")


def _one_of(table: dict[str, str], block: Block, does: str) -> None:
    found = [file for words, file in table.items() if words in block.text]
    assert len(found) == 1, f"{block}: list the test that {does} it in {Path(__file__).name}"


def json_parses(block: Block, _: Path) -> None:
    json.loads(block.text)


def yaml_parses(block: Block, _: Path) -> None:
    assert list(yaml.safe_load_all(block.text))


def toml_is_read(block: Block, folder: Path) -> None:
    """As dseg.toml, by dseg itself; a block of a pyproject.toml is only parsed."""
    tables = tomllib.loads(block.text)
    if set(tables) == {"project"}:
        return
    (folder / "dseg.toml").write_text(block.text)
    for name in tables:
        assert read_settings(folder / "dseg.toml", cli, name, pytest.fail)[name]


def diagram_is_balanced(block: Block, _: Path) -> None:
    """Its parser is a program of browsers: only what is often mistyped is looked for."""
    assert re.match(r"(flowchart|graph) (LR|TB|TD)\n", block.text)
    bare = re.sub(r'"[^"\n]*"', "", block.text)
    assert '"' not in bare
    for opening, closing in ("[]", "()"):
        assert bare.count(opening) == bare.count(closing)


def formula_converts(block: Block, _: Path) -> None:
    """To MathML, as the site shows it: a misspelt command stays what it is."""
    assert not re.search(r"\\\w", convert(block.text.strip(), display="block"))


CHECKS: dict[str, Callable[[Block, Path], None]] = {
    "console": commands_parse,  # and run in their order by test_readme.py
    "sh": shell_parses,  # lines that need what a test cannot have: servers, published networks
    "python": python_is_run,
    "text": output_is_tested,
    "json": json_parses,
    "yaml": yaml_parses,
    "toml": toml_is_read,
    "mermaid": diagram_is_balanced,
    "math": formula_converts,
}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_run_or_parsed(block, tmp_path):
    assert block.language in CHECKS, (
        f"{block} is {block.language or 'of no language'}: write one of {', '.join(CHECKS)}, "
        f"or add a check of the new kind to {Path(__file__).name}"
    )
    CHECKS[block.language](block, tmp_path)


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language == "console" and "$ dseg " in b.text], ids=str
)
def test_commands_of_a_session_are_run(block):
    """By test_readme.py, which takes the pages of the README's index, and test_tutorial.py."""
    index = re.findall(r"\]\((docs/[\w-]+\.md)\) \|", (ROOT / "README.md").read_text())
    own = block.page.relative_to(ROOT).as_posix()
    assert own in ("README.md", *index), f"{block}: write it as `sh`, or list its page in the index"


def test_every_fence_is_seen():
    """A fence that the pattern misses, such as an open one, would be skipped silently."""
    for page in PAGES:
        fences = re.findall(r"^ *(?:```|~~~)", page.read_text(), re.MULTILINE)
        assert len(fences) == 2 * sum(block.page == page for block in BLOCKS), page.name


@pytest.mark.parametrize("table", [RUN_BY, SHOWN], ids=["python", "text"])
def test_what_is_listed_is_there(table):
    text = "\n".join(block.text for block in BLOCKS)
    for words, file in table.items():
        assert words in text, f"no page has {words!r} any more"
        assert (ROOT / file).is_file(), f"{file} does not exist"


@pytest.mark.parametrize("path", sorted((ROOT / "docs/scale").iterdir()), ids=lambda p: p.name)
def test_scripts_for_clusters_parse(path):
    """There is no cluster to run them on."""
    text = path.read_text()
    if path.suffix == ".yaml":
        (job,) = yaml.safe_load_all(text)
        assert job["kind"] == "Job"
        containers = job["spec"]["template"]["spec"]["containers"]
        text = "\n".join(" ".join(container["args"]) for container in containers)
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    lines = re.findall(r"^(?:srun )?(dseg .*)$", text.replace("\\\n", " "), re.MULTILINE)
    assert lines
    for line in lines:
        check_line(_with_values(line))


def _with_values(line: str) -> str:
    """Put values where a script has variables, as the scheduler would."""
    line = re.sub(r"\$SLURM_ARRAY_TASK_ID|\$JOB_COMPLETION_INDEX", "0", line)
    line = line.replace("$SLURM_ARRAY_TASK_COUNT", "8")
    return re.sub(r"\$\{?\w+\}?", "word", line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dseg fit feats.zarr", "stores is missing"),
        ("dseg fit feats.zarr labels/ --fold 5", "--fold"),
        ("dseg fit feats.zarr labels/ --folds five", "five"),
        ("dseg extract --images photos/", "out is missing"),
        ("dseg evaluate masks/ truth/ third/", "third/"),
        ("dseg segment photos/", "segment"),
        ("make demonstration", "demonstration"),
        ("pip install '.[plot]'", "plot"),
        ("python benchmarks/predict.py --no-such", "--no-such"),
        ("wget https://example.com/", "wget"),
    ],
)
def test_a_wrong_line_is_found(line, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        check_line(line)


def test_the_first_error_shown_on_the_page_of_installing_is_dsegs():
    (block,) = [b for b in BLOCKS if b.language == "text" and "needs matplotlib" in b.text]
    assert block.text == f"Error: {missing_package('matplotlib')}\n"


def test_images_are_drawn_from_python(tmp_path):
    """As docs/synthetic.md shows, in fewer steps."""
    (block,) = [b for b in BLOCKS if b.language == "python" and "Sampler(" in b.text]
    code = block.text.replace('"my-ddpm/"', repr(str(builtin_path(BUILTIN))))
    names: dict[str, np.ndarray] = {}
    exec(code.replace('"250"', '"2"').replace("range(8)", "range(2)"), names)
    assert names["images"].shape == (2, 64, 64, 3)
    assert names["images"].dtype == np.uint8
