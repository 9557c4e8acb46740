"""Whatever key of a store is lost, empty or cut off: what is read is right, or refused in words.

And the same extract again mends it, or says what to do.
"""

import importlib.util
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
import zarr.storage._local as local
from dseg.store.errors import VERIFY, DsegError, StoreError
from dseg.store.read.integrity import find_missing_chunks
from dseg.store.read.reader import FeatureStore
from dseg.store.write.writer import FeatureWriter, PlannedImage, plan_store


@pytest.fixture(scope="module")
def sample():
    path = Path(__file__).with_name("every_key.py")
    found = importlib.util.spec_from_file_location("every_key", path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def whole(sample, tmp_path_factory):
    """Stores as they are written now, and as they were: tiled, and of one row an image."""
    folder, squash = tmp_path_factory.mktemp("whole"), replace(sample.SPEC, fit="squash")
    for name, spec in (("new", sample.SPEC), ("old", sample.SPEC), ("old-squash", squash)):
        sample.make(folder / name, spec)
        if name != "new":
            sample.age(folder / name)
        assert len(sample.read(folder / name, spec)) == 2
    return folder


def empty(key):
    key.write_bytes(b"")


def cut(key):
    key.write_bytes(key.read_bytes()[: key.stat().st_size // 2])


def contents(store):
    return {key: (store / key).read_bytes() for key in keys_of(store)}


def restore(store, content):
    """Bring back what was there: quicker than a copy, most keys being as they were."""
    for key in keys_of(store):
        if key not in content:
            (store / key).unlink()
    for key, data in content.items():
        file = store / key
        if not file.is_file() or file.read_bytes() != data:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)


def keys_of(store):
    return [f.relative_to(store) for f in sorted(store.rglob("*")) if f.is_file()]


def chunks_of(store):
    return [key for key in keys_of(store) if key.name != "zarr.json"]


def tables_of(store):
    return [key for key in chunks_of(store) if key.parts[0] in ("images", "rows", "layers")]


def some_of(store):
    """The last chunk and the last `zarr.json` of each folder."""
    return list({(key.parts[0], key.name == "zarr.json"): key for key in keys_of(store)}.values())


def some_chunks_of(store):
    return [key for key in some_of(store) if key.name != "zarr.json"]


@pytest.mark.parametrize(
    ("which", "hurt", "hurt_keys"),
    [
        ("new", Path.unlink, some_of),
        ("new", empty, some_of),
        ("new", cut, some_chunks_of),
        pytest.param("new", Path.unlink, keys_of, marks=pytest.mark.slow),
        pytest.param("new", empty, keys_of, marks=pytest.mark.slow),
        pytest.param("new", cut, chunks_of, marks=pytest.mark.slow),
        ("old", Path.unlink, tables_of),
        ("old-squash", Path.unlink, tables_of),
    ],
)
def test_a_hurt_key_is_never_read_as_if_whole(sample, whole, tmp_path, which, hurt, hurt_keys):
    spec = replace(sample.SPEC, fit="squash") if "squash" in which else sample.SPEC
    keys, mended, path = hurt_keys(whole / which), 0, tmp_path / "s.zarr"
    assert len(keys) > 7
    shutil.copytree(whole / which, path)
    content = contents(path)
    for key in keys:
        hurt(path / key)
        said(sample.read, path, spec)
        words = said(sample.extract_again, path, spec)
        if words is None:
            words = said(sample.read, path, spec)
            if words is not None:
                assert VERIFY in words, key
                sample.extract_again(path, spec, verify=True)
                assert said(sample.read, path, spec) is None
            assert complete(path) == {"0.png", "1.png", "3.png"}, key
            mended += 1
        else:  # what to do instead
            advised = ("with --overwrite", "into another folder", "a new or an empty folder")
            assert any(advice in words for advice in advised), key
        restore(path, content)
    assert mended > {keys_of: 20, chunks_of: 20, some_of: 9, some_chunks_of: 4}.get(hurt_keys, -1)


def complete(path):
    return {stored.name for stored in FeatureStore.open(path).images if stored.complete}


def said(function, *given):
    """Return what it was refused with, if it was; anything but a refusal is raised."""
    try:
        function(*given)
    except DsegError as error:
        return str(error)
    return None


@pytest.mark.parametrize("table", ["size", "resized", "first_row", "row_count", "name"])
def test_what_a_lost_table_is_called(sample, whole, tmp_path, table):
    path = tmp_path / "s.zarr"
    shutil.copytree(whole / "new", path)
    shutil.rmtree(path / f"images/{table}/c")
    words = rf"is damaged: .*'images/{table}'.* Extract again with --overwrite"
    for use in (FeatureStore.open, lambda p: plan_store(p, sample.SPEC, [sample.image(0)])):
        with pytest.raises(StoreError, match=words):
            use(path)


def test_a_lost_part_of_a_long_old_table_is_seen(tmp_path, sample):
    """Two chunks: the second is lost, and reads as 0."""
    path, spec = tmp_path / "s.zarr", replace(sample.SPEC, fit="squash")
    images = [PlannedImage(f"{n}.png", (9, 9)) for n in range(16_500)]
    plan_store(path, spec, images)
    sample.age(path)
    zarr.open_array(path, path="complete", mode="r+")[16_400] = True
    assert FeatureStore.open(path).image(16_400).first_row == 16_400
    (path / "images/first_row/c/1").unlink()
    with pytest.raises(
        StoreError, match=r"table 'rows/image' contradicts the other tables for image '16400.png'"
    ):
        FeatureStore.open(path)


def test_names_from_elsewhere_are_refused(sample, whole, tmp_path):
    path = tmp_path / "s.zarr"
    for name, words in (
        (
            "../../x.png",
            r"contains an image named '../../x.png', which .* a part '\.\.', which leads out",
        ),
        ("/abs/x.png", "begins with '/'"),
        (
            "1.jpg",
            "contains the images '1.jpg' and '1.png', whose names differ only in the extension",
        ),
        ("1.png", "contains the images '1.png' and '1.png'"),
    ):
        shutil.copytree(whole / "new", path)
        zarr.open_array(path, path="images/name", mode="r+")[0] = name
        for use in (FeatureStore.open, FeatureWriter, lambda p: plan_store(p, sample.SPEC, [])):
            with pytest.raises(StoreError, match=words):
                use(path)
        shutil.rmtree(path)


@pytest.mark.parametrize(
    ("side", "words"),
    [
        (10_000, r"'images/\w+' contradicts the other tables for image '1.png'"),
        (2**31 - 1, r"image '1.png' has 2147483647x2147483647 pixels in it, but no image has more"),
    ],
)
def test_an_image_of_more_rows_than_there_are_is_refused_at_once(
    sample, whole, tmp_path, side, words
):
    path = tmp_path / "s.zarr"
    shutil.copytree(whole / "new", path)
    zarr.open_array(path, path="images/size", mode="r+")[1] = side
    with pytest.raises(StoreError, match=words):
        FeatureStore.open(path)


class Killed(BaseException):
    """Stands for a kill between two keys: each is written whole or not at all."""


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("taller", "every"),
    [(1, 9), (16, 9), pytest.param(1, 1, marks=SLOW), pytest.param(16, 1, marks=SLOW)],
)
def test_a_plan_killed_between_any_two_keys_goes_on(
    sample, whole, tmp_path, monkeypatch, taller, every
):
    """Of image 1 the size changes, and with 16 its number of rows; image 5 is new."""
    write_key, path = local._put, tmp_path / "s.zarr"
    changed = [sample.image(0), sample.image(1, taller), sample.image(5)]
    shutil.copytree(whole / "new", path)
    content = contents(path)
    for last in range(0, 100, every):
        count = iter(range(last, -1, -1))

        def put(*args, count=count, **options):
            if next(count) == 0:
                raise Killed
            return write_key(*args, **options)

        with monkeypatch.context() as patched:
            patched.setattr(local, "_put", put)
            try:
                plan_store(path, sample.SPEC, changed)
                break
            except Killed:
                pass
        between(sample, path)
        plan, writer = plan_store(path, sample.SPEC, changed), FeatureWriter(path)
        sample.fill(writer, plan, [0, 5], sample.SPEC)
        sample.fill(writer, plan, [1], sample.SPEC, taller)
        whole_again(sample, path, taller)
        restore(path, content)
    assert 10 < last < 99


def between(sample, path):
    """Read after a kill: image 1 is of the old size and whole, or not complete."""
    store = FeatureStore.open(path)
    for stored in store.images:
        if stored.complete:
            for row, maps in zip(
                store.rows(stored.index), sample.rows_of(int(stored.stem)), strict=True
            ):
                np.testing.assert_array_equal(store.map(row, "8x8"), maps["8x8"])
    assert store.image("0").complete
    if not store.image("1").complete and store.image("1").row_count:
        with pytest.raises(StoreError, match="is not complete in"):
            store.map(store.image("1").first_row, "8x8")


def whole_again(sample, path, taller):
    store = FeatureStore.open(path)
    for number, more in ((0, 0), (1, taller), (5, 0)):
        expected = sample.rows_of(number, taller=more)
        assert store.image(f"{number}").complete
        for row, maps in zip(store.rows(f"{number}"), expected, strict=True):
            np.testing.assert_array_equal(store.map(row, "8x8"), maps["8x8"])


def test_a_fact_of_a_complete_image_that_is_gone_is_not_zeros(sample, whole, tmp_path):
    path = tmp_path / "s.zarr"
    shutil.copytree(whole / "new", path)
    key = path / "facts/sha256/c/1/0"
    for hurt, words in (
        (empty, "does not match its checksum. Repeat the same"),
        (Path.unlink, "is missing"),
    ):
        hurt(key)
        with pytest.raises(StoreError, match=words):
            _ = FeatureStore.open(path).image("1").sha256
        assert not FeatureWriter(path).is_current(1, sample.sha256(1))
    empty(path / f"facts/sha256/c/{sample.FAILED}/0")
    assert FeatureStore.open(path).image(sample.FAILED).sha256 == bytes(32)
    empty(path / f"facts/reason/c/{sample.FAILED}")
    assert FeatureStore.open(path).image(sample.FAILED).failed == "the reason is lost"


def test_looking_at_many_images_takes_a_moment(tmp_path, sample):
    """Every chunk of 2000 images: a look, no read."""
    path = tmp_path / "s.zarr"
    n = 2000
    plan_store(path, sample.SPEC, [PlannedImage(f"{i}.png", (16, 16)) for i in range(n)])
    for key in ("complete/c/{}", "facts/sha256/c/{}/0", "facts/nonfinite/c/{}/0"):
        for i in range(n):
            file = path / key.format(i)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"12345")
    store = FeatureStore.open(path)
    start = time.monotonic()
    found = find_missing_chunks(store, store.images)
    assert time.monotonic() - start < 2
    assert len(found) == n
    assert found[7] == "image '7.png': 'facts/clipped/c/7/0' is missing"


def test_new_fills_are_no_values(whole):
    for name in ("images/size", "images/first_row", "rows/offset", "layers/channels"):
        assert json.loads((whole / "new" / name / "zarr.json").read_text())["fill_value"] == -1
