"""Unlabelled images to a diffusion model: data, network, training."""
