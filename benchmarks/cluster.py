"""A Dask cluster of two worker processes against one process, and a scheduler with many tasks.

::

    python benchmarks/cluster.py                     # 60 drawn scenes of 256 pixels
    python benchmarks/cluster.py --tasks 62500       # also so many tasks that do nothing

The commands are those of a user: `dask scheduler` and two `dask worker` of one thread on this
machine, `dseg extract` and `dseg predict` with and without `--scheduler`, by turns. Client and
workers reach the scheduler through a relay that counts bytes. The tasks that do nothing go through
the same code as the images': rate, and what scheduler and client hold in memory. A task of images
is 16 of them, so 62,500 are a million.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import psutil
from distributed import Client
from drawn import write_job
from dseg.pipelines.cluster.client import ClusterOptions
from dseg.pipelines.cluster.window import over_cluster
from dseg.pipelines.console.progress import Progress
from nothing import Nothing, do_nothing
from whole_job import run

SIDE, LABELLED, WORKERS, ROUNDS = 256, 8, 2, 3
IDLE_SECONDS = 10


class Relay:
    """Passes on what goes to and from the scheduler, and counts the bytes.

    Parameters
    ----------
    port : int
        The scheduler's.
    """

    def __init__(self, port: int) -> None:
        self.n_bytes, self.port, self._to = 0, 0, port
        self._ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        self._ready.wait()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await server.serve_forever()

    async def _accept(self, read: asyncio.StreamReader, write: asyncio.StreamWriter) -> None:
        onward = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(self._pass(read, onward[1]), self._pass(onward[0], write))

    async def _pass(self, read: asyncio.StreamReader, write: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):  # a client that has ended
            while data := await read.read(65536):
                self.n_bytes += len(data)
                write.write(data)
                await write.drain()
        write.close()


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, Relay, int]]:
    """Yield the address of a scheduler with workers, the relay before it, and its process."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    with ExitStack() as stack:

        def start(program: str, *words: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", f"distributed.cli.{program}", *words]
            quiet = subprocess.DEVNULL
            made = subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=folder, env=env)
            stack.callback(made.wait)
            stack.callback(made.kill)
            return made

        file = folder / "scheduler.json"
        words = ("--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        scheduler = start("dask_scheduler", *words)
        while not file.is_file():
            time.sleep(0.1)
        with Client(scheduler_file=str(file)) as client:
            relay = Relay(int(client.scheduler.address.rpartition(":")[2]))
            address = f"tcp://127.0.0.1:{relay.port}"
            for _ in range(WORKERS):
                start("dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
            client.wait_for_workers(WORKERS)
        yield address, relay, scheduler.pid


def share(folder: Path, images: int) -> list[str]:
    """Return the lines about extract and predict."""
    write_job(folder, SIDE, images, LABELLED)
    photos = folder / "photos"
    lines = []
    with cluster(folder) as (address, relay, _):
        before = relay.n_bytes
        time.sleep(IDLE_SECONDS)
        idle = (relay.n_bytes - before) / IDLE_SECONDS  # heartbeats of scheduler and workers
        lines.append(f"without work: {idle:.0f} bytes a second through the scheduler")
        first = folder / "alone-0.zarr"
        model = folder / "model"
        calls = {
            "extract": ("--images", photos, "--out", "{}.zarr"),
            "predict": (photos, "--model", model, "--out", "masks-{}"),
        }
        for command, words in calls.items():
            if command == "predict":
                fitted = ["fit", first, folder / "labels", "--out", model, "-q"]
                run([*map(str, fitted)], folder)
            times: dict[str, list[float]] = {"alone": [], "together": []}
            counted = []
            for number in range(ROUNDS):
                for way, more in (("alone", []), ("together", ["--scheduler", address])):
                    *most, out = map(str, words)
                    out = str(folder / out.format(f"{way}-{number}"))
                    before = relay.n_bytes
                    times[way].append(run([command, *most, out, *more, "-q"], folder)[0])
                counted.append(relay.n_bytes - before - idle * times["together"][-1])
            alone, together = median(times["alone"]), median(times["together"])
            lines.append(
                f"{command}: one process {alone:.1f} s, {WORKERS} workers {together:.1f} s "
                f"({together / alone:.2f}); {median(counted) / images:.0f} bytes more an image"
            )
    return lines


def simulate(folder: Path, tasks: int) -> list[str]:
    """Return the lines about tasks that do nothing."""
    with cluster(folder) as (address, relay, scheduler), Client(address) as client:
        held = psutil.Process(scheduler), psutil.Process(os.getpid())
        before, start = [one.memory_info().rss for one in held], time.perf_counter()
        most, done, bytes_before = list(before), 0, relay.n_bytes
        parts = (Nothing(number) for number in range(tasks))
        for _ in over_cluster(client, do_nothing, parts, ClusterOptions(), Progress()):
            done += 1
            if done % 1000 == 0:
                most = [max(m, one.memory_info().rss) for m, one in zip(most, held, strict=True)]
        took = time.perf_counter() - start
    grown = [(m - b) / 1e6 for m, b in zip(most, before, strict=True)]
    each = (relay.n_bytes - bytes_before) / done
    return [
        f"{done} tasks that do nothing, {WORKERS} workers: {took:.0f} s, {done / took:.0f} a "
        f"second; {each:.0f} bytes each through the scheduler, which grew by {grown[0]:.0f} MB; "
        f"the client by {grown[1]:.0f} MB"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--tasks", type=int, default=0)
    given = parser.parse_args()
    if given.images:
        with TemporaryDirectory() as folder:
            print("\n".join(share(Path(folder), given.images)), flush=True)
    if given.tasks:
        with TemporaryDirectory() as folder:
            print("\n".join(simulate(Path(folder), given.tasks)), flush=True)


if __name__ == "__main__":
    main()
