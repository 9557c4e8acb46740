"""A disk that fills while images are drawn or a student is trained: said, and nothing is lost.

The disk is a real one, a small file system in memory that the test fills under the running process.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

SIZE = 400 * 2**20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")


class SmallDisk:
    """A file system that only some processes see: those that are told its holder's process id."""

    def __init__(self, path: Path, holder: int) -> None:
        self.path, self.holder = path, holder
        self.seen = Path(f"/proc/{holder}/root{path}")  # by this process
        self._filler = self.seen / "filler"

    def fill_until_end(self, running):
        """Take all room there is, and what the command gives back, until it ends."""
        with self._filler.open("wb") as file:
            while not running.ended():
                room = os.fstatvfs(file.fileno())
                free = room.f_bavail * room.f_frsize
                if free:
                    try:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free)
                    except OSError:  # the command was quicker
                        time.sleep(0.0005)
                else:
                    time.sleep(0.0005)
        return running.result()

    def empty(self):
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = f"mount -t tmpfs -o size={SIZE} tmpfs '{folder}' && echo mounted && exec cat"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount]
    pipe = subprocess.PIPE
    try:
        holder = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    with holder:
        if holder.stdout.readline() != "mounted\n":
            pytest.skip(f"no file system can be mounted here: {holder.stderr.read()}")
        yield SmallDisk(folder, holder.pid)
        holder.stdin.close()


def said(result, *words):
    """See that a command failed with one plain message."""
    assert result.code == 1, result
    assert "Traceback" not in result.err
    assert "unexpected" not in result.err
    errors = [line for line in result.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, result.err
    assert any(word in errors[0] for word in ("No space left on device", "os error 28")), errors
    for word in words:
        assert word in errors[0]


def files(folder):
    """Return the content of each file, but for locks."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


DRAW = ("--steps", 4, "--batch-size", 1, "--device", "cpu")


@pytest.mark.slow  # the disk must fill before a small run has ended, which a busy machine may fail
@pytest.mark.parametrize(
    ("out", "third"),
    [("drawn", "000002.png"), ("s", "labels/000002.png"), ("s.zarr", "labels/c/2/0/0")],
)
def test_images_that_do_not_fit(forked, disk, ddpm, model, tmp_path, out, third):
    words = ("--checkpoint", ddpm, "--count", 6, *DRAW, "--out", out)
    words = ("sample", *words) if out == "drawn" else ("synthesize", "--model", model, *words)
    run = forked(disk.path, *words, mounts=disk.holder)
    run.wait_until((disk.seen / out / third).exists)
    said(disk.fill_until_end(run), out, "repeat the command to continue")
    assert (disk.seen / out / third).exists()
    left = [path.name for path in (disk.seen / out).rglob("*") if path.name.endswith(".part")]
    assert not left
    disk.empty()
    again = forked(disk.path, *words, mounts=disk.holder).result()
    assert again.code == 0, again.err
    assert forked(tmp_path, *words).result().code == 0
    assert files(disk.seen / out) == files(tmp_path / out)


@pytest.mark.slow
def test_a_student_that_does_not_fit(forked, disk, world, model, tmp_path):
    """Filled while the teacher is at work, then while the state is saved after every step."""
    words = ("distil", world.photos, "--model", model, "--batch-size", 2, "--device", "cpu")
    words += ("--precision", "float32", "--save-every", "0.001s", "--out", "student")
    first = forked(disk.path, *words, "--size", 48, "--steps", 1, mounts=disk.holder).result()
    assert first.code == 0, first.err
    out = disk.seen / "student"
    earlier = {name: (out / name).read_bytes() for name in ("student.json", "student.safetensors")}
    words += ("--size", 32, "--steps", 6)
    soft, state = out / "soft-labels", out / "training"
    begun = (state / "state.json").stat().st_mtime_ns

    def taught():
        return "32" in (soft / "teacher.json").read_text() and any(soft.glob("*.npz"))

    def saved():
        try:
            return (state / "state.json").stat().st_mtime_ns != begun
        except FileNotFoundError:  # it is being replaced
            return False

    for condition in (lambda: (soft / "teacher.json").exists() and taught(), saved):
        run = forked(disk.path, *words, "--overwrite", mounts=disk.holder)
        run.wait_until(condition)
        said(disk.fill_until_end(run))
        assert {name: (out / name).read_bytes() for name in earlier} == earlier
        disk.empty()
    again = forked(disk.path, *words, "--overwrite", mounts=disk.holder).result()
    assert again.code == 0, again.err
    assert forked(tmp_path, *words).result().code == 0
    whole = tmp_path / "student"
    for file in ("student.safetensors", "training/state.safetensors"):
        assert load_file(out / file).keys() == load_file(whole / file).keys()
        assert (out / file).read_bytes() == (whole / file).read_bytes()
    assert files(soft) == files(whole / "soft-labels")
    assert not [path for path in out.rglob("*") if path.name.startswith(".")]
