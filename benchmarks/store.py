"""The feature store: its size, its rates relative to plain zarr, how long extract waits for it.

::

    python benchmarks/store.py
    python benchmarks/store.py --images 6 --rounds 3      # quicker

On activations of the built-in checkpoint and of the default features, of drawn scenes. Sizes and
rates are also those of the LSUN-256 networks' shapes: the same activations, repeated to as many
channels.

size        bytes under ``features/`` before compression, against vectors upsampled to every pixel
rates       `FeatureWriter` and `FeatureStore` against zarr arrays of the same chunks and codec:
            bytes before compression by second, by turns, one thread
codecs      the same for each codec: compression and rates
pipelined   the wall time of `dseg extract` against the network alone and the codec's time shared
            by the cores
"""

import argparse
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import zarr
from dseg.demo.scenes import TRAINING_SEEDS_FROM, write_scenes
from dseg.extract.backbone import load_backbone
from dseg.extract.checkpoints.builtin import BUILTIN
from dseg.extract.concatenated import ConcatenatedBackbone
from dseg.extract.feature_spec import feature_spec
from dseg.extract.images.network_input import ImageRows
from dseg.extract.images.reading import read_image
from dseg.extract.networks.options import BackboneOptions
from dseg.extract.protocol import Backbone
from dseg.pipelines.console.progress import Advance, Progress
from dseg.pipelines.extract.config import ExtractConfig
from dseg.pipelines.extract.feature_choice import features_of
from dseg.pipelines.extract.run import extract
from dseg.store.format.codecs import CODECS, codec_named
from dseg.store.geometry import plan_tiles
from dseg.store.read.reader import FeatureStore
from dseg.store.spec import FeatureSpec, LayerSpec
from dseg.store.write.writer import FeatureWriter, PlannedImage, plan_store
from numpy.typing import NDArray
from timing import seconds

SIZE = (128, 128)
LARGE = 4  # rows of 50 MB
LSUN = ((5, 1024, 32), (6, 512, 32), (7, 512, 32), (8, 512, 64), (12, 256, 128))
Maps = Mapping[str, NDArray[np.float16]]


def lsun_spec() -> FeatureSpec:
    layers = tuple(LayerSpec(t, b, c, s, s) for t in (50, 150, 250) for b, c, s in LSUN)
    return FeatureSpec({}, "shapes", (256, 256), "squash", 0, 0, layers)


def upsampled_bytes(spec: FeatureSpec) -> int:
    """Return what the float16 vectors of every pixel of a row take."""
    return 2 * spec.dims * spec.row_shape[0] * spec.row_shape[1]


def maps_of(photos: Path, count: int, backbone: Backbone, spec: FeatureSpec) -> list[Maps]:
    """Return the activations of the first images of a folder, as extract stores them."""
    found = []
    parts = backbone.backbones if isinstance(backbone, ConcatenatedBackbone) else (backbone,)
    for path in sorted(photos.glob("*.ppm"))[:count]:
        layers = backbone(*(rows_of(path, part.row_shape) for part in parts))
        halves = [layer[0].half().cpu().numpy() for layer in layers]
        found.append(
            {
                size: np.concatenate([halves[i] for i in spec.layers_of(size)])
                for size in spec.map_sizes
            }
        )
    return found


def as_lsun(maps: Maps, spec: FeatureSpec) -> Maps:
    """Repeat channels of the maps of each side until there are as many as the LSUN networks'."""
    found = {}
    for size in spec.map_sizes:
        channels = sum(spec.layers[i].channels for i in spec.layers_of(size))
        found[size] = np.resize(maps[size], (channels, *maps[size].shape[1:]))
    return found


def rows_of(path: Path, row_shape: tuple[int, int]) -> NDArray[np.float32]:
    image = read_image(path)
    height, width = image.shape[:2]
    return ImageRows(image, plan_tiles((height, width), row_shape, "squash"))[0][None]


# ---- plain zarr and ours, the same chunks and codec ----


def plain_arrays(path: Path, spec: FeatureSpec, codec: str, images: int) -> dict[str, zarr.Array]:
    """Create the arrays of a store by zarr alone, one chunk a row."""
    group = zarr.create_group(path)
    found = {}
    for size in spec.map_sizes:
        members = [spec.layers[i] for i in spec.layers_of(size)]
        shape = (sum(m.channels for m in members), members[0].height, members[0].width)
        found[size] = group.create_array(
            size,
            shape=(images, *shape),
            chunks=(1, *shape),
            dtype="float16",
            compressors=codec_named(codec).compressors,
            fill_value=np.nan,
            config={"write_empty_chunks": True},
        )
    return found


def write_plainly(arrays: Mapping[str, zarr.Array], maps: Sequence[Maps]) -> None:
    for image, row in enumerate(maps):
        for size, values in row.items():
            arrays[size][image] = values


def read_plainly(arrays: Mapping[str, zarr.Array], images: int) -> None:
    for image in range(images):
        for array in arrays.values():
            array[image]


def planned(path: Path, spec: FeatureSpec, codec: str, images: int) -> FeatureWriter:
    plan_store(path, spec, [PlannedImage(f"{i}.png", SIZE) for i in range(images)], codec=codec)
    return FeatureWriter(path)


def write_ours(writer: FeatureWriter, maps: Sequence[Maps]) -> None:
    zeros = np.zeros(len(writer.spec.layers), np.int64)
    for image, row in enumerate(maps):
        writer.write_image(image, [row], sha256=bytes(32), nonfinite=zeros, clipped=zeros)


def read_ours(store: FeatureStore) -> None:
    for row in range(store.n_rows):
        for size in store.spec.map_sizes:
            store.map(row, size)


def compare_rates(spec: FeatureSpec, maps: Sequence[Maps], rounds: int, codec: str) -> list[str]:
    """Return lines on writing and reading, by turns."""
    n_bytes, taken = len(maps) * spec.bytes_per_row, []
    for _ in range(rounds):
        with TemporaryDirectory() as folder:
            plain = plain_arrays(Path(folder) / "plain.zarr", spec, codec, len(maps))
            writer = planned(Path(folder) / "ours.zarr", spec, codec, len(maps))
            one = {"plain write": seconds(lambda p=plain: write_plainly(p, maps))}
            one["our write"] = seconds(lambda w=writer: write_ours(w, maps))
            store = FeatureStore.open(Path(folder) / "ours.zarr")
            one["plain read"] = seconds(lambda p=plain: read_plainly(p, len(maps)))
            one["our read"] = seconds(lambda s=store: read_ours(s))
            taken.append(one)
    lines = []
    for what in ("write", "read"):
        ratios = [one[f"plain {what}"] / one[f"our {what}"] for one in taken]
        plain, ours = (median(one[f"{who} {what}"] for one in taken) for who in ("plain", "our"))
        lines.append(
            f"{what:6s} zarr {n_bytes / plain / 1e6:6.0f} MB/s, dseg {n_bytes / ours / 1e6:6.0f} "
            f"MB/s: {median(ratios):4.0%} ({min(ratios):.0%} to {max(ratios):.0%})"
        )
    return lines


def compare_codecs(spec: FeatureSpec, maps: Sequence[Maps], rounds: int) -> list[str]:
    """Return a line a codec: how much smaller, and its rates; by turns."""
    n_bytes = len(maps) * spec.bytes_per_row
    size, taken = dict.fromkeys(CODECS, 0), {name: [] for name in CODECS}
    for _ in range(rounds):
        for name in CODECS:
            with TemporaryDirectory() as folder:
                path = Path(folder) / "f.zarr"
                writer = planned(path, spec, name, len(maps))
                written = seconds(lambda w=writer: write_ours(w, maps))
                size[name] = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
                store = FeatureStore.open(path)
                taken[name].append((written, seconds(lambda s=store: read_ours(s))))
    return [
        f"{name:6s} {n_bytes / size[name]:5.2f}x smaller; "
        f"write {n_bytes / median(w for w, _ in taken[name]) / 1e6:6.0f} MB/s, "
        f"read {n_bytes / median(r for _, r in taken[name]) / 1e6:6.0f} MB/s"
        for name in CODECS
    ]


# ---- extract, as a whole and in its parts ----


def compare_pipeline(
    photos: Path, backbone: Backbone, spec: FeatureSpec, maps: Sequence[Maps], rounds: int
) -> list[str]:
    """Return lines on the wall time of extract against that of its parts, by turns."""
    cores, paths = os.cpu_count() or 1, sorted(photos.glob("*.ppm"))
    rows = [rows_of(path, spec.row_shape) for path in paths]
    ratios, parts = [], []
    for _ in range(rounds):
        network = seconds(lambda: [backbone(row) for row in rows])
        with TemporaryDirectory() as folder:
            writer = planned(Path(folder) / "f.zarr", spec, "lz4", len(maps))
            codec = seconds(lambda w=writer: write_ours(w, maps)) * len(rows) / len(maps)
            out = Path(folder) / "g.zarr"
            wall = seconds_of_extract(photos, out)
            shutil.rmtree(out)
        parts.append((network, codec, wall))
        ratios.append(wall / (network + codec / cores))
    network, codec, wall = (median(part[i] for part in parts) for i in range(3))
    return [
        f"network alone {network:.2f} s, codec {codec:.2f} s on one core, extract {wall:.2f} s",
        f"extract takes {median(ratios):.2f}x network + codec / {cores} cores "
        f"({min(ratios):.2f} to {max(ratios):.2f})",
    ]


def seconds_of_extract(photos: Path, out: Path) -> float:
    """Return the time from the first image to the last: loading the network is not in it."""
    options = BackboneOptions(size=SIZE, device="cpu")
    config = ExtractConfig(photos, out, (BUILTIN,), backbone=options)
    marks = Marks()
    extract(config, marks)
    return marks.seconds


class Marks(Progress):
    """Notes how long the bar was there."""

    seconds = 0.0

    @contextmanager
    def bar(self, label: str, total: int, unit: str) -> Iterator[Advance]:
        start = perf_counter()
        yield lambda n: None
        self.seconds = perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=16, help="drawn scenes (16)")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    lsun = lsun_spec()
    backbone = load_backbone(size=SIZE, device="cpu")
    spec = feature_spec(backbone, "squash")
    for name, one in (("LSUN-256", lsun), ("the built-in checkpoint", spec)):
        print(
            f"size   {name}: {one.bytes_per_row / 1e6:.1f} MB a row, "
            f"{upsampled_bytes(one) / one.bytes_per_row:.1f}x smaller than upsampled float16"
        )
    with TemporaryDirectory() as folder:
        photos = Path(folder)
        seeds = range(TRAINING_SEEDS_FROM, TRAINING_SEEDS_FROM + given.images)
        write_scenes(photos, seeds, SIZE)
        maps = maps_of(photos, given.images, backbone, spec)
        default, default_spec = features_of(ExtractConfig(photos, photos))
        default_maps = maps_of(photos, given.images, default, default_spec)
        large = [as_lsun(row, lsun) for row in maps[:LARGE]]
        for line in [
            "rates at LSUN-256's shapes, lz4, one thread:",
            *compare_rates(lsun, large, given.rounds, "lz4"),
            "rates of the built-in checkpoint's activations:",
            *compare_rates(spec, maps, given.rounds, "lz4"),
            "rates of the default features, many small chunks:",
            *compare_rates(default_spec, default_maps, given.rounds, "lz4"),
            *compare_codecs(spec, maps, given.rounds),
            *compare_pipeline(photos, backbone, spec, maps, given.rounds),
        ]:
            print(line, flush=True)


if __name__ == "__main__":
    main()
