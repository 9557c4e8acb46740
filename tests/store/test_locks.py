"""A lock goes with its process, however that ends; who waits is told on whom, and not for ever.

The processes are real, and so are the kills.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from dseg.store.errors import StoreError
from dseg.store.file_lock import Holder
from dseg.store.format.keys import LOCK
from dseg.store.locks import NOTIFY_AFTER, SIGN_TIMEOUT, STALE_AFTER, locked
from dseg.store.read.reader import FeatureStore
from dseg.store.write.planning import PlannedImage, plan_store

HOLD = """
import sys, time
from pathlib import Path
from dseg.store.locks import locked
with locked(Path(sys.argv[1]), "held by", "Wait"):
    print("held", flush=True)
    time.sleep(600)
"""

COUNT = """
import sys
from pathlib import Path
from dseg.store import locks
from dseg.store.locks import locked
locks.POLL_SECONDS = 0  # many tries while another removes the file
{more}
lock, counter = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(int(sys.argv[3])):
    with locked(lock, "held by", "Wait", patience=120):
        counter.write_text(str(int(counter.read_text()) + 1))
"""

NO_LOCKS = """
import errno, fcntl
def refuse(*_):
    raise OSError(errno.ENOSYS, "Function not implemented")
fcntl.flock = refuse
import warnings
warnings.simplefilter("error")
"""


def take(path, **options):
    return locked(path, "it is held by", "Wait until it has finished", **options)


@pytest.fixture
def hold():
    """Return a function that starts a process which holds a lock; they end with the test."""
    children = []

    def start(path):
        child = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE)
        children.append(child)
        assert child.stdout.readline() == b"held\n"
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


def sign(path, **changes):
    said = {"token": "t", "host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}
    path.write_text(json.dumps(said | changes))


def test_a_lock_is_for_one_at_a_time_and_leaves_nothing(tmp_path):
    path = tmp_path / "lock"
    with take(path):
        words = rf"it is held by process {os.getpid()} on {socket.gethostname()}, for \d s. Wait"
        with pytest.raises(StoreError, match=words), take(path, patience=0.2):
            pass
        assert path.exists()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path, hold):
    child = hold(tmp_path / "lock")
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert (tmp_path / "lock").exists()
    with take(tmp_path / "lock"):
        assert Holder.read(tmp_path / "lock").pid == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_who_waits_is_told_on_whom_and_not_for_ever(tmp_path, hold):
    child, told, start = hold(tmp_path / "lock"), [], time.monotonic()
    holder = rf"it is held by process {child.pid} on {socket.gethostname()}, for \d s"
    with (
        pytest.raises(StoreError, match=rf"{holder}. Wait until it has finished"),
        take(tmp_path / "lock", patience=NOTIFY_AFTER + 1, say=told.append),
    ):
        pass
    assert time.monotonic() - start < NOTIFY_AFTER + 10
    assert len(told) == 1
    assert f"process {child.pid} on" in told[0]
    assert "waiting up to 3 s" in told[0]


def test_an_empty_lock_of_a_power_failure_is_taken(tmp_path):
    (tmp_path / "lock").write_bytes(b"")
    start = time.monotonic()
    with take(tmp_path / "lock"):
        assert SIGN_TIMEOUT <= time.monotonic() - start < SIGN_TIMEOUT + 10
    assert list(tmp_path.iterdir()) == []


def test_a_lock_of_another_machine_is_left_for_a_while(tmp_path):
    path = tmp_path / "lock"
    sign(path, host="node7", pid=3, since=time.time() - 100)
    with (
        pytest.raises(StoreError, match=r"held by process 3 on node7, for 10\d s"),
        take(path),
    ):
        pass
    assert Holder.read(path).host == "node7"
    sign(path, host="node7", since=time.time() - STALE_AFTER - 1)
    with take(path):
        pass
    assert not path.exists()


def test_a_link_in_the_lock_s_place_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "lock").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="symbolic links"), take(tmp_path / "lock"):
        pass
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    ("more", "times"),
    [("", 120), (NO_LOCKS, 20), pytest.param("", 500, marks=pytest.mark.slow)],
)
def test_nobody_holds_a_lock_beside_another(tmp_path, more, times):
    """Each adds to a number that it read before: two at once lose a step.

    Held, released and so removed again and again; with and without locks of the system.
    """
    (tmp_path / "n").write_text("0")
    words = [sys.executable, "-c", COUNT.format(more=more), tmp_path / "lock", tmp_path / "n"]
    children = [subprocess.Popen([*words, str(times)], stderr=subprocess.PIPE) for _ in range(4)]
    assert [child.communicate()[1].decode() for child in children] == [""] * 4
    assert (tmp_path / "n").read_text() == str(4 * times)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n"]


def leave_locks(store):
    """Leave the lock of one dead process and the breaker's key of another."""
    store.mkdir(exist_ok=True)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    sign(store / LOCK, pid=dead.pid)
    (store / f"{LOCK}.broken-t").write_text((store / LOCK).read_text())
    (store / f"{LOCK}.6f2a.partial").write_text("{")


@pytest.mark.parametrize("before", [None, "a.png", "b.png"])
def test_planning_takes_over_what_dead_processes_left(tmp_path, spec, before):
    """In a new store, in one that gets another image, and in one that has all."""
    store, told = tmp_path / "s", []
    if before is not None:
        plan_store(store, spec, [PlannedImage(before, (9, 9))])
    leave_locks(store)
    start = time.monotonic()
    plan_store(store, spec, [PlannedImage("b.png", (9, 9))], say=told.append)
    assert time.monotonic() - start < NOTIFY_AFTER
    assert told == []
    assert [path.name for path in store.glob(f"{LOCK}*")] == []
    assert FeatureStore.open(store).images[-1].name == "b.png"


def test_planning_tells_who_plans_already(tmp_path, spec, hold):
    store = tmp_path / "s"
    store.mkdir()
    child, told = hold(store / LOCK), []
    words = rf"'{store}' is being planned by process {child.pid} on .*. Wait until it has finished"
    with pytest.raises(StoreError, match=words):
        plan_store(store, spec, [PlannedImage("a.png", (9, 9))], say=told.append, patience=3)
    assert len(told) == 1
    child.kill()
    child.wait()
    assert plan_store(store, spec, [PlannedImage("a.png", (9, 9))]).created
