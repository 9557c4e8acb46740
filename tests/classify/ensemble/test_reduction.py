"""Reduced features hold the leading principal components; an expanded stack scores the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from dseg.classify.ensemble.members import MemberStack
from dseg.classify.ensemble.reduction import ReductionPlan, expand, fit_reduction
from dseg.classify.ensemble.scaling import Scaling
from dseg.store.errors import InputError
from dseg.store.sampling.reduction import Reduction
from dseg.store.spec import FeatureSpec, LayerSpec


@pytest.fixture(scope="module")
def spec() -> FeatureSpec:
    """Two map sizes in mixed order; the larger one has extra layers too."""
    layers = (
        LayerSpec(50, 5, 12, 4, 4),
        LayerSpec(50, 6, 8, 8, 8),
        LayerSpec(150, 5, 12, 4, 4),
        LayerSpec(150, 6, 8, 8, 8),
        LayerSpec.extra("filters", 3, 8, 8),
        LayerSpec.extra("pixels", 5, 8, 8),
    )
    return FeatureSpec({}, "here", (8, 8), "squash", 0, 0, layers)


@pytest.fixture(scope="module")
def sample(spec):
    """Channels of a few sources each, at very different scales."""
    rng = np.random.default_rng(0)
    found = {}
    for size, channels, sources in (("4x4", 24, 3), ("8x8", 24, 4)):
        mixed = rng.normal(size=(1500, sources)) @ rng.normal(size=(sources, channels))
        mixed += 0.01 * rng.normal(size=mixed.shape)
        found[size] = (mixed * rng.uniform(0.1, 9, channels) + rng.normal(0, 5, channels)).astype(
            np.float16
        )
    return found


def test_channels_are_shared_out_and_extras_kept(spec):
    kept = ReductionPlan.of(spec, 18)
    assert kept.components == {"4x4": 6, "8x8": 4}  # 10 of 40, which are 24 and 16
    assert kept.extras == {"4x4": 0, "8x8": 8}
    assert kept.dims == 18
    assert kept.spec(spec).dims == 18


@pytest.mark.parametrize("dims", range(10, 48))
def test_as_many_remain_as_were_asked_for(spec, dims):
    kept = ReductionPlan.of(spec, dims)
    assert kept.dims == kept.spec(spec).dims == dims
    assert 1 <= kept.components["4x4"] <= 24
    assert 1 <= kept.components["8x8"] <= 16


@pytest.mark.parametrize("dims", [1, 9, 48, 100])
def test_what_is_no_reduction_is_refused(spec, dims):
    words = f"features of 48 channels cannot be reduced to {dims}: from 10 .* to 47 are possible"
    with pytest.raises(InputError, match=words):
        ReductionPlan.of(spec, dims)


def test_components_are_those_of_a_plain_decomposition(spec, sample):
    """Against numpy's eigenvectors of the covariance of standardised channels."""
    kept = ReductionPlan.of(spec, 18)
    reduction = fit_reduction(sample, spec, kept)
    x = torch.from_numpy(sample["4x4"]).float()
    whole = torch.cat([x, torch.from_numpy(sample["8x8"]).float()], dim=1)
    scaling = Scaling.of(whole, (12, 12, 8, 8, 3, 5))
    z = scaling.apply_(whole).numpy()[:, :24].astype(np.float64)
    values, vectors = np.linalg.eigh(z.T @ z / len(z))
    leading = vectors[:, ::-1][:, :3]  # as many as there are sources: the rest is noise
    ours = reduction.vectors("4x4", sample["4x4"]).astype(np.float64)
    np.testing.assert_allclose(ours.var(axis=0)[:3], values[::-1][:3], rtol=1e-2)
    np.testing.assert_allclose(np.abs(ours[:, :3]), np.abs(z @ leading), atol=0.05)
    assert np.abs(ours.mean(axis=0)).max() < 0.01
    assert ours.var(axis=0)[3:].max() < 0.01 * values[-3]  # and is not blown up


def test_the_unit_of_the_features_does_not_matter(spec, sample):
    """Nor that of a channel which is the same in all sampled pixels, of a block or an extra one."""
    one = {size: x.copy() for size, x in sample.items()}
    one["4x4"][:, 2] = one["8x8"][:, 17] = 0
    other = {size: x * np.float16(8) for size, x in one.items()}  # rounds nothing
    plain, scaled = (fit_reduction(s, spec, ReductionPlan.of(spec, 18)) for s in (one, other))
    for size in spec.map_sizes:
        torch.testing.assert_close(scaled.matrices[size] * 8, plain.matrices[size])
        torch.testing.assert_close(scaled.shifts[size], plain.shifts[size])


def test_extras_are_only_scaled(spec, sample):
    reduction = fit_reduction(sample, spec, ReductionPlan.of(spec, 18))
    extras = sample["8x8"][:, 16:].astype(np.float64)
    ours = reduction.vectors("8x8", sample["8x8"])[:, 4:].astype(np.float64)
    assert ours.shape == extras.shape
    for mine, theirs in zip(ours.T, extras.T, strict=True):
        assert np.corrcoef(mine, theirs)[0, 1] == pytest.approx(1, abs=1e-4)


def test_an_expanded_stack_scores_all_channels_as_the_small_one_the_reduced(spec, sample):
    reduction = fit_reduction(sample, spec, ReductionPlan.of(spec, 18))
    small = MemberStack(3, 18, (8, 4), 3)
    small.initialise([torch.Generator().manual_seed(m) for m in range(3)])
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    small.mean1.normal_()
    reduced = torch.cat(
        [torch.from_numpy(reduction.vectors(size, sample[size])) for size in spec.map_sizes], dim=1
    )
    whole = np.empty((1500, 48), np.float16)
    for layer, (offset, channels) in enumerate(
        zip(spec.offsets, spec.channel_slices, strict=False)
    ):
        part = sample[spec.layers[layer].map_size][:, channels]
        whole[:, offset : offset + part.shape[1]] = part
    with torch.no_grad():
        expected = small.eval()(reduced.float())
        scores = expand(small, reduction)(torch.from_numpy(whole).float())
    assert expected.std() > 0.1
    torch.testing.assert_close(scores, expected, atol=5e-3, rtol=5e-3)  # z was rounded to float16


def test_a_map_size_that_is_the_same_in_all_pixels(spec, sample):
    """As maps of a single cell are where only one image is labelled."""
    constant = {**sample, "4x4": np.full_like(sample["4x4"], 3.5)}
    reduction = fit_reduction(constant, spec, ReductionPlan.of(spec, 18))
    assert (reduction.vectors("4x4", constant["4x4"]) == 0).all()
    assert all(torch.isfinite(matrix).all() for matrix in reduction.matrices.values())


def test_a_map_size_of_extras_alone_is_kept_whole(spec, sample):
    layers = [layer for layer in spec.layers if layer.is_extra or layer.map_size == "4x4"]
    some = replace(spec, layers=tuple(layers))
    kept = ReductionPlan.of(some, 14)
    assert kept.components == {"4x4": 6, "8x8": 0}
    reduction = fit_reduction({"4x4": sample["4x4"], "8x8": sample["8x8"][:, 16:]}, some, kept)
    assert isinstance(reduction, Reduction)
    assert reduction.spec.dims == 14


def test_few_pixels_have_no_more_components(spec):
    kept = ReductionPlan.of(spec, 30, pixels=5)
    assert kept.components == {"4x4": 5, "8x8": 5}
    assert kept.dims == kept.spec(spec).dims == 18
