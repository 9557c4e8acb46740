"""Parts over a cluster: a window that slides, workers that come, go and are taken down."""

import sys
import time

import pytest
from distributed import Client
from dseg.pipelines.cluster.client import ClusterOptions
from dseg.pipelines.cluster.window import over_cluster
from dseg.pipelines.console.progress import Progress
from dseg.store.errors import DsegError

from .conftest import BESIDE

sys.path.insert(0, BESIDE)  # as the workers have it
from work_of_tests import Numbers, deadly, doubled, failing, refusing, slow, unseen

NONE = ClusterOptions()


@pytest.fixture
def client(cluster):
    with Client(cluster, set_as_default=False) as found:
        yield found


def parts(count, size=1, folder=None):
    return (Numbers(tuple(range(i, i + size)), folder) for i in range(0, count, size))


def test_each_part_comes_back_once(client):
    found = dict(over_cluster(client, doubled, parts(40, 4), NONE, Progress()))
    assert {part.numbers: result for part, result in found.items()} == {
        tuple(range(i, i + 4)): [2 * n for n in range(i, i + 4)] for i in range(0, 40, 4)
    }


def test_parts_are_taken_as_workers_need_them(client):
    """Two a worker are under way; the other parts do not exist yet."""
    taken = []

    def counted():
        for part in parts(50):
            taken.append(part)
            yield part

    most = 0
    for number, _ in enumerate(over_cluster(client, doubled, counted(), NONE, Progress())):
        most = max(most, len(taken) - number)
    assert len(taken) == 50
    assert most <= 4 + 1


@pytest.mark.slow
def test_a_thing_that_takes_workers_down_is_found_and_the_rest_is_done(client):
    found = dict(over_cluster(client, deadly, parts(16, 8), NONE, Progress()))
    fell = [part.numbers for part, result in found.items() if result is None]
    assert fell == [(13,)]
    done = sorted(n for result in found.values() if result is not None for n in result)
    assert done == [2 * n for n in range(16) if n != 13]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (refusing, "^the sea is rough$"),
        (failing, "^a worker failed: ZeroDivisionError: division by zero$"),
        (unseen, r"the worker at tcp://127.0.0.1:\d+ does not see '/nowhere/at/all'"),
    ],
)
def test_errors_end_the_run(client, function, words):
    with pytest.raises(DsegError, match=words):
        list(over_cluster(client, function, parts(10), NONE, Progress()))


def test_a_run_that_is_given_up_leaves_nothing_behind(client):
    results = over_cluster(client, doubled, parts(10), NONE, Progress())
    next(results)
    results.close()
    deadline = time.monotonic() + 30
    while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_workers_come_and_go_in_mid_run(machines, tmp_path):
    """One joins and shares the work; one is killed, and only its part is done again."""
    first = machines.worker()
    results = []
    for part, result in over_cluster(
        machines.client, slow, parts(60, 1, tmp_path), NONE, Progress()
    ):
        results.append((part.numbers, result))
        if len(results) == 15:
            second = machines.worker()
        if len(results) == 40:
            first.kill()
    assert sorted(results) == [((n,), [2 * n]) for n in range(60)]
    by_process = {}
    for path in tmp_path.iterdir():
        process, number = map(int, path.name.split("-"))
        by_process.setdefault(process, set()).add(number)
    assert len(by_process) == 2
    shared = set.intersection(*by_process.values())
    assert len(shared) <= 2  # what the lost one had at hand
    assert min(map(len, by_process.values())) >= 10
    second.kill()


@pytest.mark.slow
def test_without_workers_a_run_waits_and_says_so(machines, monkeypatch, tmp_path):
    monkeypatch.setattr("dseg.pipelines.cluster.window._ALONE", 1.0)
    said, first = [], machines.worker()

    class Told(Progress):
        def warn(self, text):
            said.append(text)
            machines.worker()

    results = []
    for part, result in over_cluster(machines.client, slow, parts(8, 1, tmp_path), NONE, Told()):
        results.append((part.numbers, result))
        if len(results) == 1:
            first.kill()
    assert sorted(results) == [((n,), [2 * n]) for n in range(8)]
    assert said == ["the cluster has no workers any more: the run goes on when one joins"]
