"""A diffusion U-Net whose decoder blocks are the features of an image.

Decoder blocks are numbered as in guided-diffusion's ``output_blocks``: each takes the activation
so far with one of the encoder's beside it, and is a residual block, then attention where the level
has it, then the upsampler if it is the level's last (Dhariwal & Nichol, NeurIPS 2021).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..store.spec import LayerSpec
from .averaging import mean_over
from .choices import (
    SMALL_NETWORK_STEPS,
    choose_blocks,
    choose_size,
    choose_steps,
    default_blocks,
    small_network_blocks,
)
from .loading import LoadedUNet
from .network import NetworkBackbone
from .noise import q_sample, shared_noise
from .precision import Precision, at_precision, halve_weights
from .residual import work_in_place

__all__ = ["UNetBackbone", "recommended_layers"]


class DecoderBlock(nn.Module):
    """One decoder block: residual block, attention or None, upsampler or None."""

    def __init__(self, resnet: Any, attention: Any, upsampler: Any) -> None:
        super().__init__()
        self.resnet, self.attention, self.upsampler = resnet, attention, upsampler

    def forward(self, h: Tensor, embedding: Tensor, text: Tensor | None = None) -> Tensor:
        """Take (N, C, h, w), the activation so far with the encoder's beside it."""
        h = self.resnet(h, embedding)
        if self.attention is not None and text is not None:
            h = self.attention(h, encoder_hidden_states=text, return_dict=False)[0]
        elif self.attention is not None:
            h = self.attention(h)
        if self.upsampler is None:
            return h
        # diffusers' upsampler is a convolution, which takes no embedding, or a residual block
        takes_embedding = hasattr(self.upsampler, "time_emb_proj")
        up: Tensor = self.upsampler(h, embedding) if takes_embedding else self.upsampler(h)
        return up

    @property
    def channels_in(self) -> int:
        """Channels of the input, the concatenation."""
        return int(self.resnet.in_channels)

    @property
    def channels_out(self) -> int:
        """Channels of the output."""
        return int(self.resnet.out_channels)


def decoder_blocks(unet: Any) -> Iterator[DecoderBlock]:
    """Yield the decoder blocks of diffusers' U-Net, in order."""
    for level in unet.up_blocks:
        attentions = getattr(level, "attentions", None) or [None] * len(level.resnets)
        last = len(level.resnets) - 1
        for place, (resnet, attention) in enumerate(zip(level.resnets, attentions, strict=True)):
            upsampler = level.upsamplers[0] if place == last and level.upsamplers else None
            yield DecoderBlock(resnet, attention, upsampler)


class Decoder(nn.Module):
    """The part of a U-Net that some decoder blocks need, and nothing past the last of them.

    Parameters
    ----------
    unet : diffusers.UNet2DModel
    blocks : sequence of int
        Ascending.
    inputs : bool
        Whether the blocks' inputs are wanted, not their outputs.
    addition : tensor of shape (1, channels), optional
        Added to the timestep's embedding.
    """

    addition: Tensor | None

    def __init__(
        self, unet: Any, blocks: Sequence[int], inputs: bool, addition: Tensor | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("addition", addition)
        self.wanted, self.inputs = frozenset(blocks), inputs
        self.center_input = bool(unet.config.center_input_sample)
        self.time_proj, self.time_embedding = unet.time_proj, unet.time_embedding
        self.conv_in, self.down_blocks, self.mid_block = (
            unet.conv_in,
            unet.down_blocks,
            unet.mid_block,
        )
        self.blocks = nn.ModuleList(list(decoder_blocks(unet))[: max(blocks) + 1])
        work_in_place(self)

    def forward(self, x_t: Tensor, t: Tensor, text: Tensor | None = None) -> list[Tensor]:
        """Return the wanted activations, each (N, C, h, w), for x_t (N, 3, H, W) at t (N,).

        A network that listens to a text gets its embedding (1, tokens, channels).
        """
        if text is not None:
            text = text.expand(len(x_t), -1, -1)
        with torch.autocast(x_t.device.type, enabled=False):  # stays float32, as published
            embedding = self.time_embedding(self.time_proj(t).to(x_t.dtype))
            if self.addition is not None:
                embedding = embedding + self.addition
        h, skips = self._encode(x_t, embedding, text)
        found: list[Tensor] = []
        for number, block in enumerate(self.blocks):
            h = torch.cat([h, skips.pop()], dim=1)
            if self.inputs and number in self.wanted:
                found.append(h)
                if len(found) == len(self.wanted):
                    break
            h = block(h, embedding, text)
            if not self.inputs and number in self.wanted:
                found.append(h)
        return found

    def _encode(
        self, x_t: Tensor, embedding: Tensor, text: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        h = self.conv_in(2 * x_t - 1 if self.center_input else x_t)
        skips = [h]
        for level in self.down_blocks:
            h, kept = level(h, embedding, **_listening(level, text))
            skips.extend(kept)
        if self.mid_block is not None:
            h = self.mid_block(h, embedding, **_listening(self.mid_block, text))
        return h, skips


def _listening(part: Any, text: Tensor | None) -> dict[str, Tensor]:
    """Return what a part of the encoder takes of a text: nothing where it does not attend to it."""
    if text is None or not getattr(part, "has_cross_attention", False):
        return {}
    return {"encoder_hidden_states": text}


class UNetBackbone(NetworkBackbone):
    """The activations of a diffusion U-Net's decoder at several timesteps.

    Parameters
    ----------
    loaded : LoadedUNet
        Its network is taken over and moved; do not use it elsewhere.
    steps, blocks : sequence of int, optional
        By default the checkpoint's card, else the published ones or their like (see
        `choices.default_blocks`).
    size : int or tuple of int, optional
        Height and width of a row; by default the card's, else the one it was trained on.
    inputs : bool
        Record the input of each block, the concatenation, instead of its output.
    filters, pixels : bool, optional
        Add a layer of classical filters, and a last one of colour and place; by default as the
        card says, else no.
    precision : {"float32", "float16", "bfloat16"}
        In which the network computes, see `precision`; activations come out as float32 anyhow.
    seed : int
        Of the noise.
    draws : int
        Average over so many draws of the noise; the first is that of a single one.
    flip : bool
        Average with the mirrored image's activations.
    device : str or torch.device, optional
        By default CUDA, else MPS, else the CPU.

    Raises
    ------
    InputError
        If the network lacks a block or the schedule a step, one is given twice, the size does not
        fit the network, or there is no such device.
    """

    def __init__(
        self,
        loaded: LoadedUNet,
        steps: Sequence[int] | None = None,
        blocks: Sequence[int] | None = None,
        *,
        size: int | tuple[int, int] | None = None,
        inputs: bool = False,
        filters: bool | None = None,
        pixels: bool | None = None,
        precision: Precision = "float32",
        seed: int = 0,
        draws: int = 1,
        flip: bool = False,
        device: str | torch.device | None = None,
    ) -> None:
        every = list(decoder_blocks(loaded.unet))
        strides = output_strides(every)
        card, latents = loaded.card, loaded.latents
        factor = 1 if latents is None else latents.factor
        self.steps = choose_steps(card.steps if steps is None else steps, loaded.schedule.timesteps)
        self.blocks = choose_blocks(
            card.blocks if blocks is None else blocks,
            strides,
            default_blocks if latents is None else small_network_blocks,
        )
        own, cell = card.size or loaded.size, factor * 2 ** (len(loaded.unet.up_blocks) - 1)
        row_shape = choose_size(size, own, cell)
        seen = row_shape[0] // factor, row_shape[1] // factor  # by the U-Net
        super().__init__(
            loaded,
            _layers(every, strides, self.steps, self.blocks, seen, inputs),
            row_shape=row_shape,
            inputs=inputs,
            filters=filters,
            pixels=pixels,
            precision=precision,
            flip=flip,
            device=device,
        )
        self.seed, self._schedule = seed, loaded.schedule
        self._description["schedule"] = dict(loaded.schedule.description)
        if draws > 1:
            self._description["draws"] = draws
        if latents is not None:
            self._description |= latents.describe()
        addition = None if latents is None else latents.addition(loaded.unet, row_shape)
        self._decoder = self._prepared(loaded.unet, addition)
        self._latents = None if latents is None else latents.to(self.device)
        channels = 3 if latents is None else latents.channels
        self._noise = shared_noise(seed, seen, channels, draws).to(self.device)

    def _prepared(self, unet: Any, addition: Tensor | None) -> Decoder:
        """Return the part of the network that is needed, on its device."""
        # On a CPU, convolutions run 1.15 times faster with the channel axis last in memory; tensor
        # cores, which compute in 16 bits, want it so.
        last = self.device.type == "cpu" or self._precision != "float32"
        self._format = torch.channels_last if last else torch.contiguous_format
        decoder = Decoder(unet, self.blocks, self._inputs, addition)
        halve_weights(decoder, self._precision, but=decoder.time_embedding)
        return decoder.to(self.device, memory_format=self._format)  # type: ignore[call-overload,no-any-return]

    def _activations(self, x: Tensor) -> list[Tensor]:
        with at_precision("float32", self.device):  # autoencoders overflow in float16
            seen = x if self._latents is None else self._latents.encode(x)
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
    blocks = small_network_blocks(output_strides(list(decoder_blocks(unet))))
    steps = [step * timesteps // 1000 for step in SMALL_NETWORK_STEPS]
    return {"steps": steps, "blocks": list(blocks), "filters": True, "pixels": True}


def output_strides(blocks: Sequence[DecoderBlock]) -> tuple[int, ...]:
    """Return image pixels per cell of each decoder block's output."""
    stride = 2 ** sum(block.upsampler is not None for block in blocks)
    strides = []
    for block in blocks:
        stride //= 1 if block.upsampler is None else 2
        strides.append(stride)
    return tuple(strides)


def _layers(
    every: Sequence[DecoderBlock],
    strides: Sequence[int],
    steps: Sequence[int],
    blocks: Sequence[int],
    row_shape: tuple[int, int],
    inputs: bool,
) -> tuple[LayerSpec, ...]:
    shapes = []
    for number in blocks:
        block, stride = every[number], strides[number]
        if inputs and block.upsampler is not None:
            stride *= 2
        channels = block.channels_in if inputs else block.channels_out
        shapes.append((number, channels, row_shape[0] // stride, row_shape[1] // stride))
    return tuple(LayerSpec(step, *shape) for step in steps for shape in shapes)
