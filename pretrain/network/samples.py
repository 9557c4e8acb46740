"""Sheets of images that a diffusion model draws: what it has learnt, to be looked at."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ...generate.sheet import contact_sheet
from ...store.whole_file import write_whole

__all__ = ["DDIM_STEPS", "write_samples"]

DDIM_STEPS = 50


@torch.no_grad()
def write_samples(
    network: Any, schedule: Any, count: int, path: Path, *, at_once: int, seed: int = 0
) -> None:
    """Draw images by DDIM (Song et al., ICLR 2021) in 50 steps and write them side by side.

    Parameters
    ----------
    network : diffusers.UNet2DModel
        In evaluation mode.
    schedule : diffusers.DDPMScheduler
    count : int
        Images on the sheet.
    path : Path
        The PNG.
    at_once : int
        Images that go through the network together.
    seed : int
        Of the noise they begin with, drawn on the CPU.
    """
    from diffusers import DDIMScheduler

    device, size = next(network.parameters()).device, network.config.sample_size
    sampler = DDIMScheduler(
        trained_betas=schedule.betas.tolist(), clip_sample=True, set_alpha_to_one=True
    )
    sampler.set_timesteps(min(DDIM_STEPS, len(schedule.betas)))
    sides = (size, size) if isinstance(size, int) else tuple(size)
    generator = torch.Generator("cpu").manual_seed(seed)
    x = torch.randn(count, 3, *sides, generator=generator).to(device)
    for t in sampler.timesteps:
        parts = (x[first : first + at_once] for first in range(0, count, at_once))
        noise = torch.cat([network(part, t.to(device)).sample[:, :3].float() for part in parts])
        x = sampler.step(noise, int(t), x).prev_sample
    pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    sheet = Image.fromarray(contact_sheet(pixels))
    write_whole(path, lambda file: sheet.save(file, format="PNG"))
