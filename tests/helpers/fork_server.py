"""A process that has imported what the commands need, and runs each command line in a fork.

Started once by `fork_client.py`, for tests of killed and simultaneous runs: the imports of a
process take longer than what it does there. One JSON line in, one out:

    {"folder": F, "words": [...], "out": FILE, "err": FILE, "env": {NAME: VALUE}}
        Start dseg with these words in that folder and these variables; its process id.
    {"wait": PID}
        Its exit code, minus the signal that ended it; null while it runs.
"""

import importlib
import json
import os
import sys

import torch
from dseg.pipelines import main as cli

RUNS = (
    *("curve", "distil", "extract", "fit", "predict", "pretrain", "sample"),
    *("synthesize", "verify"),
)
for command in RUNS:
    importlib.import_module(f"dseg.pipelines.{command}.run")
importlib.import_module("diffusers.models.unets.unet_2d")
torch.optim.AdamW([torch.zeros(1)])  # imports much more


def child(folder: str, words: list[str], out: str, err: str, env: dict[str, str]) -> None:
    """Run a command in this process, which then ends."""
    for number, (path, flags) in enumerate(
        (
            (os.devnull, os.O_RDONLY),
            (out, os.O_WRONLY | os.O_CREAT),
            (err, os.O_WRONLY | os.O_CREAT),
        )
    ):
        os.dup2(os.open(path, flags, 0o600), number)
    os.chdir(folder)
    os.environ.update(env)
    sys.argv, code = ["dseg", *words], 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code or 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def answer(order: dict) -> int | None:
    if "wait" in order:
        pid, status = os.waitpid(order["wait"], os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None
    pid = os.fork()
    if not pid:
        child(**order)
    return pid


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
    os._exit(0)  # the interpreter would take seconds to tidy up
