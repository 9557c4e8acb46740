"""benchmarks/real_data.py on a small made set: what each stage may see, resuming, the report."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from dseg.classify.ensemble.recipes import Recipe
from dseg.classify.ensemble.reduction import default_dims
from dseg.extract.images.reading import sha256_of
from dseg.extract.layers.filters import filter_maps
from dseg.store.errors import DsegError, InputError
from PIL import Image

pytest.importorskip("skimage", reason="benchmarks/real_data.py needs dseg[bench]")
pytest.importorskip("matplotlib", reason="benchmarks/real_data.py needs dseg[bench]")

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import real_data  # noqa: E402
from real.cells import forest_cell  # noqa: E402
from real.colour import segment_by_colour  # noqa: E402
from real.forest import SETTINGS, _drawn_pixels, _features  # noqa: E402
from real.layout import find_sets, read_set  # noqa: E402
from real.measure import Meter, apart  # noqa: E402
from real.results import FILE, Key, Record, Results  # noqa: E402
from real.runner import ROWS, all_rows  # noqa: E402
from real.scoring import roc_auc, score  # noqa: E402

TRAIN, TEST, OTHERS = ("a", "b"), ("c", "d"), ("e", "f", "g")
SIZES = {"a": (40, 48), "b": (32, 32), "c": (32, 32), "d": (36, 52)}


def draw(stem: str, colour: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A bright disc and a dark box on a grey ground, and their label map."""
    rng = np.random.default_rng(ord(stem))
    H, W = SIZES.get(stem, (32, 32))
    y, x = np.mgrid[:H, :W]
    label = np.zeros((H, W), np.uint8)
    label[(y - H * rng.uniform(0.25, 0.4)) ** 2 + (x - W / 2) ** 2 < (H / 5) ** 2] = 1
    label[int(0.7 * H) : int(0.95 * H), W // 4 : W // 4 + W // 3] = 2
    palette = np.array([[110, 120, 130], [240, 200, 40], [30, 40, 90]])
    image = palette[label] + rng.normal(0, 15, (H, W, 3))
    image = image if colour else image.mean(axis=-1)
    return image.clip(0, 255).astype(np.uint8), label


def make_set(folder: Path, colour: bool = True) -> Path:
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for stem in (*TRAIN, *TEST, *OTHERS):
        image, label = draw(stem, colour)
        Image.fromarray(image).save(folder / f"images/{stem}.png")
        if stem in OTHERS:  # there, but not to be read
            (folder / f"labels/{stem}.png").write_bytes(b"whoever reads this fails")
        else:
            label[:2] = 255
            Image.fromarray(label).save(folder / f"labels/{stem}.png")
    (folder / "classes.txt").write_text("ground\ndisc\nbox\n")
    (folder / "train.txt").write_text("\n".join(TRAIN))
    (folder / "test.txt").write_text("\n".join(TEST))
    return folder


@pytest.fixture
def shapes(tmp_path) -> Path:
    return make_set(tmp_path / "data" / "shapes")


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    """A small untrained U-Net of 32-pixel images as diffusers saves it."""
    import torch
    from diffusers import DDPMScheduler, UNet2DModel

    folder = tmp_path_factory.mktemp("network")
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=32,
        block_out_channels=(8, 16, 16, 16),
        down_block_types=("DownBlock2D",) * 4,
        up_block_types=("UpBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=8,
    )
    unet.save_pretrained(folder / "unet")
    DDPMScheduler(num_train_timesteps=1000).save_pretrained(folder / "scheduler")
    return folder


def compute(data: Path, out: Path, *words: object):
    fixed = ("--out", out, "--in-process", "--device", "cpu", "--max-steps", 20)
    return real_data.compute(real_data.arguments([*map(str, (data, *fixed, *words))]))


# ---- what each stage may see ----


def test_a_set_tells_who_may_see_what(shapes):
    data = read_set(shapes)
    assert (data.train, data.test) == (TRAIN, TEST)
    assert data.pretraining == (*TRAIN, *OTHERS)
    assert set(data.label_paths) == {*TRAIN, *TEST}
    assert data.classes.names == ("ground", "disc", "box")


def test_copies_of_test_images_are_not_pretrained_on(shapes):
    (shapes / "images/g.png").write_bytes((shapes / "images/c.png").read_bytes())
    assert read_set(shapes).pretraining == (*TRAIN, "e", "f")


def test_an_image_to_learn_from_and_to_score_is_refused(shapes):
    (shapes / "test.txt").write_text("c\nb\n")
    with pytest.raises(InputError, match=r"1 images of .* are in train.txt and in test.txt: 'b'"):
        read_set(shapes)


def test_one_image_under_two_names_is_refused(shapes):
    (shapes / "images/d.png").write_bytes((shapes / "images/a.png").read_bytes())
    with pytest.raises(InputError, match=r"in train.txt and in test.txt: 'a = d'"):
        read_set(shapes)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("labels/c.png", "contain 'c', which have no label map"),
        ("images/c.png", "--list contains 'c', not found among the 6 images of 'shapes'"),
        ("classes.txt", "names no classes"),
        ("train.txt", "has no train.txt"),
    ],
)
def test_what_a_set_lacks_is_named(shapes, part, words):
    (shapes / part).unlink()
    with pytest.raises(InputError, match=words):
        read_set(shapes)


def test_sets_are_found_by_name(shapes):
    make_set(shapes.parent / "greys", colour=False)
    assert [data.name for data in find_sets(shapes.parent)] == ["greys", "shapes"]
    assert [data.name for data in find_sets(shapes.parent, ["shapes"])] == ["shapes"]
    assert [data.name for data in find_sets(shapes)] == ["shapes"]
    with pytest.raises(InputError, match="no set 'cars' in"):
        find_sets(shapes.parent, ["cars"])
    with pytest.raises(InputError, match="no set in"):
        find_sets(shapes / "images")


def test_the_fingerprint_follows_what_is_learnt_and_scored_from(shapes):
    def fingerprints() -> tuple[str, str]:
        data = read_set(shapes)
        return data.fingerprint, data.pretraining_fingerprint

    before = fingerprints()
    assert fingerprints() == before
    (shapes / "images/e.png").unlink()
    after = fingerprints()
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)
    Image.fromarray(np.full(SIZES["c"], 1, np.uint8)).save(shapes / "labels/c.png")
    assert (fingerprints()[0] == before[0], fingerprints()[1] == after[1]) == (False, True)


# ---- scores ----


def test_auc_is_sklearns():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    for ties in (3, 1000):
        values = rng.integers(0, ties, 500).astype(np.float32)
        positive = rng.random(500) < 0.1 + 0.5 * values / ties
        assert roc_auc(positive, values) == pytest.approx(roc_auc_score(positive, values))


def test_auc_where_there_is_none():
    values = np.float32([0.1, 0.2])
    assert roc_auc(np.array([True, True]), values) is None
    assert roc_auc(np.array([False, False]), values) is None
    with pytest.raises(InputError, match="NaN"):
        roc_auc(np.array([True, False]), np.float32([0.1, np.nan]))


def test_scores_are_of_labelled_test_pixels(shapes, tmp_path):
    from dseg import mean_iou
    from sklearn.metrics import roc_auc_score

    data, rng = read_set(shapes), np.random.default_rng(0)
    masks = tmp_path / "masks"
    (masks / "uncertainty").mkdir(parents=True)
    predicted, labels, doubts = [], [], []
    for stem in TEST:
        mask = rng.integers(0, 3, SIZES[stem]).astype(np.uint8)
        doubt = rng.random(SIZES[stem], np.float32)
        Image.fromarray(mask).save(masks / f"{stem}.png")
        np.save(masks / f"uncertainty/{stem}.npy", doubt)
        label = np.asarray(Image.open(shapes / f"labels/{stem}.png"))
        predicted.append(mask)
        labels.append(label)
        doubts.append(doubt)
    found = score(masks, data)
    assert found["mean_iou"] == pytest.approx(mean_iou(predicted, labels, 3))
    flat = [np.concatenate([part.ravel() for part in parts]) for parts in (predicted, labels)]
    known = flat[1] != 255
    wrong = (flat[0] != flat[1])[known]
    doubt = np.concatenate([part.ravel() for part in doubts])[known]
    assert found["auc"] == pytest.approx(roc_auc_score(wrong, doubt))
    assert found["pixel_accuracy"] == pytest.approx(1 - wrong.mean())


# ---- methods ----


@pytest.mark.parametrize("filters", [False, True])
def test_without_a_network_it_is_the_ensemble_on_few_numbers(shapes, tmp_path, filters):
    """On images of the row's size nothing is resized, so plain `fit` and `predict` say the same."""
    from dseg import PixelEnsemble

    for stem in "ac":
        image, label = draw("c" if stem == "c" else "b")
        Image.fromarray(image).save(shapes / f"images/{stem}.png")
        Image.fromarray(label).save(shapes / f"labels/{stem}.png")
    (shapes / "train.txt").write_text("a\n")
    (shapes / "test.txt").write_text("c\n")
    segment_by_colour(
        read_set(shapes),
        tmp_path,
        Meter(),
        size=(32, 32),
        max_steps=60,
        seed=3,
        device="cpu",
        filters=filters,
    )
    line = (np.arange(32, dtype=np.float32) + 0.5) / 16 - 1
    position = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1)

    def numbers(stem: str) -> np.ndarray:
        rgb = np.asarray(Image.open(shapes / f"images/{stem}.png")) / np.float32(127.5) - 1
        maps = filter_maps(torch.from_numpy(rgb).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
        answers = [maps.numpy()] if filters else []
        return np.concatenate([*answers, rgb, position], axis=-1).reshape(32 * 32, -1)

    label = np.asarray(Image.open(shapes / "labels/a.png")).ravel()
    ensemble = PixelEnsemble(max_steps=60, random_state=3)
    ensemble.fit(numbers("a"), label)
    mask = np.asarray(Image.open(tmp_path / "c.png"))
    agree = mask.ravel() == ensemble.predict(numbers("c"))
    assert agree.mean() > 0.99  # of the sums' last digits, a vote may turn
    doubt = np.load(tmp_path / "uncertainty/c.npy").ravel()
    assert np.allclose(doubt, ensemble.uncertainty(numbers("c")), atol=1e-3)


@pytest.mark.parametrize(
    ("rows", "crop", "expected"),
    [((256, 256), None, 0.25), ((64, 96), None, 1.0), (None, None, 1.0), ((256, 256), 0.6, 0.6)],
)
def test_cut_outs_are_as_large_as_extract_shows_images(rows, crop, expected):
    from real.options import Pretraining

    assert Pretraining(size=64, crop=crop).least_cut_out(rows) == expected


def test_forest_features_are_of_the_images_own_size(shapes):
    H, W = SIZES["d"]
    path = shapes / "images/d.png"
    plain, placed = (_features(path, grey=False, position=p) for p in (False, True))
    assert plain.shape[:2] == placed.shape[:2] == (H, W)
    assert placed.shape[2] == plain.shape[2] + 2
    assert np.array_equal(placed[..., :-2], plain)
    assert placed[9, 13, -2:] == pytest.approx((9 / H, 13 / W))
    assert 3 * _features(path, grey=True, position=False).shape[2] == plain.shape[2]


def test_forest_draws_as_many_pixels_of_each_image(shapes, monkeypatch):
    monkeypatch.setitem(SETTINGS, "pixels", 600)
    data = read_set(shapes)
    X, y = _drawn_pixels(data, False, True, seed=0)
    assert len(X) == len(y) == 600
    assert set(y) == {0, 1, 2}
    again, other = (_drawn_pixels(data, False, True, seed=seed)[0] for seed in (0, 1))
    assert np.array_equal(X, again)
    assert not np.array_equal(X, other)


def test_forest_and_ensemble_weigh_rare_classes_alike():
    assert SETTINGS["balance"] == Recipe.default().balance


def test_forest_masks_are_scored(shapes, tmp_path):
    made = forest_cell(read_set(shapes), tmp_path, 0, True)
    assert made["scores"]["mean_iou"] > 0.8
    assert set(made["seconds"]) == {"fit", "predict", "score"}
    doubt = np.load(tmp_path / "masks/uncertainty/d.npy")
    assert doubt.shape == SIZES["d"]
    assert 0 <= doubt.min() < doubt.max() <= np.log(3) + 1e-6


def test_grey_images_are_one_channel(tmp_path):
    data = read_set(make_set(tmp_path / "greys", colour=False))
    made = forest_cell(data, tmp_path / "work", 0, False)
    assert made["scores"]["mean_iou"] > 0.6


# ---- runs ----


@pytest.mark.slow
def test_a_second_run_computes_nothing(shapes, network, tmp_path):
    words = ("--rows", "pretrained,colour,forest", "--seeds", 2)
    words = (*words, "--checkpoint", network, "--work", tmp_path / "work")
    first = compute(shapes, tmp_path / "out", *words)
    assert first.failed == []
    assert {(k.row, k.seed) for k in first.computed} == {
        (row, seed) for row in ("pretrained", "colour", "forest") for seed in (0, 1)
    }
    assert not any(path.is_file() for path in (tmp_path / "work").rglob("*"))
    before = (tmp_path / "out" / FILE).read_bytes()
    again = compute(shapes, tmp_path / "out", *words)
    assert (again.computed, again.failed) == ([], [])
    assert (tmp_path / "out" / FILE).read_bytes() == before
    for record in first.results.records:
        assert 0 < record.scores["mean_iou"] <= 1
        assert set(record.scores["iou"]) == {"ground", "disc", "box"}
        assert min(record.peak_mb.values()) > 10

    # What is lost is computed again, and nothing else; the same seed gives the same score.
    plain = json.loads(before)
    lost = plain["records"].pop(1)
    (tmp_path / "out" / FILE).write_text(json.dumps(plain))
    mended = compute(shapes, tmp_path / "out", *words)
    assert [(k.row, k.seed) for k in mended.computed] == [(lost["key"]["row"], lost["key"]["seed"])]
    assert mended.results.records[-1].scores == lost["scores"]

    # Other settings are other cells; so is a card that recommends other layers of one network.
    other = compute(shapes, tmp_path / "out", "--rows", "colour", "--seeds", 1, "--size", 16)
    assert [k.row for k in other.computed] == ["colour"]
    card = shutil.copytree(network, tmp_path / "card") / "dseg.json"
    card.write_text('{"steps": [100], "blocks": [2], "pixels": true}')
    words = ("--rows", "pretrained", "--seeds", 1, "--checkpoint", card.parent)
    assert len(compute(shapes, tmp_path / "out", *words).computed) == 1
    assert compute(shapes, tmp_path / "out", *words).computed == []


def test_seeds_of_one_checkpoint_share_its_features(shapes, network, tmp_path):
    words = ("--rows", "pretrained", "--seeds", 2, "--checkpoint", network)
    run = compute(shapes, tmp_path / "out", *words, "--work", tmp_path / "work", "--keep")
    assert ["extract" in record.seconds for record in run.results.records] == [True, False]
    assert len(list((tmp_path / "work").rglob("feats.zarr"))) == 1
    (store,) = (tmp_path / "work").rglob("feats.zarr")
    from dseg import FeatureStore

    held = {image.stem for image in FeatureStore.open(store).images}
    assert held == {*TRAIN, *TEST}


@pytest.mark.slow
def test_further_networks_have_rows_alone_and_together(shapes, network, tmp_path):
    from real.networks import describe
    from real.options import NetworkOptions

    other = shutil.copytree(network, tmp_path / "other")
    (other / "dseg.json").write_text(json.dumps({"blocks": [2], "steps": [9], "pixels": True}))
    both = f"{network}+{tmp_path}/{{set}}"
    words = ("--seeds", 2, "--also", f"one={network}", "--also", f"Both={both}")
    (tmp_path / "shapes").symlink_to(other)
    computed = compute(shapes, tmp_path / "out", "--rows", "one,Both", *words).computed
    assert [(key.row, key.seed) for key in computed] == [
        ("one", 0),
        ("one", 1),
        ("Both", 0),
        ("Both", 1),
    ]
    dims = [key.settings["reduced_to"] for key in computed]
    options = NetworkOptions()
    alone, together = describe(str(network), options), describe(both.format(set="shapes"), options)
    assert together.dims > alone.dims + 5
    assert together.sha256.split(",")[0] == alone.sha256
    assert dims[0] == default_dims(alone.dims)
    assert dims[2] == default_dims(together.dims)
    results = Results(tmp_path / "out" / FILE)
    assert ["extract" in r.seconds for r in results.records] == [True, False, True, False]
    assert all_rows(results)["Both"] == "dseg, Both"
    real_data.render(tmp_path / "out")
    assert "| dseg, Both |" in (tmp_path / "out/real_data.md").read_text()
    assert (tmp_path / "out/real_data.png").stat().st_size > 0
    assert compute(shapes, tmp_path / "out", "--rows", "one,Both", *words).computed == []


def test_untrained_networks_differ_by_seed_and_not_in_kind(network, tmp_path):
    from real.networks import describe, make_untrained
    from real.options import NetworkOptions

    card = '{"steps": [3, 200], "blocks": [1, 2], "pixels": true}'
    network = shutil.copytree(network, tmp_path / "given")
    (network / "dseg.json").write_text(card)
    options = NetworkOptions(size=(32, 48))
    given = describe(str(network), options)
    made = [
        describe(make_untrained(str(network), options, s, tmp_path / name), options)
        for s, name in ((0, "x"), (0, "y"), (1, "z"))
    ]
    assert {one.architecture for one in made} == {given.architecture}
    assert {one.dims for one in made} == {given.dims}
    assert made[0].sha256 == made[1].sha256
    assert len({given.sha256, made[0].sha256, made[2].sha256}) == 3


@pytest.mark.slow
def test_pretraining_leaves_test_images_out_and_is_done_once(shapes, network, tmp_path):
    words = ("--rows", "pretrained,untrained", "--seeds", 1, "--pretrain-time", "1s")
    words = (*words, "--pretrain-size", 32, "--size", 32, "--pretrain-init", network)
    run = compute(shapes, tmp_path / "out", *words)
    assert run.failed == []
    assert [key.row for key in run.computed] == ["pretraining", "pretrained", "untrained"]
    (checkpoint,) = (p for p in (tmp_path / "out/checkpoints").iterdir() if p.is_dir())
    assert [record.notes.get("pretrained_on") for record in run.results.records] == [None, 5, 0]
    assert checkpoint.with_suffix(".txt").read_text().split() == [*TRAIN, *OTHERS]
    seen = (checkpoint / "images.sha256").read_text()
    assert not any(f"{stem}.png" in seen for stem in TEST)
    assert all(f"{stem}.png" in seen for stem in (*TRAIN, *OTHERS))
    pretraining, pretrained, _ = run.results.records
    assert pretraining.scores["network"]["sha256"] == pretrained.key.settings["sha256"]

    checkpoint.rename(tmp_path / "moved")  # all that needs it is done
    assert compute(shapes, tmp_path / "out", *words).computed == []


def test_a_checkpoint_that_knows_test_images_is_refused(shapes, network, tmp_path):
    from real.networks import seen

    data, folder = read_set(shapes), shutil.copytree(network, tmp_path / "given")
    assert seen(data, str(folder)) is None

    def list_images(*stems: str) -> None:
        digests = [sha256_of(data.paths[stem]).hex() for stem in stems]
        lines = [f"{digest}  other/name_{i}.png\n" for i, digest in enumerate(digests)]
        (folder / "images.sha256").write_text("".join(lines) + f"{'0' * 64}  more.png\n")

    list_images("a", "f", "g")
    assert seen(data, str(folder)) == 3
    list_images("a", "d")
    with pytest.raises(InputError, match="pretrained on 1 test images of 'shapes': 'd'"):
        seen(data, str(folder))


def test_a_method_that_fails_does_not_stop_the_others(shapes, tmp_path):
    words = ("--rows", "pretrained,colour", "--seeds", 1, "--size", 32)
    run = compute(shapes, tmp_path / "out", *words, "--checkpoint", tmp_path / "nothing.pt")
    assert [key.row for key in run.computed] == ["colour"]
    assert len(run.failed) == 1
    assert "nothing.pt' does not exist" in run.failed[0]


# ---- processes and memory ----


def test_each_stage_has_its_own_peak():
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux forgets a process's peak")
    meter = Meter()
    with meter.stage("large"):
        np.ones(200_000_000, np.uint8)
    with meter.stage("small"):
        np.ones(1_000_000, np.uint8)
    assert 150 < meter.peak_mb["large"] - meter.peak_mb["small"] < 250


def test_cells_have_processes_of_their_own():
    assert apart(os.getpid) != os.getpid()
    with pytest.raises(DsegError, match="its process was killed"):
        apart(os._exit, 1)
    with pytest.raises(InputError, match="no folder"):
        apart(find_sets, Path("nowhere"))


def test_no_cell_outlives_a_killed_run(tmp_path):
    pid, code = (
        tmp_path / "pid",
        "import os; from real.measure import apart; apart(os.system, {!r})",
    )
    words = f"echo $PPID > {pid}.part; mv {pid}.part {pid}; sleep 20"
    run = subprocess.Popen([sys.executable, "-c", code.format(words)], cwd=BENCHMARKS)
    try:
        wait_until(pid.is_file)
        cell = psutil.Process(int(pid.read_text()))
        assert cell.ppid() == run.pid
        run.kill()
        wait_until(lambda: not cell.is_running())
    finally:
        run.kill()
        run.wait()


def wait_until(is_so, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


# ---- the command line and the report ----


def test_sizes_and_checkpoints_are_told_by_set(shapes, tmp_path):
    make_set(shapes.parent / "greys", colour=False)

    def plan(*words: str):
        return real_data.make_plan(real_data.arguments([str(shapes.parent), *words]), tmp_path)

    told = plan("--size", "64", "--size", "greys=96x32", "--checkpoint", "nets/{set}.pt")
    assert (told.sizes["shapes"], told.sizes["greys"]) == ((64, 64), (96, 32))
    assert told.checkpoints == {"shapes": "nets/shapes.pt", "greys": "nets/greys.pt"}
    assert told.sizes["camvid"] == real_data.SIZES["camvid"]
    assert plan("--checkpoint", "shapes=a=b.pt").checkpoints == {"shapes": "a=b.pt"}
    for words, why in (
        (("--size", "cars=64"), "of none of the sets greys, shapes"),
        (("--size", "64x64x3"), "expected a side, or height x width"),
    ):
        with pytest.raises(InputError, match=why):
            plan(*words)


@pytest.mark.parametrize(
    "words",
    [("data", "--rows", "magic"), ("data", "--seeds", "0"), ("data", "--keep"), (),
     ("data", "--pretrain-time", "15")],
)  # fmt: skip
def test_wrong_calls_are_refused(words, capsys):
    with pytest.raises(SystemExit) as exit_:
        real_data.arguments(list(words))
    assert exit_.value.code == 2
    assert capsys.readouterr().err


def record(name: str, row: str, seed: int, iou: float, **settings: object) -> Record:
    key = Key(name, row, seed, {"data": "d", "recipe": {"max_steps": 4000}, **settings})
    scores = {"mean_iou": iou, "auc": 0.9, "pixel_accuracy": 0.9, "iou": {"x": iou}}
    seconds, peak = {"fit": 30.0, "predict": 4.0}, {"fit": 512.0, "predict": 400.0}
    return Record(key, scores, seconds, peak, notes={"machine": "cpu, 2 cores"})


def test_the_report_comes_from_the_results_alone(tmp_path, capsys):
    results = Results(tmp_path / FILE)
    for seed, iou in enumerate((0.25, 0.5, 0.6)):
        # of older settings
        results.add(record("cars", "colour", seed, 0.111, recipe={"max_steps": 7}))
        results.add(record("cars", "colour", seed, iou))
        results.add(record("cells", "forest", seed, 0.9))
    assert real_data.main(["--render", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "real_data.md").read_text()
    assert text in capsys.readouterr().out
    assert f"| {ROWS['colour']} | 0.450 | – |" in text
    assert (
        f"| cars | {ROWS['colour']} | 0.450 | 0.250–0.600 | 3 | 0.900 | – | 30 | 4 | 512 |" in text
    )
    assert "0.111" not in text
    assert "not complete" not in text
    with Image.open(tmp_path / "real_data.png") as picture:
        assert picture.width > 1000
        ink = np.asarray(picture.convert("RGB"))
    for colour in ((0xE6, 0x9F, 0x00), (0x99, 0x99, 0x99)):  # a bar of each method
        assert (ink == colour).all(axis=-1).sum() > 50


def test_the_report_says_what_is_not_comparable(tmp_path):
    from real.report import table

    results = Results(tmp_path / FILE)
    results.add(record("cars", "colour", 0, 0.5))
    results.add(record("cars", "forest", 0, 0.5, data="other"))
    results.add(record("cars", "forest", 1, 0.5, data="other"))
    knows = record("cars", "builtin", 0, 0.5)
    results.add(replace(knows, notes={**knows.notes, "pretrained_on": 7}))
    text = table(results, ROWS)
    assert f"cars, {ROWS['builtin']}: the network was pretrained on 7 of the set's images" in text
    assert "cars: the methods did not have the same images and labels" in text
    assert "not complete" in text


def test_a_torn_or_foreign_file_is_refused(tmp_path):
    for text in ("{", "[]", '{"format": "else", "version": 1}'):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(InputError, match="is not what this benchmark writes"):
            Results(tmp_path / FILE)
    assert real_data.main(["--render", "--out", str(tmp_path / "empty")]) == 2
