"""`dseg select` finds the layers that carry the classes; its commands work as they stand."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from dseg.classify.ensemble.ensemble import PixelEnsemble
from dseg.classify.evaluation.estimates import IouEstimate
from dseg.classify.evaluation.forward_selection import Step
from dseg.classify.evaluation.intervals import Interval
from dseg.classify.labels.pixel_sample import draw_pixels
from dseg.pipelines.console.progress import Progress
from dseg.pipelines.select.config import SelectConfig
from dseg.pipelines.select.confirm import Confirmation, confirm_sets, setting_of
from dseg.pipelines.select.rank import Costs, compared, ranked
from dseg.pipelines.select.run import select
from dseg.pipelines.select.sample import SamplePlan, read_sample
from dseg.pipelines.select.search import Search
from dseg.pipelines.select.task import prepare
from dseg.pipelines.training.cross_validation import cross_validate
from dseg.store.read.reader import FeatureStore
from dseg.store.spec import FeatureSpec, LayerSpec
from dseg.store.write.writer import FeatureWriter, PlannedImage, plan_store
from PIL import Image

SIDE, IMAGES = 16, 8
QUICK = ("--max-steps", 20, "--members", 2)


def make_label(seed: int) -> np.ndarray:
    """Background, a large class 1, and a small class 2."""
    rng = np.random.default_rng(seed)
    label = np.zeros((SIDE, SIDE), np.uint8)
    y, x = rng.integers(0, 6, 2)
    label[y : y + 9, x : x + 8] = 1
    y, x = rng.integers(0, 10, 2)
    label[y : y + 6, x : x + 5] = 2
    return label


def make_maps(spec: FeatureSpec, label: np.ndarray, carriers: dict[str, int], seed: int):
    """Noise everywhere, and a class in the channels of the layer that carries it."""
    rng, maps = np.random.default_rng(seed), {}
    for size in spec.map_sizes:
        parts = []
        for number in spec.layers_of(size):
            layer = spec.layers[number]
            one = rng.normal(0, 1, (layer.channels, layer.height, layer.width))
            if layer.name in carriers:
                one[0] += 6 * (label == carriers[layer.name])
            parts.append(one)
        maps[size] = np.concatenate(parts).astype(np.float16)
    return maps


def make_store(path: Path, layers, carriers) -> Path:
    spec = FeatureSpec(
        {"kind": "test", "sha256": path.name}, "nowhere", (SIDE, SIDE), "squash", 0, 0, layers
    )
    planned = [PlannedImage(f"{i}.png", (SIDE, SIDE)) for i in range(IMAGES)]
    plan_store(path, spec, planned, codec="none")
    writer, zeros = FeatureWriter(path), np.zeros(len(layers), int)
    for i in range(IMAGES):
        maps = make_maps(spec, make_label(i), carriers, 100 + i)
        sha256 = bytes([i]) * 32
        writer.write_image(i, [maps], sha256=sha256, nonfinite=zeros, clipped=zeros)
    return path


def grid(steps, blocks):
    return tuple(LayerSpec(t, b, 4, SIDE, SIDE) for t in steps for b in blocks)


PLACE = LayerSpec.extra("pixels", 5, SIDE, SIDE)
CARRIERS = {"50:6": 1, "250:5": 2}


@pytest.fixture(scope="module")
def labels(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    for i in range(IMAGES):
        Image.fromarray(make_label(i)).save(folder / f"{i}.png")
    (folder / "classes.txt").write_text("ground\nlarge\nsmall\n")
    return folder


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    """A store in which one layer carries class 1, another class 2, and seven nothing."""
    path = tmp_path_factory.mktemp("planted") / "feats.zarr"
    return make_store(path, (*grid((50, 150, 250), (5, 6)), PLACE), CARRIERS)


@pytest.fixture(scope="module")
def report(planted, labels, tmp_path_factory) -> Path:
    """What it leaves behind for that store."""
    out = tmp_path_factory.mktemp("report") / "select"
    select(SelectConfig((planted,), labels, out, folds=3, max_steps=60, members=2))
    return out


@pytest.fixture(scope="module")
def facts(report):
    return json.loads((report / "select.json").read_text())


def test_it_finds_the_layers_that_carry_the_classes(facts):
    chosen = facts["sets"][0]
    assert set(chosen["layers"]) == set(CARRIERS)
    assert chosen["ensemble"]["mean_iou"] > 0.8
    low, high = chosen["ensemble"]["interval"]
    assert low <= chosen["ensemble"]["mean_iou"] <= high
    alone = {row["layers"][0]: row["iou"] for row in facts["alone"]}
    assert len(alone) == 7
    assert max(alone, key=lambda name: alone[name]["large"]) == "50:6"
    assert max(alone, key=lambda name: alone[name]["small"]) == "250:5"
    second = facts["path"][1]
    assert set(second["layers"]) == set(CARRIERS)
    assert second["gain"] > 3 * second["error"]
    assert len(facts["path"]) == 6


def test_it_compares_with_one_layer_and_with_all_and_tells_what_sets_cost(facts):
    rows = {row["title"]: row for row in facts["sets"]}
    assert set(rows) == {"chosen by the probe", "its longest", "best alone", "all layers"}
    whole, chosen = rows["all layers"], rows["chosen by the probe"]
    assert (whole["bytes_share"], whole["time_share"]) == (1, 1)
    assert chosen["bytes_per_row"] == 2 * 2 * 4 * SIDE**2
    assert (chosen["steps"], chosen["time_share"]) == (2, pytest.approx(2 / 3))
    assert min(row["ensemble"]["behind"] for row in rows.values()) == 0


def test_iou_by_the_sample_is_near_what_the_ensemble_counts_over_all_pixels(facts):
    row = facts["sets"][0]
    for name, iou in row["iou"].items():
        assert iou == pytest.approx(row["ensemble"]["iou"][name], abs=0.1)


def fit_line(result) -> list[str]:
    lines = map(str.strip, result.out.splitlines())
    return shlex.split(next(line for line in lines if line.startswith("dseg fit")))[1:]


def test_the_printed_command_works_as_it_stands(dseg, planted, labels, tmp_path):
    (tmp_path / "some.txt").write_text("\n".join("0123456"))
    result = dseg("select", planted, labels, "--list", "some.txt", "--max-steps", 0)
    assert result.code == 0, result.err
    assert "Recommended: 50:6,250:5" in result.out or "Recommended: 250:5,50:6" in result.out
    assert "the network's time is not measured" in result.err
    line = fit_line(result)
    assert line[-2:] == ["--list", "some.txt"]
    fitted = dseg(*line, *QUICK)
    assert fitted.code == 0, fitted.err
    spec = PixelEnsemble.load(tmp_path / "model").spec_
    assert {layer.name for layer in spec.layers} == set(CARRIERS)
    assert dseg("predict", planted).code == 0


def test_it_leaves_a_page_and_pictures(report):
    pictures = {f"{name}.{e}" for name in ("select", "select-classes") for e in ("png", "svg")}
    assert {path.name for path in report.iterdir()} == {"select.json", "select.md", *pictures}
    page = (report / "select.md").read_text()
    assert "dseg fit" in page
    assert "**chosen by the probe" in page
    for name in ("ground", "large", "small", "50:6"):
        assert name in page
    for name in ("select", "select-classes"):
        with Image.open(report / f"{name}.png") as picture:
            assert min(picture.size) > 200
    assert "framed" in (report / "select.svg").read_text()
    assert [path.name for path in report.parent.iterdir()] == ["select"]


def test_the_same_seed_gives_the_same_choice(dseg, planted, labels, tmp_path):
    facts = []
    for name in "ab":
        assert dseg("select", planted, labels, "--max-steps", 0, "--out", name).code == 0
        facts.append(json.loads((tmp_path / name / "select.json").read_text()))
    for key in ("alone", "path", "sets"):
        assert facts[0][key] == facts[1][key]
    assert facts[0]["sets"][0]["ensemble"] is None


@pytest.mark.slow
def test_several_stores_are_compared_and_one_that_is_not_needed_is_left_out(
    dseg, planted, labels, tmp_path
):
    layers = tuple(LayerSpec.clean(b, 4, SIDE, SIDE) for b in (2, 11))
    both = make_store(tmp_path / "both.zarr", layers, {"11": 1, "2": 2})
    poor = make_store(tmp_path / "poor.zarr", grid((50,), (5, 6)), {})
    result = dseg("select", poor, both, labels, "--max-steps", 60, "--members", 2)
    assert result.code == 0, result.err
    facts = json.loads((tmp_path / "select" / "select.json").read_text())
    assert set(facts["sets"][0]["layers"]) == {"2/2", "2/11"}
    titles = ", ".join(row["title"] for row in facts["sets"])
    assert f"all of '{poor}'" in titles
    assert f"all of '{both}'" in titles
    line = fit_line(result)
    assert str(poor) not in line
    assert "--layers" not in line  # all that the other store has
    assert dseg(*line, *QUICK).code == 0


@pytest.mark.slow
def test_with_a_real_network_time_is_measured(dseg, store, world, tmp_path):
    result = dseg("select", store, world.labels, *QUICK)
    assert result.code == 0, result.err
    facts = json.loads((tmp_path / "select" / "select.json").read_text())
    assert facts["folds"] == 3  # as many as images
    assert all(row["seconds_per_row"] > 0 for row in facts["sets"])
    commands = [shlex.split(line)[1:] for line in facts["commands"]]
    assert dseg(*commands[0], *QUICK).code == 0
    small = commands[-1]
    small[small.index("photos/")] = str(world.photos)
    made = dseg(*small)
    assert made.code == 0, made.err
    names = {layer.name for layer in FeatureStore.open(tmp_path / "small.zarr").layers}
    assert set(facts["sets"][0]["layers"]) <= names
    counted = dseg("select", store, world.labels, "--max-steps", 0, "--no-time", "--overwrite")
    assert counted.code == 0, counted.err
    facts = json.loads((tmp_path / "select" / "select.json").read_text())
    assert all(row["seconds_per_row"] is None for row in facts["sets"])


def test_a_dry_run_writes_nothing(dseg, planted, labels, tmp_path):
    result = dseg("select", planted, labels, "--dry-run", "--json")
    assert result.code == 0, result.err
    facts = json.loads(result.out)
    assert facts["seconds"] > 0
    assert facts["memory"] > 0
    assert facts["sets"] == []
    assert not (tmp_path / "select").exists()
    words = dseg("select", planted, labels, "--dry-run").out
    assert "7 layers on 8 images: about" in words
    assert "nothing written (--dry-run)" in words


def refused(dseg, *words):
    result = dseg("select", *words)
    assert result.code == 2, result.err
    assert result.err.count("Error: ") == 1
    return result.err


def test_one_labelled_image_is_too_few(dseg, planted, labels, tmp_path):
    (tmp_path / "one.txt").write_text("3\n")
    error = refused(dseg, planted, labels, "--list", "one.txt")
    assert "only one labelled image" in error
    assert "at least two are needed" in error


def test_more_folds_than_images_cannot_be(dseg, planted, labels):
    error = refused(dseg, planted, labels, "--folds", 9)
    assert "8 labelled images cannot be divided into 9 folds" in error


def test_a_single_layer_is_no_choice(dseg, labels, tmp_path):
    path = make_store(tmp_path / "one.zarr", grid((50,), (6,)), {})
    error = refused(dseg, path, labels)
    assert "has a single layer, '50:6'" in error


def test_too_little_memory_names_the_least(dseg, planted, labels):
    error = refused(dseg, planted, labels, "--memory", "10MB")
    assert "--memory 10MB is too little" in error
    least = error.split("need at least")[1].split()[0]
    assert dseg("select", planted, labels, "--memory", least, "--max-steps", 0).code == 0


def test_nothing_else_is_replaced(dseg, planted, labels, report, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    error = refused(dseg, planted, labels, "--out", "mine", "--overwrite")
    assert "does not contain a report of `dseg select`" in error
    shutil.copytree(report, tmp_path / "select")
    assert "contains a report already" in refused(dseg, planted, labels)
    assert dseg("select", planted, labels, "--max-steps", 0, "--overwrite").code == 0


def test_what_cannot_be_learnt_is_said_at_once(dseg, planted, labels, tmp_path):
    """With image 0 held out, the others have one class only."""
    folder = tmp_path / "few"
    folder.mkdir()
    for i in range(2):
        label = make_label(i) if i == 0 else np.zeros((SIDE, SIDE), np.uint8)
        Image.fromarray(label).save(folder / f"{i}.png")
    error = refused(dseg, planted, folder)
    assert "only one class is present" in error


@pytest.fixture
def task(planted, labels):
    return prepare(SelectConfig((planted,), labels, measure_time=False), Progress())


def test_a_sample_stands_for_all_pixels_and_holds_their_features(task):
    plan = SamplePlan(per_image=40, memory=0, workers=2)
    table = read_sample(task.features, task.names, task.labelled, plan, 0, Progress())
    known = np.zeros((IMAGES, 3))
    np.add.at(known, (table.image, table.y), table.weight)
    np.testing.assert_allclose(known, task.labelled.counts_by_image)
    assert table.weight.max() > 2
    labelled = task.labelled
    drawn = draw_pixels(labelled.y, labelled.pixels.image_starts, 40, 0)
    position, yx = labelled.pixels.locate(drawn.index)
    assert (position == table.image).all()
    for number, layer in enumerate(task.features.spec.layers):
        own = task.features.spec.channel_slices[number]
        for image in range(IMAGES):
            here = table.image == image
            y, x = yx[here].T
            maps = task.features.map(image, layer.map_size)[own]
            np.testing.assert_array_equal(table.layers[layer.name][here], maps[:, y, x].T)


def estimate(mean: float) -> IouEstimate:
    """Four images alike, each class with the IoU that is asked for."""
    right = 600 * mean / (1 + mean)
    one = right * np.eye(3) + (300 - right) * np.roll(np.eye(3), 1, axis=1)
    return IouEstimate(np.stack([one] * 4))


@pytest.mark.parametrize(
    ("by_ensemble", "recommended"),
    [
        (None, "chosen by the probe"),
        ((0.50, 0.505, 0.50, 0.50), "chosen by the probe"),  # a cheaper one is as good
        ((0.40, 0.50, 0.40, 0.505), "its longest"),  # the cheapest of those that are
        ((0.40, 0.45, 0.40, 0.50), "all layers"),
    ],
)
def test_the_probes_choice_is_recommended_unless_the_ensemble_finds_it_behind(
    task, by_ensemble, recommended
):
    sets = {
        "chosen by the probe": ("50:6", "250:5"),
        "its longest": ("50:6", "250:5", "pixels"),
        "best alone": ("50:6",),
        "all layers": task.names,
    }
    best, chosen, longest, every = (
        Step(sets[title], estimate(mean))
        for title, mean in (
            ("best alone", 0.3),
            ("chosen by the probe", 0.6),
            ("its longest", 0.605),
            ("all layers", 0.5),
        )
    )
    search = Search([best], [best, chosen, longest], {"all layers": every})
    rows = compared(task, search)
    assert [one.title for one in rows] == list(sets)
    confirmed = by_ensemble and [
        Confirmation(estimate(mean), Interval(0, 1), task.labelled.classes.names)
        for mean in by_ensemble
    ]
    found = ranked(rows, confirmed, Costs(task, Progress()))
    assert found[0].title == recommended
    assert sorted(row.title for row in found) == sorted(sets)
    for row in found:
        assert set(row.layers) == set(sets[row.title])


def test_a_class_that_is_ignored_counts_nowhere(planted, labels, tmp_path):
    config = SelectConfig(
        (planted,), labels, tmp_path / "s", ignore=2, most=1, folds=2, max_steps=30, members=2
    )
    for row in select(config).sets:
        for found in (row, row.ensemble):
            assert found.iou["small"] is None
            known = [value for value in found.iou.values() if value is not None]
            assert found.mean_iou == pytest.approx(np.mean(known))


def test_the_ensemble_is_scored_on_images_that_it_has_not_learnt_from(planted, labels):
    """As `fit --folds` scores it."""
    config = SelectConfig((planted,), labels, folds=3, max_steps=30, members=2)
    task = prepare(config, Progress())
    some = task.set_of(("50:6",))
    (found,) = confirm_sets(task, {"one": some}, Progress())
    setting = setting_of(task, some.features, task.labelled)
    told = cross_validate(setting, task.folds, Progress())
    assert found.found.mean_iou == pytest.approx(told.to_dict()["mean_iou"])
    assert found.interval == told.interval
