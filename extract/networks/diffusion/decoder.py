"""The decoder of diffusers' U-Net, block by block.

Decoder blocks are numbered as in guided-diffusion's ``output_blocks``: each takes the activation
so far, concatenated with one of the encoder's, and is a residual block, then attention where the
level has it, then the upsampler if it is the level's last (Dhariwal & Nichol, NeurIPS 2021).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .inplace_resblock import work_in_place

__all__ = ["BlockShape", "Decoder", "DecoderBlock", "block_shapes", "decoder_blocks"]


class DecoderBlock(nn.Module):
    """One decoder block: residual block, attention or None, upsampler or None."""

    def __init__(self, resnet: Any, attention: Any, upsampler: Any) -> None:
        super().__init__()
        self.resnet, self.attention, self.upsampler = resnet, attention, upsampler

    def forward(self, h: Tensor, embedding: Tensor, text: Tensor | None = None) -> Tensor:
        """Take (N, C, h, w), the activation so far concatenated with the encoder's."""
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
        for index, (resnet, attention) in enumerate(zip(level.resnets, attentions, strict=True)):
            upsampler = level.upsamplers[0] if index == last and level.upsamplers else None
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

        A network that attends to a text gets its embedding (1, tokens, channels).
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
            h, outputs = level(h, embedding, **_text_arguments(level, text))
            skips.extend(outputs)
        if self.mid_block is not None:
            h = self.mid_block(h, embedding, **_text_arguments(self.mid_block, text))
        return h, skips


def _text_arguments(part: Any, text: Tensor | None) -> dict[str, Tensor]:
    """Return what a part of the encoder takes of a text: nothing where it does not attend to it."""
    if text is None or not getattr(part, "has_cross_attention", False):
        return {}
    return {"encoder_hidden_states": text}


@dataclass(frozen=True)
class BlockShape:
    """The shapes of a decoder block's maps.

    Parameters
    ----------
    channels_in, channels_out : int
        Of its input, the concatenation, and of its output.
    stride_in, stride : int
        Image pixels per cell of these; the second is half of the first where it upsamples.
    """

    channels_in: int
    channels_out: int
    stride_in: int
    stride: int


def block_shapes(unet: Any) -> list[BlockShape]:
    """Return the shapes of the decoder blocks of diffusers' U-Net, in order."""
    blocks = list(decoder_blocks(unet))
    stride = 2 ** sum(block.upsampler is not None for block in blocks)
    shapes = []
    for block in blocks:
        before, stride = stride, stride // (1 if block.upsampler is None else 2)
        shapes.append(BlockShape(block.channels_in, block.channels_out, before, stride))
    return shapes
