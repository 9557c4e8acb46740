"""A view of some layers, or of several stores, gives what picking from the stores by hand gives."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from dseg.store.errors import InputError, SpecMismatchError, StoreError
from dseg.store.read.interpolation import feature_vectors
from dseg.store.read.joined_spec import joined_spec
from dseg.store.read.reader import FeatureStore
from dseg.store.read.view import features_for_spec, join_features, layer_names, select_layers
from dseg.store.spec import FeatureSpec, LayerSpec
from dseg.store.write.writer import FeatureWriter, PlannedImage, plan_store

EXTRAS = (LayerSpec.extra("filters", 4, 16, 16), LayerSpec.extra("pixels", 5, 16, 16))


@pytest.fixture(scope="module")
def other(spec) -> FeatureSpec:
    """Of a network without noise, which sees larger rows."""
    layers = (LayerSpec.clean(2, 7, 4, 4), LayerSpec.clean(11, 3, 24, 24), *EXTRAS)
    return replace(
        spec, backbone={"kind": "vit", "sha256": "11"}, row_shape=(32, 32), layers=layers
    )


@pytest.fixture(scope="module")
def stores(spec, other, write_all, tmp_path_factory) -> list[FeatureStore]:
    folder = tmp_path_factory.mktemp("view")
    first = replace(spec, layers=(*spec.layers, *EXTRAS))
    for name, one in (("a", first), ("b", other)):
        write_all(folder / f"{name}.zarr", one)
    return [FeatureStore.open(folder / f"{name}.zarr") for name in "ab"]


def vectors(features, row: int, yx: np.ndarray) -> np.ndarray:
    return feature_vectors(features.spec, lambda size: features.map(row, size), yx)


YX = np.array([[0, 0], [3, 9], [15, 15]])


def test_all_of_one_store_is_the_store_itself(stores):
    assert join_features(stores[:1]) is stores[0]


def test_some_layers_are_those_columns_of_the_vectors(stores):
    store = stores[0]
    view = join_features([store], ["150:5", "pixels", "50:6"])
    assert [layer.name for layer in view.spec.layers] == ["50:6", "150:5", "pixels"]
    names = [layer.name for layer in store.layers]
    columns = [
        channel
        for layer in view.spec.layers
        for at in [names.index(layer.name)]
        for channel in range(store.spec.offsets[at], store.spec.offsets[at + 1])
    ]
    np.testing.assert_array_equal(vectors(view, 1, YX), vectors(store, 1, YX)[:, columns])


def test_joined_vectors_are_the_stores_vectors_side_by_side_and_each_extra_layer_once(stores):
    a, b = stores
    view = join_features(stores)
    assert view.spec.dims == a.spec.dims + b.spec.dims - 9
    assert [str(layer) for layer in view.spec.layers[-4:]] == [
        "block 2",
        "block 11",
        "filters",
        "colour and position",
    ]
    on_grid = replace(b.spec, row_shape=(16, 16))  # its maps cover the image all the same
    beside = feature_vectors(on_grid, lambda size: b.map(2, size), YX)[:, :10]
    of_a = vectors(a, 2, YX)
    expected = np.hstack([of_a[:, :-9], beside, of_a[:, -9:]])
    np.testing.assert_array_equal(vectors(view, 2, YX), expected)


def test_names_are_in_the_order_of_the_joined_layers_and_choose_them(stores):
    assert layer_names([stores[0].spec])[-2:] == ("filters", "pixels")
    names = layer_names([store.spec for store in stores])
    assert names[6:] == ("2/2", "2/11", "1/filters", "1/pixels")
    joined = join_features(stores).spec.layers
    assert [name.split("/")[1] for name in names] == [layer.name for layer in joined]
    assert join_features(stores, names).spec.layers == joined


def test_images_in_another_order_are_matched_by_name(spec, other, make_maps, tmp_path):
    zeros = {name: np.zeros(len(one.layers), int) for name, one in (("a", spec), ("b", other))}
    for name, one, order in (("a", spec, "xyz"), ("b", other, "zyx")):
        path = tmp_path / name
        plan_store(path, one, [PlannedImage(f"{i}.png", (20, 30)) for i in order], codec="none")
        writer = FeatureWriter(path)
        for number, image in enumerate(order):
            sha256 = image.encode() * 32
            maps = make_maps(one, ord(image))
            writer.write_image(
                number, [maps], sha256=sha256, nonfinite=zeros[name], clipped=zeros[name]
            )
    view = join_features([FeatureStore.open(tmp_path / name) for name in "ab"])
    for image in "xyz":
        (row,) = view.rows(image)
        np.testing.assert_array_equal(view.map(row, "24x24"), make_maps(other, ord(image))["24x24"])


def test_an_image_that_changed_between_extractions_is_refused(stores, other, make_maps, tmp_path):
    path = tmp_path / "b.zarr"
    plan_store(path, other, [PlannedImage("sub/0.png", (20, 30))], codec="none")
    zeros = np.zeros(len(other.layers), int)
    FeatureWriter(path).write_image(
        0, [make_maps(other, 0)], sha256=b"x" * 32, nonfinite=zeros, clipped=zeros
    )
    view = join_features([stores[0], FeatureStore.open(path)])
    with pytest.raises(StoreError, match=r"'sub/0' is not the same file in '.*a.zarr' and"):
        view.map(0, "24x24")
    missing = view.images[1]
    assert not missing.complete
    assert missing.failed is None  # nobody tried it: not extracted yet
    plan_store(tmp_path / "c.zarr", other, [PlannedImage("sub/0.png", (20, 30))], codec="none")
    begun = join_features([stores[0], FeatureStore.open(tmp_path / "c.zarr")])
    assert not begun.images[0].complete  # it is to be, but is not there


def test_a_view_travels_to_another_process(stores):
    view = join_features(stores, ["1/50:7", "2/11"])
    there = pickle.loads(pickle.dumps(view))
    assert there.spec == view.spec
    np.testing.assert_array_equal(there.map(1, "24x24"), view.map(1, "24x24"))
    assert pickle.loads(pickle.dumps(view)) is there  # opened once, for many tasks


def test_the_features_of_a_recipe_are_found_in_larger_stores_given_in_any_order(stores):
    for names in (None, ["1/50:7", "2/11"]):
        view = join_features(stores, names)
        found = features_for_spec(stores[::-1], FeatureSpec.from_dict(view.spec.to_dict()))
        assert found.spec.hash == view.spec.hash
        np.testing.assert_array_equal(vectors(found, 1, YX), vectors(view, 1, YX))
    few = join_features(stores[:1], ["50:7"])
    assert features_for_spec(stores[:1], few.spec).spec == few.spec
    assert features_for_spec(stores[:1], stores[0].spec) is stores[0]


def test_other_stores_are_refused(stores):
    joined = join_features(stores)
    with pytest.raises(
        SpecMismatchError, match=r"of 2 networks \(.*, but got those of one network"
    ):
        features_for_spec(stores[:1], joined.spec)
    with pytest.raises(
        SpecMismatchError, match=r"of one network \(.*, but got those of 2 networks"
    ):
        features_for_spec(stores, stores[0].spec)
    with pytest.raises(SpecMismatchError, match="checkpoint sha256"):
        features_for_spec(stores[1:], stores[0].spec)


def test_the_store_that_is_not_of_the_recipe_is_named(stores, other, write_all, tmp_path):
    joined = join_features(stores).spec
    write_all(tmp_path / "c.zarr", replace(other, noise_seed=7))
    wrong = FeatureStore.open(tmp_path / "c.zarr")
    words = r"than '.*c.zarr' holds: noise_seed: 7 in the store, \d+ in the model\."
    with pytest.raises(SpecMismatchError, match=words):
        features_for_spec([stores[0], wrong], joined)
    with pytest.raises(SpecMismatchError, match=r"kind: \"vit\" in the store, [^;]*; checkpoint"):
        features_for_spec([stores[1]], stores[0].spec)


def test_recipes_that_no_store_has_are_named_by_their_checkpoints(
    stores, spec, write_all, tmp_path
):
    joined = join_features(stores).spec
    for seed in (7, 8):
        write_all(tmp_path / f"{seed}.zarr", replace(spec, noise_seed=seed))
    others = [FeatureStore.open(tmp_path / f"{seed}.zarr") for seed in (7, 8)]
    with pytest.raises(SpecMismatchError, match=r"8.zarr' hold: none of them was extracted with '"):
        features_for_spec(others, joined)


def test_features_that_are_there_already_are_refused(stores):
    again = FeatureStore.open(stores[0].path)
    with pytest.raises(
        InputError, match=r"a.zarr' and '.*a.zarr' contain features of the same feature spec"
    ):
        join_features([*stores, again])


def test_stores_are_found_though_one_could_serve_for_two(spec, write_all, tmp_path):
    """The first has the layers of both parts, the second those of one alone."""
    write_all(tmp_path / "a.zarr", spec)
    write_all(tmp_path / "b.zarr", replace(spec, layers=spec.layers[:1]))
    both, one = (FeatureStore.open(tmp_path / f"{name}.zarr") for name in "ab")
    view = join_features([one, both], [f"1/{spec.layers[0].name}", f"2/{spec.layers[1].name}"])
    for given in ([one, both], [both, one]):
        found = features_for_spec(given, view.spec)
        np.testing.assert_array_equal(vectors(found, 1, YX), vectors(view, 1, YX))


def test_what_is_read_at_a_time_are_whole_maps_of_the_stores(stores):
    """However few layers of them are wanted: a fit counts it."""
    a, b = stores
    layer = a.layers[0]
    few = join_features([a], [layer.name])
    assert few.chunk_bytes == a.spec.map_bytes(layer.map_size)
    assert few.chunk_bytes > few.spec.bytes_per_row
    assert a.chunk_bytes == max(a.spec.map_bytes(size) for size in a.spec.map_sizes)
    assert join_features(stores).chunk_bytes >= max(a.chunk_bytes, b.chunk_bytes)
    coarse = join_features(stores, ["1/50:5", "2/2"])  # both of 4x4: two chunks make one map
    assert coarse.chunk_bytes == a.spec.map_bytes("4x4") + b.spec.map_bytes("4x4")


def test_where_the_checkpoints_were_does_not_change_the_hash_of_joined_features(spec, other):
    joined = joined_spec([spec, other])
    moved = joined_spec([replace(spec, source="there"), other])
    assert joined.hash == moved.hash
    assert joined.hash != joined_spec([other, spec]).hash
    assert FeatureSpec.from_dict(joined.to_dict()) == joined


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["50:9"], r"no layer '50:9': available are 1/50:5, .*, 2/2, 2/11, 2/filters"),
        (["1/50:5", "1/50:5"], "given more than once"),
        ([], "no layer is given"),
    ],
)
def test_wrong_names_are_refused(stores, names, words):
    with pytest.raises(InputError, match=words):
        select_layers([store.spec for store in stores], names)


def test_a_store_of_which_nothing_is_chosen_is_refused(stores):
    with pytest.raises(InputError, match=r"no layer of '.*b.zarr' is chosen: leave"):
        join_features(stores, ["1/50:5"])


def test_tiles_of_another_shape_cannot_be_joined(spec, other):
    with pytest.raises(InputError, match="--fit squash with tiles of 16x16, and --fit tile"):
        joined_spec([spec, replace(other, fit="tile")])


@pytest.mark.parametrize("fit", ["pad", "tile"])
def test_rows_that_do_not_cover_each_other_cannot_be_joined(spec, other, fit):
    one, two = (replace(part, fit=fit) for part in (spec, other))
    with pytest.raises(
        InputError, match=f"--fit {fit} with tiles of 16x16.*, and --fit {fit} with"
    ):
        joined_spec([one, two])
    assert joined_spec([one, replace(two, row_shape=(16, 16))]).fit == fit


def test_each_tile_of_an_image_is_joined_with_the_same_tile(spec, make_maps, tmp_path):
    tiled = [
        replace(spec, fit="tile", overlap=4, backbone={"kind": name, "sha256": name})
        for name in "ab"
    ]
    zeros, opened = np.zeros(len(spec.layers), int), []
    for name, one, order in (("a", tiled[0], "xy"), ("b", tiled[1], "yx")):
        path = tmp_path / name
        plan_store(path, one, [PlannedImage(f"{i}.png", (16, 28)) for i in order], codec="none")
        writer = FeatureWriter(path)
        for number, image in enumerate(order):
            rows = [make_maps(one, 10 * ord(image) + tile) for tile in range(2)]
            sha256 = image.encode() * 32
            writer.write_image(number, rows, sha256=sha256, nonfinite=zeros, clipped=zeros)
        opened.append(FeatureStore.open(path))
    view = join_features(opened)
    for image in "xy":
        assert len(view.rows(image)) == 2
        for tile, row in enumerate(view.rows(image)):
            both = np.concatenate([make_maps(one, 10 * ord(image) + tile)["4x4"] for one in tiled])
            np.testing.assert_array_equal(view.map(row, "4x4"), both)
