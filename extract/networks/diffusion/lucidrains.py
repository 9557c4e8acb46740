"""Checkpoints of denoising-diffusion-pytorch, whose trainer leaves weights, average and betas.

The architecture is read off the shapes, the noise schedule off the file where it is a whole
``GaussianDiffusion``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ....store.errors import InputError
from ...checkpoints.opening import Checkpoint
from ...checkpoints.state_dict import StateDict, digest
from ..options import CheckpointOptions
from .decoder import BlockShape
from .lucidrains_unet import LucidrainsDecoder, LucidrainsUNet, Shapes
from .noise import NoiseSchedule
from .unet import LoadedUNet
from .weights import refuse_other_weights

__all__ = ["KINDS", "LoadedLucidrains", "load", "matches"]

KINDS: Mapping[str, str] = {"lucidrains": "a U-Net of denoising-diffusion-pytorch"}

SIGNS = ("init_conv.weight", "downs.0.0.block1.proj.weight", "final_res_block.block1.proj.weight")
"""Keys by which such a network is recognised, perhaps after ``model.``."""
_WHOLE = "model."  # the U-Net within a GaussianDiffusion
_LEVEL = re.compile(r"downs\.(\d+)\.")


def matches(checkpoint: Checkpoint) -> str | None:
    """Return the kind if these are such weights, else None."""
    state = checkpoint.state or {}
    found = any(all(f"{prefix}{key}" in state for key in SIGNS) for prefix in ("", _WHOLE))
    return "lucidrains" if found else None


def load(checkpoint: Checkpoint, options: CheckpointOptions) -> "LoadedLucidrains":
    """Load the U-Net of a file.

    Raises
    ------
    InputError
        If the weights are not those of such a network, or an option does not fit it.
    """
    state = checkpoint.state or {}
    betas = state.get("betas")
    seen = ("schedule", "diffusion_steps") if betas is None else ()
    options.refuse_all_but(seen, "the checkpoint shows it, or the network has none")
    prefix = "" if SIGNS[0] in state else _WHOLE
    weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    if betas is None:
        schedule = NoiseSchedule.of_options(options.schedule, options.diffusion_steps)
    else:
        schedule = NoiseSchedule.from_diffusers({"trained_betas": betas.tolist()})
        weights.pop("betas", None)
    shapes = _shapes(weights)
    return LoadedLucidrains(
        kind="lucidrains",
        source=checkpoint.source,
        sha256=digest({"weights": checkpoint.path}),
        architecture=shapes.describe(),
        size=None,  # a file does not show it
        weights=checkpoint.weights,
        unet=_build(weights, shapes),
        schedule=schedule,
        prediction=_prediction(state, schedule),
    )


def _prediction(state: StateDict, schedule: NoiseSchedule) -> str:
    """Return what the network was trained to predict, by the weights of its loss.

    A whole ``GaussianDiffusion`` keeps them: by the signal-to-noise ratio s, where that is not
    clipped, 1 of the noise, s of the image, s / (s + 1) of v.
    """
    weights = state.get("loss_weight")
    if weights is None or len(weights) != schedule.timesteps:
        return "epsilon"
    signal = schedule.alphas_cumprod
    ratio = signal / (1 - signal)
    at = int(np.abs(ratio - 0.5).argmin())  # where the three differ, and none clips
    s = float(ratio[at])
    forms = {"epsilon": 1.0, "sample": s, "v_prediction": s / (s + 1)}
    return min(forms, key=lambda name: abs(forms[name] - float(weights[at])))


@dataclass(frozen=True, kw_only=True)
class LoadedLucidrains(LoadedUNet):
    """A U-Net of denoising-diffusion-pytorch as loaded."""

    unet: LucidrainsUNet

    @property
    def channels(self) -> int:
        """Of the images: 3, or of grey ones 1."""
        return self.unet.shapes.channels

    def blocks(self) -> list[BlockShape]:
        """Return the shapes of the decoder's blocks."""
        return self.unet.shapes.blocks()

    def decoder(self, blocks: Sequence[int], inputs: bool, addition: Tensor | None) -> nn.Module:
        """Return the network, to record some blocks."""
        return LucidrainsDecoder(self.unet, blocks, inputs)

    def last_layers(self) -> nn.Module:
        """Return what follows the last block of the decoder."""
        return self.unet.final_conv


def _shapes(state: StateDict) -> Shapes:
    levels = 1 + max(int(found[1]) for key in state if (found := _LEVEL.match(key)))
    try:
        first, time = state["init_conv.weight"], state["time_mlp.1.weight"].shape
        dims = [
            first.shape[0],
            *(state[f"ups.{n}.0.block1.proj.weight"].shape[0] for n in reversed(range(levels))),
        ]
        return Shapes(
            channels=3 if first.shape[1] % 3 == 0 else 1,
            self_condition=first.shape[1] in (2, 6),
            dims=tuple(dims),
            time=(time[1], time[0]),
            full_attention=tuple(f"downs.{n}.2.to_out.weight" in state for n in range(levels)),
            heads=tuple(_heads(state, f"downs.{n}.2") for n in range(levels)),
            outputs=state["final_conv.weight"].shape[0],
        )
    except KeyError as error:
        raise InputError(
            f"the checkpoint is not {KINDS['lucidrains']} as expected: it lacks {error}. Those "
            "of old versions, without learned keys (mem_kv), are not supported"
        ) from error


def _heads(state: StateDict, attention: str) -> tuple[int, int, int]:
    memory = state[f"{attention}.mem_kv"]
    _, heads, *rest = memory.shape
    if f"{attention}.to_out.weight" in state:
        memories, channels = rest
    else:
        channels, memories = rest
    return heads, channels, memories


def _build(state: StateDict, shapes: Shapes) -> LucidrainsUNet:
    if "time_mlp.0.weights" in state:
        raise InputError(
            "the checkpoint's network has learned or random sinusoids, so its time is continuous "
            "(elucidated, continuous-time): expected one of whole timesteps, of GaussianDiffusion"
        )
    if state["init_conv.weight"].shape[1] not in (1, 2, 3, 6):
        raise InputError(
            f"the checkpoint's first convolution takes {state['init_conv.weight'].shape[1]} "
            "channels: expected 3 (RGB) or 1 (grey), or twice that with self-conditioning"
        )
    if shapes.time[0] < 4 or shapes.time[0] % 2:
        raise InputError(
            f"the checkpoint's timesteps have {shapes.time[0]} sinusoids: expected an even number "
            "from 4"
        )
    with torch.device("meta"):
        network = LucidrainsUNet(shapes)
    refuse_other_weights(state, network.state_dict(), KINDS["lucidrains"])
    network.load_state_dict(state, strict=True, assign=True)
    network.eval()
    network.requires_grad_(False)
    return network
