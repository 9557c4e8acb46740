"""Notebooks run as they are: their cells in one process, one namespace, one after the other.

Without Jupyter, which would bring thirty packages and a kernel to start. So cells have no magics
(a syntax error here), and notebooks are kept without outputs, which nobody would notice to be old.
"""

import json
import tempfile
from pathlib import Path

import dseg
import pytest

ROOT = Path(dseg.__file__).resolve().parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(path):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_is_kept_without_outputs(path):
    """``jupyter nbconvert --clear-output --inplace`` removes them."""
    assert cells(path)
    for cell in cells(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


def test_the_quickstart_runs(tmp_path, monkeypatch, capsys):
    import matplotlib.pyplot as plt

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    plt.switch_backend("agg")
    names = {}
    for number, cell in enumerate(cells(ROOT / "notebooks/quickstart.ipynb"), 1):
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    pictures = plt.get_fignums()
    plt.close("all")
    assert len(pictures) == 3
    assert names["score"] > 0.5
    assert names["share"].sum("class").values == pytest.approx(1)
    assert "6 images with" in capsys.readouterr().out
