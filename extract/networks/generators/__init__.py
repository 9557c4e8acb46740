"""Networks that draw images from latents: StyleGAN. Their features are of their own images."""
