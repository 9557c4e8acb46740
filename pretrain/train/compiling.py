"""Whether PyTorch can compile a network here."""

import importlib.util
import os
import shutil

import torch

from ...store.errors import InputError

__all__ = ["check_compiler"]

_COMPILERS = ("c++", "g++", "clang++", "cl")


def check_compiler(device: torch.device) -> None:
    """Refuse, before anything is done, what ``torch.compile`` would fail at.

    Raises
    ------
    InputError
        If a CPU lacks a C++ compiler, or a CUDA device Triton.
    """
    if device.type == "cpu":
        named = os.environ.get("CXX")
        if not any(shutil.which(name) for name in ((named,) if named else _COMPILERS)):
            raise InputError(
                "--compile needs a C++ compiler, but none was found: install g++ or clang, "
                "or leave the option out"
            )
    elif device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise InputError("--compile needs the package triton: install it, or leave the option out")
