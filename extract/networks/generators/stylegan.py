"""StyleGAN (Karras et al., CVPR 2019), with the features of DatasetGAN (Zhang et al., CVPR 2021).

State dicts of the PyTorch ports that DatasetGAN builds on: ``g_mapping``, ``g_synthesis`` and
perhaps ``truncation.avg_latent``, of which the published files lack the last and have a ``.npy``
beside; `docs/checkpoints.md` says how to join both. A generator of S pixels has log2(S) - 1 blocks,
from 4x4 up, and each contributes two layers: its output, after noise, leaky ReLU, instance
normalisation and style; then the raw output of its second convolution, before those.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional

from ....store.errors import InputError
from ...checkpoints.opening import Checkpoint
from ...checkpoints.state_dict import StateDict
from ..options import CheckpointOptions
from .base import Generator, LoadedGenerator
from .weights import MappingNetwork, Weights, average_style, linear

__all__ = ["KINDS", "StyleGAN", "load", "matches"]

KINDS: Mapping[str, str] = {"stylegan": "a StyleGAN"}

SIGNS = ("g_mapping.dense0.weight", "g_synthesis.blocks.4x4.const")
"""Keys by which such a network is recognised."""

_GAIN = math.sqrt(2)
_FUSED = 128  # from this side on, upsampling and convolution are one step, with other weights
_BLOCK = re.compile(r"g_synthesis\.blocks\.(\d+)x\1\.")


class Epilogue(nn.Module):
    """What follows a convolution: noise, leaky ReLU, instance normalisation, style."""

    noise: Tensor

    def __init__(self, weights: Weights, name: str, channels: int, width: int) -> None:
        super().__init__()
        self.register_buffer("noise", weights.take(f"{name}.top_epi.noise.weight", channels))
        self.style = linear(weights, f"{name}.style_mod.lin", width)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Return (B, C, h, w) of the same, a style (B, W) and noise (1, 1, h, w)."""
        x = functional.leaky_relu(x + self.noise.view(1, -1, 1, 1) * noise, 0.2)
        scale, shift = self.style(style).view(-1, 2, x.shape[1], 1, 1).unbind(dim=1)
        out: Tensor = functional.instance_norm(x) * (scale + 1) + shift
        return out


class Convolution(nn.Module):
    """A convolution, its input perhaps enlarged twice before."""

    weight: Tensor
    bias: Tensor
    blur: Tensor

    def __init__(
        self, weights: Weights, name: str, into: int, side: int | None = None, kernel: int = 3
    ) -> None:
        super().__init__()
        self._side = side
        gain = 1.0 if kernel == 1 else _GAIN
        weight = weights.take(f"{name}.weight", None, into, kernel, kernel)
        self.register_buffer("bias", weights.take(f"{name}.bias", len(weight)))
        weight = weight * (gain * (into * kernel**2) ** -0.5)
        if side is not None:
            self.register_buffer("blur", weights.take(f"{name}.intermediate.kernel", 1, 1, 3, 3))
            weight = _enlarging(weight) if side >= _FUSED else weight
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out, h, w), or twice as high and wide."""
        if self._side is None:
            return functional.conv2d(x, self.weight, self.bias, padding="same")
        if self._side >= _FUSED:
            x = functional.conv_transpose2d(x, self.weight, stride=2, padding=1)
        else:
            x = functional.conv2d(functional.interpolate(x, scale_factor=2), self.weight, padding=1)
        blur = self.blur.expand(x.shape[1], -1, -1, -1)
        return functional.conv2d(x, blur, padding=1, groups=x.shape[1]) + self.bias.view(
            1, -1, 1, 1
        )


def _enlarging(weight: Tensor) -> Tensor:
    """Return the weights (in, out, 4, 4) of a transposed convolution that enlarges, too."""
    w = functional.pad(weight.permute(1, 0, 2, 3), (1, 1, 1, 1))
    return w[:, :, 1:, 1:] + w[:, :, :-1, 1:] + w[:, :, 1:, :-1] + w[:, :, :-1, :-1]


class Block(nn.Module):
    """All layers of one size of maps."""

    constant: Tensor

    def __init__(self, weights: Weights, side: int, into: int | None, width: int) -> None:
        super().__init__()
        name = f"g_synthesis.blocks.{side}x{side}"
        if into is None:
            constant = weights.take(f"{name}.const", 1, None, side, side)
            channels = constant.shape[1]
            bias = weights.take(f"{name}.bias", channels).view(1, -1, 1, 1)
            self.register_buffer("constant", constant + bias)
            self.enlarge = None
        else:
            self.enlarge = Convolution(weights, f"{name}.conv0_up", into, side)
            channels = len(self.enlarge.bias)
        second = "conv" if into is None else "conv1"
        self.channels = channels
        self.first = Epilogue(weights, f"{name}.epi1", channels, width)
        self.convolution = Convolution(weights, f"{name}.{second}", channels)
        self.second = Epilogue(weights, f"{name}.epi2", channels, width)

    def forward(
        self, x: Tensor | None, styles: Tensor, noise: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the block's output, and the raw one of its second convolution.

        Parameters
        ----------
        x : tensor of shape (B, in, h/2, w/2), optional
            The block before's output.
        styles : tensor of shape (B, 2, W)
        noise : two tensors of shape (1, 1, h, w)
        """
        if self.enlarge is None or x is None:
            x = self.constant.expand(len(styles), -1, -1, -1)
        else:
            x = self.enlarge(x)
        raw = self.convolution(self.first(x, styles[:, 0], noise[0]))
        return self.second(raw, styles[:, 1], noise[1]), raw


class StyleGAN(Generator):
    """The generator of a state dict.

    Parameters
    ----------
    state : dict of str to tensor

    Raises
    ------
    InputError
        If a tensor is missing, left over, or of another shape.
    """

    def __init__(self, state: StateDict) -> None:
        weights = Weights(state, KINDS["stylegan"])
        sides = sorted({int(found[1]) for key in state if (found := _BLOCK.match(key))})
        if sides != [4 * 2**n for n in range(len(sides))]:
            raise InputError(f"the StyleGAN lacks blocks: it has those of {sides} pixels a side")
        count, latent = weights.count("g_mapping.dense", ".weight"), state[SIGNS[0]].shape[1]
        mapping = MappingNetwork(
            [
                linear(weights, f"g_mapping.dense{n}", latent, gain=_GAIN, rate=0.01)
                for n in range(count)
            ]
        )
        average = average_style(weights, ("truncation.avg_latent", "latent_avg"), latent)
        blocks: list[Block] = []
        for side in sides:
            into = blocks[-1].channels if blocks else None
            blocks.append(Block(weights, side, into, latent))
        layers = [(b.channels, s, s) for b, s in zip(blocks, sides, strict=True) for _ in range(2)]
        super().__init__(
            mapping,
            latent,
            layers,
            [side for side in sides for _ in range(2)],
            sides[-1],
            styles=2 * len(sides),
            truncated=8 if sides[-1] >= 512 else 7,
            average=average,
        )
        self.blocks = nn.ModuleList(blocks)
        self.to_rgb = Convolution(weights, "g_synthesis.torgb", blocks[-1].channels, kernel=1)
        if len(self.to_rgb.bias) != 3:
            raise InputError(
                f"the StyleGAN draws images of {len(self.to_rgb.bias)} channels: expected 3"
            )
        weights.finish()

    def _outputs(self, styles: Tensor, noise: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield both layers of each block."""
        x = None
        for number, block in enumerate(self.blocks):
            two = slice(2 * number, 2 * number + 2)
            x, raw = block(x, styles[:, two], noise[two])
            yield x, raw

    def features(
        self, styles: Tensor, noise: Sequence[Tensor], wanted: Sequence[int]
    ) -> list[Tensor]:
        """Return the wanted layers: 2 b is block b's output, 2 b + 1 its raw one."""
        found: list[Tensor] = []
        for number, both in enumerate(self._outputs(styles, noise)):
            found += [both[k] for k in (0, 1) if 2 * number + k in wanted]
            if len(found) == len(wanted):
                break
        return found

    def image(self, styles: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Return images (B, 3, S, S)."""
        *_, (x, _) = self._outputs(styles, noise)
        rgb: Tensor = self.to_rgb(x)
        return rgb


def matches(checkpoint: Checkpoint) -> str | None:
    """Return the kind if these are such weights, else None."""
    return "stylegan" if all(key in (checkpoint.state or {}) for key in SIGNS) else None


def load(checkpoint: Checkpoint, options: CheckpointOptions) -> LoadedGenerator:
    """Load the generator.

    Raises
    ------
    InputError
        If the weights are not those of such a network, or an option does not fit it.
    """
    options.refuse_all_but((), "a StyleGAN has no attention and no timesteps")
    return LoadedGenerator.of("stylegan", StyleGAN(checkpoint.state or {}), checkpoint)
