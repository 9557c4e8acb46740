"""What the device can: halves of numbers, compiled networks."""

import pytest
import torch
from dseg.pretrain.compiling import check_compiler
from dseg.pretrain.precision import choose_precision
from dseg.store.errors import InputError

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_what_is_asked_for_is_taken(name):
    assert choose_precision(name, CPU) is getattr(torch, name)


def test_a_cpu_computes_in_bfloat16_only_with_units_for_it(monkeypatch):
    for has in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: {"avx512_bf16": has})
        assert choose_precision(None, CPU) is (torch.bfloat16 if has else torch.float32)


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
