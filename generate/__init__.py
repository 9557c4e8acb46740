"""Images drawn by a diffusion model: timesteps, steps, noise by seed, folders of samples."""
