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
    ("commands", "moments"),
    [
        ("extract,predict", 2),
        pytest.param("fit,sample,synthesize,pretrain,distil,curve", 7, marks=pytest.mark.slow),
    ],
)
def test_writes_that_fail(commands, moments):
    words = [SOAK / "failing.py", "--moments", str(moments), "--only", commands]
    made = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=1200)
    assert made.returncode == 0, made.stdout + made.stderr
    assert made.stdout.endswith(" 0 losses\n")
    assert " 0 of them ended" not in made.stdout  # as if nothing had failed
