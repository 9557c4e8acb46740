"""The first layer before the upsampling gives what it gives after it."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from dseg.classify.ensemble.members import MemberStack
from dseg.classify.inference.factorised import FactorisedEnsemble
from dseg.classify.inference.prediction import Outputs, predict_image
from dseg.store.errors import InputError
from dseg.store.geometry import plan_tiles
from dseg.store.spec import FeatureSpec, LayerSpec
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

side = st.integers(1, 20)


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


class TestAgainstThePlainWay:
    def test_three_map_sizes_two_steps(self, plain):
        spec = plain.spec()
        stack, maps = plain.stack(spec.dims), plain.maps(spec)
        model = FactorisedEnsemble(stack, spec)
        close(model.logits(model.prepare(maps), 0, 32), plain.scores(stack, spec, maps))

    @settings(max_examples=25, deadline=None)
    @given(
        row=st.tuples(side, side),
        sizes=st.lists(st.tuples(st.integers(1, 3), side, side), min_size=1, max_size=3),
        cells=st.integers(1, 60),
    )
    def test_any_sizes_larger_and_smaller_than_the_row(self, plain, row, sizes, cells):
        spec = plain.spec(row, tuple(sizes), steps=(1, 2))
        stack, maps = (
            plain.stack(spec.dims, members=2, hidden=(6, 4), n_classes=3),
            plain.maps(spec),
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dseg.classify.inference.factorised.CELLS_CPU", cells)
            model = FactorisedEnsemble(stack, spec)
        close(model.logits(model.prepare(maps), 0, row[0]), plain.scores(stack, spec, maps))

    def test_float32_maps_tensors_and_memory_that_may_not_be_written(self, plain):
        spec = plain.spec()
        model = FactorisedEnsemble(plain.stack(spec.dims), spec)
        maps = plain.maps(spec)
        frozen = {key: values.copy() for key, values in maps.items()}
        for values in frozen.values():
            values.flags.writeable = False
        expected = model.logits(model.prepare(maps), 0, 32)
        others = (
            frozen,
            {key: values.astype(np.float32) for key, values in maps.items()},
            {key: torch.from_numpy(values) for key, values in maps.items()},
        )
        for other in others:
            assert torch.equal(model.logits(model.prepare(other), 0, 32), expected)

    @pytest.mark.parametrize("name", ["lt30", "ge30"])
    def test_published_ensembles(self, golden, name):
        stack = published(golden / "pixel_classifier" / name)
        expected = load_file(golden / "pixel_classifier" / name / "predict_labels.safetensors")
        spec = FeatureSpec({}, "", (16, 16), "squash", 0, 0, (LayerSpec(0, 0, 96, 16, 16),))
        model = FactorisedEnsemble(stack, spec)
        maps = {"16x16": expected["features"].t().reshape(96, 16, 16).numpy()}
        scores = model.logits(model.prepare(maps), 0, 16).flatten(1, 2)
        torch.testing.assert_close(scores, expected["logits"], rtol=0, atol=1e-5)
        geometry = plan_tiles((16, 16), (16, 16), "squash")
        outputs = Outputs(uncertainty=True)
        prediction = predict_image(model, geometry, [maps], at="row", outputs=outputs)
        assert (prediction.mask == expected["seg"].numpy()).all()
        assert prediction.score == pytest.approx(float(expected["uncertainty"]), abs=1e-6)


def published(folder) -> MemberStack:
    """Stack the ten ``model_<i>.pth`` of a published ensemble."""
    states = [
        torch.load(folder / f"model_{i}.pth", weights_only=True)["model_state_dict"]
        for i in range(10)
    ]

    def stacked(layer: int, key: str) -> torch.Tensor:
        return torch.stack([state[f"module.layers.{layer}.{key}"] for state in states])

    weights = [stacked(i, "weight").transpose(1, 2) for i in (0, 3, 6)]
    widths = [weights[0].shape[1], *(weight.shape[2] for weight in weights)]
    stack = MemberStack(10, widths[0], widths[1:3], widths[3]).eval()
    with torch.no_grad():
        for i, layer in enumerate((0, 3, 6)):
            stack.weights[i].copy_(weights[i])
            stack.biases[i].copy_(stacked(layer, "bias"))
        for i, layer in enumerate((2, 5)):
            stack.gammas[i].copy_(stacked(layer, "weight"))
            stack.betas[i].copy_(stacked(layer, "bias"))
            stack.means[i].copy_(stacked(layer, "running_mean"))
            stack.variances[i].copy_(stacked(layer, "running_var"))
    return stack


class TestBands:
    @settings(max_examples=25, deadline=None)
    @given(cuts=st.sets(st.integers(1, 31)), cells=st.integers(1, 300))
    def test_bands_are_parts_of_the_whole(self, plain, cuts, cells):
        spec = plain.spec()
        stack, maps = plain.stack(spec.dims), plain.maps(spec)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dseg.classify.inference.factorised.CELLS_CPU", cells)
            model = FactorisedEnsemble(stack, spec)
        hidden = model.prepare(maps)
        ends = [0, *sorted(cuts), 32]
        bands = [model.logits(hidden, a, b) for a, b in pairwise(ends)]
        whole = FactorisedEnsemble(stack, spec)
        expected = whole.logits(whole.prepare(maps), 0, 32)
        torch.testing.assert_close(torch.cat(bands, dim=1), expected, rtol=1e-6, atol=1e-6)

    def test_in_any_order(self, plain, monkeypatch):
        monkeypatch.setattr("dseg.classify.inference.factorised.CELLS_CPU", 64)
        spec = plain.spec()
        model = FactorisedEnsemble(plain.stack(spec.dims), spec)
        hidden, again = (model.prepare(plain.maps(spec)) for _ in range(2))
        down = {y: model.logits(hidden, y, y + 2) for y in range(0, 32, 2)}
        for y in (30, 0, 16, 14, 16, 2):
            assert torch.equal(model.logits(again, y, y + 2), down[y])

    def test_only_a_window_of_hidden_values_is_held(self, plain, monkeypatch):
        monkeypatch.setattr("dseg.classify.inference.factorised.CELLS_CPU", 64)
        spec = plain.spec((64, 64), ((4, 64, 64),))
        model = FactorisedEnsemble(plain.stack(spec.dims), spec)
        hidden = model.prepare(plain.maps(spec))
        assert len(hidden.table) == 2 * 64  # two blocks of one line, of 64 lines


class TestRefusals:
    def test_other_vector_length(self, plain):
        with pytest.raises(InputError, match=r"vectors of length 7, but these features have 28"):
            FactorisedEnsemble(plain.stack(7), plain.spec())

    def test_missing_map(self, plain):
        spec = plain.spec()
        maps = plain.maps(spec)
        del maps["8x8"]
        model = FactorisedEnsemble(plain.stack(spec.dims), spec)
        with pytest.raises(InputError, match="lacks its maps of size 8x8: it has 4x4, 16x16"):
            model.prepare(maps)

    def test_wrong_shape(self, plain):
        spec = plain.spec()
        maps = plain.maps(spec)
        maps["8x8"] = maps["8x8"][:-1]
        model = FactorisedEnsemble(plain.stack(spec.dims), spec)
        with pytest.raises(InputError, match=r"shape \(9, 8, 8\), the model expects \(10, 8, 8\)"):
            model.prepare(maps)

    def test_lines_beyond_the_row(self, plain):
        spec = plain.spec()
        model = FactorisedEnsemble(plain.stack(spec.dims), spec)
        with pytest.raises(InputError, match="lines 30 to 33 are no band of a row of 32 lines"):
            model.logits(model.prepare(plain.maps(spec)), 30, 33)
