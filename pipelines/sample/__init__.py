"""``dseg sample``: images drawn by a diffusion model, each from its own seed."""
