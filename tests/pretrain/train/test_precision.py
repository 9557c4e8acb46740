"""What the device can: halves of numbers, compiled networks."""

import pytest
import torch
from dseg.pretrain.train import precision
from dseg.pretrain.train.compiling import check_compiler
from dseg.pretrain.train.precision import choose_precision
from dseg.store.errors import InputError

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_what_is_asked_for_is_taken(name):
    assert choose_precision(name, CPU) is getattr(torch, name)


@pytest.mark.parametrize("has", [True, False])
@pytest.mark.parametrize("half", [0.5, 2.0])
def test_a_cpu_computes_in_bfloat16_only_where_that_is_quicker(monkeypatch, has, half):
    seconds = {torch.float32: 1.0, torch.bfloat16: half}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has})
    monkeypatch.setattr(precision, "_seconds", seconds.__getitem__)
    expected = torch.bfloat16 if has and half < 1 else torch.float32
    assert choose_precision(None, CPU) is expected


def test_trying_takes_time_but_no_random_numbers():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert all(0 < precision._seconds(dtype) < 60 for dtype in (torch.float32, torch.bfloat16))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("name", "words"),
    [("float8", "unknown precision 'float8'"), ("float16", "float16 is for CUDA, not for cpu")],
)
def test_what_cannot_be_is_refused(name, words):
    with pytest.raises(InputError, match=words):
        choose_precision(name, CPU)


def test_compiling_without_a_compiler_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"--compile needs a C\+\+ compiler"):
        check_compiler(CPU)
