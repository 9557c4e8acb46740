"""``dseg doctor``: what is wrong with an installation or a machine is told in words."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import zarr
from dseg.pipelines.doctor.machine import has_locks


@pytest.fixture
def limited(tmp_path):
    """Run it in a process with limits of the system, set by a line of a shell."""

    def run(limit, *words, **env):
        command = f"{limit}; exec {sys.executable} -m dseg doctor {' '.join(words)}"
        return subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_the_three_commands_are_tried(dseg, tmp_path):
    result = dseg("doctor", "--json", "--device", "cpu")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["works"]
    assert found["self_test"]["right"] > 0.8
    assert found["packages"]["zarr"] == zarr.__version__
    assert found["device"] == "cpu"
    assert found["locks"]
    assert 0 < found["free_memory"] <= found["memory"]
    assert not any(tmp_path.iterdir())


def test_in_words(dseg):
    result = dseg("doctor", "--no-self-test")
    assert result.code == 0, result.err
    rows = dict(line.split(maxsplit=1) for line in result.out.splitlines() if line[0] != " ")
    assert rows["dseg"].startswith("0.")
    assert "CPU cores" in rows["device"]
    assert rows["locks"] == "work here"
    assert rows["self-test"] == "not run"
    assert max(map(len, result.out.splitlines())) <= 100


def test_a_device_that_is_not_there(dseg):
    result = dseg("doctor", "--device", "cuda:7")
    assert result.code == 2
    assert "cuda:7" in result.err
    assert result.err.startswith("Error: ")


def packaged(folder, name, version):
    """Put the metadata of a package into a folder, as if it were installed there."""
    about = folder / f"{name}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_packages_of_other_versions(dseg, tmp_path, monkeypatch):
    packaged(tmp_path / "site", "zarr", "9.0")
    packaged(tmp_path / "site", "xarray", "0.1")
    monkeypatch.syspath_prepend(tmp_path / "site")
    result = dseg("doctor", "--no-self-test", "--json")
    assert result.code == 1
    found = json.loads(result.out)
    assert found["problems"][0].startswith(
        "zarr 9.0 is installed, dseg needs zarr<3.2,>=3.1.6: pip"
    )
    assert found["extras"]["xarray"] == ["xarray"]
    assert found["extras"]["cluster"] == []


def test_little_memory(limited):
    found = json.loads(limited("ulimit -m 1000000", "--no-self-test", "--json").stdout)
    assert found["works"]
    assert found["problems"] == [
        "only 1.0 GB of memory are free, of which the three commands take 0.6 and more: end other "
        "programs, or see first what a run takes (--dry-run)"
    ]


def test_a_self_test_that_fails(limited, tmp_path):
    ended = limited("ulimit -f 8", "--device", "cpu")  # files of 8 kB at most
    assert ended.returncode == 1, ended.stderr
    assert "Problem: the self-test failed on cpu: " in ended.stdout
    assert "File too large" in ended.stdout
    assert "Traceback" not in ended.stderr
    assert "self-test      failed" in ended.stdout


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
def test_a_folder_into_which_nobody_can_write():
    assert has_locks(Path("/proc/self")) is None
