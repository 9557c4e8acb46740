"""Of several that plan a store by URL one does; what a dead one left is taken over."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from dseg.store.errors import StoreError
from dseg.store.locks import STALE_AFTER
from dseg.store.urls.lease import leased
from dseg.store.urls.location import location

pytest.importorskip("obstore")


@pytest.fixture
def lock(request):
    return location(f"memory://{request.node.name}/plan.lock")


def hold(lock, patience=0.0, said=None):
    say = (said if said is not None else []).append
    return leased(lock, "'x' is being planned by", "Wait", patience=patience, say=say)


def left_by(lock, **facts):
    given = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time(), **facts}
    lock.write_bytes(json.dumps(given).encode())


def test_it_is_held_and_released(lock):
    with hold(lock):
        said = rf"planned by process {os.getpid()} on .*\. Wait"
        with pytest.raises(StoreError, match=said), hold(lock):
            pass
        assert lock.is_file()
    assert not lock.is_file()


def test_one_of_many_threads_at_a_time(lock):
    inside, most = [], []

    def work():
        with hold(lock, patience=60):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4


def test_that_of_a_process_that_is_gone_is_taken_over(lock):
    command = [sys.executable, "-c", "import os; print(os.getpid())"]
    ended = subprocess.run(command, capture_output=True, check=True)
    left_by(lock, pid=int(ended.stdout))
    with hold(lock):
        assert json.loads(lock.read_bytes())["pid"] == os.getpid()


@pytest.mark.parametrize(("age", "taken"), [(1, False), (STALE_AFTER + 1, True)])
def test_that_of_another_machine_ends_by_its_age(lock, age, taken):
    left_by(lock, host="elsewhere", since=time.time() - age)
    if taken:
        with hold(lock):
            pass
    else:
        with pytest.raises(StoreError, match="on elsewhere"), hold(lock):
            pass


def test_a_damaged_one_is_taken_over(lock):
    lock.write_bytes(b"{")
    with hold(lock):
        pass
