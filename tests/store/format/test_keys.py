"""Single keys, from wherever the caller stands: in an event loop, or in a forked process."""

import asyncio
import subprocess
import sys

import pytest
from dseg.store.format.keys import exists, list_folder, list_numbers, remove_folder, remove_partials
from zarr.storage import LocalStore, MemoryStore

FORKED = """
import os, sys
from dseg.store.format.keys import exists
from zarr.storage import LocalStore
store = LocalStore(sys.argv[1])
assert exists(store, "c/0")
child = os.fork()
if child == 0:
    os._exit(0 if exists(store, "c/0") and not exists(store, "c/1") else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture
def store(tmp_path):
    (tmp_path / "c").mkdir()
    for name in ("0", "12", f"3.{'a' * 32}.partial"):
        (tmp_path / "c" / name).write_bytes(b"x")
    return LocalStore(tmp_path)


def test_keys(store):
    assert exists(store, "c/0")
    assert not exists(store, "c/3")
    assert list_numbers(store, "c", 13) == {0, 12}
    remove_partials(store, "c")
    assert sorted(list_folder(store, "c")) == ["0", "12"]
    remove_folder(store, "c")
    assert list_folder(store, "c") == ()
    remove_folder(store, "c")
    remove_folder(MemoryStore(), "c")


def test_keys_in_an_event_loop(store):
    """As in a notebook, whose cells run in one."""

    async def cell():
        return exists(store, "c/12"), exists(store, "c/13")

    assert asyncio.run(cell()) == (True, False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_keys_in_a_forked_process(store):
    command = [sys.executable, "-W", "ignore", "-c", FORKED, str(store.root)]
    assert subprocess.run(command, check=False, timeout=120).returncode == 0
