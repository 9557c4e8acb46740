"""What all tests share."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("DSEG_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the published implementations' outputs; not part of the repository."""
    folder = SHARED / "golden"
    if not folder.is_dir():
        pytest.skip(f"no golden data at {folder} (set DSEG_SHARED to the folder that holds them)")
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real images with labels; not part of the repository."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"no real images at {folder} (set DSEG_SHARED to the folder that holds them)")
    return folder
