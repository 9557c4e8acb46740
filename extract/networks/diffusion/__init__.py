"""Diffusion U-Nets: their activations at several timesteps of the noise."""
