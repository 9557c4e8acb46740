"""Large images: by rows where the file allows it, refused above the limit, told in tiles."""

from contextlib import contextmanager

import numpy as np
import pytest
import tifffile
from dseg import FeatureStore
from dseg.extract.networks.options import BackboneOptions
from dseg.pipelines.console.progress import Progress
from dseg.pipelines.extract.config import ExtractConfig
from dseg.pipelines.extract.run import extract
from PIL import Image


@pytest.fixture
def large(tmp_path):
    """One image of 90 × 70 as PNG, JPEG and TIFF in strips, each in a folder of its own."""
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    for kind in ("png", "jpg", "tif"):
        (tmp_path / kind).mkdir()
    Image.fromarray(image).save(tmp_path / "png/x.png")
    Image.fromarray(image).resize((1120, 1440)).save(tmp_path / "jpg/x.jpg")
    strips = {"photometric": "rgb", "compression": "zlib", "rowsperstrip": 8}
    tifffile.imwrite(tmp_path / "tif/x.tif", image, **strips)
    return tmp_path


def run(dseg, folder, ddpm, *words):
    """Extract with a limit that is below the images' size."""
    out = f"{folder.name}.zarr"
    words = ("--out", out, "--checkpoint", ddpm, "--max-pixels", 6299, *words)
    return dseg("extract", "--images", folder, *words)


def test_a_png_above_the_limit_is_refused_and_a_tiff_is_read(dseg, large, ddpm):
    refused = run(dseg, large / "png", ddpm)
    assert refused.code == 1, refused.err
    assert "is larger than the limit against decompression bombs, 6299 pixels" in refused.err
    raised = run(dseg, large / "png", ddpm, "--max-pixels", "7k")
    assert raised.code == 0, raised.err
    assert run(dseg, large / "tif", ddpm).code == 0
    maps = [
        FeatureStore.open(f"{kind}.zarr").map(0, FeatureStore.open("png.zarr").spec.map_sizes[0])
        for kind in ("png", "tif")
    ]
    np.testing.assert_allclose(*(m.astype(np.float32) for m in maps), atol=0.05)


def test_a_jpeg_above_the_limit_is_decoded_at_a_part_of_its_size(dseg, large, ddpm):
    limit = ("--max-pixels", 300_000)
    assert run(dseg, large / "jpg", ddpm, *limit).code == 0
    tiled = run(dseg, large / "jpg", ddpm, *limit, "--tile", "--overwrite")
    assert tiled.code == 3, tiled.err
    assert "'x.jpg' is larger than the limit" in tiled.err + tiled.out


class Bars(Progress):
    """Keeps what bars are told."""

    def __init__(self):
        self.told = {}

    @contextmanager
    def bar(self, label, total, unit):
        done = []
        yield done.append
        self.told[label] = (sum(done), total, unit, len(done))


@pytest.mark.parametrize(("fit", "expected"), [("tile", (12, 12, "tiles", 12)), ("squash", None)])
def test_progress_is_told_within_an_image_of_many_tiles(large, ddpm, fit, expected):
    bars = Bars()
    options = BackboneOptions(size=(32, 32))
    images, out = large / "tif", large / "f.zarr"
    config = ExtractConfig(images, out, (str(ddpm),), fit=fit, overlap=8, backbone=options)
    extract(config, bars)
    assert bars.told["extract"] == (expected or (1, 1, "images", 1))
    extract(config, bars)
    assert bars.told["extract"][:2] == (expected or (1, 1))[:2]


def test_a_tile_that_is_damaged_fails_its_image_alone(dseg, large, ddpm):
    """It is found when earlier tiles have gone through the network already."""
    path = large / "tif/x.tif"
    Image.open(large / "png/x.png").save(large / "tif/y.png")
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[0].dataoffsets[-1]
    data = bytearray(path.read_bytes())
    data[offset : offset + 20] = bytes(20)
    path.write_bytes(data)
    told = dseg(
        "extract",
        "--images",
        large / "tif",
        "--out",
        "g.zarr",
        "--checkpoint",
        ddpm,
        "--tile",
        "--bands",
        "1,2,3",
    )
    assert told.code == 3, told.err
    assert "1 images extracted, 0 unchanged, 1 failed" in told.out
    assert "'x.tif' cannot be decoded" in told.out + told.err
