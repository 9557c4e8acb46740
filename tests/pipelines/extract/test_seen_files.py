"""A run reads no image again whose file looks as it did; any other it does."""

import json
import os
import shutil

import numpy as np
import pytest
from dseg import FeatureStore
from dseg.pipelines.extract import seen_files
from dseg.pipelines.features import inference
from dseg.pipelines.inputs import image_survey
from PIL import Image

N = 4


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(N):
        pixels = np.random.default_rng(i).integers(0, 255, (20, 24, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png", compress_level=0)  # all of one length
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Where files are remembered, also those that have just been written."""
    monkeypatch.setenv("DSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(seen_files, "_SETTLED", 0)
    return tmp_path / "cache"


@pytest.fixture
def extract(dseg, photos, cache):
    def extracted(*more):
        words = ("--checkpoint", "builtin:filters", "--size", 8, "--json")
        result = dseg("extract", "--images", photos, "--out", "f.zarr", *words, *more)
        assert result.code == 0, result.err
        made = json.loads(result.out)
        return (made["extracted"], made["unchanged"])

    return extracted


@pytest.fixture
def read(monkeypatch):
    """Names of the files that are read, in their order."""
    names = []
    for module, function in ((image_survey, "image_facts"), (inference, "sha256_of")):
        real = getattr(module, function)

        def noted(path, *more, real=real):
            names.append(path.name)
            return real(path, *more)

        monkeypatch.setattr(module, function, noted)
    return names


def test_what_is_as_it_was_is_not_read(extract, read):
    assert extract() == (N, 0)
    assert len(read) >= N
    read.clear()
    assert extract() == (0, N)
    assert read == []


def swapped(photos, cache):
    """Other pixels in the same file; length and time of change as before."""
    path, other = photos / "1.png", photos / "2.png"
    stat = path.stat()
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size


def replaced(photos, cache):
    """Another file of that name, with length and time of change of the old one."""
    path = photos / "1.png"
    stat = path.stat()
    (photos / "new").write_bytes((photos / "3.png").read_bytes())
    os.utime(photos / "new", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (photos / "new").replace(path)


def unflagged(photos, cache):
    (photos.parent / "f.zarr/complete/c/1").unlink()


def without_facts(photos, cache):
    shutil.rmtree(photos.parent / "f.zarr/facts/sha256/c/1")


@pytest.mark.parametrize("change", [swapped, replaced, unflagged, without_facts])
def test_what_changed_is_extracted(extract, read, photos, cache, change):
    extract()
    change(photos, cache)
    read.clear()
    assert extract() == (1, N - 1)
    assert set(read) == {"1.png"}
    read.clear()
    assert extract() == (0, N)
    assert read == []


def touched(photos, cache):
    (photos / "1.png").touch()


def copied_back(photos, cache):
    shutil.copy2(photos / "1.png", photos / "copy")
    (photos / "copy").replace(photos / "1.png")


@pytest.mark.parametrize("change", [touched, copied_back])
def test_what_only_looks_changed_is_read_and_kept(extract, read, photos, cache, change):
    extract()
    change(photos, cache)
    read.clear()
    assert extract() == (0, N)
    assert set(read) == {"1.png"}


def flipped(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    file.write_bytes(content)


def cut(file):
    file.write_bytes(file.read_bytes()[:-3])


def emptied(file):
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [flipped, cut, emptied, os.unlink])
def test_without_what_was_remembered_all_is_read(extract, read, cache, damage):
    extract()
    (file,) = (cache / "files").iterdir()
    damage(file)
    read.clear()
    assert extract() == (0, N)
    assert len(set(read)) == N


def test_another_run_that_extracted_an_image_of_another_file_is_seen(
    extract, read, dseg, photos, cache, tmp_path, monkeypatch
):
    """As on a second machine, on which the folder holds another image of that name."""
    extract()
    shutil.copytree(photos, tmp_path / "elsewhere")
    shutil.copy(photos / "2.png", tmp_path / "elsewhere/1.png")
    words = ("--out", "f.zarr", "--checkpoint", "builtin:filters", "--size", 8, "--json")
    made = json.loads(dseg("extract", "--images", tmp_path / "elsewhere", *words).out)
    assert made["extracted"] == 1
    read.clear()
    assert extract() == (1, N - 1)
    assert set(read) == {"1.png"}


def test_verify_reads_all(extract, read):
    extract()
    read.clear()
    assert extract("--verify") == (0, N)
    assert len(set(read)) == N


def test_a_part_of_the_images_keeps_what_is_known_of_the_others(extract, read, tmp_path):
    extract()
    (tmp_path / "some.txt").write_text("0\n2\n")
    assert extract("--list", tmp_path / "some.txt") == (0, 2)
    read.clear()
    assert extract() == (0, N)
    assert read == []


def test_what_was_changed_just_now_is_not_remembered(extract, read, monkeypatch):
    monkeypatch.setattr(seen_files, "_SETTLED", 10**12)
    extract()
    read.clear()
    assert extract() == (0, N)
    assert len(set(read)) == N


def test_what_headers_said_is_remembered(dseg, extract, photos, cache, read):
    """Images of 16 bits and of several pages are warned of each time."""
    Image.fromarray(np.full((20, 24), 900, np.uint16)).save(photos / "deep.png")
    one = Image.new("RGB", (24, 20))
    one.save(photos / "pages.tif", save_all=True, append_images=[one])
    words = ("--out", "f.zarr", "--checkpoint", "builtin:filters", "--size", 8, "--white", 65535)
    first = dseg("extract", "--images", photos, *words)
    assert "1 of 6 images have more than one page" in first.err
    read.clear()
    again = dseg("extract", "--images", photos, *words)
    assert "1 of 6 images have more than one page" in again.err
    assert read == []


def test_a_cache_that_cannot_be_written_is_no_fault(extract, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DSEG_CACHE", str(tmp_path / "file"))
    assert extract() == (N, 0)
    assert extract() == (0, N)
    assert FeatureStore.open(tmp_path / "f.zarr").images[0].complete


def test_a_user_without_a_home_is_no_fault(extract, monkeypatch):
    for name in ("DSEG_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for a user not in passwd
    assert extract() == (N, 0)
    assert extract() == (0, N)
