"""A process that runs command lines one after the other and tells the memory that each takes.

measured.py CALLS
    CALLS is a JSON list of command lines, each a list of words. Prints a JSON list: first the
    bytes held once all is imported, then of each call its exit code, its output, and the bytes
    held at most while it ran.

Run by tests that measure memory, no test itself. One process for several calls, for the imports
take most of the time of a short one.
"""

import contextlib
import io
import json
import re
import sys
from pathlib import Path

from dask import threaded  # noqa: F401  # what a fit imports late
from dseg.pipelines import main as cli
from dseg.pipelines.fit import run as fit  # noqa: F401


def peak() -> int:
    """Return the most bytes held since the last reset.

    VmHWM, for ru_maxrss would also count what the parent held when it started this process.
    """
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def reset() -> None:
    """Let the most bytes held be those that are held now."""
    Path("/proc/self/clear_refs").write_text("5")


def call(words: list[str]) -> dict[str, object]:
    sys.argv, out, err, code = ["dseg", *words], io.StringIO(), io.StringIO(), 0
    reset()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
    return {"code": code, "out": out.getvalue(), "err": err.getvalue(), "peak": peak()}


if __name__ == "__main__":
    imports = peak()
    print(json.dumps([imports, *map(call, json.loads(sys.argv[1]))]))
