"""A set of layers names its stores, its costs and its commands."""

import shlex
from pathlib import Path

import pytest
import torch
from dseg.pipelines.select.layer_sets import LayerSet, NetworkTimes, default_names
from dseg.store.errors import InputError
from dseg.store.read.reader import FeatureStore
from dseg.store.read.view import store_parts
from dseg.store.spec import FeatureSpec, LayerSpec
from dseg.store.write.writer import PlannedImage, plan_store

EXTRAS = (LayerSpec.extra("filters", 4, 16, 16), LayerSpec.extra("pixels", 5, 16, 16))
NOISY = tuple(LayerSpec(t, b, 2, 8, 8) for t in (50, 150) for b in (5, 6))
CLEAR = (LayerSpec.clean(2, 7, 4, 4), LayerSpec.clean(11, 3, 4, 4))


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("sets"), []
    for name, layers in (("a", (*NOISY, *EXTRAS)), ("b", (*CLEAR, EXTRAS[1]))):
        spec = FeatureSpec({"kind": name}, f"{name}.pt", (16, 16), "squash", 0, 0, layers)
        plan_store(folder / f"{name}.zarr", spec, [PlannedImage("0.png", (16, 16))], codec="none")
        found.append(FeatureStore.open(folder / f"{name}.zarr"))
    return found


def layer_set(stores, names):
    return LayerSet.of(store_parts(stores), names)


def test_a_set_of_one_store(stores):
    some = layer_set(stores[:1], ("pixels", "150:5", "50:6"))
    assert some.names == ("50:6", "150:5", "pixels")
    assert some.steps == 2
    assert some.bytes_per_row == 2 * (2 * 2 * 64 + 5 * 256)
    assert not some.whole
    assert some.features.spec.dims == 9
    every = layer_set(stores[:1], ("50:5", "50:6", "150:5", "150:6", "filters", "pixels"))
    assert every.whole
    assert every.features is stores[0]


def test_a_store_that_is_not_needed_is_left_out_and_names_are_those_of_the_rest(stores):
    some = layer_set(stores, ("2/11", "1/pixels"))  # the second store has them too
    assert [part.store.path.name for part in some.stores] == ["b.zarr"]
    assert some.names == ("11", "pixels")
    kept = layer_set(stores, ("2/11", "1/filters"))  # which only the first one has
    assert kept.names == ("2/11", "1/filters")
    assert layer_set(stores, ("1/filters", "1/pixels")).names == ("filters", "pixels")
    assert layer_set(stores, ("1/50:5", "2/2", "1/pixels")).names == ("1/50:5", "2/2", "1/pixels")


def test_the_commands(stores):
    some = layer_set(stores[:1], ("150:5", "50:6", "filters"))
    command = some.fit_command(Path("my labels"), {"--list": "a.txt", "--ignore": None})
    path = str(stores[0].path)
    expected = ["dseg", "fit", path, "my labels", "--layers", "50:6,150:5,filters"]
    assert shlex.split(command) == [*expected, "--list", "a.txt"]
    (line,) = some.extract_commands()
    assert line.endswith("--steps 50,150 --blocks 5,6 --filters --no-pixels")
    both = layer_set(stores, ("1/50:5", "2/2")).extract_commands()
    assert len(both) == 2
    assert "--steps" not in both[1]  # it takes no noise
    assert "--out small2.zarr" in both[1]
    assert layer_set(stores[:1], ("filters",)).extract_commands() == []


def test_without_the_checkpoint_there_is_no_time_and_no_default(stores):
    times = NetworkTimes(torch.device("cpu"))
    with pytest.raises(InputError):
        times.seconds(layer_set(stores[:1], ("50:6",)))
    assert times.seconds(layer_set(stores[:1], ("filters", "pixels"))) == 0
    assert default_names(store_parts(stores)[0]) is None


def test_fewer_steps_and_blocks_take_less_time(store):
    opened = FeatureStore.open(store)
    names = [layer.name for layer in opened.layers]
    times = NetworkTimes(torch.device("cpu"))
    whole, first = (times.seconds(layer_set([opened], some)) for some in (names, names[:1]))
    assert 0 < first < whole
    assert default_names(opened) == tuple(names)


def test_the_extracting_command_makes_the_same_features(dseg, world, store, ddpm, tmp_path):
    (tmp_path / "one.txt").write_text("p1\n")
    words = ("--images", world.photos, "--list", "one.txt", "--checkpoint", ddpm)
    words += ("--steps", "50,150", "--blocks", "1,3", "--draws", 2, "--flip", "--filters")
    words += ("--precision", "bfloat16", "--seed", 3, "--tile", "--overlap", 4)
    assert dseg("extract", *words, "--out", "wide.zarr").code == 0
    opened = FeatureStore.open(tmp_path / "wide.zarr")
    (line,) = layer_set([opened], [layer.name for layer in opened.layers]).extract_commands()
    made = dseg(*shlex.split(line.replace("photos/", str(world.photos)))[1:], "--list", "one.txt")
    assert made.code == 0, made.err
    assert FeatureStore.open(tmp_path / "small.zarr").spec.hash == opened.spec.hash


def test_the_extracting_command_tells_what_a_file_cannot_show(tmp_path):
    architecture = {"head_channels": None, "heads": 4, "attention_order": "new"}
    backbone = {
        "kind": "guided-diffusion",
        "architecture": architecture,
        "schedule": {"name": "cosine", "timesteps": 4000},
    }
    spec = FeatureSpec(backbone, "a.pt", (16, 16), "squash", 0, 0, NOISY)
    plan_store(tmp_path / "a.zarr", spec, [PlannedImage("0.png", (16, 16))], codec="none")
    store = FeatureStore.open(tmp_path / "a.zarr")
    (line,) = layer_set([store], ("50:5",)).extract_commands()
    told = "--heads 4 --attention-order new --schedule cosine --diffusion-steps 4000"
    assert line.endswith(told)
    assert "--head-channels" not in line


@pytest.mark.parametrize("source", ["own:factory", "weights.pt"])
def test_the_extracting_command_of_a_network_of_ones_own(source, tmp_path):
    backbone = {"kind": "own", "architecture": {"factory": "own:factory"}}
    layers = (LayerSpec.clean(1, 4, 8, 8),)
    spec = FeatureSpec(backbone, source, (16, 16), "squash", 0, 0, layers)
    plan_store(tmp_path / "a.zarr", spec, [PlannedImage("0.png", (16, 16))], codec="none")
    (line,) = layer_set([FeatureStore.open(tmp_path / "a.zarr")], ("1",)).extract_commands()
    checkpoint = "" if source == "own:factory" else " --checkpoint weights.pt"
    assert f"--out small.zarr --backbone own:factory{checkpoint} --size 16x16" in line
