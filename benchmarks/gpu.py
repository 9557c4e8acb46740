"""Rates on a GPU: extract, fit and predict of an LSUN-256-sized network, in float32 and 16 bits.

::

    python benchmarks/gpu.py                                    # CUDA, full size: a few minutes
    python benchmarks/gpu.py --device mps --width 64
    python benchmarks/gpu.py --device cpu --width 32 --size 64 --images 4 --labelled 3   # try it

A random network of the LSUN-256 architecture, drawn scenes. It prints

- images per second of the network alone, by precision, and that as a share of the device's own rate
  in a large matrix product of bfloat16 (of float32 on a CPU);
- images per second of `dseg extract` to a store, and of `dseg predict` from a store and straight
  from images; seconds of `dseg fit`; loading the network included;
- which part of the labels stays the same if the features have 16 bits, with the model fitted on
  float32.

Stores take 10 GB of disk at full size. ``device.py`` compares what a GPU computes with the CPU.
"""

import argparse
import platform
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from drawn import write_job
from dseg import FeatureStore, PixelEnsemble
from dseg.classify.inference.factorised import FactorisedEnsemble
from dseg.classify.inference.prediction import predict_image
from dseg.extract.backbone import load_backbone
from dseg.extract.feature_spec import feature_spec
from dseg.extract.images.network_input import ImageRows
from dseg.extract.images.reading import read_image
from dseg.extract.networks.devices import choose_device
from dseg.extract.networks.options import BackboneOptions
from dseg.extract.protocol import Backbone
from dseg.pipelines.extract.config import ExtractConfig
from dseg.pipelines.extract.run import extract
from dseg.pipelines.fit.config import FitConfig
from dseg.pipelines.fit.run import fit
from dseg.pipelines.predict.config import PredictConfig
from dseg.pipelines.predict.run import predict
from dseg.store.geometry import plan_tiles
from networks import lsun_network
from timing import median_seconds
from torch.utils.flop_counter import FlopCounterMode

PRECISIONS = ("float32", "bfloat16", "float16")
COMPARED = 8  # images whose labels are compared


def matrix_rate(device: torch.device) -> float:
    """Return operations a second in a large matrix product."""
    side, dtype = (1024, torch.float32) if device.type == "cpu" else (8192, torch.bfloat16)
    a = torch.randn(side, side, device=device).to(dtype)
    return 2 * side**3 / median_seconds(lambda: a @ a, device, rounds=10)


def rows_of(photos: Path, count: int, size: int) -> torch.Tensor:
    geometry = plan_tiles((size, size), (size, size), "squash")
    paths = sorted(photos.glob("*.png"))[:count]
    return torch.from_numpy(np.stack([ImageRows(read_image(p), geometry)[0] for p in paths]))


def network_alone(
    net: str, rows: torch.Tensor, device: torch.device, rounds: int
) -> dict[str, Backbone]:
    """Print images a second by precision; return the backbones."""
    best, backbones = matrix_rate(device), {}
    print(f"matrix product: {best / 1e9:.0f} GFLOP/s")
    for precision in PRECISIONS:
        backbone = load_backbone(net, precision=precision, device=device)
        with FlopCounterMode(display=False) as counter:
            backbone(rows)
        each = counter.get_total_flops() / len(rows)
        rate = len(rows) / median_seconds(lambda b=backbone: b(rows), device, rounds)
        print(
            f"network, {precision:9s} {rate:8.2f} images/s, {1000 / rate:8.1f} ms an image; "
            f"{each / 1e9:.1f} GFLOP an image, {each * rate / best:.0%} of the matrix product"
        )
        backbones[precision] = backbone
    return backbones


def commands(folder: Path, net: str, device: str, images: int, labelled: int) -> None:
    """Print the rates of the commands; leave store and model in the folder."""
    photos, labels = folder / "photos", folder / "labels"
    for precision in reversed(PRECISIONS):  # the last one's store and model stay
        store, model = folder / f"{precision}.zarr", folder / f"model-{precision}"
        options = BackboneOptions(precision=precision, device=device)
        written = extract(ExtractConfig(photos, store, (net,), backbone=options))
        print(f"extract, {precision}: {images / written.seconds:.2f} images/s to a store")
        fitted = fit(FitConfig((store,), labels, model, device=device))
        print(f"fit, {precision}: {fitted.seconds:.1f} s for {labelled} images")
        for name, source in (("a store", store), ("images", photos)):
            out = folder / f"masks-{precision}-{name[-5:]}"
            made = predict(PredictConfig((source,), model, out, device=device))
            print(f"predict {name}, {precision}: {images / made.seconds:.2f} images/s")
        if precision != "float32":
            shutil.rmtree(store)


def labels_kept(folder: Path, backbones: dict[str, Backbone], rows: torch.Tensor) -> None:
    """Print which part of the labels is the same on features in 16 bits."""
    ensemble = PixelEnsemble.load(folder / "model-float32")
    device = backbones["float32"].device
    spec = feature_spec(backbones["float32"], "squash")
    assert spec.hash == FeatureStore.open(folder / "float32.zarr").spec.hash
    model = FactorisedEnsemble(ensemble.stack_, spec, device)
    geometry, masks = plan_tiles(spec.row_shape, spec.row_shape, "squash"), {}
    for precision, backbone in backbones.items():
        masks[precision] = []
        for row in rows[:COMPARED]:
            layers = [layer[0].half() for layer in backbone(row[None])]
            maps = {
                size: torch.cat([layers[i] for i in spec.layers_of(size)])
                for size in spec.map_sizes
            }
            masks[precision].append(predict_image(model, geometry, [maps]).mask)
    for precision in PRECISIONS[1:]:
        same = np.mean(np.array(masks[precision]) == np.array(masks["float32"]))
        print(f"labels, {precision}: {same:.3%} as in float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", help="by default the best there is")
    parser.add_argument("--width", type=int, default=256, help="channels of the first level (256)")
    parser.add_argument("--size", type=int, default=256, help="pixels a side (256)")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--labelled", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=8, help="of the network alone (8)")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    device = choose_device(given.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor()
    print(f"{device} {name}, torch {torch.__version__}, width {given.width}, {given.size} pixels")
    with TemporaryDirectory() as temporary:
        folder, net = Path(temporary), f"{temporary}/net"
        write_job(folder, given.size, given.images, given.labelled)
        lsun_network(net, given.width, given.size)
        rows = rows_of(folder / "photos", given.batch_size, given.size)
        backbones = network_alone(net, rows, device, given.rounds)
        commands(folder, net, str(device), given.images, given.labelled)
        labels_kept(folder, backbones, rows)


if __name__ == "__main__":
    main()
