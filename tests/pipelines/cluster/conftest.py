"""A real Dask cluster of processes."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

BESIDE = str(Path(__file__).parent)
WORKERS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "PYTHONPATH": BESIDE}


@pytest.fixture(scope="session")
def cluster():
    """The address of a scheduler with two workers."""
    with LocalCluster(
        processes=True,
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # several may run at once
        env=WORKERS,
    ) as running:
        yield running.scheduler_address


class Machines:
    """A scheduler and workers as users start them, each a process that may be killed."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        self._folder, self._running = folder, []
        self._start("dask_scheduler", "--port", "0", "--no-dashboard", "--dashboard-address", ":0")
        self._wait(self.file.is_file)
        self.client = Client(scheduler_file=str(self.file), set_as_default=False)

    def _start(self, program: str, *words: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.{program}", *words]
        made = subprocess.Popen(
            [*command, "--scheduler-file", str(self.file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **WORKERS},
            cwd=self._folder,
        )
        self._running.append(made)
        return made

    def worker(self, *words: str) -> subprocess.Popen:
        """Start a worker and wait until it is there."""
        before = len(self.client.nthreads())
        made = self._start("dask_worker", "--no-nanny", "--nthreads", "1", "--no-dashboard", *words)
        self._wait(lambda: len(self.client.nthreads()) > before)
        return made

    def _wait(self, condition) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def close(self) -> None:
        self.client.close()
        for process in reversed(self._running):
            process.kill()
            process.wait()


@pytest.fixture
def machines(tmp_path_factory):
    """A scheduler, and `worker` to start workers with."""

    @contextmanager
    def opened():
        running = Machines(tmp_path_factory.mktemp("machines"))
        try:
            yield running
        finally:
            running.close()

    with opened() as running:
        yield running


def files_of(folder: Path) -> dict[str, bytes]:
    """Return what is in a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
