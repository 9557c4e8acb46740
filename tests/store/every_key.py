"""A store of which any key may be hurt, and what may become of it: used by tests, no test itself.

Its images: one of one row and one of two, one that could not be read, one not extracted yet.
"""

import json
from pathlib import Path

import numpy as np
import zarr
from dseg.store.geometry import plan_tiles
from dseg.store.read.integrity import find_damaged_images, find_missing_chunks
from dseg.store.read.reader import FeatureStore
from dseg.store.spec import FeatureSpec, LayerSpec
from dseg.store.write.writer import FeatureWriter, Plan, PlannedImage, plan_store

LAYERS = tuple(
    LayerSpec(50, block, channels, side, side) for block, channels, side in ((5, 6, 4), (6, 2, 8))
)
SPEC = FeatureSpec({"sha256": "00"}, "here", (16, 16), "tile", 0, 0, LAYERS)
FAILED, LATE = 2, 3
N = 4


def image(number: int, taller: int = 0) -> PlannedImage:
    return PlannedImage(f"{number}.png", (16 + 16 * (number % 2) + taller, 16))


def rows_of(number: int, spec: FeatureSpec = SPEC, taller: int = 0) -> list[dict[str, np.ndarray]]:
    """Whole numbers from 0 to 255, each twice a map, which every codec keeps as they are."""
    geometry = plan_tiles(image(number, taller).size, spec.row_shape, spec.fit, spec.overlap)
    rows = []
    for row in range(len(geometry.offsets)):
        generator = np.random.default_rng((number, row, taller))
        maps = {"4x4": np.empty((6, 4, 4)), "8x8": np.empty((2, 8, 8))}
        for one in maps.values():
            one[:] = generator.integers(0, 256, one.shape)
            one[:, 0, 0], one[:, 0, 1] = 0, 255
        rows.append({size: one.astype(np.float16) for size, one in maps.items()})
    return rows


def sha256(number: int, taller: int = 0) -> bytes:
    return bytes([number + 1, taller]) * 16


def write(path: Path, numbers: list[int], spec: FeatureSpec = SPEC, taller: int = 0) -> None:
    plan = plan_store(path, spec, [image(number, taller) for number in numbers], codec="uint8")
    fill(FeatureWriter(path), plan, numbers, spec, taller)


def fill(
    writer: FeatureWriter, plan: Plan, numbers: list[int], spec: FeatureSpec, taller: int = 0
) -> None:
    zeros = np.zeros(len(LAYERS), int)
    for number in numbers:
        sha, name = sha256(number, taller), f"{number}.png"
        at = plan.indices[name]
        if number == FAILED:
            writer.fail_image(at, f"{name} cannot be read", sha)
        elif not writer.is_current(at, sha):
            rows = rows_of(number, spec, taller)
            writer.write_image(at, rows, sha256=sha, nonfinite=zeros, clipped=zeros)


def make(path: Path, spec: FeatureSpec = SPEC) -> None:
    plan_store(path, spec, [image(number) for number in range(N)], codec="uint8")
    write(path, [number for number in range(N) if number != LATE], spec)


def extract_again(path: Path, spec: FeatureSpec = SPEC, *, verify: bool = False) -> None:
    """Do what ``dseg extract`` does, without the network."""
    plan = plan_store(path, spec, [image(number) for number in range(N)], codec="uint8")
    store, writer = FeatureStore.open(path), FeatureWriter(path)
    complete = [stored for stored in store.images if stored.complete]
    found = find_missing_chunks(store, complete)
    if verify:
        found |= find_damaged_images(
            store, [i for i in complete if i.index not in found], lambda n: None
        )
    for number in found:
        writer.mark_incomplete(number)
    fill(writer, plan, list(range(N)), spec)


def read(path: Path, spec: FeatureSpec = SPEC) -> set[str]:
    """Read all that is complete, as ``fit`` and ``predict`` do; what is read must be right.

    Returns
    -------
    set of str
        Names of the complete images.
    """
    store, done = FeatureStore.open(path), set()
    assert [stored.name for stored in store.images] == [image(n).name for n in range(N)]
    for stored in store.images:
        number = int(stored.stem)
        size = image(number).size
        assert stored.geometry == plan_tiles(size, spec.row_shape, spec.fit, spec.overlap)
        if not stored.complete:
            assert number in (FAILED, LATE) or stored.failed is None
            continue
        expected = rows_of(number, spec)
        assert stored.row_count == len(expected)
        assert stored.sha256 == sha256(number)
        for row, maps in zip(store.rows(stored.index), expected, strict=True):
            assert store.image_of(row) is stored
            for map_size, one in maps.items():
                np.testing.assert_array_equal(store.map(row, map_size), one)
        done.add(stored.name)
    return done


def age(path: Path) -> None:
    """Make a store as older versions wrote it: fills that are values, and chunks of fills left out.

    (Other writers leave them out; dseg never did.)
    """
    group = zarr.open_group(path, mode="r")
    for name in [n for n, _ in group.members(max_depth=2) if n.count("/") == 1]:
        if not name.startswith(("images/", "rows/", "layers/")):
            continue
        file = path / name / "zarr.json"
        content = json.loads(file.read_text())
        if content["data_type"] != "string":
            content["fill_value"] = -1 if name == "rows/image" else 0
        file.write_text(json.dumps(content))
        if not np.any(group[name][:] != content["fill_value"]):
            for chunk in [f for f in (path / name / "c").rglob("*") if f.is_file()]:
                chunk.unlink()
