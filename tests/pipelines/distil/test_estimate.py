"""``dseg distil --dry-run`` tells what the run then does, and writes nothing."""

import json
import re
import sys
from pathlib import Path

import pytest

STEPS = ("--size", 64, "--batch-size", 2, "--device", "cpu", "--steps")


def told_by(dseg, *words):
    before = sorted((path, path.stat().st_mtime_ns) for path in Path.cwd().rglob("*"))
    told = dseg("distil", *words, "--dry-run", "--json")
    assert told.code == 0, told.err
    assert sorted((path, path.stat().st_mtime_ns) for path in Path.cwd().rglob("*")) == before
    return json.loads(told.out)


def test_what_is_told_is_what_then_happens(own_world, model, dseg, tmp_path):
    words = (own_world.photos, own_world.labels, "--model", model, *STEPS)
    broken = own_world.photos / "broken.png"
    broken.write_bytes(b"no image")
    first = dseg("distil", *words, 4, "--dry-run")
    assert first.code == 3
    assert "broken.png" in first.err
    broken.unlink()
    assert re.search(
        r"3 images, 3 labelled ones, 0 held out: the teacher segments 3 in about \d+ seconds "
        r"\(0.0 MB of soft labels\); 4 steps, 0 of them done, the rest in about \d+ seconds; up to "
        r"\d+ MB on disk, where [\d.]+ GB are free, and \d+ MB of memory for the whole process; "
        r"nothing written",
        first.out,
    )
    told = told_by(dseg, *words, 4)
    assert dseg("distil", *words, 4).code == 0
    done = json.loads((tmp_path / "student/student.json").read_text())["training"]
    assert {key: told[key] for key in ("images", "labelled", "held_out", "steps")} == {
        key: done[key] for key in ("images", "labelled", "held_out", "steps")
    }
    files = {path.name: path.stat().st_size for path in (tmp_path / "student").rglob("*.*")}
    soft = sum(size for name, size in files.items() if name.endswith(".npz"))
    assert told["soft_label_bytes"] == soft  # a probe of all three
    assert soft < told["n_bytes"]
    assert told["n_bytes"] / 3 < sum(files.values()) < told["n_bytes"]
    assert told["teacher_seconds"] > 0
    assert told["training_seconds"] > 0

    (tmp_path / "student/soft-labels").joinpath(max(n for n in files if ".npz" in n)).unlink()
    again = told_by(dseg, *words, 6)
    assert (again["to_segment"], again["done"], again["steps"]) == (1, 4, 6)
    finished = told_by(dseg, *words, 4)
    assert (finished["done"], finished["steps"], finished["training_seconds"]) == (4, 4, 0)
    refused = dseg("distil", *words, 4, "--seed", 1, "--dry-run")
    assert refused.code == 2
    assert "differs in seed (0 before, 1 now)" in refused.err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_told_is_what_the_run_takes(measured, world, model, tmp_path):
    words = ("distil", world.photos, world.labels, "--model", model, "--out", tmp_path / "s")
    words += ("--size", 256, "--steps", 4, "--device", "cpu")
    _, (dry,) = measured((*words, "--dry-run", "--json"))
    _, (real,) = measured(words)  # in a process that holds nothing of the dry run
    assert 1 / 1.5 < json.loads(dry.out)["peak_memory"] / real.peak < 1.5
