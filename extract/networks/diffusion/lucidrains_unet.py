"""The U-Net of denoising-diffusion-pytorch 2 (MIT), as its checkpoints need it.

Written anew, because the package imports torchvision and a trainer; names are those of its
weights, and outputs equal its own. Attention has learned keys and values besides the image's; that
of the outer levels is linear (Shen et al., WACV 2021). Decoder blocks are numbered as elsewhere:
each takes the activation so far with one of the encoder's; a level's second goes on through
attention and the upsampler. The last is the block after all levels.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .decoder import BlockShape

__all__ = ["LucidrainsDecoder", "LucidrainsUNet", "Shapes"]

_PERIOD = 10000.0


@dataclass(frozen=True)
class Shapes:
    """What the U-Net is made of.

    Parameters
    ----------
    channels : int
        Of the images.
    self_condition : bool
        Whether it takes an estimate of the image besides, which here is zero.
    dims : tuple of int
        Channels of the first convolution and of each level.
    time : tuple of int
        Channels of the timestep's sinusoids and of its embedding.
    full_attention : tuple of bool
        Of each level.
    heads : tuple of tuples of int
        Of each level's attention: heads, channels of each, learned keys.
    outputs : int
        Channels of the output.
    """

    channels: int
    self_condition: bool
    dims: tuple[int, ...]
    time: tuple[int, int]
    full_attention: tuple[bool, ...]
    heads: tuple[tuple[int, int, int], ...]
    outputs: int

    def describe(self) -> dict[str, Any]:
        """Return plain JSON values."""
        plain = {key: value for key, value in asdict(self).items() if key != "heads"}
        return plain | {
            "dims": list(self.dims),
            "time": list(self.time),
            "full_attention": list(self.full_attention),
            "attention": [list(one) for one in self.heads],
        }

    def blocks(self) -> list[BlockShape]:
        """Return the shapes of the decoder's blocks."""
        found = []
        stride = 2 ** (len(self.dims) - 2)
        for level in reversed(range(1, len(self.dims))):
            inner, outer = self.dims[level], self.dims[level - 1]
            after = max(1, stride // 2) if level > 1 else stride
            found.append(BlockShape(inner + outer, inner, stride, stride))
            found.append(BlockShape(inner + outer, outer, stride, after))
            stride = after
        return [*found, BlockShape(2 * self.dims[0], self.dims[0], 1, 1)]


class _RMSNorm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        scale = float(x.shape[1]) ** 0.5
        normalised: Tensor = functional.normalize(x.float(), dim=1) * self.g * scale
        return normalised


class _Block(nn.Module):
    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.proj, self.norm = nn.Conv2d(into, out, 3, padding=1), _RMSNorm(out)

    def forward(
        self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None
    ) -> Tensor:
        x = self.norm(self.proj(x))
        if scale is not None and shift is not None:
            x = x * (scale + 1) + shift
        return functional.silu(x)


class _ResnetBlock(nn.Module):
    def __init__(self, into: int, out: int, time: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time, 2 * out))
        self.block1, self.block2 = _Block(into, out), _Block(out, out)
        self.res_conv = nn.Conv2d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        scale, shift = self.mlp(t)[:, :, None, None].chunk(2, dim=1)
        h: Tensor = self.block2(self.block1(x, scale, shift))
        skipped: Tensor = self.res_conv(x)
        return h + skipped


class _Attention(nn.Module):
    """Attention of all pixels to each other, or linear; added to its input."""

    def __init__(self, channels: int, heads: tuple[int, int, int], full: bool) -> None:
        super().__init__()
        number, width, memories = heads
        inner = number * width
        self.full, self.heads = full, number
        self.norm = _RMSNorm(channels)
        shape = (memories, width) if full else (width, memories)
        self.mem_kv = nn.Parameter(torch.zeros(2, number, *shape))
        self.to_qkv = nn.Conv2d(channels, 3 * inner, 1, bias=False)
        out = nn.Conv2d(inner, channels, 1)
        self.to_out = out if full else nn.Sequential(out, _RMSNorm(channels))

    def forward(self, x: Tensor) -> Tensor:
        # (B, 3·heads·width, h, w) → three of (B, heads, width, h·w)
        parts: tuple[Tensor, ...] = self.to_qkv(self.norm(x)).flatten(2).chunk(3, dim=1)
        q, k, v = (part.reshape(len(x), self.heads, -1, part.shape[2]) for part in parts)
        found = (self._full if self.full else self._linear)(q, k, v)
        attended: Tensor = self.to_out(found.reshape(len(x), -1, *x.shape[2:]))
        return attended + x

    def _full(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (part.transpose(2, 3) for part in (q, k, v))
        k, v = self._with_memories(k, v, dim=2)
        return functional.scaled_dot_product_attention(q, k, v).transpose(2, 3)

    def _linear(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = self._with_memories(k, v, dim=3)
        q = q.softmax(dim=2) * q.shape[2] ** -0.5
        context = torch.einsum("bhdn,bhen->bhde", k.softmax(dim=3), v)
        return torch.einsum("bhde,bhdn->bhen", context, q)

    def _with_memories(self, k: Tensor, v: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        keys, values = (m.expand(len(k), -1, -1, -1).to(k.dtype) for m in self.mem_kv)
        return torch.cat([keys, k], dim), torch.cat([values, v], dim)


class _Sinusoids(nn.Module):
    """Of timesteps (N,)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.frequencies = channels // 2

    def forward(self, t: Tensor) -> Tensor:
        steps = torch.arange(self.frequencies, device=t.device, dtype=torch.float32)
        angles = t[:, None] * torch.exp(-math.log(_PERIOD) / (self.frequencies - 1) * steps)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class LucidrainsUNet(nn.Module):
    """The U-Net; `LucidrainsDecoder` records its blocks.

    Parameters
    ----------
    shapes : Shapes
    """

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.shapes = shapes
        dims, (sinusoids, time) = shapes.dims, shapes.time
        seen = shapes.channels * (2 if shapes.self_condition else 1)
        self.init_conv = nn.Conv2d(seen, dims[0], 7, padding=3)
        self.time_mlp = nn.Sequential(
            _Sinusoids(sinusoids),
            nn.Linear(sinusoids, time),
            nn.GELU(),
            nn.Linear(time, time),
        )
        levels = list(zip(dims[:-1], dims[1:], shapes.full_attention, shapes.heads, strict=True))
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for number, (outer, inner, full, heads) in enumerate(levels, 1):
            last = nn.Conv2d(outer, inner, 3, padding=1)
            halve = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * outer, inner, 1))
            blocks = [_ResnetBlock(outer, outer, time) for _ in range(2)]
            attention = _Attention(outer, heads, full)
            down = last if number == len(levels) else halve
            self.downs.append(nn.ModuleList([*blocks, attention, down]))
        self.mid_block1 = _ResnetBlock(dims[-1], dims[-1], time)
        self.mid_attn = _Attention(dims[-1], shapes.heads[-1], full=True)
        self.mid_block2 = _ResnetBlock(dims[-1], dims[-1], time)
        for number, (outer, inner, full, heads) in enumerate(reversed(levels), 1):
            last = nn.Conv2d(inner, outer, 3, padding=1)
            double = nn.Sequential(
                nn.Upsample(scale_factor=2), nn.Conv2d(inner, outer, 3, padding=1)
            )
            blocks = [_ResnetBlock(inner + outer, inner, time) for _ in range(2)]
            attention = _Attention(inner, heads, full)
            up = last if number == len(levels) else double
            self.ups.append(nn.ModuleList([*blocks, attention, up]))
        self.final_res_block = _ResnetBlock(2 * dims[0], dims[0], time)
        self.final_conv = nn.Conv2d(dims[0], shapes.outputs, 1)

    def forward(
        self, x_t: Tensor, t: Tensor, wanted: Collection[int], inputs: bool
    ) -> list[Tensor]:
        """Return the outputs, or inputs, of the wanted decoder blocks, ascending.

        Each is (N, C, h, w), float32, for x_t (N, C, H, W) at timesteps t (N,).
        """
        with torch.autocast(x_t.device.type, enabled=False):
            embedding = self.time_mlp(t)
        if self.shapes.self_condition:
            x_t = torch.cat([torch.zeros_like(x_t), x_t], dim=1)
        h = self.init_conv(x_t)
        skips = [h]
        downs: Any = self.downs  # each a list of four modules
        for block1, block2, attention, down in downs:
            h = block1(h, embedding)
            skips.append(h)
            h = attention(block2(h, embedding))
            skips.append(h)
            h = down(h)
        h = self.mid_block2(self.mid_attn(self.mid_block1(h, embedding)), embedding)
        found: list[Tensor] = []
        for number, block in enumerate(self._decoder_blocks()):
            h = torch.cat([h, skips.pop()], dim=1)
            if inputs and number in wanted:
                found.append(h)
            if len(found) == len(wanted):
                break
            h = block[0](h, embedding)
            for part in block[1:]:
                h = part(h)
            if not inputs and number in wanted:
                found.append(h)
            if len(found) == len(wanted):
                break
        return found

    def _decoder_blocks(self) -> list[tuple[nn.Module, ...]]:
        """Return the decoder's blocks: a residual block, and what follows it."""
        blocks: list[tuple[nn.Module, ...]] = []
        ups: Any = self.ups
        for block1, block2, attention, up in ups:
            blocks += [(block1,), (block2, attention, up)]
        return [*blocks, (self.final_res_block,)]


class LucidrainsDecoder(nn.Module):
    """Records some blocks of the U-Net, as `Decoder` does of diffusers'.

    Parameters
    ----------
    unet : LucidrainsUNet
    blocks : sequence of int
    inputs : bool
        Whether the blocks' inputs are wanted, not their outputs.
    """

    def __init__(self, unet: LucidrainsUNet, blocks: Sequence[int], inputs: bool) -> None:
        super().__init__()
        self.unet, self.wanted, self.inputs = unet, frozenset(blocks), inputs

    @property
    def time_embedding(self) -> nn.Module:
        """The part that stays float32."""
        return self.unet.time_mlp

    def forward(self, x_t: Tensor, t: Tensor, text: Tensor | None = None) -> list[Tensor]:
        """Return the wanted activations, each (N, C, h, w), for x_t (N, C, H, W) at t (N,)."""
        found: list[Tensor] = self.unet(x_t, t, self.wanted, self.inputs)
        return found
