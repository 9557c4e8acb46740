"""Small models and activations, and prediction done the plain way: slow, whole, by definition."""

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from dseg.classify.ensemble.members import MemberStack
from dseg.store.spec import FeatureSpec, LayerSpec
from torch import Tensor
from torch.nn.functional import interpolate

Maps = Mapping[str, np.ndarray]


def make_spec(
    row_shape: tuple[int, int] = (32, 32),
    layers: tuple[tuple[int, int, int], ...] = ((6, 4, 4), (5, 8, 8), (3, 16, 16)),
    steps: tuple[int, ...] = (50, 150),
) -> FeatureSpec:
    every = tuple(LayerSpec(t, block, *shape) for t in steps for block, shape in enumerate(layers))
    return FeatureSpec({"kind": "test"}, "here", row_shape, "squash", 0, 0, every)


def make_stack(
    dims: int,
    members: int = 4,
    hidden: tuple[int, int] = (16, 8),
    n_classes: int = 5,
    seed: int = 0,
) -> MemberStack:
    """Return members with random weights and BatchNorm statistics, scores of about unit scale."""
    random = torch.Generator().manual_seed(seed)
    stack = MemberStack(members, dims, hidden, n_classes).eval()
    with torch.no_grad():
        for weight in stack.weights:
            weight.normal_(0, weight.shape[1] ** -0.5, generator=random)
        for tensor in [*stack.biases, *stack.betas, *stack.means]:
            tensor.normal_(0, 0.3, generator=random)
        for tensor in [*stack.gammas, *stack.variances]:
            tensor.uniform_(0.5, 1.5, generator=random)
    return stack


def make_maps(spec: FeatureSpec, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    maps = {}
    for key in spec.map_sizes:
        maps[key] = random.standard_normal(spec.map_shape(key)).astype(np.float16)
    return maps


def plain_scores(stack: MemberStack, spec: FeatureSpec, maps: Maps) -> Tensor:
    """Return (M, H, W, C): every map upsampled, all concatenated, every member run."""
    parts: list[Tensor] = []
    for number, layer in enumerate(spec.layers):
        together = spec.layers_of(layer.map_size)
        before = sum(spec.layers[i].channels for i in together if i < number)
        own = maps[layer.map_size][before : before + layer.channels].astype(np.float32)
        parts.append(resize(torch.from_numpy(own), spec.row_shape))
    vectors = torch.cat(parts).flatten(1).t()  # (D, H, W) -> (H·W, D)
    with torch.no_grad():
        return stack(vectors).view(stack.members, *spec.row_shape, -1)


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """(K, h, w) -> (K, *size)."""
    return interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]


def resize_scores(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """(M, h, w, C) -> (M, *size, C)."""
    return torch.stack([resize(s.permute(2, 0, 1), size).permute(1, 2, 0) for s in scores])


def plain_vote(scores: Tensor) -> np.ndarray:
    """Return the mode of the members' best classes, the lowest of those that tie."""
    return scores.argmax(-1).mode(0).values.numpy()


def plain_disagreement(scores: Tensor) -> np.ndarray:
    """Return H(mean p) - mean H(p), in float64."""
    p = scores.double().softmax(-1)
    entropy = torch.special.entr(p).sum(-1).mean(0)
    return (torch.special.entr(p.mean(0)).sum(-1) - entropy).numpy()


@pytest.fixture(scope="session")
def plain() -> SimpleNamespace:
    """The functions above."""
    return SimpleNamespace(
        spec=make_spec,
        stack=make_stack,
        maps=make_maps,
        scores=plain_scores,
        resize_scores=resize_scores,
        vote=plain_vote,
        disagreement=plain_disagreement,
    )
