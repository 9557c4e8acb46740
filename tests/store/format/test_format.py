"""The store is what docs/store-format.md says, to programs that are not dseg."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr
from dseg.store.format.codecs import CODECS
from dseg.store.format.keys import list_numbers
from dseg.store.read.reader import FeatureStore
from dseg.store.write.writer import PlannedImage, plan_store

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "store-format.md"
OF_THE_SPECIFICATION = {"bool", "int32", "int64", "uint8", "float16", "float32", "string"}


@pytest.fixture(params=["lz4", "uint8"])
def path(request, tmp_path, spec, write_all):
    write_all(tmp_path / "s.zarr", spec, codec=request.param)
    plan_store(tmp_path / "s.zarr", spec, [PlannedImage("late.png", (9, 9))])
    return tmp_path / "s.zarr"


def metadata(path):
    """Return each array's zarr.json, by the array's name."""
    found = {}
    for file in path.rglob("zarr.json"):
        content = json.loads(file.read_text())
        if content["node_type"] == "array":
            found[file.parent.relative_to(path).as_posix()] = content
    return found


def test_every_array_keeps_to_the_specification(path):
    for name, content in metadata(path).items():
        assert content["zarr_format"] == 3
        assert content["data_type"] in OF_THE_SPECIFICATION, name
        assert content["codecs"][-1]["name"] == "crc32c", name
        assert not any(codec["name"].startswith("numcodecs") for codec in content["codecs"])
    assert "consolidated_metadata" not in json.loads((path / "zarr.json").read_text())


def test_a_dimension_name_has_one_length(path):
    lengths = {}
    for name, content in metadata(path).items():
        for dimension, length in zip(content["dimension_names"], content["shape"], strict=True):
            assert lengths.setdefault(dimension, length) == length, (name, dimension)


def test_the_document_names_every_array_with_its_type_and_dimensions(path):
    table = documented()
    for name, content in metadata(path).items():
        pattern = re.sub(r"\d+x\d+", "<h>x<w>", name)
        assert pattern in table, f"{name} is not in {DOCUMENT.name}"
        dtype, dimensions = table.pop(pattern) if "<" not in pattern else table[pattern]
        assert content["data_type"] in dtype.replace("(", "").replace(")", "").split(), name
        got = [re.sub(r"\d+x\d+", "<h>x<w>", d) for d in content["dimension_names"]]
        assert got == dimensions, name
    left = set(table) - {"features/<h>x<w>", "scales/<h>x<w>", "features/dense"}
    assert not left, f"documented, but not there: {left}"


def documented():
    """Return type and dimensions of each array in the document's tables, by its name."""
    found = {}
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip().replace("\\", "") for cell in line.strip("| ").split("|")]
        if len(cells) < 5 or not cells[0].startswith("`"):
            continue
        names = re.findall("`([^`]+)`", cells[0])
        folder = names[0].rpartition("/")[0]
        for name in names:
            full = name if "/" in name or not folder else f"{folder}/{name}"
            dimensions = [re.sub(r" \(\d+\)", "", d) for d in cells[2].split(", ")]
            found[full] = (cells[1], dimensions)
    return found


def test_the_document_names_every_codec():
    text = DOCUMENT.read_text()
    for name, codec in CODECS.items():
        assert f"| `{name}` | {codec.dtype}" in text


def test_it_opens_in_xarray(path, spec):
    tree = xarray.open_datatree(path, engine="zarr", consolidated=False)
    assert tree["features/4x4"].dims == ("row", "channel_4x4", "y_4x4", "x_4x4")
    assert list(tree["complete"].values) == [True, True, True, False]
    assert list(tree["images/name"].values)[-1] == "late.png"


def test_the_document_s_examples_run(tmp_path, spec, write_all):
    written = write_all(tmp_path / "s.zarr", spec)
    names = {"path": tmp_path / "s.zarr", "name": "sub/1.png"}
    for code in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL):
        exec(code, names)
    expected = written[1]["4x4"]
    np.testing.assert_array_equal(names["activation"], expected[spec.channel_slices[0]])
    np.testing.assert_array_equal(names["maps"].values, expected)


def test_the_table_of_layers_repeats_the_spec(path, spec):
    group = zarr.open_group(path, mode="r")
    for name in ("timestep", "block"):
        values = (getattr(layer, name) for layer in spec.layers)
        assert list(group[f"layers/{name}"][:]) == [-1 if n is None else n for n in values]
    assert list(group["layers/first_feature"][:]) == list(spec.offsets[:-1])
    store = FeatureStore.open(path)
    for i, layer in enumerate(spec.layers):
        first, size = int(group["layers/first_channel"][i]), str(group["layers/array"][i])
        expected = store.map(0, size)[first : first + int(group["layers/channels"][i])]
        got = store.activations(0, layer.timestep, layer.block)
        np.testing.assert_array_equal(got, expected)


def test_only_set_flags_are_keys(path):
    store = zarr.open_group(path, mode="r").store
    assert list_numbers(store, "complete/c", 3) == {0, 1, 2}
    (path / "complete/c/3.abc.partial").write_bytes(b"")
    assert list_numbers(store, "complete/c", 3) == {0, 1, 2}
    assert list_numbers(store, "failed/c", 3) == set()


def test_rows_not_written_are_nan_to_others(path):
    group = zarr.open_group(path, mode="r")
    name = "scales/4x4" if "scales" in group else "features/4x4"
    assert np.isnan(group[name][3]).all()
