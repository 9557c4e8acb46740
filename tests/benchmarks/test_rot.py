"""The short version of benchmarks/soak/rot.py."""

import importlib.util
from pathlib import Path

import dseg


def test_damage_is_found_and_repaired(tmp_path):
    path = Path(dseg.__file__).parent / "benchmarks/soak/rot.py"
    spec = importlib.util.spec_from_file_location("rot", path)
    rot = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rot)
    assert rot.soak(tmp_path / "work", 12, seed=7, only=("uint8.zarr", "masks")) == []
