"""``dseg synthesize``: what sample and predict make of the same seeds, in one pass."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from dseg.classify.inference.mask_files import read_mask
from dseg.pipelines.synthesize.filtering import kept
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

STYLEGAN = Path(__file__).parents[2] / "data" / "golden" / "stylegan2" / "generator.pt"
QUICK = ("--steps", 3, "--batch-size", 2)


@pytest.fixture(scope="module")
def made(model, ddpm, tmp_path_factory):
    """Five images in a folder; read only."""
    from dseg.generate.sampler import SamplerSettings
    from dseg.pipelines.synthesize.config import SynthesizeConfig
    from dseg.pipelines.synthesize.run import synthesize

    folder = tmp_path_factory.mktemp("made") / "synthetic"
    settings = SamplerSettings(respacing="3")
    synthesize(SynthesizeConfig(model, folder, 5, str(ddpm), settings=settings, seed=7))
    return folder


def same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, but for what says when or where from."""
    names = [
        sorted(p.relative_to(f).as_posix() for p in f.rglob("*") if p.is_file())
        for f in (one, other)
    ]
    return names[0] == names[1] and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in names[0]
    )


def test_images_are_those_of_sample_and_masks_those_of_predict(dseg, made, model, ddpm, tmp_path):
    line = ("sample", "--checkpoint", ddpm, "--count", 5, "--seed", 7, *QUICK)
    assert dseg(*line, "--out", "drawn").code == 0
    assert dseg("predict", "drawn", "--model", model, "--uncertainty").code == 0
    records = [
        json.loads(x) for x in (tmp_path / "masks/predictions.jsonl").read_text().split("\n") if x
    ]
    scores = {record["stem"]: record["image_uncertainty"] for record in records}
    own = [json.loads(x) for x in (made / "synthetic.jsonl").read_text().splitlines()]
    assert {record["stem"]: record["score"] for record in own} == scores
    for k in range(5):
        stem = f"{k:06d}"
        drawn, mask = tmp_path / f"drawn/{stem}.png", tmp_path / f"masks/{stem}.png"
        assert (made / f"images/{stem}.png").read_bytes() == drawn.read_bytes()
        assert (made / f"labels/{stem}.png").read_bytes() == mask.read_bytes()
        uncertainty = tmp_path / f"masks/uncertainty/{stem}.npy"
        np.testing.assert_array_equal(
            np.load(made / f"uncertainty/{stem}.npy"), np.load(uncertainty)
        )
        assert own[k]["classes"] == np.unique(read_mask(mask)).tolist()
    worst = max(scores, key=scores.get)
    assert (made / "classes.txt").read_text().split() == ["sea", "sun", "boat"]
    assert (made / "kept.txt").read_text().split() == sorted(scores)  # a tenth of 5 is none
    whole = shutil.copytree(made, tmp_path / "whole")
    assert dseg("synthesize", "--model", model, "--checkpoint", ddpm, "--count", 5, "--seed", 7,
                *QUICK, "--out", whole, "--drop", 0.2).code == 0  # fmt: skip
    assert (whole / "kept.txt").read_text().split() == sorted(scores.keys() - {worst})


def test_a_larger_count_continues_and_a_store_holds_the_same(dseg, made, model, ddpm, tmp_path):
    line = ("synthesize", "--model", model, "--checkpoint", ddpm, "--seed", 7, *QUICK)
    assert dseg(*line, "--count", 2, "--out", "s").code == 0
    again = dseg(*line, "--count", 5, "--out", "s", "--json")
    assert {k: json.loads(again.out)[k] for k in ("made", "unchanged")} == {
        "made": 3,
        "unchanged": 2,
    }
    assert same(tmp_path / "s", made)
    assert dseg(*line, "--count", 2, "--out", "s.zarr").code == 0
    stored = json.loads(dseg(*line, "--count", 5, "--out", "s.zarr", "--json").out)
    assert stored["made"] == 3
    assert stored["classes"] == json.loads(again.out)["classes"]
    group = zarr.open_group(tmp_path / "s.zarr", mode="r")
    assert group["seed"][:].tolist() == [7, 8, 9, 10, 11]
    assert group["kept"][:].all()
    for k in range(5):
        image = np.asarray(Image.open(made / f"images/{k:06d}.png"))
        np.testing.assert_array_equal(group["images"][k], image)
        np.testing.assert_array_equal(group["labels"][k], read_mask(made / f"labels/{k:06d}.png"))
        uncertainty = np.load(made / f"uncertainty/{k:06d}.npy")
        np.testing.assert_array_equal(group["uncertainty"][k], uncertainty)


@pytest.mark.parametrize("out", ["s", pytest.param("s.zarr", marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_and_ends_the_same(dseg, forked, made, model, ddpm, tmp_path, out):
    line = ("synthesize", "--model", model, "--checkpoint", ddpm, "--seed", 7, "--count", 5, *QUICK)
    running = forked(tmp_path, *line, "--out", out)
    there = "labels/000002.png" if out == "s" else "labels/c/2/0/0"
    running.kill_when((tmp_path / out / there).exists)
    resumed = dseg(*line, "--out", out, "--json")
    assert resumed.code == 0, resumed.err
    assert 1 <= json.loads(resumed.out)["unchanged"] <= 4
    if out == "s":
        assert same(tmp_path / "s", made)
    else:
        group = zarr.open_group(tmp_path / out, mode="r")
        for k in range(5):
            mask = read_mask(made / f"labels/{k:06d}.png")
            np.testing.assert_array_equal(group["labels"][k], mask)


def test_the_folder_is_read_by_extract_and_fit(dseg, made, ddpm):
    line = ("extract", "--images", made / "images", "--out", "f.zarr", "--checkpoint", ddpm)
    extracted = dseg(*line)
    assert extracted.code == 0
    assert "5 of 5 images are synthetic" in extracted.err
    fitted = dseg("fit", "f.zarr", made / "labels", "--members", 2, "--max-steps", 20)
    assert fitted.code == 0, fitted.err


def test_a_stylegan_draws_and_its_own_features_segment(dseg, ddpm, tmp_path):
    assert dseg("sample", "--checkpoint", STYLEGAN, "--count", 4, "--out", "drawn").code == 0
    (tmp_path / "labels").mkdir()
    for k in range(2):
        image = np.asarray(Image.open(tmp_path / f"drawn/{k:06d}.png")).mean(axis=2)
        label = Image.fromarray((image > np.median(image)).astype(np.uint8))
        label.save(tmp_path / f"labels/{k:06d}.png")
    assert (
        dseg("extract", "--images", "drawn", "--out", "f.zarr", "--checkpoint", STYLEGAN).code == 0
    )
    assert dseg("fit", "f.zarr", "labels", "--members", 3, "--max-steps", 40).code == 0
    assert dseg("predict", "drawn").code == 0
    made = dseg("synthesize", "--count", 4)  # the model knows what draws
    assert made.code == 0, made.err
    for k in range(4):
        mask = (tmp_path / f"masks/{k:06d}.png").read_bytes()
        assert (tmp_path / f"synthetic/labels/{k:06d}.png").read_bytes() == mask
    refused = dseg("synthesize", "--count", 4, "--eta", 0.5, "--out", "x")
    assert refused.code == 2
    assert "leave out the options of samplers" in refused.err
    refused = dseg("synthesize", "--count", 4, "--checkpoint", ddpm, "--out", "x")
    assert refused.code == 2
    assert "a StyleGAN, which has features of its own images only, but" in refused.err
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_done_is_said(dseg, world, store, model, ddpm, made, other_ddpm, tmp_path):
    line = ("synthesize", "--model", model, "--count", 2, *QUICK)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    for words, reason in (
        (("--out", "full"), "does not contain synthetic images"),
        (("--out", "full/notes.txt"), "is a file"),
        (("--checkpoint", "builtin:efficientnet-lite0"), "cannot draw images"),
        (("--checkpoint", other_ddpm, "--out", made, "--seed", 7), "the generator's checkpoint"),
        (("--checkpoint", ddpm, "--out", made, "--seed", 3), "first seed (7 before, 3 now)"),
        (("--filter", "all", "--drop", 0.5), "--filter all keeps every image"),
        (("--model", world.photos), "model"),
    ):
        refused = dseg(*line, *words)
        assert refused.code == 2, words
        assert reason in refused.err
    assert (tmp_path / "full/notes.txt").read_text() == "mine"
    assert dseg("fit", store, world.labels, "--members", 1, "--max-steps", 20).code == 0
    refused = dseg("synthesize", "--count", 2, "--checkpoint", ddpm)
    assert refused.code == 2
    assert "has one member" in refused.err
    told = dseg(*line, "--filter", "paper", "--out", "s")
    assert told.code == 0
    assert "the published rule keeps none of 2 images" in told.err
    assert "another diffusion model" not in told.err
    told = dseg(*line, "--checkpoint", other_ddpm, "--out", "o")
    assert told.code == 0
    assert "another diffusion model than" in told.err
    estimate = dseg(*line, "--out", "other", "--dry-run")
    assert "2 images to make: about" in estimate.out
    assert "MB of memory for the whole process" in estimate.out
    assert not (tmp_path / "other").exists()


def test_a_class_that_no_image_shows_is_named(dseg, world, store, ddpm, tmp_path):
    labels = shutil.copytree(world.labels, tmp_path / "labels")
    (labels / "classes.txt").write_text("sea\nsun\nboat\nbird\n")
    assert dseg("fit", store, labels, "--members", 2, "--max-steps", 20).code == 0
    for out in ("s", "s.zarr"):
        told = dseg("synthesize", "--checkpoint", ddpm, "--count", 2, *QUICK, "--out", out)
        assert told.code == 0, told.err
        absent = re.search(r"none of the 2 kept images shows (.*): what learns from", told.err)[1]
        assert "'bird'" in absent
        learnt = dseg("distil", out, "--size", 32, "--steps", 1, "--batch-size", 2, "--out", "t",
                      "--overwrite")  # fmt: skip
        assert learnt.code == 0, learnt.err
        assert f"show no pixel of {absent}" in learnt.err


@given(st.lists(st.floats(0, 1), min_size=1, max_size=400), st.floats(0, 0.9))
def test_filters_are_the_plain_slices(scores, dropped):
    numbered = dict(enumerate(scores))
    order = sorted(numbered, key=numbered.get)
    n = int(dropped * len(scores))
    assert kept(numbered, "paper", dropped) == sorted(order[30 : -n + 30])
    certain = kept(numbered, "certain", dropped)
    assert len(certain) == max(1, len(scores) - n)
    rest = set(numbered) - set(certain)
    assert not rest or max(scores[k] for k in certain) <= min(scores[k] for k in rest)
    assert kept(numbered, "all", dropped) == list(range(len(scores)))


@pytest.mark.slow  # it has to draw enough to tell
def test_memory_does_not_grow_with_the_count(measured, model, ddpm, tmp_path):
    line = ("synthesize", "--model", model, "--checkpoint", ddpm, "--steps", 1, "--quiet")
    counts = (4, 4, 44)  # the first run brings in what is imported on the way
    calls = [
        (*line, "--size", 256, "--count", n, "--out", tmp_path / f"s{k}")
        for k, n in enumerate(counts)
    ]
    _, (_, few, many) = measured(*calls)
    of_all = 40 * 256 * 256 * 9  # bytes of so many images with masks and uncertainty
    assert many.peak - few.peak < of_all / 2
