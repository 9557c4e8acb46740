"""How long a backbone takes, measured; and which layers its checkpoint recommends."""

import time

import torch

from ..store.errors import InputError
from ..store.spec import FeatureSpec, LayerSpec
from .backbone import load_backbone
from .from_spec import checkpoint_options_of, factory_of, restore_backbone

__all__ = ["recommended_layers", "seconds_per_row"]

_REPEATS = 2
_SCHEDULE = ("schedule", "diffusion_steps")  # it does not change which layers there are


def seconds_per_row(spec: FeatureSpec, device: torch.device) -> float:
    """Return the seconds that the backbone of a feature spec takes for one input, best of two.

    The first pass, which warms up, does not count.

    Parameters
    ----------
    spec : FeatureSpec
        Its layers are all its blocks at all its steps.
    device : torch.device

    Raises
    ------
    DsegError
        If the checkpoint is not where it was, or is another one.
    """
    backbone = restore_backbone(spec, device=device)
    generator = torch.Generator().manual_seed(0)
    row = torch.rand((1, 3, *spec.row_shape), generator=generator).mul_(2).sub_(1).to(device)
    seconds = []
    for _ in range(1 + _REPEATS):
        start = time.perf_counter()
        maps = backbone(row)
        maps[-1].sum().item()  # waits for a GPU
        seconds.append(time.perf_counter() - start)
        del maps
    return min(seconds[1:])


def recommended_layers(spec: FeatureSpec) -> tuple[LayerSpec, ...]:
    """Return the layers that a spec's checkpoint gives by default, at the spec's input size.

    Raises
    ------
    DsegError
        If the checkpoint is not where it was.
    """
    if factory_of(spec) is not None:
        raise InputError("a network of one's own recommends no layers")
    told = {k: v for k, v in vars(checkpoint_options_of(spec)).items() if k not in _SCHEDULE}
    return load_backbone(spec.source, size=spec.row_shape, device="cpu", **told).layers
