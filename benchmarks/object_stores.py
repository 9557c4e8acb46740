"""Which library to read and write feature stores by URL with: obstore or fsspec's s3fs.

Chunks as large as those of the default features are read as arrays and written, by four threads, on
a server of S3's protocol on this machine: through zarr with s3fs, through zarr with obstore, and
as dseg does. Rounds alternate between them; medians are printed.

    python benchmarks/object_stores.py --images 100 --rounds 5

s3fs is not among dseg's packages, and pins others: install it with ``pip install --target DIR
s3fs`` and give ``--s3fs DIR``. Without it only the others are measured. ``--endpoint`` names
another server, such as ``moto_server``'s, with a bucket ``bucket``.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import zarr
from dseg.store.urls.location import location
from dseg.store.urls.zarr_store import UrlStore
from obstore.store import S3Store
from zarr.buffer import cpu
from zarr.codecs import BloscCodec
from zarr.core.sync import sync
from zarr.storage import FsspecStore, ObjectStore

SHAPES = {"128x128": (41, 128, 128), "64x64": (64, 64, 64), "32x32": (232, 32, 32)}
SHAPES |= {"16x16": (688, 16, 16), "8x8": (512, 8, 8)}  # the default features
SERVER = Path(__file__).parents[1] / "tests" / "s3_server.py"
KEY, SECRET, REGION = "AKIDTEST", "s3cr3t-of-the-tests", "us-east-1"
THREADS = 4


@contextmanager
def server() -> Iterator[str]:
    """Start a server; yield its address."""
    command = [sys.executable, SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


def stores(endpoint: str, s3fs_folder: str | None) -> dict[str, Callable[[str], Any]]:
    """Return what makes a Zarr store of a folder of the bucket, by library."""
    given = {"endpoint": endpoint, "access_key_id": KEY, "secret_access_key": SECRET}
    options = (*given.items(), ("region", REGION))

    def by_obstore(folder: str) -> Any:
        client: Any = {"allow_http": True}
        return ObjectStore(
            S3Store("bucket", prefix=folder, client_options=client, region=REGION, **given)
        )

    made: dict[str, Callable[[str], Any]] = {
        "obstore through zarr": by_obstore,
        "obstore as dseg": lambda folder: UrlStore(location(f"s3://bucket/{folder}", options)),  # type: ignore[arg-type]
    }
    if s3fs_folder is not None:
        sys.path.append(s3fs_folder)
        import s3fs

        client = {"endpoint_url": endpoint, "region_name": REGION}
        files = s3fs.S3FileSystem(asynchronous=True, key=KEY, secret=SECRET, client_kwargs=client)
        made["s3fs through zarr"] = lambda folder: FsspecStore(files, path=f"bucket/{folder}")
    return made


def fill(store: Any, images: int) -> dict[str, bytes]:
    """Write arrays of features; return the bytes of a chunk of each."""
    generator, chunks = np.random.default_rng(0), {}
    for size, shape in SHAPES.items():
        array = zarr.create_array(
            store,
            name=size,
            shape=(images, *shape),
            chunks=(1, *shape),
            dtype="float16",
            compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")],
        )
        maps = generator.normal(size=shape).astype(np.float16)
        for row in range(images):
            array[row] = maps
        buffer = sync(store.get(f"{size}/c/0/0/0/0", zarr.buffer.default_buffer_prototype()))
        chunks[size] = buffer.to_bytes()
    return chunks


def read(store: Any, images: int) -> None:
    arrays = {size: zarr.open_array(store, path=size, mode="r") for size in SHAPES}
    with ThreadPoolExecutor(THREADS) as pool:
        calls = [(size, row) for row in range(images) for size in SHAPES]
        for _ in pool.map(lambda call: np.asarray(arrays[call[0]][call[1]]), calls):
            pass


def write(store: Any, images: int, chunks: dict[str, bytes]) -> None:
    def put(call: tuple[str, int]) -> None:
        key, value = f"{call[0]}/c/{call[1]}/0/0/0", cpu.Buffer.from_bytes(chunks[call[0]])
        store.set_sync(key, value) if isinstance(store, UrlStore) else sync(store.set(key, value))

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(put, [(size, row) for row in range(images) for size in SHAPES]):
            pass


def spent(work: Callable[[], None]) -> tuple[float, float]:
    """Return the seconds that work takes, and those of them that this process computes."""
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    work()
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--endpoint")
    parser.add_argument("--s3fs", help="The folder that s3fs is installed in.")
    given = parser.parse_args()
    with server() as own:
        made = stores(given.endpoint or own, given.s3fs)
        chunks = fill(made["obstore as dseg"]("filled"), given.images)
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for _ in range(given.rounds):
            for name, store in made.items():
                there, new = store("filled"), store("new")
                found.setdefault(("read", name), []).append(
                    spent(lambda there=there: read(there, given.images))  # type: ignore[misc]
                )
                found.setdefault(("write", name), []).append(
                    spent(lambda new=new: write(new, given.images, chunks))  # type: ignore[misc]
                )
    megabytes = given.images * sum(map(len, chunks.values())) / 1e6
    print(f"{given.images} images, {megabytes:.0f} MB, {given.rounds} rounds, {THREADS} threads")
    for (doing, name), times in found.items():
        wall, busy = (median(column) for column in zip(*times, strict=True))
        print(f"{doing:5}  {name:21}  {wall:6.2f} s, of which computing {busy:6.2f} s")


if __name__ == "__main__":
    main()
