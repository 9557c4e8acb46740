"""The site of the documentation: made of the code where it can be, complete, nothing loaded."""

import importlib.util
import re
import subprocess
import sys

import dseg
import pytest
from dseg.pipelines.main import cli
from pages import ROOT

SITE = ROOT / "docs/site"


def script(name):
    found = importlib.util.spec_from_file_location(f"site_{name}", SITE / f"{name}.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


reference, formulas = script("reference"), script("formulas")


def test_the_reference_has_every_option_of_every_command():
    sections = dict(
        part.split("\n", 1) for part in reference.commands_page().split("\n## dseg ")[1:]
    )
    commands = dict(reference.all_commands(cli))
    assert set(sections) == set(commands) >= set(cli.commands)
    for name, command in commands.items():
        for option in (o for p in command.params for o in (*p.opts, *p.secondary_opts)):
            if option.startswith("--"):
                assert re.search(rf"{option}\b", sections[name]), f"dseg {name} {option}"


def test_the_reference_has_every_public_name():
    page = reference.python_page()
    for name in dseg.__all__:
        assert name == "__version__" or f"\n## {name}\n" in page
    assert "### PixelEnsemble.fit" in page
    assert "_request" not in page  # scikit-learn's


def test_a_docstring_becomes_lists_and_code():
    text = (
        "Do ``this`` with <that>.\n\nParameters\n----------\nx : array of shape (n,)\n"
        "    In nats;\n    ``0`` where none.\nn : int\n\nExamples\n--------\n>>> 1 + 1\n2"
    )
    assert reference.markdown_of(text) == (
        "Do `this` with &lt;that>.\n\n**Parameters**\n\n"
        "- `x`: array of shape (n,) – In nats; `0` where none.\n- `n`: int\n\n"
        "**Examples**\n\n```python\n>>> 1 + 1\n2\n```"
    )


def test_formulas_become_mathml_and_prices_do_not():
    page = "Of `$x$` and $x_0$:\n\n```math\n\\sqrt{x}\n```\n"
    made = formulas.with_mathml(page)
    assert made.startswith("Of `$x$` and <math")
    assert made.count("<math") == 2
    prices = "It is $5 for one, and $10 for two$."
    assert formulas.with_mathml(prices) == prices
    with pytest.raises(ValueError, match="arg cannot be converted"):
        formulas.with_mathml("```math\n\\arg x\n```\n")


def test_all_formulas_of_the_method_are_converted():
    made = formulas.with_mathml((ROOT / "docs/method.md").read_text())
    assert made.count("<math") > 50
    assert "$" not in re.sub(r"<math.*?</math>", "", made)


def test_every_page_is_in_the_navigation():
    listed = re.findall(r": (\S+\.md)$", (SITE / "mkdocs.yml").read_text(), re.MULTILINE)
    assert len(listed) == len(set(listed))
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in listed


@pytest.mark.slow
def test_the_site_is_built(tmp_path):
    command = [sys.executable, SITE / "build.py", "--out", tmp_path / "site"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in ("index.html", "docs/tutorial.html", "docs/reference-python.html"):
        assert (tmp_path / "site" / page).is_file()
