import torch
from dseg.extract.layers.float16 import to_float16
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(width=32), max_size=20))
def test_counts_and_values(values: list[float]) -> None:
    activation = torch.tensor(values, dtype=torch.float32)
    half, nonfinite, clipped = to_float16(activation)
    finite = activation.isfinite()
    assert half.dtype == torch.float16
    assert nonfinite == int((~finite).sum())
    assert clipped == int((activation[finite].abs() > 65504).sum())
    assert torch.equal(half.isfinite(), finite)
    assert torch.equal(half[finite], activation[finite].clamp(-65504, 65504).half())
    assert torch.equal(half.isnan(), activation.isnan())


def test_any_memory_format_becomes_contiguous() -> None:
    activation = torch.randn(2, 4, 3, 3).to(memory_format=torch.channels_last)
    half, _, _ = to_float16(activation)
    assert half.is_contiguous()
    assert torch.equal(half, activation.half())
