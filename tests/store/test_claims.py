"""A folder belongs to a run while its process lives, and to runs of one key together."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dseg.store.claims import claimed
from dseg.store.errors import DsegError, InputError

HOLDER = """
import sys, time
from pathlib import Path
from dseg.store.claims import claimed
with claimed(Path(sys.argv[1]), sys.argv[2], "a test", in_parent=sys.argv[3] == "beside") as claim:
    moment = claim.exclusive()
    if sys.argv[3] == "alone":
        moment.__enter__()
    print("in", flush=True)
    sys.stdin.read()
"""

# Each process claims the folder again and again under a key of its own; a file that only one can
# make shows whether it was alone there.
ROUNDS = """
import os, sys, time
from pathlib import Path
from dseg.store.claims import claimed
from dseg.store.errors import InputError
folder, key, had = Path(sys.argv[1]), sys.argv[2], 0
print("ready", flush=True)
sys.stdin.readline()
for _ in range(60):
    try:
        with claimed(folder, key, "a test"):
            with (folder.parent / "occupied").open("x"):
                time.sleep(0.002)
            (folder.parent / "occupied").unlink()
            had += 1
    except InputError:
        time.sleep(0.003)
print(had)
"""


def python(text, *words):
    return subprocess.Popen(
        [sys.executable, "-c", text, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def holder():
    started = []

    def start(folder, key, where="inside"):
        process = python(HOLDER, folder, key, where)
        started.append(process)
        assert process.stdout.readline() == "in\n", process.communicate()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("where", ["inside", "beside"])
def test_another_key_is_refused_and_told_who_is_there(tmp_path, holder, where):
    folder, beside = tmp_path / "out", where == "beside"
    process = holder(folder, "one", where)
    words = rf"process {process.pid} on .* \(a test, for \d+ s\) is writing into '.*out': wait"
    for key in ("two", None):
        with (
            pytest.raises(InputError, match=words),
            claimed(folder, key, "dseg fit", in_parent=beside),
        ):
            pass
    with claimed(folder, "one", "dseg fit", in_parent=beside):
        pass
    process.communicate("")  # it ends
    with claimed(folder, "two", "dseg fit", in_parent=beside):
        pass
    assert names(tmp_path) == []


def test_many_at_once_are_never_two_in_one_folder(tmp_path):
    processes = [python(ROUNDS, tmp_path / "out", f"key {n}") for n in range(6)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate(timeout=120) for process in processes]
    assert [err for _, err in told] == [""] * 6
    assert sum(int(out) for out, _ in told) >= 10
    assert [path.name for path in tmp_path.rglob("*")] in ([], ["out"])


def test_a_killed_run_holds_nothing_and_what_it_left_is_removed(tmp_path, holder):
    process = holder(tmp_path / "out", "one")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(names(tmp_path / "out")) == 2  # what it held, and the lock for moments
    tidied = []
    with claimed(tmp_path / "out", "two", "a test", tidy=lambda: tidied.append(1)):
        assert len(names(tmp_path / "out")) == 2
    assert tidied == [1]
    assert names(tmp_path / "out") == []


def test_a_claim_that_nobody_holds_counts_for_nothing_whatever_it_says(tmp_path):
    """Of a run that was killed on another machine, or cut off by a power failure."""
    for content in (json.dumps({"pid": 1, "host": "node7", "since": time.time()}), "", "{"):
        (tmp_path / f".dseg.{16 * 'a'}.{16 * 'b'}.lock").write_text(content)
        with claimed(tmp_path, None, "a test"):
            assert len(names(tmp_path)) == 2
        assert names(tmp_path) == []


def test_nothing_is_removed_while_another_run_is_at_work(tmp_path, holder):
    holder(tmp_path / "out", "one")
    tidied = []
    with claimed(tmp_path / "out", "one", "a test", tidy=lambda: tidied.append(1)):
        pass
    assert tidied == []


def test_files_of_users_are_no_locks(tmp_path):
    (tmp_path / ".dseg.lock.txt").write_text("mine")
    (tmp_path / ".dseg.0123456789abcdef.lock").write_text("mine")
    with claimed(tmp_path, None, "a test"):
        pass
    assert names(tmp_path) == [".dseg.0123456789abcdef.lock", ".dseg.lock.txt"]


def test_a_name_as_long_as_can_be(tmp_path):
    with claimed(tmp_path / ("n" * 255), None, "a test", in_parent=True):
        assert len(names(tmp_path)) == 2


@pytest.mark.skipif(not Path("/sys/fs").is_dir(), reason="needs a folder that takes no files")
def test_where_no_lock_can_be_had_the_run_goes_on_and_says_so():
    told = []
    claim = claimed(Path("/sys/fs"), None, "a test", in_parent=True, warn=told.append)
    with claim as held, held.exclusive():
        pass
    assert len(told) == 1
    assert "locks are not available at '/sys', so other runs are not kept" in told[0]


def test_a_stopped_process_is_named_and_waiting_ends(tmp_path, holder, monkeypatch):
    monkeypatch.setattr("dseg.store.claims.PATIENCE", 0.2)
    process = holder(tmp_path, "one", "alone")
    os.kill(process.pid, signal.SIGSTOP)
    words = (
        rf"waited 0 s for '.*', locked by process {process.pid} on .*: is that process suspended"
    )
    with pytest.raises(DsegError, match=words), claimed(tmp_path, "one", "a test"):
        pass
