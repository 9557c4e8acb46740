"""Which timesteps a sampler takes, and the process of these, equal the published ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dseg.extract.networks.diffusion.noise import NoiseSchedule
from dseg.generate.respacing import SamplingSchedule, default_ddim_respacing, kept_timesteps
from dseg.store.errors import InputError
from hypothesis import given
from hypothesis import strategies as st

FACTS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data/golden/schedule/cases.json").read_text()
)


def parts(spelt: str) -> tuple[int, str]:
    steps, _, respacing = spelt.partition(":")
    return int(steps), respacing


@pytest.mark.parametrize("spelt", FACTS["space_timesteps"])
def test_the_kept_timesteps_are_the_published(spelt: str) -> None:
    assert list(kept_timesteps(*parts(spelt))) == FACTS["space_timesteps"][spelt]


@pytest.mark.parametrize("spelt", FACTS["space_timesteps_value_error"])
def test_what_the_published_code_refuses_is_refused_in_words(spelt: str) -> None:
    with pytest.raises(InputError, match=r"of 1000 timesteps|of a section of 10"):
        kept_timesteps(*parts(spelt))


@pytest.mark.parametrize("respacing", ["many", "ddim", "ddim5,5", "-5", "5.0", "5,", "ddim-3"])
def test_other_spellings_are_refused(respacing: str) -> None:
    with pytest.raises(InputError, match=f"'{respacing}' does not say which timesteps to take"):
        kept_timesteps(1000, respacing)


def test_no_timestep_is_too_few() -> None:
    with pytest.raises(InputError, match="'0' keeps no timestep: give a number from 1 to 1000"):
        kept_timesteps(1000, "0")


@pytest.mark.parametrize("case", FACTS["cases"], ids=lambda case: case["name"])
def test_the_process_and_what_the_network_sees_are_the_published(
    case: dict[str, Any], small_golden: Path
) -> None:
    tables = np.load(small_golden / "schedule/tables.npz")
    schedule = SamplingSchedule.respaced(
        NoiseSchedule.named(case["schedule"], case["steps"]),
        case["timestep_respacing"],
        rescale=case["rescale_timesteps"],
    )
    assert len(schedule) == case["num_timesteps"]
    seen = [schedule.seen(step) for step in case["probe_t"]]
    assert seen == case["t_seen_by_model_when_sampling"]
    np.testing.assert_array_equal(schedule.timesteps, tables[f"{case['name']}.timestep_map"])
    of_image, of_noisy = schedule.posterior_mean_coefficients
    for name, own in {
        "betas": schedule.betas,
        "alphas_cumprod": schedule.alphas_cumprod,
        "alphas_cumprod_prev": schedule.alphas_cumprod_prev,
        "posterior_variance": schedule.posterior_variance,
        "posterior_log_variance_clipped": schedule.posterior_log_variance,
        "posterior_mean_coef1": of_image,
        "posterior_mean_coef2": of_noisy,
    }.items():
        golden = tables[f"{case['name']}.{name}"]
        sampled = own if len(golden) == len(own) else own[::37]
        np.testing.assert_allclose(sampled, golden, rtol=1e-10, atol=1e-15, err_msg=name)


@given(st.integers(1, 1200), st.integers(1, 1200))
def test_evenly_spaced_timesteps_reach_from_end_to_end(timesteps: int, count: int) -> None:
    if count > timesteps:
        with pytest.raises(InputError, match="cannot be taken of a section"):
            kept_timesteps(timesteps, str(count))
        return
    kept = kept_timesteps(timesteps, str(count))
    assert len(kept) == count
    assert kept[0] == 0
    assert kept[-1] == (timesteps - 1 if count > 1 else 0)


@given(st.integers(1, 1200))
def test_every_process_has_a_default(timesteps: int) -> None:
    kept = kept_timesteps(timesteps, default_ddim_respacing(timesteps))
    assert len(kept) == min(50, timesteps)


def test_noise_levels_stay_those_of_the_kept_timesteps() -> None:
    whole = NoiseSchedule.named("cosine", 400)
    respaced = SamplingSchedule.respaced(whole, "3,7")
    expected = whole.alphas_cumprod[list(respaced.timesteps)]
    np.testing.assert_allclose(respaced.alphas_cumprod, expected, rtol=1e-9)


def test_a_schedule_that_ends_in_noise_alone_is_refused() -> None:
    betas = np.array([0.1, 1.0])
    with pytest.raises(InputError, match=r"variances from 0.1 to 1: .* above 0 and below 1"):
        SamplingSchedule.respaced(NoiseSchedule(betas, {}))
