"""docs/tutorial.md is typed as it stands, in smaller images and fewer steps, without a network.

Each line of output that it shows begins as one that is printed; numbers depend on the machine.
"""

import re
import shlex

import pytest
from pages import ROOT, command_lines, fenced_blocks

PAGE = ROOT / "docs/tutorial.md"
SHORT = """
[extract]
checkpoint = "builtin:filters"
[fit]
members = 2
max-steps = 10
[curve]
members = 2
max-steps = 5
draws = 1
"""


def smaller(code):
    """With 10 scenes of 32 pixels, of which four are labelled at first, then six."""
    changes = {
        "draw_scene(seed)": "draw_scene(seed, (32, 32))",
        "range(40)": "range(10)",
        "seed < 12": "seed < 4",
        "[:8]": "[:2]",
    }
    for old, new in changes.items():
        code = code.replace(old, new)
    return code


def beginnings(text):
    """Return each line up to its first number: what follows depends on the machine."""
    return {re.split(r"\d", line)[0].strip() for line in text.splitlines()} - {""}


@pytest.mark.slow  # test_blocks.py parses its commands
def test_the_tutorial_runs_and_prints_what_it_shows(dseg, tmp_path):
    blocks = list(fenced_blocks(PAGE))
    printed, shown = "", ""
    (tmp_path / "dseg.toml").write_text(SHORT)
    (settings,) = [block for block in blocks if block.language == "toml"]
    assert "max-steps" in settings.text
    for block in blocks:
        if block.language == "python":
            exec(smaller(block.text), {})
        if block.language == "console":
            for line in command_lines(block):
                _, *words = shlex.split(line, comments=True)
                done = dseg(*words)
                assert done.code == 0, f"{line}: {done.err}"
                printed += done.out + done.err
            shown += re.sub(r"^\$ .*$", "", block.text, flags=re.MULTILINE)
    assert len(beginnings(shown)) > 15
    assert beginnings(shown) - {"…"} <= beginnings(printed)
    assert len(list((tmp_path / "labels").glob("*.png"))) == 6
