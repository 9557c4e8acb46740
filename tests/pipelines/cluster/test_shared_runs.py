"""What several processes do together equals, byte for byte, what one does alone."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
from dseg.pipelines.cluster.parts import absolute
from dseg.pipelines.extract.config import ExtractConfig
from dseg.pipelines.extract.part import ExtractPart, PartImage
from dseg.pipelines.masks.mask_folder import MaskOptions
from dseg.pipelines.predict.config import PredictConfig
from dseg.pipelines.predict.part import PredictPart

from .conftest import files_of

DRAWN = ("--steps", 3, "--batch-size", 2, "--count", 5, "--seed", 7)
LEAST_KEPT = ("--filter", "all")


def told(result) -> dict:
    assert result.code in (0, 3), result.err
    return json.loads(result.out)


@pytest.fixture
def photos(world, tmp_path) -> Path:
    """Six images, and one that is none."""
    folder = tmp_path / "photos"
    shutil.copytree(world.photos, folder)
    (folder / "torn.png").write_bytes((folder / "p0.png").read_bytes()[:100])
    return folder


def test_extract(dseg, photos, ddpm, cluster, tmp_path):
    line = ("extract", "--images", "photos", "--checkpoint", ddpm, "--json")
    alone = told(dseg(*line, "--out", "alone.zarr"))
    words = ("--scheduler", cluster)
    together = told(dseg(*line, "--out", "together.zarr", *words))
    assert files_of(tmp_path / "together.zarr") == files_of(tmp_path / "alone.zarr")
    for counted in ("images", "extracted", "unchanged", "failed", "n_bytes"):
        assert together[counted] == alone[counted]
    assert together["extracted"] == 6
    assert set(together["failed"]) == {"torn.png"}

    (photos / "p1.png").write_bytes((photos / "p2.png").read_bytes())
    again = told(dseg(*line, "--out", "together.zarr", *words))
    assert (again["extracted"], again["unchanged"]) == (1, 5)
    replaced = dseg(*line, "--out", "together.zarr", "--blocks", 1, *words)
    assert replaced.code == 2
    replaced = told(dseg(*line, "--out", "together.zarr", "--blocks", 1, "--overwrite", *words))
    assert replaced["extracted"] == 6


@pytest.mark.parametrize(
    "words",
    [pytest.param((), marks=pytest.mark.slow), ("--overlay", "--uncertainty", "--probabilities")],
)
@pytest.mark.parametrize("of", ["images", "store"])
def test_predict(dseg, photos, model, store, cluster, words, of, tmp_path):
    source = "photos" if of == "images" else store
    if of == "store" and words:
        words = (*words, "--images", "photos")
    line = ("predict", source, "--model", model, *words, "--json")
    alone = told(dseg(*line, "--out", "alone"))
    together = told(dseg(*line, "--out", "together", "--scheduler", cluster))
    assert files_of(tmp_path / "together") == files_of(tmp_path / "alone")
    for counted in ("images", "predicted", "unchanged", "failed", "n_bytes", "most_uncertain"):
        assert together[counted] == alone[counted]
    again = told(dseg(*line, "--out", "together", "--scheduler", cluster))
    assert (again["predicted"], again["unchanged"]) == (0, 6)


@pytest.mark.parametrize("out", ["folder", pytest.param("store.zarr", marks=pytest.mark.slow)])
def test_synthesize(dseg, model, ddpm, cluster, out, tmp_path):
    line = ("synthesize", "--model", model, "--checkpoint", ddpm, *DRAWN, *LEAST_KEPT, "--json")
    alone = told(dseg(*line, "--out", f"alone/{out}"))
    together = told(dseg(*line, "--out", f"together/{out}", "--scheduler", cluster))
    assert files_of(tmp_path / "together") == files_of(tmp_path / "alone")
    assert (together["made"], together["kept"]) == (5, 5) == (alone["made"], alone["kept"])


@pytest.mark.slow
@pytest.mark.slow
def test_processes_of_this_machine(dseg, photos, ddpm, tmp_path):
    line = ("extract", "--images", "photos", "--checkpoint", ddpm)
    assert dseg(*line, "--out", "alone.zarr").code == 3
    assert dseg(*line, "--out", "together.zarr", "--workers", 2).code == 3
    assert files_of(tmp_path / "together.zarr") == files_of(tmp_path / "alone.zarr")


def test_little_passes_through_the_scheduler():
    """Of each image less than 2 kB, its name and paths of a common length included."""
    stem = "2026-11-28/a-folder-of-some-camera/DSC_000123.jpeg"
    root = Path("/mnt/shared/projects/a-project/photographs")
    images = tuple(PartImage(n, stem, str(root / stem), (4000, 6000)) for n in range(16))
    config = absolute(ExtractConfig(root, root / "feats.zarr"))
    part = ExtractPart("a" * 32, config, config.out, "b" * 64, images)
    assert len(pickle.dumps(part)) / 16 < 400
    predicted = PredictPart(
        "a" * 32,
        absolute(PredictConfig((root,))),
        MaskOptions(),
        "c" * 64,
        "c" * 64,
        (stem,) * 16,
        tuple((stem, str(root / stem)) for _ in range(16)),
    )
    assert len(pickle.dumps(predicted)) / 16 < 400


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--workers", 2, "--scheduler", "tcp://127.0.0.1:9"), 2, "give one of the two"),
        (("--workers", 2, "--resources", "GPU=1"), 2, "give its --scheduler"),
        (("--resources", "GPU"), 2, "is not a list of names and numbers such as GPU=1"),
        (("--scheduler", "CLUSTER", "--resources", "GPU=1"), 1, "offers 'GPU': start them with"),
    ],
)
def test_wrong_calls(dseg, photos, cluster, words, code, said, tmp_path):
    words = [cluster if word == "CLUSTER" else word for word in words]
    made = dseg("extract", "--images", "photos", "--out", "f.zarr", *words)
    assert made.code == code, made.err
    assert said in made.err
    assert not (tmp_path / "f.zarr").exists()
