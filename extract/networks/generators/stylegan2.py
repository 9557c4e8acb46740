"""StyleGAN2 (Karras et al., CVPR 2020), with the features of EditGAN (Ling et al., NeurIPS 2021).

Two PyTorch ports' weights: rosinality's ``.pt``, and the plain state dict of NVIDIA's
``stylegan2-ada-pytorch``, whose names `stylegan2_names` changes to the former's. Block 0 of the
features is the constant that all images begin with, and each styled convolution (after noise, bias
and leaky ReLU) is a further block, from 4x4 up: the layers that the authors of DatasetGAN record of
a StyleGAN2 in EditGAN. As there, all styles are truncated.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ....store.errors import InputError
from ...checkpoints.opening import Checkpoint
from ...checkpoints.state_dict import StateDict
from ..options import CheckpointOptions
from .base import Generator, LoadedGenerator
from .stylegan2_names import NVIDIA_SIGNS, as_rosinality
from .weights import MappingNetwork, Weights, average_style, linear

__all__ = ["KINDS", "StyleGAN2", "load", "matches"]

KINDS: Mapping[str, str] = {"stylegan2": "a StyleGAN2"}

SIGNS = ("style.1.weight", "input.input", "conv1.conv.modulation.weight")
"""Keys by which rosinality's form is recognised."""

_GAIN = math.sqrt(2)
_SIDE = 4  # of the constant


class ModulatedConvolution(nn.Module):
    """A convolution whose weights a style scales.

    Instead of the weights of each image, its input and output are scaled, which is the same.
    """

    weight: Tensor
    sums: Tensor
    blur: Tensor

    def __init__(
        self, weights: Weights, name: str, width: int, kernel: int, *, enlarge: bool = False
    ) -> None:
        super().__init__()
        self.style = linear(weights, f"{name}.modulation", width)
        into = len(self.style.bias)
        weight = weights.take(f"{name}.weight", 1, None, into, kernel, kernel)[0]
        weight = weight / math.sqrt(into * kernel**2)
        self._normalise, self._enlarge = kernel > 1, enlarge
        if self._normalise:
            self.register_buffer("sums", weight.square().sum(dim=(2, 3)).T)  # (in, out)
        if enlarge:
            self.register_buffer("blur", _filter(weights, f"{name}.blur.kernel"))
            weight = weight.transpose(0, 1)
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Return (B, out, h, w), or twice as high and wide, of x (B, in, h, w)."""
        scale = self.style(style)  # (B, in)
        x = x * scale[:, :, None, None]
        if self._enlarge:
            x = functional.conv_transpose2d(x, self.weight, stride=2)
            x = _filtered(x, self.blur, (1, 1))
        else:
            x = functional.conv2d(x, self.weight, padding="same")
        if self._normalise:
            x = x * torch.rsqrt(scale.square() @ self.sums + 1e-8)[:, :, None, None]
        return x


class StyledConvolution(nn.Module):
    """A modulated convolution, noise, bias and leaky ReLU."""

    noise: Tensor
    bias: Tensor

    def __init__(self, weights: Weights, name: str, width: int, *, enlarge: bool = False) -> None:
        super().__init__()
        self.convolution = ModulatedConvolution(weights, f"{name}.conv", width, 3, enlarge=enlarge)
        self.register_buffer("noise", weights.take(f"{name}.noise.weight", 1))
        self.register_buffer("bias", weights.take(f"{name}.activate.bias", None).view(1, -1, 1, 1))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Return (B, out, h, w) of x (B, in, h, w), or twice as high and wide."""
        x = self.convolution(x, style) + self.noise * noise
        return functional.leaky_relu(x + self.bias, 0.2) * _GAIN


class ToRGB(nn.Module):
    """Colours of a map, added to those of the map before."""

    bias: Tensor
    blur: Tensor

    def __init__(self, weights: Weights, name: str, width: int, *, enlarge: bool = True) -> None:
        super().__init__()
        self.convolution = ModulatedConvolution(weights, f"{name}.conv", width, 1)
        self.register_buffer("bias", weights.take(f"{name}.bias", 1, 3, 1, 1))
        if enlarge:
            self.register_buffer("blur", _filter(weights, f"{name}.upsample.kernel"))

    def forward(self, x: Tensor, style: Tensor, before: Tensor | None = None) -> Tensor:
        """Return (B, 3, h, w) of x (B, C, h, w) and, after the first, of (B, 3, h/2, w/2)."""
        rgb: Tensor = self.convolution(x, style) + self.bias
        if before is None:
            return rgb
        batch, channels, height, width = before.shape
        spread = before.new_zeros(batch, channels, 2 * height, 2 * width)
        spread[:, :, ::2, ::2] = before
        return rgb + _filtered(spread, self.blur, (2, 1))


class StyleGAN2(Generator):
    """The generator of a state dict under rosinality's names.

    Parameters
    ----------
    state : dict of str to tensor

    Raises
    ------
    InputError
        If a tensor is missing, left over, or of another shape.
    """

    def __init__(self, state: StateDict) -> None:
        kept = {key: one for key, one in state.items() if not key.startswith("noises.")}
        weights = Weights(kept, KINDS["stylegan2"])
        mapping, latent, width = _mapping(weights, state)
        average = average_style(weights, ("latent_avg",), width)
        constant = weights.take("input.input", 1, None, _SIDE, _SIDE)
        count = weights.count("convs.", ".conv.weight")
        if count % 2:
            raise InputError(f"the StyleGAN2 has {count} enlarged convolutions, not two a size")
        convs = [StyledConvolution(weights, "conv1", width)]
        convs += [
            StyledConvolution(weights, f"convs.{n}", width, enlarge=n % 2 == 0)
            for n in range(count)
        ]
        sides = [_SIDE * 2 ** ((n + 1) // 2) for n in range(count + 1)]
        channels = [convolution.bias.shape[1] for convolution in convs]
        super().__init__(
            mapping,
            latent,
            [(constant.shape[1], _SIDE, _SIDE)]
            + [(c, side, side) for c, side in zip(channels, sides, strict=True)],
            sides,
            sides[-1],
            styles=count + 2,
            truncated=count + 2,
            average=average,
        )
        self.register_buffer("constant", constant)
        self.convolutions = nn.ModuleList(convs)
        names = ["to_rgb1", *(f"to_rgbs.{n}" for n in range(count // 2))]
        colours = [ToRGB(weights, name, width, enlarge=name != "to_rgb1") for name in names]
        self.colours = nn.ModuleList(colours)
        weights.finish()

    constant: Tensor

    def _outputs(self, styles: Tensor, noise: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the constant, then the output of each styled convolution."""
        x = self.constant.expand(len(styles), -1, -1, -1)
        yield x
        for number, convolution in enumerate(self.convolutions):
            x = convolution(x, styles[:, number], noise[number])
            yield x

    def features(
        self, styles: Tensor, noise: Sequence[Tensor], wanted: Sequence[int]
    ) -> list[Tensor]:
        """Return the wanted layers: 0 is the constant, n the n-th styled convolution's output."""
        found: list[Tensor] = []
        for number, x in enumerate(self._outputs(styles, noise)):
            found += [x] if number in wanted else []
            if len(found) == len(wanted):
                break
        return found

    def image(self, styles: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Return images (B, 3, S, S): the sum of the colours of each size."""
        rgb: Tensor | None = None
        for number, x in enumerate(self._outputs(styles, noise)):
            if number % 2:  # after the first convolution, then after every second
                rgb = self.colours[number // 2](x, styles[:, number], rgb)
        assert rgb is not None
        return rgb


def _mapping(weights: Weights, state: StateDict) -> tuple[MappingNetwork, int, int]:
    """Return the mapping network, and the dimensions of latents and styles."""
    sizes = [state["style.1.weight"].shape[1]]
    layers: list[nn.Linear] = []
    while f"style.{len(layers) + 1}.weight" in weights:
        layers.append(linear(weights, f"style.{len(layers) + 1}", sizes[-1], rate=0.01))
        sizes.append(len(layers[-1].bias))
    return MappingNetwork(layers, _GAIN), sizes[0], sizes[-1]


def _filter(weights: Weights, name: str) -> Tensor:
    """Return a filter (1, 1, 4, 4) for `_filtered`; a convolution, so mirrored."""
    return weights.take(name, 4, 4).flip((0, 1))[None, None]


def _filtered(x: Tensor, kernel: Tensor, padding: tuple[int, int]) -> Tensor:
    """Return maps filtered, padded with zeros before and after."""
    padded = functional.pad(x, (*padding, *padding))
    return functional.conv2d(padded, kernel.expand(x.shape[1], -1, -1, -1), groups=x.shape[1])


def matches(checkpoint: Checkpoint) -> str | None:
    """Return the kind if these are such weights, else None."""
    state = checkpoint.state or {}
    found = any(all(key in state for key in signs) for signs in (SIGNS, NVIDIA_SIGNS))
    return "stylegan2" if found else None


def load(checkpoint: Checkpoint, options: CheckpointOptions) -> LoadedGenerator:
    """Load the generator.

    Raises
    ------
    InputError
        If the weights are not those of such a network, or an option does not fit it.
    """
    options.refuse_all_but((), "a StyleGAN2 has no attention and no timesteps")
    state = checkpoint.state or {}
    if all(key in state for key in NVIDIA_SIGNS):
        state = as_rosinality(state)
    return LoadedGenerator.of("stylegan2", StyleGAN2(state), checkpoint)
