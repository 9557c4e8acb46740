"""A short run of `benchmarks/soak/failing.py`: writes fail, and nothing is lost."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak"


@pytest.mark.skipif(sys.platform != "linux", reason="puts a library under the commands")
@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize(
    "commands",
    [
        "extract,predict,fit",
        pytest.param("sample,synthesize,pretrain,distil,curve", marks=pytest.mark.slow),
    ],
)
def test_writes_that_fail(commands):
    words = [SOAK / "failing.py", "--moments", "3", "--only", commands]
    made = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=600)
    assert made.returncode == 0, made.stdout + made.stderr
    assert made.stdout.endswith(" 0 losses\n")
