"""Shells complete commands and options, as docs/install.md says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DSEG = Path(sys.executable).with_name("dseg")


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["dseg", "ext"], ["plain,extract"]),
        (["dseg", "extract", "--ima"], ["plain,--images"]),
        (["dseg", "fit", "--recipe", "pa"], ["plain,paper"]),
    ],
)
def test_a_shell_completes(words, completed):
    asked = {
        "_DSEG_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    made = subprocess.run([DSEG], env={**os.environ, **asked}, capture_output=True, text=True)
    assert made.stdout.split() == completed
    assert made.stderr == ""
