"""Every step of sampling equals guided-diffusion's, with the published network and its noise.

Errors accumulate over the steps: on a CPU they reach 6e-5 where images are clipped to [-1, 1], and
1.3e-6 of the values where they are not. One level of one in 5000 values differs, for it is
truncated.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dseg.extract.networks.options import CheckpointOptions
from dseg.extract.registry import load_generator
from dseg.generate.sampler import Sampler, SamplerSettings, to_uint8
from safetensors.torch import load_file

ABSOLUTE, RELATIVE = 3e-4, 2e-5  # of the largest value, of the L2 norm
FINAL_ABSOLUTE = 2e-3  # of all pixels, not of a sixteenth
OTHER_LEVELS = 1e-3  # share of values one level off

SLOW = {"ddpm10", "ddim10", "ddim5_eta1"}  # the others have the same steps, fewer of them
CASES = [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
    for name in ("ddpm10", "ddim10", "ddim5_eta1", "ddpm4_noclip", "ddim4_respaced_sections")
]


def sampler_of(case: dict[str, Any], checkpoint: Path) -> Sampler:
    arguments = case["arguments"]
    settings = SamplerSettings(
        "ddpm" if case["kind"] == "p" else "ddim",
        case["overrides"]["timestep_respacing"],
        eta=arguments.get("eta", 0.0),
        clip=arguments.get("clip_denoised"),
        device="cpu",
    )
    return Sampler(load_generator(checkpoint, CheckpointOptions(head_channels=16)), settings)


@pytest.mark.parametrize("name", CASES)
def test_every_step_equals_the_published(
    name: str, golden: Path, golden_checkpoint: Callable[[str], Path]
) -> None:
    facts = json.loads((golden / "sampling/cases.json").read_text())
    (case,) = [one for one in facts["cases"] if one["name"] == name]
    expected = load_file(golden / "sampling/samples.safetensors")
    sampler = sampler_of(case, golden_checkpoint("adm64"))
    assert list(sampler.schedule.timesteps) == case["timestep_map"]
    assert sampler.drawing.variance == "learned_range"
    base = expected["base_noise"]
    with torch.inference_mode():
        steps = list(
            sampler.walk(expected["start_noise"], lambda k: torch.roll(base, 7 * k, dims=3))
        )
    assert len(steps) == case["noise_draws"]
    for kind, own in (
        ("samples", [step.x for step in steps]),
        ("pred_xstart", [step.x_0 for step in steps]),
    ):
        for number, (one, golden_one) in enumerate(
            zip(own, expected[f"{name}.{kind}_every_step"], strict=True)
        ):
            error, what = one[..., 1::4, 1::4] - golden_one, f"{kind} of step {number}"
            scale = max(1.0, float(golden_one.abs().max()))
            assert error.abs().max() <= ABSOLUTE * scale, what
            assert error.norm() <= RELATIVE * golden_one.norm(), what
    final = expected[f"{name}.final"]
    scale = max(1.0, case["final_absmax"])
    assert (steps[-1].x - final).abs().max() <= FINAL_ABSOLUTE * scale
    levels = torch.from_numpy(to_uint8(steps[-1].x)).int() - expected[f"{name}.final_uint8"].int()
    assert levels.abs().max() <= 1
    assert (levels != 0).float().mean() <= OTHER_LEVELS
