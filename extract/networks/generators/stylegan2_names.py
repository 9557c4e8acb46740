"""Names and shapes of the weights of NVIDIA's stylegan2-ada-pytorch, changed to rosinality's."""

import re
from collections.abc import Callable

from torch import Tensor

from ....store.errors import InputError
from ...checkpoints.state_dict import StateDict

__all__ = ["NVIDIA_SIGNS", "as_rosinality"]

NVIDIA_SIGNS = ("mapping.fc0.weight", "synthesis.b4.const", "synthesis.b4.conv1.affine.weight")
"""Keys by which NVIDIA's form is recognised."""

_PARTS: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "weight": ("conv.weight", lambda one: one[None]),
    "affine.weight": ("conv.modulation.weight", lambda one: one),
    "affine.bias": ("conv.modulation.bias", lambda one: one),
    "noise_strength": ("noise.weight", lambda one: one.reshape(1)),
    "bias": ("activate.bias", lambda one: one),
    "resample_filter": ("conv.blur.kernel", lambda one: 4 * one),
}
"""Of a styled convolution: rosinality's name, and the shape or scale that it has there."""

_REFUSED = {
    r"mapping\.embed\.": "is conditioned on a class",
    r"synthesis\.b\d+\.skip\.": "is of the 'resnet' architecture",
}


def as_rosinality(state: StateDict) -> StateDict:
    """Return the weights of ``G_ema.state_dict()`` under rosinality's names.

    The computation is the same, but for the clamp of activations beyond ±256 with which NVIDIA's
    trains in 16 bits and which no file states.

    Raises
    ------
    InputError
        If it is a generator of another form.
    """
    for pattern, what in _REFUSED.items():
        if any(re.match(pattern, key) for key in state):
            raise InputError(
                f"the generator {what}: expected an unconditional StyleGAN2 of the 'skip' "
                "architecture, NVIDIA's default"
            )
    found: StateDict = {}
    for key, one in state.items():
        name, change = _renamed(key)
        if name is not None:
            found[name] = change(one)
    return found


def _same(one: Tensor) -> Tensor:
    return one


def _renamed(key: str) -> tuple[str | None, Callable[[Tensor], Tensor]]:
    """Return a tensor's name and change; no name of what is not needed."""
    if key == "mapping.w_avg":
        return "latent_avg", _same
    if key == "synthesis.b4.const":
        return "input.input", lambda one: one[None]
    if dense := re.fullmatch(r"mapping\.fc(\d+)\.(weight|bias)", key):
        return f"style.{int(dense[1]) + 1}.{dense[2]}", _same
    block = re.fullmatch(r"synthesis\.b(\d+)\.(conv0|conv1|torgb)?\.?(.+)", key)
    if block is None:
        return key, _same
    level, part, rest = int(block[1]).bit_length() - 3, block[2], block[3]
    if part is None:  # the filter of the colours
        return (f"to_rgbs.{level - 1}.upsample.kernel" if level else None), lambda one: 4 * one
    if part == "torgb":
        name, change = (
            _PARTS[rest] if rest != "bias" else ("bias", lambda one: one[None, :, None, None])
        )
        return f"{'to_rgb1' if level == 0 else f'to_rgbs.{level - 1}'}.{name}", change
    if rest == "noise_const" or (rest == "resample_filter" and part == "conv1"):
        return None, _same
    where = "conv1" if level == 0 else f"convs.{2 * level - 2 + int(part[-1])}"
    name, change = _PARTS.get(rest, (rest, _same))
    return f"{where}.{name}", change
