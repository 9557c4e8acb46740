"""What is written is what is read, by every way of reading."""

import pickle
from dataclasses import replace

import dask
import numpy as np
import pytest
import torch
from dseg.store.errors import InputError, StoreError
from dseg.store.format.codecs import dequantise, quantise
from dseg.store.format.layout import channel_chunk
from dseg.store.read.reader import FeatureStore
from dseg.store.spec import FeatureSpec, LayerSpec
from dseg.store.write.writer import FeatureWriter, PlannedImage, plan_store
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file


@st.composite
def specs(draw):
    sides = st.sampled_from([(1, 1), (2, 3), (4, 4), (5, 2)])
    layers = tuple(
        LayerSpec(step, block, draw(st.integers(1, 4)), *draw(sides))
        for step in draw(st.lists(st.integers(0, 999), min_size=1, max_size=2, unique=True))
        for block in sorted(draw(st.sets(st.integers(0, 17), min_size=1, max_size=3)))
    )
    row_shape = draw(st.sampled_from([(6, 6), (8, 5)]))
    fit = draw(st.sampled_from(["squash", "pad", "tile"]))
    return FeatureSpec({"sha256": "1"}, "here", row_shape, fit, 0, 0, layers)


def anything(spec, generator):
    """Return one row of any float16 values, not-numbers and infinities among them."""
    found = {}
    for size in spec.map_sizes:
        found[size] = (
            generator.integers(0, 2**16, spec.map_shape(size)).astype(np.uint16).view(np.float16)
        )
    return found


@settings(max_examples=12, deadline=None)
@given(
    spec=specs(),
    sizes=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=3),
    codec=st.sampled_from(["lz4", "zstd", "none"]),
    seed=st.integers(0, 9),
)
def test_every_bit_comes_back(tmp_path_factory, spec, sizes, codec, seed):
    path = tmp_path_factory.mktemp("store") / "s.zarr"
    plan = plan_store(
        path, spec, [PlannedImage(f"é{i}.jpg", size) for i, size in enumerate(sizes)], codec=codec
    )
    writer, generator, written = FeatureWriter(path), np.random.default_rng(seed), {}
    counts = generator.integers(0, 9, (2, len(spec.layers)))
    for name, number in plan.indices.items():
        count = len(FeatureStore.open(path).image(name).geometry.offsets)
        written[name] = [anything(spec, generator) for _ in range(count)]
        writer.write_image(
            number, written[name], sha256=bytes(32), nonfinite=counts[0], clipped=counts[1]
        )
    store = FeatureStore.open(path)
    assert store.spec == spec
    assert store.codec == codec
    for (name, rows), size in zip(written.items(), sizes, strict=True):
        image = store.image(name)
        assert image.complete
        assert image.geometry.size == size
        for row, maps in zip(store.rows(name), rows, strict=True):
            for map_size, activation in maps.items():
                got = store.map(row, map_size).view(np.uint16)
                np.testing.assert_array_equal(got, activation.view(np.uint16))


def test_uint8_reads_what_it_quantised(tmp_path, spec, write_all):
    written = write_all(tmp_path / "s", spec, codec="uint8")
    store = FeatureStore.open(tmp_path / "s")
    for row, maps in enumerate(written):
        for size, activation in maps.items():
            np.testing.assert_array_equal(store.map(row, size), dequantise(*quantise(activation)))
    layer = spec.layers[5]
    step = store.map(1, layer.map_size)[spec.channel_slices[5]]
    np.testing.assert_array_equal(store.activations(1, layer.timestep, layer.block), step)


def test_uint8_keeps_maps_of_zeros(tmp_path, spec, make_maps):
    maps = {size: np.zeros_like(a) for size, a in make_maps(spec, 0).items()}
    plan_store(tmp_path / "s", spec, [PlannedImage("a.png", (9, 9))], codec="uint8")
    none = np.zeros(len(spec.layers), int)
    FeatureWriter(tmp_path / "s").write_image(
        0, [maps], sha256=bytes(32), nonfinite=none, clipped=none
    )
    assert (FeatureStore.open(tmp_path / "s").map(0, "4x4") == 0).all()


def test_uint8_refuses_what_is_not_finite(tmp_path, spec, make_maps):
    maps = make_maps(spec, 0)
    maps["8x8"][1, 2, 3] = np.nan
    plan_store(tmp_path / "s", spec, [PlannedImage("a.png", (9, 9))], codec="uint8")
    none = np.zeros(len(spec.layers), int)
    with pytest.raises(StoreError, match=r"'a.png' has values that are not finite .* of 8x8"):
        FeatureWriter(tmp_path / "s").write_image(
            0, [maps], sha256=bytes(32), nonfinite=none, clipped=none
        )
    assert not FeatureStore.open(tmp_path / "s").images[0].complete


@pytest.fixture(scope="module")
def filled(tmp_path_factory, spec, write_all):
    path = tmp_path_factory.mktemp("filled") / "s.zarr"
    return path, write_all(path, spec)


def by_torch(spec, maps):
    """Upsample every layer whole and lay it out in feature order: (H, W, D)."""
    found = []
    for layer, channels in zip(spec.layers, spec.channel_slices, strict=True):
        native = torch.from_numpy(maps[layer.map_size][channels].astype(np.float32))[None]
        found.append(
            torch.nn.functional.interpolate(native, size=spec.row_shape, mode="bilinear")[0]
        )
    return torch.cat(found).permute(1, 2, 0).numpy()


def test_layers_come_by_step_and_block(filled, spec):
    path, written = filled
    store = FeatureStore.open(path)
    start = dict.fromkeys(spec.map_sizes, 0)
    for layer in store.layers:
        first = start[layer.map_size]
        start[layer.map_size] += layer.channels
        expected = written[2][layer.map_size][first : first + layer.channels]
        got = store.activations(2, layer.timestep, layer.block)
        np.testing.assert_array_equal(got, expected)


def test_pixels_are_the_upsampled_layers_in_feature_order(filled, spec):
    path, written = filled
    generator = np.random.default_rng(1)
    rows, yx = generator.integers(0, 3, 200), generator.integers(0, 16, (200, 2))
    dense = np.stack([by_torch(spec, maps) for maps in written])
    got = FeatureStore.open(path).pixels(rows, yx)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, dense[rows, yx[:, 0], yx[:, 1]], rtol=0, atol=2e-6)


def test_the_dense_view_is_every_pixel_and_any_band_of_it(filled, spec, monkeypatch):
    path, written = filled
    monkeypatch.setattr("dseg.store.read.reader.BAND_BYTES", 5 * 4 * 16 * spec.dims)
    view = FeatureStore.open(path).dense()
    assert view.shape == (3, 16, 16, spec.dims)
    assert view.chunks[1] == (5, 5, 5, 1)
    expected = np.stack([by_torch(spec, maps) for maps in written])
    with dask.config.set(scheduler="threads"):
        np.testing.assert_allclose(view.compute(), expected, rtol=0, atol=2e-6)
        np.testing.assert_allclose(
            view[1:, 3:9, 2].compute(), expected[1:, 3:9, 2], rtol=0, atol=2e-6
        )


def test_the_dask_array_has_a_chunk_a_row(filled):
    path, written = filled
    array = FeatureStore.open(path).array("4x4")
    assert array.chunks[0] == (1, 1, 1)
    assert array.dtype == np.float16
    expected = np.stack([maps["4x4"] for maps in written])
    np.testing.assert_array_equal(array.compute(scheduler="threads"), expected)


def test_a_store_travels_as_its_path(filled):
    path, written = filled
    store = pickle.loads(pickle.dumps(FeatureStore.open(path)))
    np.testing.assert_array_equal(store.map(1, "8x8"), written[1]["8x8"])
    assert len(pickle.dumps(store)) < 500


def test_images_by_number_name_and_stem(filled, sha_of):
    store = FeatureStore.open(filled[0])
    image = store.image("sub/1")
    assert image is store.image("sub/1.png") is store.image(1)
    assert image.stem == "sub/1"
    assert image.sha256 == sha_of(1)
    assert image.failed is None
    assert image.geometry.size == (20, 30)
    assert image.geometry.resized == (16, 16)
    assert store.rows(1) == range(1, 2)
    assert (store.n_rows, len(store.images)) == (3, 3)
    assert repr(store).endswith("images=3, rows=3, dims=22)")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: s.image(3), "has 3 images, so no number 3"),
        (lambda s: s.image("1"), "has no image '1'"),
        (lambda s: s.map(3, "4x4"), "has 3 rows, so no row 3"),
        (lambda s: s.map(0, "2x2"), "has no maps of 2x2, only 4x4, 8x8"),
        (lambda s: s.array("2x2"), "has no maps of 2x2, only 4x4, 8x8"),
        (lambda s: s.activations(0, 50, 12), r"no block 12 at step 50: .*\[50, 150\].*\[5, 6, 7\]"),
        (lambda s: s.pixels(np.zeros(2, int), np.zeros((3, 2), int)), r"rows must be integers of"),
        (lambda s: s.pixels(np.zeros(1, int), np.array([[0, 16]])), r"pixel \(0, 16\) lies outsi"),
    ],
)
def test_what_is_not_there_is_refused(filled, call, words):
    with pytest.raises(InputError, match=words):
        call(FeatureStore.open(filled[0]))


@pytest.mark.parametrize("case", ["square64", "square96", "down_48", "rect"])
def test_the_published_vectors_come_back_through_the_store(golden, tmp_path, case):
    tensors = load_file(golden / "collect_features" / f"{case}_bilinear.safetensors")
    acts = [tensors[f"act{i}"] for i in range(len(tensors)) if f"act{i}" in tensors]
    shape = {"square64": (64, 64), "square96": (96, 96), "down_48": (48, 48), "rect": (40, 72)}
    layers = tuple(LayerSpec(50, i, *act.shape[1:]) for i, act in enumerate(acts))
    spec = FeatureSpec({"sha256": "g"}, "golden", shape[case], "squash", 0, 0, layers)
    plan_store(tmp_path / "s", spec, [PlannedImage(f"{i}.png", (9, 9)) for i in range(2)])
    writer, none = FeatureWriter(tmp_path / "s"), np.zeros(len(layers), int)
    for sample in range(2):
        maps = {
            size: np.concatenate([acts[i][sample] for i in spec.layers_of(size)])
            for size in spec.map_sizes
        }
        half = {size: activation.astype(np.float16) for size, activation in maps.items()}
        writer.write_image(sample, [half], sha256=bytes(32), nonfinite=none, clipped=none)
    store, yx = FeatureStore.open(tmp_path / "s"), tensors["yx"].astype(np.int64)
    for sample in range(2):
        got = store.pixels(np.full(len(yx), sample), yx)
        expected = tensors[f"features.sample{sample}"]
        largest = max(float(np.abs(act).max()) for act in acts)
        # An interpolated value errs by no more than its taps: half a unit in float16's last place.
        bound = float(np.spacing(np.float16(largest))) / 2 + 1e-6
        assert np.abs(got - expected).max() <= bound


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": []}, "has 1 rows in the store, but 0 were given"),
        ({"sha256": b"short"}, "a sha256 has 32 bytes; got 5"),
        ({"image": 7}, "has no image number 7, only 0 to 0: plan it first"),
    ],
)
def test_a_wrong_image_is_refused(tmp_path, spec, make_maps, change, words):
    plan_store(tmp_path / "s", spec, [PlannedImage("a.png", (9, 9))])
    none = np.zeros(len(spec.layers), int)
    call = {"image": 0, "rows": [make_maps(spec, 0)], "sha256": bytes(32)} | change
    with pytest.raises(InputError, match=words):
        FeatureWriter(tmp_path / "s").write_image(
            call.pop("image"), call.pop("rows"), **call, nonfinite=none, clipped=none
        )


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda m: m.pop("8x8"), "a row has maps of 4x4, 8x8; got 4x4"),
        (lambda m: m.update({"4x4": m["4x4"][:3]}), r"maps of 4x4 must be float16 \(18, 4, 4\)"),
        (lambda m: m.update({"4x4": m["4x4"].astype("f4")}), r"got float32 \(18, 4, 4\)"),
    ],
)
def test_wrong_maps_are_refused_before_anything_is_written(tmp_path, spec, make_maps, spoil, words):
    maps = make_maps(spec, 0)
    spoil(maps)
    plan_store(tmp_path / "s", spec, [PlannedImage("a.png", (9, 9))])
    none = np.zeros(len(spec.layers), int)
    with pytest.raises(InputError, match=words):
        FeatureWriter(tmp_path / "s").write_image(
            0, [maps], sha256=bytes(32), nonfinite=none, clipped=none
        )
    assert not (tmp_path / "s/features/4x4/c").exists()


def test_a_large_row_is_split_at_layer_boundaries_and_read_back(
    tmp_path, spec, write_all, monkeypatch
):
    monkeypatch.setattr("dseg.store.format.layout.CHUNK_LIMIT", 9 * 4 * 4 * 2)
    written = write_all(tmp_path / "s", spec, n=1)
    assert len(list((tmp_path / "s/features/4x4/c/0").iterdir())) == 2
    store = FeatureStore.open(tmp_path / "s")
    np.testing.assert_array_equal(store.map(0, "4x4"), written[0]["4x4"])
    np.testing.assert_array_equal(
        store.activations(0, 150, 5), written[0]["4x4"][spec.channel_slices[3]]
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 64), min_size=1, max_size=8), st.integers(1, 100))
def test_a_chunk_keeps_within_its_limit(channels, limit):
    chosen = channel_chunk(channels, 1, limit)
    assert 1 <= chosen <= max(1, min(limit, sum(channels)))


def test_the_bytes_of_a_store(spec):
    assert spec.bytes_per_row == 2 * (18 * 16 + 4 * 64)


def test_rows_may_come_one_by_one(tmp_path, spec, make_maps):
    tiled = replace(spec, fit="tile", overlap=4)
    plan_store(tmp_path / "s", tiled, [PlannedImage("a.png", (28, 16))])
    writer, none = FeatureWriter(tmp_path / "s"), np.zeros(len(spec.layers), int)
    writer.start_image(0)
    writer.write_row(0, 1, make_maps(spec, 1))
    with pytest.raises(InputError, match="has 2 rows in the store, but 1 were written"):
        writer.finish_image(0, sha256=bytes(32), nonfinite=none, clipped=none)
    with pytest.raises(InputError, match="has 2 rows in the store, so no row number 2"):
        writer.write_row(0, 2, make_maps(spec, 1))
    assert not FeatureStore.open(tmp_path / "s").images[0].complete
    writer.write_row(0, 0, make_maps(spec, 0))
    writer.finish_image(0, sha256=bytes(32), nonfinite=none, clipped=none)
    store = FeatureStore.open(tmp_path / "s")
    for row in range(2):
        for size, maps in make_maps(spec, row).items():
            assert np.array_equal(store.map(row, size), maps)
