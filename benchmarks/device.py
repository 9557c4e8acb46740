"""Check a GPU against the CPU: features, training, masks; and time each.

Run on a machine with CUDA or MPS, with dseg installed::

    python benchmarks/device.py            # the first GPU there is
    python benchmarks/device.py --device mps --width 64

A random network of the LSUN-256 architecture (``--width 256`` is its full size), random images.
Prints differences and the ratio of times, each stage on both devices by turns.
"""

import argparse
from tempfile import TemporaryDirectory

import numpy as np
import torch
from dseg import PixelEnsemble, load_backbone
from dseg.classify.ensemble.members import MemberStack
from dseg.classify.inference.factorised import FactorisedEnsemble
from dseg.classify.inference.prediction import Outputs, predict_image
from dseg.extract.feature_spec import feature_spec
from dseg.extract.networks.devices import choose_device
from dseg.store.geometry import plan_tiles
from dseg.store.spec import FeatureSpec
from networks import lsun_network
from timing import median_seconds, seconds

IMAGES, SIDE = 2, 256
STEPS, TRAINED, TESTED = 300, 16_000, 4_000


def compare_extract(
    width: int, rounds: int, devices: tuple[torch.device, torch.device]
) -> tuple[FeatureSpec, list[torch.Tensor]]:
    """Compare activations, and time them; return the feature spec and the CPU's activations."""
    cpu, gpu = devices
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.uniform(-1, 1, (IMAGES, 3, SIDE, SIDE)).astype(np.float32))
    with TemporaryDirectory() as folder:
        lsun_network(folder, width)
        backbones = {device: load_backbone(folder, device=device) for device in devices}
    layers = {device: [m.float().cpu() for m in b(x)] for device, b in backbones.items()}
    for layer, a, b in zip(backbones[cpu].layers, layers[cpu], layers[gpu], strict=True):
        error = float((a - b).norm() / a.norm())
        print(f"step {layer.timestep:3} block {layer.block:2}: relative L2 {error:.1e}")
        assert error < 5e-5, "the activations differ: is reduced precision on?"
    taken = {d: median_seconds(lambda b=b: b(x), d, rounds) for d, b in backbones.items()}
    print(f"extract: {taken[cpu] / taken[gpu]:.1f}×, {1000 * taken[gpu] / IMAGES:.1f} ms/image")
    return feature_spec(backbones[cpu], "squash"), layers[cpu]


def compare_fit(dims: int, devices: tuple[torch.device, torch.device]) -> MemberStack:
    """Train on each device; print accuracy and time, return the members trained on the CPU."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(TRAINED + TESTED, dims)).astype(np.float32)
    y = (X[:, :5].argmax(axis=1)).astype(np.int64)
    models = {}
    for device in devices:
        models[device] = PixelEnsemble(max_steps=STEPS, device=device)
        taken = seconds(lambda m=models[device]: m.fit(X[:TRAINED], y[:TRAINED]))
        score = models[device].score(X[TRAINED:], y[TRAINED:])
        print(f"fit on {device}: accuracy {score:.3f}, {taken:.1f} s")
    return models[devices[0]].stack_.cpu()


def compare_predict(
    stack: MemberStack,
    spec: FeatureSpec,
    layers: list[torch.Tensor],
    rounds: int,
    devices: tuple[torch.device, torch.device],
) -> None:
    """Compare masks of the same members on the same activations, and time them."""
    cpu, gpu = devices
    row = {
        size: torch.cat([layers[i][0] for i in spec.layers_of(size)]).half()
        for size in spec.map_sizes
    }
    geometry, masks, taken = plan_tiles((SIDE, SIDE), (SIDE, SIDE), "squash"), {}, {}
    for device in devices:
        model = FactorisedEnsemble(stack, spec, device)
        masks[device] = predict_image(model, geometry, [row]).mask
        taken[device] = median_seconds(
            lambda m=model: predict_image(m, geometry, [row], outputs=Outputs(uncertainty=True)),
            device,
            rounds,
        )
    same = (masks[cpu] == masks[gpu]).mean()
    print(f"predict: {taken[cpu] / taken[gpu]:.1f}×, {100 * same:.4f} % of labels equal")
    assert same > 0.9999


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    device = choose_device(given.device)
    if device.type == "cpu":
        raise SystemExit("there is no GPU here to check")
    name = torch.cuda.get_device_name() if device.type == "cuda" else device.type
    print(f"{name}, torch {torch.__version__}, network of width {given.width}")
    devices = (torch.device("cpu"), device)
    spec, layers = compare_extract(given.width, given.rounds, devices)
    stack = compare_fit(spec.dims, devices)
    compare_predict(stack, spec, layers, given.rounds, devices)


if __name__ == "__main__":
    main()
