"""Check a GPU against the CPU: features, training, masks; and time each.

Run on a machine with CUDA or MPS, with dseg installed::

    python benchmarks/device.py            # the first GPU there is
    python benchmarks/device.py --device mps --width 64

A random network of the LSUN-256 architecture (``--width 256`` is its full size), random images.
Prints differences and the ratio of times, each stage on both devices in turn.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from dseg import PixelEnsemble, load_backbone
from dseg.classify.inference.factorised import FactorisedEnsemble
from dseg.classify.inference.prediction import Outputs, predict_image
from dseg.extract.feature_spec import feature_spec
from dseg.extract.networks.devices import choose_device
from dseg.store.geometry import plan_tiles
from networks import lsun_network


def timed(function: Callable[[], object], rounds: int, device: torch.device) -> float:
    def once() -> float:
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize()
        elif device.type == "mps":
            torch.mps.synchronize()
        return time.perf_counter() - start

    once()
    return median(once() for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    device, cpu = choose_device(given.device), torch.device("cpu")
    if device.type == "cpu":
        raise SystemExit("there is no GPU here to check")
    name = torch.cuda.get_device_name() if device.type == "cuda" else device.type
    print(f"{name}, torch {torch.__version__}, network of width {given.width}")
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.uniform(-1, 1, (2, 3, 256, 256)).astype(np.float32))
    with TemporaryDirectory() as folder:
        lsun_network(folder, given.width)
        backbones = {d: load_backbone(folder, device=d) for d in (cpu, device)}
    maps = {d: [m.float().cpu() for m in b(x)] for d, b in backbones.items()}
    for layer, a, b in zip(backbones[cpu].layers, maps[cpu], maps[device], strict=True):
        error = float((a - b).norm() / a.norm())
        print(f"step {layer.timestep:3} block {layer.block:2}: relative L2 {error:.1e}")
        assert error < 5e-5, "the activations differ: is reduced precision on?"
    seconds = {d: timed(lambda b=b: b(x), given.rounds, d) for d, b in backbones.items()}
    print(
        f"extract: {seconds[cpu] / seconds[device]:.1f}×, {1000 * seconds[device] / 2:.1f} ms/image"
    )

    spec = feature_spec(backbones[cpu], "squash")
    X = rng.normal(size=(20_000, spec.dims)).astype(np.float32)
    y = (X[:, :5].argmax(axis=1)).astype(np.int64)
    models = {}
    for d in (cpu, device):
        start = time.perf_counter()
        models[d] = PixelEnsemble(max_steps=300, device=d).fit(X[:16_000], y[:16_000])
        score = models[d].score(X[16_000:], y[16_000:])
        print(f"fit on {d}: accuracy {score:.3f}, {time.perf_counter() - start:.1f} s")
    row = {
        size: torch.cat([maps[cpu][i][0] for i in spec.layers_of(size)]).half()
        for size in spec.map_sizes
    }
    geometry, masks = plan_tiles((256, 256), (256, 256), "squash"), {}
    for d in (cpu, device):
        model = FactorisedEnsemble(models[cpu].stack_.cpu(), spec, d)
        masks[d] = predict_image(model, geometry, [row]).mask
        seconds[d] = timed(
            lambda m=model: predict_image(m, geometry, [row], outputs=Outputs(uncertainty=True)),
            given.rounds,
            d,
        )
    same = (masks[cpu] == masks[device]).mean()
    print(f"predict: {seconds[cpu] / seconds[device]:.1f}×, {100 * same:.4f} % of labels equal")
    assert same > 0.9999


if __name__ == "__main__":
    main()
