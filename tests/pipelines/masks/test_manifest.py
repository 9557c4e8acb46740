"""``predictions.jsonl`` is one line an image, whoever writes; what it names lies in its folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dseg.classify.inference.contrast import overlay_colours
from dseg.classify.inference.prediction import Prediction
from dseg.classify.labels.classes import default_classes
from dseg.extract.images.reading import image_size, sha256_of
from dseg.pipelines.masks.manifest import FILE, Manifest
from dseg.pipelines.masks.mask_folder import MaskFolder, MaskOptions
from dseg.store.errors import DsegError, InputError
from dseg.store.seals import sealed
from PIL import Image

KINDS = {"mask", "probabilities", "uncertainty", "overlay"}
STEMS = [f"p{i}" for i in range(6)]


def lines(folder):
    return [json.loads(line) for line in (folder / FILE).read_text().splitlines()]


def kinds(folder):
    """What each line says there is; all of it has to be there."""
    found = [{kind: line[kind] for kind in KINDS & line.keys()} for line in lines(folder)]
    assert all((folder / name).is_file() for paths in found for name in paths.values())
    return [set(paths) for paths in found]


def stems(folder):
    return [line["stem"] for line in lines(folder)]


def record(stem, **more):
    plain = {"stem": stem, "image": f"{stem}.png", "sha256": "0", "mask": f"{stem}.png"}
    return {**plain, "recipe": "r", **more}


# ---- one line an image ----


def test_what_is_asked_for_later_joins_what_is_there(dseg, store, model, tmp_path):
    words, masks = ("predict", store, "--model", model), tmp_path / "masks"
    assert dseg(*words).code == 0
    assert kinds(masks) == [{"mask"}] * 6
    assert "6 masks written" in dseg(*words, "--uncertainty").out
    assert stems(masks) == STEMS
    assert kinds(masks) == [{"mask", "uncertainty"}] * 6
    assert "6 masks written" in dseg(*words, "--probabilities").out
    assert stems(masks) == STEMS
    assert kinds(masks) == [{"mask", "uncertainty", "probabilities"}] * 6
    assert "6 unchanged" in dseg(*words, "--uncertainty").out
    (masks / "uncertainty/p3.npy").unlink()  # by hand: it is there no more
    (masks / "p3.png").unlink()
    assert "1 masks written" in dseg(*words).out
    assert kinds(masks)[3] == {"mask", "probabilities"}


def test_what_is_of_another_model_or_image_goes(dseg, own_world, store, model, ddpm, tmp_path):
    masks = tmp_path / "masks"
    words = ("predict", own_world.photos, "--out", masks, "--model")
    fitted = dseg("fit", store, own_world.labels, "--out", "m", "--members", 2, "--max-steps", 5)
    assert fitted.code == 0
    assert dseg(*words, model, "--uncertainty").code == 0
    Image.open(own_world.photos / "p1.png").transpose(0).save(own_world.photos / "p1.png")
    assert "1 masks written, 5 unchanged" in dseg(*words, model).out
    assert kinds(masks) == [{"mask"} if i == 1 else {"mask", "uncertainty"} for i in range(6)]
    assert not (masks / "uncertainty/p1.npy").exists()
    (tmp_path / "list.txt").write_text("p2\n")
    assert dseg(*words, "m", "--list", "list.txt", "--overwrite").code == 0
    assert stems(masks) == STEMS
    assert not (masks / "uncertainty/p2.npy").exists()
    assert (masks / "uncertainty/p3.npy").exists()


def test_the_lines_of_a_killed_run_are_one_an_image_after_the_next(dseg, store, model, tmp_path):
    masks = tmp_path / "masks"
    assert dseg("predict", store, "--model", model, "--list", listed(tmp_path, "p4")).code == 0
    (line,) = lines(masks)
    foreign = record("of/another/folder", recipe=line["recipe"])
    with (masks / FILE).open("a") as file:
        file.write(json.dumps(foreign) + "\n")
        file.write(json.dumps(line) + "\n" + json.dumps({**line, "stem": "p1"})[:40])
    assert dseg("predict", store, "--model", model).code == 0
    assert stems(masks) == [*STEMS, "of/another/folder"]
    assert lines(masks)[-1] == foreign
    before = (masks / FILE).stat()
    assert "6 unchanged" in dseg("predict", store, "--model", model).out
    assert (masks / FILE).stat().st_mtime_ns == before.st_mtime_ns


def listed(tmp_path, *names):
    (tmp_path / "list.txt").write_text("\n".join(names))
    return tmp_path / "list.txt"


def test_shards_at_once_lose_no_line(forked, store, model, tmp_path):
    masks = tmp_path / "masks"
    words = ("predict", store, "--model", model, "--out", masks)
    runs = [forked(tmp_path, *words, "--shard", f"{i}/2") for i in range(2)]
    ended = [run.result() for run in runs]
    assert [run.code for run in ended] == [0] * 2, ended
    assert stems(masks) == STEMS
    assert not list(masks.rglob(".*"))


WRITER = """
import sys
from pathlib import Path
from dseg.pipelines.masks.manifest import Manifest
from dseg.store.claims import claimed
folder, name = Path(sys.argv[1]), sys.argv[2]
with claimed(folder, "k", "a test") as claim:
    manifest = Manifest(folder)
    for i in range(60):
        stem = f"{name}{i}"
        with claim.exclusive():
            manifest.refresh()
            manifest.add({"stem": stem, "image": stem, "sha256": "0", "mask": stem})
            if i % 7 == 0:
                manifest.compact([])
    assert len([s for s in manifest.records if s.startswith(name)]) == 60
"""


def test_lines_and_compaction_by_many_processes(tmp_path):
    runs = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name], stderr=-1, text=True)
        for name in "abcd"
    ]
    told = [run.communicate(timeout=120)[1] for run in runs]
    assert [run.returncode for run in runs] == [0] * 4, told
    assert sorted(stems(tmp_path)) == sorted(f"{name}{i}" for name in "abcd" for i in range(60))


# ---- names from elsewhere ----


@pytest.mark.parametrize(
    ("key", "name", "why"),
    [
        ("mask", "../../x.png", "it has a part '..', which leads out of its folder"),
        ("mask", "/etc/x.png", "it begins with '/'"),
        ("stem", "../x", "it has a part '..'"),
        ("image", "/etc/passwd", "it begins with '/'"),
        ("uncertainty", "../x.npy", "it has a part '..'"),
        ("overlay", 7, "it is not a string"),
    ],
)
def test_a_forged_manifest_is_refused(dseg, world, store, model, tmp_path, key, name, why):
    shutil.copytree(world.truth, tmp_path / "masks")
    text = json.dumps(record("p0")) + "\n" + json.dumps({**record("p1"), key: name}) + "\n"
    (tmp_path / "masks" / FILE).write_text(text)
    for words in (
        ("evaluate", "masks", world.truth),
        ("evaluate", world.truth, "masks"),
        ("predict", store, "--model", model, "--overwrite"),
    ):
        refused = dseg(*words)
        assert refused.code == 2, refused.err
        assert f"gives {name!r} as {key} of an image: {why}" in refused.err
        assert "do not use it" in refused.err
    assert (tmp_path / "masks" / FILE).read_text() == text


def prediction():
    mask, ones = np.zeros((4, 6), np.uint8), np.ones((4, 6), np.float32)
    return Prediction(mask, None, ones, 0.5)


@pytest.mark.parametrize("stem", ["../x", "a/../../x", "{elsewhere}/x"])
def test_the_writer_checks_where_its_files_lie(tmp_path, stem):
    stem = stem.format(elsewhere=tmp_path / "elsewhere")
    files = MaskFolder(tmp_path / "out", MaskOptions(uncertainty=True), default_classes(2), 2, "m")
    for write in (
        lambda: files.check_distinct_paths([stem]),
        lambda: files.stage(stem, "x.png", b"", prediction()),
    ):
        with pytest.raises(InputError, match=r"would be written outside of '.*out'"):
            write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("link", ["masks/sub", "masks/uncertainty", "masks/uncertainty/sub"])
def test_a_link_in_the_folder_of_masks_that_leads_elsewhere(dseg, own_world, model, tmp_path, link):
    (own_world.photos / "sub").mkdir()
    shutil.copy(own_world.photos / "p0.png", own_world.photos / "sub/p0.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / link).parent.mkdir(parents=True)
    (tmp_path / link).symlink_to(tmp_path / "elsewhere")
    words = ("predict", own_world.photos, "--model", model, "--uncertainty")
    refused = dseg(*words)
    assert refused.code == 2, refused.err
    assert f"would be written outside of 'masks', to '{tmp_path / 'elsewhere'}" in refused.err
    assert "Remove the link, or give another --out" in refused.err
    assert not list((tmp_path / "elsewhere").rglob("*"))
    assert not list((tmp_path / "masks").rglob("*.png"))


def test_the_folder_of_masks_may_be_a_link(dseg, store, model, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "masks").symlink_to("elsewhere")
    (tmp_path / "elsewhere/inner").mkdir()
    (tmp_path / "elsewhere/uncertainty").symlink_to("inner")  # within it links may lead anywhere
    assert dseg("predict", store, "--model", model, "--uncertainty").code == 0
    assert len(list((tmp_path / "elsewhere/inner").glob("*.npy"))) == 6


def test_a_manifest_that_is_a_link_to_elsewhere(dseg, store, model, tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "mine.jsonl").write_text("")
    (tmp_path / "masks" / FILE).symlink_to(tmp_path / "mine.jsonl")
    refused = dseg("predict", store, "--model", model)
    assert refused.code == 2
    assert "the manifest would be written outside of 'masks'" in refused.err
    assert (tmp_path / "mine.jsonl").read_text() == ""


def test_a_mask_that_is_a_link_is_replaced_not_followed(dseg, store, model, tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "mine.png").write_text("mine")
    (tmp_path / "masks/p0.png").symlink_to(tmp_path / "mine.png")
    assert dseg("predict", store, "--model", model, "--overwrite").code == 0
    assert (tmp_path / "mine.png").read_text() == "mine"
    assert not (tmp_path / "masks/p0.png").is_symlink()


def test_an_image_whose_name_leads_out_is_not_drawn_over(world, tmp_path):
    """What an overlay is drawn over is found by its stem among the images, whatever its name."""
    asked = MaskOptions(overlay=True, images={"p0": world.photos / "p0.png"})
    files = MaskFolder(tmp_path, asked, default_classes(2), 2, "m")
    secret = sha256_of(world.truth / "p0.png")
    with pytest.raises(
        DsegError, match=r"p0\.png' is not the image that the features were extracted from"
    ):
        files.stage("p0", "../truth/p0.png", secret, prediction())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_in_the_way_of_a_mask(dseg, store, model, tmp_path):
    (tmp_path / "masks/p1.png").mkdir(parents=True)
    result = dseg("predict", store, "--model", model, "--overwrite")
    assert result.code == 3
    assert "cannot write 'masks/p1.png'" in result.err
    assert not list((tmp_path / "masks").rglob(".*"))


# ---- overlays and their legend ----


def test_a_legend_beside_the_overlays(dseg, world, store, model, tmp_path):
    words = ("predict", store, "--model", model, "--overlay", "--images", world.photos)
    assert dseg(*words).code == 0
    names = sorted(path.name for path in Path("masks/overlays").iterdir())
    assert names == ["legend.png", *(f"{stem}.png" for stem in STEMS)]
    own = json.loads((model / "model.json").read_text())["classes"]
    shown = overlay_colours([tuple(one["colour"]) for one in own])
    assert own[0]["colour"] == [0, 0, 0]
    assert shown[0] != (0, 0, 0)
    legend = np.asarray(Image.open("masks/overlays/legend.png").convert("RGB"))
    assert {tuple(map(int, pixel)) for pixel in legend.reshape(-1, 3)} >= set(shown)
    image, mask, overlay = (
        np.asarray(Image.open(path))
        for path in (world.photos / "p0.png", "masks/p0.png", "masks/overlays/p0.png")
    )
    assert overlay.shape == image.shape
    assert (overlay == image // 2 + np.array(shown, np.uint8)[mask] // 2).all()
    assert len(lines(tmp_path / "masks")) == 6


def test_an_image_called_legend_keeps_its_overlay(dseg, own_world, model, tmp_path):
    (own_world.photos / "p0.png").rename(own_world.photos / "legend.png")
    assert dseg("predict", own_world.photos, "--model", model, "--overlay").code == 0
    size = image_size(own_world.photos / "legend.png")
    assert image_size("masks/overlays/legend.png") == size
    assert image_size("masks/overlays/legend_.png") != size
    # Nor does a run that is about other images put a legend there.
    (own_world.photos / "legend.png").unlink()
    assert dseg("predict", own_world.photos, "--model", model, "--overlay").code == 0
    assert image_size("masks/overlays/legend.png") == size


def test_a_line_that_names_no_mask_does_not_count(tmp_path):
    (tmp_path / FILE).write_text('{"stem": "a", "image": "a.png", "sha256": "0"}\n')
    assert Manifest(tmp_path).records == {}


@pytest.mark.parametrize("stem", ["...", "..x", "a/..x.front"])
def test_what_predict_writes_it_reads_whatever_the_dots(tmp_path, stem):
    named = {**record("a"), "stem": stem, "image": f"{stem}.png", "mask": f"{stem}.png"}
    Manifest(tmp_path).add(named)
    assert Manifest(tmp_path).records == {stem: sealed(named)}
