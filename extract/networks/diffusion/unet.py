"""A diffusion U-Net whose decoder blocks are the features of an image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ....store.spec import LayerSpec
from ...layers.averaging import mean_over
from ..base import LoadedNetwork, NetworkBackbone
from ..defaults import (
    SMALL_NETWORK_STEPS,
    choose_blocks,
    choose_size,
    choose_steps,
    default_blocks,
    small_network_blocks,
)
from ..options import BackboneOptions
from ..precision import at_precision, halve_weights
from .decoder import BlockShape, Decoder, block_shapes
from .latent_space import LatentSpace
from .noise import NoiseSchedule, q_sample, shared_noise

__all__ = ["LoadedUNet", "UNetBackbone", "WholeUNet", "recommended_layers"]

LUMA = (0.299, 0.587, 0.114)
"""Of R, G and B, for networks of grey images: ITU-R BT.601, as Pillow's mode L."""


@dataclass(frozen=True, kw_only=True)
class LoadedUNet(LoadedNetwork):
    """A whole diffusion U-Net as loaded, with what is known of it.

    Parameters
    ----------
    unet : diffusers.UNet2DModel or UNet2DConditionModel
        Evaluation mode, CPU, float32; ``unet(x_t, t).sample`` is its raw output.
    schedule : NoiseSchedule
    latents : LatentSpace, optional
        Where it works on latents: how images become such.
    prediction : str
        What it was trained to predict, as diffusers names it: "epsilon" is the noise.
    addition : tensor of shape (1, channels), optional
        Of a class-conditional network the class's embedding, which is added to the timestep's.
    scheduler : mapping
        How images are drawn with it, under the names of diffusers' ``scheduler_config.json``:
        what its folder states, or what its family of networks does.
    """

    unet: Any
    schedule: NoiseSchedule
    latents: LatentSpace | None = None
    prediction: str = "epsilon"
    addition: Tensor | None = None
    scheduler: Mapping[str, Any] = field(default_factory=dict)

    def backbone(self, options: BackboneOptions) -> "UNetBackbone":
        """Return the backbone that records what the options say."""
        return UNetBackbone(self, options)

    @property
    def channels(self) -> int:
        """Of its input: 3, of grey images 1, or of latents."""
        return int(self.unet.config.in_channels)

    def blocks(self) -> list[BlockShape]:
        """Return the shapes of the decoder's blocks."""
        return block_shapes(self.unet)

    def decoder(self, blocks: Sequence[int], inputs: bool, addition: Tensor | None) -> nn.Module:
        """Return the part of it that some blocks need, see `Decoder`."""
        return Decoder(self.unet, blocks, inputs, addition)

    def whole(self) -> "WholeUNet":
        """Return the network from input to output; its parts are shared, not copied."""
        decoder = self.decoder([len(self.blocks()) - 1], False, self.addition)
        return WholeUNet(decoder, self.last_layers())

    def last_layers(self) -> nn.Module:
        """Return what follows the last block of the decoder."""
        unet = self.unet
        return nn.Sequential(unet.conv_norm_out, unet.conv_act, unet.conv_out)


class WholeUNet(nn.Module):
    """A U-Net from input to output, computed as its features are.

    Parameters
    ----------
    decoder : nn.Module
        Gives the output of the decoder's last block, see `Decoder`.
    last_layers : nn.Module
        What follows it.
    """

    def __init__(self, decoder: nn.Module, last_layers: nn.Module) -> None:
        super().__init__()
        self.decoder, self.last_layers = decoder, last_layers

    @property
    def time_embedding(self) -> Any:
        """The part that stays float32."""
        return self.decoder.time_embedding

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Return the raw output for x_t (N, C, H, W) at timesteps t: (N,), or (1,) for all."""
        (h,) = self.decoder(x_t, t)
        output: Tensor = self.last_layers(h)
        return output


class UNetBackbone(NetworkBackbone):
    """The activations of a diffusion U-Net's decoder at several timesteps.

    Parameters
    ----------
    loaded : LoadedUNet
        Its network is taken over and moved; do not use it elsewhere.
    options : BackboneOptions

    Raises
    ------
    InputError
        See `LoadedNetwork.backbone`.
    """

    def __init__(self, loaded: LoadedUNet, options: BackboneOptions) -> None:
        every = loaded.blocks()
        strides = [block.stride for block in every]
        card, latents = loaded.card, loaded.latents
        factor = 1 if latents is None else latents.factor
        steps = card.steps if options.steps is None else options.steps
        self.steps = choose_steps(steps, loaded.schedule.timesteps)
        self.blocks = choose_blocks(
            card.blocks if options.blocks is None else options.blocks,
            strides,
            default_blocks if latents is None else small_network_blocks,
        )
        own, cell = card.size or loaded.size, factor * max(block.stride_in for block in every)
        row_shape = choose_size(options.size, own, cell)
        seen = row_shape[0] // factor, row_shape[1] // factor  # by the U-Net
        inputs = bool(options.inputs)
        recorded = {number: every[number] for number in self.blocks}
        layers = _layers(self.steps, recorded, seen, inputs)
        super().__init__(loaded, options, layers, row_shape, inputs)
        self._schedule = loaded.schedule
        self._description["schedule"] = dict(loaded.schedule.description)
        if options.draws > 1:
            self._description["draws"] = options.draws
        if latents is not None:
            self._description |= latents.describe()
        addition = loaded.addition
        if latents is not None:
            addition = latents.addition(loaded.unet, row_shape)
        self._decoder = self._prepared(loaded, addition)
        self._latents = None if latents is None else latents.to(self.device)
        channels = loaded.channels if latents is None else latents.channels
        self._grey = latents is None and channels == 1
        self._noise = shared_noise(self.seed, seen, channels, options.draws).to(self.device)

    def _prepared(self, loaded: LoadedUNet, addition: Tensor | None) -> nn.Module:
        """Return the part of the network that is needed, on its device."""
        # On a CPU, convolutions run 1.15 times faster with the channel axis last in memory; tensor
        # cores, which compute in 16 bits, want it so.
        last = self.device.type == "cpu" or self._precision != "float32"
        self._format = torch.channels_last if last else torch.contiguous_format
        decoder = loaded.decoder(self.blocks, self._inputs, addition)
        of_timesteps: Any = decoder.time_embedding  # of every decoder
        halve_weights(decoder, self._precision, but=of_timesteps)
        return decoder.to(self.device, memory_format=self._format)  # type: ignore[call-overload,no-any-return]

    def _activations(self, x: Tensor) -> list[Tensor]:
        with at_precision("float32", self.device):  # autoencoders overflow in float16
            seen = x if self._latents is None else self._latents.encode(x)
            if self._grey:
                seen = (x * x.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        return mean_over(self._noised(seen, noise.unsqueeze(0)) for noise in self._noise)

    def _noised(self, x: Tensor, noise: Tensor) -> list[Tensor]:
        """Return the activations of all timesteps in one batch, for one draw of the noise."""
        batch, T = len(x), len(self.steps)
        text = self._latents.prompt.tokens if self._latents and self._latents.prompt else None
        x_t = q_sample(x, self.steps, noise, self._schedule).flatten(0, 1)
        t = torch.tensor(self.steps, device=self.device).repeat_interleave(batch)
        with at_precision(self._precision, self.device):
            found = self._decoder(x_t.contiguous(memory_format=self._format), t, text)
            found = [activation.float() for activation in found]
        by_block = [activation.unflatten(0, (T, batch)) for activation in found]
        return [activation[step] for step in range(T) for activation in by_block]


def recommended_layers(unet: Any, timesteps: int) -> dict[str, Any]:
    """Return what a card states of a U-Net that dseg has trained: steps, blocks, extras."""
    blocks = small_network_blocks([block.stride for block in block_shapes(unet)])
    steps = [step * timesteps // 1000 for step in SMALL_NETWORK_STEPS]
    return {"steps": steps, "blocks": list(blocks), "filters": True, "pixels": True}


def _layers(
    steps: Sequence[int],
    blocks: Mapping[int, BlockShape],
    seen: tuple[int, int],
    inputs: bool,
) -> tuple[LayerSpec, ...]:
    """Return the layers of some blocks, by number, of inputs that the U-Net sees in a size."""
    shapes = []
    for number, block in blocks.items():
        stride = block.stride_in if inputs else block.stride
        channels = block.channels_in if inputs else block.channels_out
        shapes.append((number, channels, seen[0] // stride, seen[1] // stride))
    return tuple(LayerSpec(step, *shape) for step in steps for shape in shapes)
